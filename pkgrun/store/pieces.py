"""A large file in pieces: the next is read, and the ones before are written, while its owner hashes one.

It owns the threads and the memory that this takes; what becomes of a piece is its owner's to say.
"""

from __future__ import annotations

import errno
import mmap
import os
import threading
from collections.abc import Callable, Iterator
from queue import SimpleQueue

SIZE = 1 << 20
"""Bytes of a piece: few enough to stay in the processor's cache from one thread to the next."""

_COUNT = 3


class Pieces:
    """The pieces of an open file, in order. It MUST be used as a context, which waits for all that was passed on.

    Each begins at a page. It is valid until the next one is taken; for `consume`, during the call.
    """

    def __init__(self, descriptor: int, consume: Callable[[memoryview], object]) -> None:
        self._descriptor, self._consume = descriptor, consume
        self._free: SimpleQueue[mmap.mmap | None] = SimpleQueue()
        self._read: SimpleQueue[tuple[mmap.mmap, int] | BaseException] = SimpleQueue()
        self._passed: SimpleQueue[tuple[mmap.mmap, int] | None] = SimpleQueue()
        self._threads: dict[str, threading.Thread] = {}
        self._lock = threading.Lock()
        self._half: set[int] = set()
        self._failures: list[BaseException] = []
        self._now: tuple[mmap.mmap, int] | None = None

    def __enter__(self) -> Pieces:
        return self

    def __iter__(self) -> Iterator[memoryview]:
        """Raises: OSError, and what `consume` raised."""
        buffer = mmap.mmap(-1, SIZE)
        count = _fill(self._descriptor, buffer)
        more = count == SIZE
        if more:  # most need no second one
            for _ in range(_COUNT - 1):
                self._free.put(mmap.mmap(-1, SIZE))
            self._start("read", self._read_ahead)
        while count:
            self._now = buffer, count
            yield memoryview(buffer)[:count]
            if self._now is not None:
                self._leave(buffer)  # for whoever would have consumed it
            self._leave(buffer)
            if self._failures:
                raise self._failures[0]
            if not more:
                return
            following = self._read.get()
            if isinstance(following, BaseException):
                raise following
            buffer, count = following
            more = count == SIZE

    def pass_on(self) -> None:
        """Have the piece that was taken last consumed, beside what its owner does with it."""
        if self._now is not None:
            self._start("consume", self._consume_all)
            self._passed.put(self._now)
            self._now = None

    def __exit__(self, *error: object) -> None:
        self._passed.put(None)
        self._free.put(None)
        for thread in self._threads.values():
            thread.join()
        if error[0] is None and self._failures:
            raise self._failures[0]

    def _leave(self, buffer: mmap.mmap) -> None:
        """Its owner, or who consumes, is done with a piece; the second of them frees it."""
        with self._lock:
            first = id(buffer) not in self._half
            (self._half.add if first else self._half.remove)(id(buffer))
        if not first:
            self._free.put(buffer)

    def _start(self, name: str, work: Callable[[], None]) -> None:
        if name not in self._threads:
            thread = threading.Thread(target=work, daemon=True)
            try:
                thread.start()
            except RuntimeError as error:  # there are as many as the system allows
                raise OSError(errno.EAGAIN, str(error)) from error
            self._threads[name] = thread

    def _read_ahead(self) -> None:
        try:
            while (buffer := self._free.get()) is not None:
                count = _fill(self._descriptor, buffer)
                self._read.put((buffer, count))
                if count < SIZE:
                    return
        except BaseException as error:
            self._read.put(error)

    def _consume_all(self) -> None:
        while (passed := self._passed.get()) is not None:
            buffer, count = passed
            if not self._failures:
                try:
                    self._consume(memoryview(buffer)[:count])
                except BaseException as error:
                    self._failures.append(error)
            self._leave(buffer)


def _fill(descriptor: int, buffer: mmap.mmap) -> int:
    """Read until it is full or the file ends; how many bytes came."""
    rest = memoryview(buffer)
    while rest and (count := os.readv(descriptor, [rest])):
        rest = rest[count:]
    return len(buffer) - len(rest)
