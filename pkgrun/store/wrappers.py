"""Backends around a backend: one that only reads, one that tries again. They own no bytes and change no keys."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import NoReturn, Self, TypeVar

from pkgrun.errors import NotFound, PermissionDenied, Temporary
from pkgrun.store.backend import Backend, Stat, Upload

T = TypeVar("T")

PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a backend, or of an upload of it (`upload.write`, `upload.publish`, `upload.discard`)."""

    method: str
    key: str = ""
    sent: int = 0
    """Bytes that it sends."""


class Wrapper:
    """Passes every call on by way of `around`, which subclasses replace.

    What `list`, `walk` and `leftovers` find is fetched within the call, so that a failure is the call's and not the reader's.
    """

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.url = backend.url
        self.capabilities = backend.capabilities

    def around(self, call: Call, work: Callable[[], T]) -> T:
        """Do the work of a call."""
        return work()

    def around_apart(self, backend: Backend) -> Self:
        """The same wrapper around `backend`."""
        return type(self)(backend)

    def read(self, key: str, start: int = 0, length: int | None = None) -> bytes:
        return self.around(Call("read", key), lambda: self.backend.read(key, start, length))

    def stream(self, key: str) -> Iterator[bytes]:
        pieces = self.backend.stream(key)
        first = self.around(Call("stream", key), lambda: next(pieces, None))
        if first is not None:
            yield first
            yield from pieces

    def stat(self, key: str) -> Stat | None:
        return self.around(Call("stat", key), lambda: self.backend.stat(key))

    def create(self, key: str, data: bytes) -> bool:
        return self.around(Call("create", key, len(data)), lambda: self.backend.create(key, data))

    def write(self, key: str, data: bytes) -> None:
        self.around(Call("write", key, len(data)), lambda: self.backend.write(key, data))

    def upload(self, key: str | None = None, size: int | None = None) -> Upload:
        begun = self.around(Call("upload", key or ""), lambda: self.backend.upload(key, size))
        return WrappedUpload(self, begun)

    def flush(self, reused: Collection[str] = ()) -> None:
        self.around(Call("flush"), lambda: self.backend.flush(reused))

    def apart(self) -> Self:
        return self.around_apart(self.backend.apart())

    def list(self, prefix: str) -> Iterator[str]:
        return iter(self.around(Call("list", prefix), lambda: tuple(self.backend.list(prefix))))

    def walk(self, prefix: str) -> Iterator[tuple[str, Stat]]:
        return iter(self.around(Call("walk", prefix), lambda: tuple(self.backend.walk(prefix))))

    def leftovers(self) -> Iterator[tuple[str, Stat]]:
        return iter(self.around(Call("leftovers"), lambda: tuple(self.backend.leftovers())))

    def delete(self, key: str) -> bool:
        return self.around(Call("delete", key), lambda: self.backend.delete(key))


class WrappedUpload:
    """An upload whose calls go by way of its wrapper's `around`."""

    def __init__(self, wrapper: Wrapper, upload: Upload) -> None:
        self._wrapper = wrapper
        self._upload = upload

    def write(self, chunk: bytes | bytearray | memoryview) -> None:
        self._wrapper.around(Call("upload.write", sent=len(chunk)), lambda: self._upload.write(chunk))

    def publish(self, key: str) -> None:
        self._wrapper.around(Call("upload.publish", key), lambda: self._upload.publish(key))

    def discard(self) -> None:
        self._wrapper.around(Call("upload.discard"), self._upload.discard)


class ReadOnly(Wrapper):
    """A backend that nothing is written to: whatever would, raises `PermissionDenied`, which names the place."""

    def _refuse(self, key: str) -> NoReturn:
        raise PermissionDenied(
            f"{self.url} is open for reading only: {key} was not written",
            hint="open the store without the read-only option",
        )

    def create(self, key: str, data: bytes) -> bool:
        self._refuse(key)

    def write(self, key: str, data: bytes) -> None:
        self._refuse(key)

    def upload(self, key: str | None = None, size: int | None = None) -> Upload:
        self._refuse(key or "a blob")

    def delete(self, key: str) -> bool:
        self._refuse(key)


RETRIED = frozenset({"read", "stream", "stat", "write", "upload", "list", "walk", "leftovers", "delete"})
"""The calls that may be made again as they are: they change nothing, or the second time nothing more.

A `write` or a `delete` that is made again may come late; so may any, for its process may sleep before it.
An upload can be begun again, since nothing was written, but its other calls cannot: what came before them is gone.
`flush` is not: an fsync that failed once may say yes the next time and still have lost the bytes.
"""


class Retrying(Wrapper):
    """A backend that tries again, later and later, when the place says `Temporary`.

    `create` is made again too. Its first try may have taken effect although the answer was lost, and then the second
    is refused by our own record. So a try that is refused after one that failed looks at what stands there, and answers
    True if it is what it wanted to write. That is right for every record which no other writer writes to the byte, as
    one that holds its writer's run id is. Where several write the same bytes, as those who carry out one decision do,
    more than one may be told True; each then has what it asked for, durably, and none goes by who was first. To answer
    False instead would be no safer (`operations.begin`, `operations.decide` and `numbers.take` look at what stands in
    either case), and would mislead a caller that takes a refusal for somebody else's fact.
    """

    def __init__(
        self,
        backend: Backend,
        attempts: int = 5,
        *,
        first: float = 0.1,
        longest: float = 5.0,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """Wrap a backend.

        Args:
            attempts: how often a call is made, the first included.
            first: seconds to wait at most before the second; each further wait may be twice as long.
            longest: seconds that no wait exceeds.
            pause: what waits.
        """
        super().__init__(backend)
        self._attempts = attempts
        self._first = first
        self._longest = longest
        self._pause = pause

    def around_apart(self, backend: Backend) -> Self:
        return type(self)(
            backend, self._attempts, first=self._first, longest=self._longest, pause=self._pause
        )

    def around(self, call: Call, work: Callable[[], T]) -> T:
        return self._again(work) if call.method in RETRIED else work()

    def create(self, key: str, data: bytes) -> bool:
        failed = False

        def attempt() -> bool:
            nonlocal failed
            try:
                created = self.backend.create(key, data)
            except Temporary:
                failed = True
                raise
            return created or (failed and self._stands(key, data))

        return self._again(attempt)

    def _stands(self, key: str, data: bytes) -> bool:
        try:
            return self.backend.read(key) == data
        except NotFound:
            return False

    def delete(self, key: str) -> bool:
        tries = 0

        def attempt() -> bool:
            nonlocal tries
            tries += 1
            return self.backend.delete(key)

        return self._again(attempt) and tries == 1

    def stream(self, key: str) -> Iterator[bytes]:
        """Pieces of the blob; after a failure, from where it was."""
        done = 0
        try:
            for piece in self.backend.stream(key):
                yield piece
                done += len(piece)
            return
        except Temporary:
            self._wait(0)
        while piece := self.read(key, done, PIECE):
            yield piece
            done += len(piece)

    def _again(self, work: Callable[[], T]) -> T:
        for attempt in range(self._attempts - 1):
            try:
                return work()
            except Temporary:
                self._wait(attempt)
        return work()

    def _wait(self, attempt: int) -> None:
        """Any time up to a limit that doubles, so that those who failed together do not come back together."""
        longest = min(self._longest, self._first * 2.0**attempt)
        self._pause(random.uniform(0, longest))  # noqa: S311 - a pause is no secret
