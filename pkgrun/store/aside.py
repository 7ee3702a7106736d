"""A thread that does one thing at a time beside its owner: reading, hashing and writing a large file go on at once.

It owns the thread. What is shared with the owner is the owner's to keep still.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Generic, TypeVar

T = TypeVar("T")


class Aside(Generic[T]):
    """One thing at a time: `begin`, then `result`. It MUST be closed."""

    def __init__(self) -> None:
        self._work: SimpleQueue[Callable[[], T] | None] = SimpleQueue()
        self._done: SimpleQueue[tuple[T | None, BaseException | None]] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._begun = False

    def begin(self, work: Callable[[], T]) -> None:
        """Have something done."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._labour, daemon=True)
            self._thread.start()
        self._begun = True
        self._work.put(work)

    def result(self) -> T | None:
        """What came of it; None if nothing was begun.

        Raises:
            What it raised.
        """
        if not self._begun:
            return None
        self._begun = False
        result, failure = self._done.get()
        if failure is not None:
            raise failure
        return result

    def close(self) -> None:
        """Wait for what was begun, whatever comes of it, and end the thread."""
        if self._thread is not None:
            self._work.put(None)
            self._thread.join()

    def _labour(self) -> None:
        while (work := self._work.get()) is not None:
            try:
                self._done.put((work(), None))
            except BaseException as error:
                self._done.put((None, error))
