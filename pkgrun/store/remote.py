"""A store's place on S3 and what speaks like it. It owns requests: what each sends, and how often.

obstore moves the bytes. Beside s3fs, on one server on loopback (`python -m tests.bench.clients`, medians of 5): import
9 ms against 214, 200 × 20 kB put 99 ms (CPU 33) against 233 (202), got 140 (34) against 761 (406), 4 × 64 MiB put 1.2 s
against 1.6 with half the memory, got 0.46 against 1.07; both let one of 16 creators win, 25 times of 25. Requests are
signed with the SHA-256 of what they carry, so a server that checks signatures checks bytes. A process that is killed
while it sends parts leaves them unfinished: nobody sees them, and a bucket's rule for incomplete uploads removes them.
"""

from __future__ import annotations

import os
import random
import re
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from copy import copy
from datetime import timedelta
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, TypeVar, cast

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import S3Store

from pkgrun.errors import Bug, Damaged, NotFound, PermissionDenied, PkgrunError, Temporary, UsageError
from pkgrun.store import aws
from pkgrun.store.answers import Asked, status
from pkgrun.store.backend import RECORD_LIMIT, Capabilities, Stat
from pkgrun.store.local import CHUNK
from pkgrun.store.outgoing import Outgoing, Room
from pkgrun.store.parallel import each
from pkgrun.store.patience import Patience

if TYPE_CHECKING:
    from obstore import ObjectMeta

_READ_LIMIT = 1 << 26
_PIECE = CHUNK >> 1
"""Bytes asked for at once while streaming; what comes is some more."""
_RECORD_TIME = timedelta(seconds=30)
_BLOB_SILENCE = timedelta(minutes=5)
"""How long nothing may be heard: a blob of 64 MiB over a slow line, until the server answers."""
_BLOB_TIME = timedelta(days=7)
_RIVALS = 4
_RACES = 3
_TRIAL = RECORD_LIMIT
"""Bytes that each rival brings. While they arrive a server that looks first and writes then has looked already: Swift 2.38
was found out by 88 of 96 races of 4 with so many, by 46 of 96 with 200 bytes; by two races 58 times of 60, by three 120 of 120."""
TRIALS = "trials"
"""The folder of the keys by which a server is tried out."""
_PAUSES = (0.1, 0.3, 1.0, 3.0)
"""Seconds between attempts, more or less."""
_PATIENCE = 20
"""Seconds after which there is no further attempt, unless the operation waits (`waiting`); one that hears nothing takes
longer than that by itself."""
_URL = re.compile(r"s3://(?P<bucket>[A-Za-z0-9][A-Za-z0-9._-]{1,62})(?P<prefix>(/[^/\x00-\x1f\x7f?#\\]+)*)/*")


Answer = TypeVar("Answer")


