"""A blob on its way to an object store: one request if it is small, parts that are sent while it comes in if not.

It owns the memory that this takes and the threads that send; what a request is, it is told.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from queue import Full, Queue
from typing import Protocol

from pkgrun.errors import Bug, DataInvalid, PkgrunError

SINGLE = 64 << 20
"""Bytes up to which a blob that is written at once is sent by one request."""
GATHERED = 16 << 20
"""Bytes up to which pieces are gathered in memory for one request."""
PART = 8 << 20
"""The least size of a part. A server takes 10,000 parts, so a blob without a declared size may have 78 GiB."""
_PARTS = 10_000
_WAITING = 2
_ROOM = 48 << 20
_IN_FLIGHT = 4
_SILENCE = 10.0
"""Seconds without a part taken after which one looks whether the server is there."""


class Send(Protocol):
    """Sends pieces as parts, so many of a size at once; what the iterator raises MUST leave nothing on the server."""

    def __call__(
        self, key: str, pieces: Iterator[bytes | bytearray], *, part: int, in_flight: int
    ) -> object: ...


class Room:
    """What the uploads of one store may have in memory together. Nobody waits for it: who gets none sends parts."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._left = _ROOM
        self._senders = 0

    def take(self, size: int) -> bool:
        """Whether so many bytes more may be kept."""
        with self._lock:
            if size > self._left:
                return False
            self._left -= size
            return True

    def give(self, size: int) -> None:
        """So many bytes are no longer kept."""
        with self._lock:
            self._left += size

    def enter(self) -> int:
        """One more sends parts; how many at once it may have on their way. The first has the most."""
        with self._lock:
            self._senders += 1
            return max(1, _IN_FLIGHT + 1 - self._senders)

    def leave(self) -> None:
        """One sends no more."""
        with self._lock:
            self._senders -= 1


class Outgoing:
    """An upload under a key that is known. `put` sends all of it, `send` its parts; both raise pkgrun's errors.

    `look` is called when no part has gone for a while, and raises if there is nobody to send to.
    """

    def __init__(
        self,
        key: str,
        size: int | None,
        *,
        room: Room,
        put: Callable[[str, bytes | bytearray], object],
        send: Send,
        look: Callable[[], object],
    ) -> None:
        self._key = key
        self._part = max(PART, -(-(size or 0) // (_PARTS - 1)))
        self._room, self._put, self._send, self._look = room, put, send, look
        self._first: bytes | bytearray = b""
        self._kept = bytearray()
        self._size = 0
        self._parts: _Parts | None = None

    def write(self, chunk: bytes | bytearray | memoryview) -> None:
        if isinstance(chunk, memoryview):  # which is no longer valid when it is sent
            chunk = bytes(chunk)
        self._size += len(chunk)
        if self._parts is None and self._keep(chunk):
            return
        if self._size > self._part * _PARTS:
            raise DataInvalid(
                f"{self._key} has more than {self._part * _PARTS >> 30} GiB, which S3 takes of one object only "
                "if its size is known before",
            )
        (self._parts or self._begin()).feed(chunk)

    def _keep(self, chunk: bytes | bytearray) -> bool:
        """Whether it can wait for the rest; a first piece is not copied, it may be all there is."""
        if self._size == len(chunk) <= SINGLE:
            self._first = chunk
            return True
        if self._size > GATHERED or not self._room.take(len(self._first) + len(chunk)):
            return False
        self._kept += self._first
        self._kept += chunk
        self._first = b""
        return True

    def _begin(self) -> _Parts:
        parts = self._parts = _Parts(self._key, self._part, self._room, self._send, self._look)
        parts.feed(self._first)
        while self._kept:
            piece = bytes(self._kept[: 1 << 20])
            del self._kept[: len(piece)]
            self._room.give(len(piece))
            parts.feed(piece)
        return parts

    def publish(self, key: str) -> None:
        if key != self._key:
            raise Bug(f"the blob {self._key} cannot become {key}: an object store renames nothing")
        if self._parts is not None:
            self._parts.end()
            return
        try:
            self._put(key, self._kept or self._first)
        finally:
            self._forget()

    def discard(self) -> None:
        if self._parts is not None:
            self._parts.stop()
        self._forget()

    def _forget(self) -> None:
        self._room.give(len(self._kept))
        self._first, self._kept = b"", bytearray()


class _Stopped(Exception):
    pass


class _Parts:
    """Sends what it is fed, in a thread of its own."""

    def __init__(self, key: str, part: int, room: Room, send: Send, look: Callable[[], object]) -> None:
        self._waiting: Queue[bytes | bytearray | None] = Queue(_WAITING)
        self._look = look
        self._stopped = False
        self._left = False
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(key, part, room, send), daemon=True)
        self._thread.start()

    def feed(self, piece: bytes | bytearray) -> None:
        """One more piece.

        Raises:
            PkgrunError: whatever ended the sending.
        """
        if self._failure is not None:
            raise self._failure
        self._put(piece)

    def _put(self, piece: bytes | bytearray | None) -> None:
        while True:
            with suppress(Full):
                return self._waiting.put(piece, timeout=_SILENCE)
            self._see()

    def end(self) -> None:
        """That was all; returns when the blob is there."""
        self._put(None)
        self._join()
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Take it back."""
        self._stopped = True
        with suppress(Full):  # and then nobody waits for more
            self._waiting.put_nowait(None)
        with suppress(PkgrunError):
            self._join()

    def _join(self) -> None:
        while not self._left and self._thread.is_alive():
            self._thread.join(_SILENCE)
            if self._thread.is_alive():
                self._see()

    def _see(self) -> None:
        """Nothing moves: look whether there is a server. If not, the sender is left to itself, and ends some time."""
        try:
            self._look()
        except BaseException as error:
            self._failure = self._failure or error
            self._stopped = self._left = True
            raise

    def _run(self, key: str, part: int, room: Room, send: Send) -> None:
        in_flight = room.enter()
        pieces = self._pieces()
        try:
            send(key, pieces, part=part, in_flight=in_flight)
        except BaseException as error:
            self._failure = self._failure or error
        finally:
            room.leave()
        with suppress(_Stopped):
            for _ in pieces:  # whoever feeds must not wait for ever for a sender that has failed
                pass

    def _pieces(self) -> Iterator[bytes | bytearray]:
        while not self._stopped and (piece := self._waiting.get()) is not None:
            yield piece
        if self._stopped:
            raise _Stopped
