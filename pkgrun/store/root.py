"""Opening a store: is this one, which, can this release read it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import orjson

from pkgrun.errors import Conflict, Damaged, NotFound, UsageError
from pkgrun.observe import Observer
from pkgrun.records import FORMAT, StoreRecord
from pkgrun.store.backend import Backend
from pkgrun.store.files import shown
from pkgrun.store.local import LocalBackend, translate
from pkgrun.store.objects import Objects
from pkgrun.store.operations import new_run_id
from pkgrun.store.patience import Distant, Patience

KEY = "pkgrun-store.json"

LATER = ("erased",)
"""Folders of the format that later releases write, and without which the answers of this one would be wrong."""

_RECORD_SIZE = 1 << 16
"""Bytes that the store's own record has at most."""


@dataclass(frozen=True, slots=True)
class Store:
    """An open store: where its bytes are, and its blobs."""

    backend: Backend
    objects: Objects
    id: str
    cache: str | None = None
    """This machine's cache folder, if it may be used."""
    patience: Patience | None = None
    """How its server is waited for, if it is."""

    @property
    def url(self) -> str:
        """Where it is, without credentials."""
        return shown(self.backend.url)

    def apart(self) -> Store:
        """The same store for one operation, with blobs on their way that are its own."""
        backend = self.backend.apart()
        return replace(self, backend=backend, objects=self.objects.apart(backend))

    def waiting(self, observer: Observer, *, over: Callable[[], bool] = lambda: False) -> Store:
        """The same store for one operation, which waits while the server is away; a directory has none.

        Args:
            observer: told that it waits.
            over: whether nobody wants to wait any longer.
        """
        if not isinstance(self.backend, Distant):
            return self
        patience = Patience(self.url, observer, over=over)
        backend = self.backend.waiting(patience)
        # With an index of its own, whose questions wait too.
        return replace(
            self, backend=backend, objects=Objects(backend, _derived(self.cache, self.id)), patience=patience
        )


def open_store(location: str, *, create: bool, cache: str | None = None) -> Store:
    """Open the store in a directory or at `s3://bucket/prefix`; with `create`, make it if there is none.

    Args:
        cache: this machine's cache folder, for what is derived from the store.

    Raises:
        NotFound: there is none, and it is not to be made; or there is not even the bucket.
        Conflict: something else is there, or a store of a newer format.
        UsageError: the location is none that this release knows, or its server lacks what a store needs.
        PermissionDenied, Temporary: the system or the server refuses it.
    """
    backend, record = _open_remote(location, create) if "://" in location else _open_local(location, create)
    for kind in LATER:
        if next(backend.list(kind), None) is not None:
            raise Conflict(
                f"the store {shown(backend.url)} holds {kind}/, which this release does not know how to honour",
                hint="upgrade pkgrun",
            )
    return Store(backend, Objects(backend, _derived(cache, record.store)), record.store, cache)


def _derived(cache: str | None, store: str) -> str | None:
    """Where the cache folder keeps what is derived from a store."""
    return os.path.join(cache, "stores", store) if cache is not None else None


def _open_local(location: str, create: bool) -> tuple[Backend, StoreRecord]:
    backend = LocalBackend(_directory(location))
    data = _read(backend)
    if data is None:
        _check_wanted(location, create)
        _make_directory(backend, location)
        data = _new()
        if not backend.create(KEY, data):
            data = backend.read(KEY)
    return backend, _record(backend, data)


def _open_remote(location: str, create: bool) -> tuple[Backend, StoreRecord]:
    if not location.startswith("s3://"):  # the rest of it is not repeated: it may hold credentials
        raise UsageError(
            f"{location.partition('://')[0]}://…: stores are directories or s3://bucket/prefix",
            hint="many other services speak S3 too: set AWS_ENDPOINT_URL",
        )
    # And with it obstore, which a directory does not need.
    from pkgrun.store.remote import TRIALS, RemoteBackend

    backend = RemoteBackend(location)
    data = _read(backend)
    if data is not None:
        record = _record(backend, data)
        backend.check(KEY, data)
        return backend, record
    names = list(backend.list(""))  # says too if the bucket is missing
    _check_wanted(backend.url, create)
    _check_empty(backend.url, [name for name in names if name != TRIALS or not backend.tries()])
    backend.try_out()
    data = _new()
    if not backend.create(KEY, data):
        data = backend.read(KEY, 0, _RECORD_SIZE)
    return backend, _record(backend, data)


def _directory(location: str) -> Path:
    if "\0" in location or not location:
        raise UsageError(f"{location!r} is no directory's name")
    if location.startswith("s3:/"):  # what pathlib makes of a URL
        raise UsageError("s3:/…: a slash is missing", hint="s3://bucket/prefix")
    try:
        return Path(location).expanduser().absolute()
    except FileNotFoundError as error:
        raise UsageError(
            f"{location} is below the current directory, which is gone", hint="go to another one"
        ) from error


def _read(backend: Backend) -> bytes | None:
    """The store's record. It is asked for by a range, so that a server without ranges is found out."""
    try:
        return backend.read(KEY, 0, _RECORD_SIZE)
    except NotFound:
        return None


def _record(backend: Backend, data: bytes) -> StoreRecord:
    try:
        found = orjson.loads(data)["format"]
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise Damaged(f"{KEY} in {backend.url} is not a store's record") from error
    if isinstance(found, int) and found > FORMAT:
        raise Conflict(
            f"the store {backend.url} has format {found}; this release reads up to {FORMAT}",
            hint="upgrade pkgrun",
        )
    return StoreRecord.from_bytes(data, key=KEY)


def _check_wanted(location: str, create: bool) -> None:
    if not create:
        raise NotFound(
            f"there is no store at {location}",
            hint="`pkgrun train FOLDER`, `package add` or `dataset add` makes one; --store or PKGRUN_STORE names another",
        )


def _check_empty(location: str, names: list[str]) -> None:
    if names and KEY not in names:
        raise Conflict(
            f"{location} is not empty and no store ({names[0]!r} is in it)",
            hint="name an empty or a new directory or prefix",
        )


def _make_directory(backend: LocalBackend, location: str) -> None:
    try:
        os.makedirs(backend.root, exist_ok=True)
        _check_empty(location, [name for name in os.listdir(backend.root) if not name.startswith(".")])
    except (FileExistsError, NotADirectoryError) as error:
        raise UsageError(f"{location} cannot be made a store: {error.strerror}") from error
    except OSError as error:
        raise translate(error, location) from error


def _new() -> bytes:
    return StoreRecord(store=new_run_id(), created=datetime.now(UTC)).to_bytes()