class RemoteBackend:
    """Keys are objects of a bucket below a prefix."""

    capabilities = Capabilities(rename=False, paths=False)

    def __init__(self, location: str, access: aws.Access | None = None) -> None:
        """Know a place; nothing is sent yet.

        Args:
            access: how S3 is reached; else what the environment and the files say.

        Raises:
            UsageError: `location` is no `s3://bucket/prefix`, or AWS's settings cannot mean anything.
            PermissionDenied: there are no credentials.
        """
        self._bucket, self._prefix = _parsed(location)
        self.url = f"s3://{self._bucket}/{self._prefix}".rstrip("/")
        self._access = access or aws.access()
        self.server = self._access.server
        self._asked = Asked(self._bucket, self.url, self.server, self._access.region)
        self._room = Room()
        self._patience: Patience | None = None
        self._records = self._client(timeout=_RECORD_TIME)

    @cached_property
    def _blobs(self) -> S3Store:
        """For what may take long; a client of its own, because timeouts are a client's."""
        return self._client(timeout=_BLOB_TIME, read_timeout=_BLOB_SILENCE)

    @cached_property
    def _streams(self) -> S3Store:
        """For reading on where a stream broke off."""
        return self._client(tries=10, timeout=_BLOB_TIME, read_timeout=_BLOB_SILENCE)

    @cached_property
    def _parts(self) -> S3Store:
        """For sending parts, none of which can be had again: it is tried for as long as the operation waits."""
        tries, seconds = (1000, self._patience.limit) if self._patience else (10, 60.0)
        return self._client(tries=tries, seconds=seconds, timeout=_BLOB_TIME, read_timeout=_BLOB_SILENCE)

    def _client(self, *, tries: int = 2, seconds: float = 60, **patience: timedelta) -> S3Store:
        """A client that sends a request again so often, within so many seconds; `_ask` tries on."""
        access = self._access
        options: Any = {"allow_http": True, "connect_timeout": timedelta(seconds=5), **patience}
        if access.certificates:
            options["root_certificate"] = access.certificates
        config: Any = {
            "region": access.region,
            "conditional_put": "etag",
            "virtual_hosted_style_request": self._virtual,
            "disable_bulk_delete": True,  # one key at a time, as every server knows it
        }
        if access.endpoint:
            config["aws_endpoint_url_s3"] = self._endpoint(access.endpoint)  # which wins over the variables
        retries: Any = {
            "max_retries": tries,
            "retry_timeout": timedelta(seconds=seconds),
            "backoff": {
                "init_backoff": timedelta(milliseconds=100),
                "max_backoff": timedelta(seconds=5),
                "base": 2,
            },
        }
        try:
            return S3Store(
                self._bucket,
                prefix=self._prefix or None,
                config=config,
                client_options=options,
                retry_config=retries,
                credential_provider=cast("Any", access.keys),
            )
        except (BaseError, ValueError) as error:
            reason = str(error).partition("\n")[0]
            raise UsageError(f"{self.url} cannot be reached with AWS's settings: {reason}") from error

    @property
    def _virtual(self) -> bool:
        """Whether the bucket is in the host's name; no certificate is for a bucket with dots."""
        return not self._access.path_style and "." not in self._bucket

    def _endpoint(self, endpoint: str) -> str:
        return endpoint.replace("://", f"://{self._bucket}.", 1) if self._virtual else endpoint

    def apart(self) -> RemoteBackend:
        return self  # what is published is there: nothing is on its way that could be another's

    def waiting(self, patience: Patience) -> RemoteBackend:
        """The same place, for an operation that waits while the server is away."""
        waiting = copy(self)
        waiting.__dict__.pop("_parts", None)  # whose client is less patient
        waiting.__dict__["_patience"] = patience
        return waiting

    # ------------------------------------------------------------------ reading

    def read(self, key: str, start: int = 0, length: int | None = None) -> bytes:
        if length == 0:  # no range is empty; but the key has to exist
            return self.read(key, start, 1)[:0]
        return self._ask(key, lambda: self._get(key, start, length))

    def _get(self, key: str, start: int, length: int | None) -> bytes:
        client = self._blobs if (length or 0) > RECORD_LIMIT else self._records
        try:
            got = obstore.get(client, key, options=_range(start, length))
        except BaseError as error:
            if status(error) == 416:  # nothing lies there
                return b""
            raise
        begin, end = got.range
        if length is None and end - begin > _READ_LIMIT:
            raise Damaged(f"{self._asked.name(key)} is larger than any record")
        data = got.bytes().to_bytes()
        if begin != start or len(data) != end - begin:
            raise Temporary(f"{self._asked.name(key)}: {self.server} sent {len(data)} bytes of {end - begin}")
        return data

    def stream(self, key: str) -> Iterator[bytes]:
        got = self._ask(key, lambda: obstore.get(self._streams, key))
        with self._translated(key):
            for piece in got.stream(min_chunk_size=_PIECE):
                yield from (piece[at : at + CHUNK] for at in range(0, len(piece), CHUNK))

    def stat(self, key: str) -> Stat | None:
        try:
            found = self._ask(key, lambda: obstore.head(self._records, key))
        except NotFound:
            return None
        return Stat(found["size"], found["last_modified"].timestamp())

    def list(self, prefix: str) -> Iterator[str]:
        found = self._ask(prefix, lambda: obstore.list_with_delimiter(self._records, prefix or None))
        paths = {*found["common_prefixes"], *(one["path"] for one in found["objects"])} - {prefix}
        yield from (path.rpartition("/")[2] for path in paths)

    def walk(self, prefix: str) -> Iterator[tuple[str, Stat]]:
        last: str | None = None
        pages = self._pages(prefix, last)

        def following() -> Sequence[ObjectMeta]:
            nonlocal pages
            try:
                return next(pages, ())
            except BaseException:  # asked again, it is from where it was
                pages = self._pages(prefix, last)
                raise

        while page := self._ask(prefix, following):
            yield from ((one["path"], Stat(one["size"], one["last_modified"].timestamp())) for one in page)
            last = page[-1]["path"]

    def _pages(self, prefix: str, last: str | None) -> Iterator[Sequence[ObjectMeta]]:
        """What is known of the keys below a prefix, in their order, beyond the last."""
        return iter(obstore.list(self._records, prefix or None, offset=last, chunk_size=1000))

    def leftovers(self) -> Iterator[tuple[str, Stat]]:
        yield from self.walk(TRIALS)

    # ------------------------------------------------------------------ writing

    def create(self, key: str, data: bytes) -> bool:
        """One PUT under the condition that there is nothing.

        Its answer may be lost, and then it is sent again: False may mean that the record is this very one.
        """
        if len(data) > RECORD_LIMIT:
            raise Bug(f"the record {key} has {len(data)} bytes; {RECORD_LIMIT} is the limit")
        return self._ask(key, lambda: self._put_new(key, data) or not self._stands(key))

    def _put_new(self, key: str, data: bytes) -> bool:
        """Put it under the condition that there is nothing; whether the server says that there was not."""
        try:
            obstore.put(self._records, key, data, mode="create", use_multipart=False)
        except AlreadyExistsError as error:
            if status(error) == 409:
                raise
            return False
        return True

    def _stands(self, key: str) -> bool:
        """See that what a create was refused for is there. A 412 may have other causes, and then nothing is written, neither
        by us nor by those whom all would go by.

        Raises:
            Temporary: nothing is there.
        """
        try:
            obstore.head(self._records, key)
        except FileNotFoundError as error:
            refused = f"{self._asked.name(key)}: {self.server} answers 412, as if it were there"
            raise Temporary(refused, hint="try again") from error
        return True

    def write(self, key: str, data: bytes) -> None:
        self._ask(key, lambda: obstore.put(self._records, key, data, mode="overwrite", use_multipart=False))

    def upload(self, key: str | None = None, size: int | None = None) -> Outgoing:
        """Begin a blob; `size`, if it is known, is how many bytes it will have at most."""
        if key is None:
            raise Bug("a blob on its way to an object store needs its key first")
        return Outgoing(
            key,
            size,
            room=self._room,
            put=self._put_blob,
            send=self._send_parts,
            look=lambda: self._look(key),
        )

    def _put_blob(self, key: str, data: bytes | bytearray) -> None:
        self._ask(key, lambda: obstore.put(self._blobs, key, data, use_multipart=False))

    def _look(self, key: str) -> None:
        """See that the server is there, or wait for it: what is sent as parts tells nothing of itself.

        Raises:
            Temporary: it is not.
        """
        with suppress(PermissionDenied, UsageError):  # which are answers
            self.stat(key)

    def _send_parts(
        self, key: str, pieces: Iterator[bytes | bytearray], *, part: int, in_flight: int
    ) -> None:
        with self._translated(key):
            obstore.put(
                self._parts, key, pieces, use_multipart=True, chunk_size=part, max_concurrency=in_flight
            )

    def flush(self, reused: Collection[str] = ()) -> None:
        """What was published is there and durable, by whomever: an upload returns from `publish` no earlier."""

    @cached_property
    def _once(self) -> S3Store:
        """For what must be known if it is sent again."""
        return self._client(tries=0, timeout=_RECORD_TIME)

    def delete(self, key: str) -> bool:
        tries = 0

        def request() -> None:
            nonlocal tries
            tries += 1
            obstore.delete(self._once, key)

        with suppress(NotFound):
            self._ask(key, request)
        return tries == 1

    # ------------------------------------------------------------------ the server

    def check(self, key: str, data: bytes) -> None:
        """See that the server keeps its word on a record that exists and has these bytes.

        A server that ignores the condition overwrites it with itself, which harms nothing.

        Raises:
            UsageError: it does not honour conditions.
            Temporary: it does not answer.
        """
        try:
            created = self._ask(key, lambda: self._put_new(key, data))
        except PermissionDenied:
            return  # credentials for reading only: nothing will be created here
        if created:
            raise self._asked.lacking("it overwrites what it was told not to")

    def try_out(self) -> None:
        """See that of several who create one key at once only one is told that it did, with keys that are removed again.

        Some servers answer rightly as long as nobody else asks: they look first and write then.

        Raises:
            UsageError: the server does not honour conditions.
            PermissionDenied, Temporary: it refuses, or does not answer.
        """
        data = bytes(_TRIAL)
        for _ in range(_RACES):
            key = f"{TRIALS}/{os.urandom(8).hex()}"
            winners = sum(each(partial(self._wins, data=data), [key] * _RIVALS, threads=_RIVALS, run=1))
            self.delete(key)
            if winners > 1:
                raise self._asked.lacking(
                    f"of {_RIVALS} that created one key at once, {winners} were told that they had"
                )

    def tries(self) -> bool:
        """Whether what lies among the trials are trials: others try the server now, or did not come to the end of it."""
        return all(re.fullmatch("[0-9a-f]{16}", name) for name in self.list(TRIALS))

    def _wins(self, key: str, data: bytes) -> bool:
        """Whether a rival is told that it created the key; one that is told to ask again (409) has lost this time."""

        def put() -> bool:
            try:
                obstore.put(self._blobs, key, data, mode="create", use_multipart=False)
            except AlreadyExistsError:
                return False
            return True

        return self._ask(key, put)

    def _ask(self, key: str, request: Callable[[], Answer]) -> Answer:
        """The answer to a request, which is sent again for a while if the server is in trouble."""
        pauses, until = iter(_PAUSES), time.monotonic() + _PATIENCE
        while True:
            try:
                with self._translated(key):
                    answer = request()
            except Temporary:
                if not self._paused(pauses, until):
                    raise
            except (PkgrunError, AlreadyExistsError):
                self._answered()
                raise
            else:
                self._answered()
                return answer

    def _paused(self, pauses: Iterator[float], until: float) -> bool:
        """Let some time pass after a failure; whether to ask again."""
        pause = next(pauses, None)
        spent = self._patience is not None and self._patience.spent
        if pause is None or spent or time.monotonic() > until:
            return self._patience is not None and self._patience.wait()
        time.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - only so that rivals do not march in step
        return True

    def _answered(self) -> None:
        if self._patience is not None:
            self._patience.answered()

    @contextmanager
    def _translated(self, key: str) -> Iterator[None]:
        """Foreign errors end here; only that a key is taken is no error yet."""
        try:
            yield
        except AlreadyExistsError as error:
            if status(error) != 409:  # which says that a rival's write is under way, and may yet fail
                raise
            raise self._asked.meaning(error, key) from error
        except (BaseError, FileNotFoundError) as error:
            raise self._asked.meaning(error, key) from error


def _range(start: int, length: int | None) -> Any:
    if length is not None:
        return {"range": (start, start + length)}
    return {"range": {"offset": start}} if start else None


def _parsed(location: str) -> tuple[str, str]:
    """Bucket and prefix. What is wrong is not repeated: it may hold credentials."""
    if "@" in location.removeprefix("s3://").partition("/")[0]:
        raise UsageError("a store's URL holds no credentials: s3://bucket/prefix", hint=aws.KEYS_HINT)
    found = _URL.fullmatch(location)
    if found is None or {".", ".."} & set(found["prefix"].split("/")):
        raise UsageError("that is no store's URL", hint="s3://bucket/prefix")
    return found["bucket"], found["prefix"].strip("/")
