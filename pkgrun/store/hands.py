"""Processes that read and write many small files, since one interpreter does one thing at a time.

It owns the processes and the memory shared with them, and knows nothing of what the work is for.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from mmap import mmap
from pathlib import Path
from typing import Any, Protocol

from pkgrun.store import hand

PROCESSES = min(8, os.cpu_count() or 1)


class Work(Protocol):
    """Something that a hand does."""

    def order(self, place: memoryview) -> tuple[Any, ...]:
        """What is to be done: a verb of `hand.py` and what it takes. What is to be written is put into the place."""

    def done(self, answer: tuple[Any, ...], place: memoryview) -> None:
        """What came of it. What was read is in the place, during this call only."""


class Ended(OSError):
    """A hand could not be started, or ended early."""


def available() -> bool:
    """Whether there can be hands here."""
    return PROCESSES > 1 and bool(sys.executable) and hasattr(os, "memfd_create")


def do(works: Iterable[Work], *, room: int) -> None:
    """Have work done; `works`, `order` and `done` are called from several threads.

    Args:
        room: bytes of a place: what one work reads or writes at most.

    Raises:
        Ended: some of the work was not done.
        And what `works`, `order` and `done` raise.
    """
    waiting, lock = iter(works), threading.Lock()
    failures: list[BaseException] = []

    def take() -> Work | None:
        with lock:
            return None if failures else next(waiting, None)

    def drive() -> None:
        try:
            with _Hand(room) as one:
                one.work(take)
        except BaseException as error:
            failures.append(error)

    drivers = [threading.Thread(target=drive, daemon=True) for _ in range(PROCESSES)]
    for driver in drivers:
        driver.start()
    for driver in drivers:
        driver.join()
    if failures:
        raise failures[0]


class _Hand:
    """One process, and two places: it works on one while what came of the other is looked at."""

    def __init__(self, room: int) -> None:
        memory = os.memfd_create("pkgrun", os.MFD_CLOEXEC)
        try:
            os.ftruncate(memory, 2 * room)
            self._area = mmap(memory, 2 * room)
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(Path(hand.__file__)), str(memory)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # how it ended is told here
                pass_fds=(memory,),
                bufsize=0,
                process_group=0,  # Ctrl-C is meant for us, who then let it end
            )
        except OSError as error:
            raise Ended(error.errno, error.strerror) from error
        finally:
            os.close(memory)
        self._room = room
        self._view = memoryview(self._area)

    def __enter__(self) -> _Hand:
        return self

    def __exit__(self, *error: object) -> None:
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with suppress(OSError):
                    stream.close()
        if error[0] is not None:
            self._process.kill()
        self._process.wait()
        self._view.release()
        with suppress(BufferError):  # somebody kept what is valid no more
            self._area.close()

    def work(self, take: Callable[[], Work | None]) -> None:
        """Do work until there is none."""
        number = 0
        asked = self._ask(take(), number)
        while asked is not None:
            following = self._ask(take(), 1 - number)
            asked.done(self._answer(), self._place(number))
            asked, number = following, 1 - number

    def _place(self, number: int) -> memoryview:
        return self._view[number * self._room : (number + 1) * self._room]

    def _ask(self, work: Work | None, number: int) -> Work | None:
        if work is None or self._process.stdin is None:
            return None
        verb, *rest = work.order(self._place(number))
        try:
            hand.send(self._process.stdin.fileno(), (verb, number * self._room, *rest))
        except OSError as error:
            raise Ended(error.errno, error.strerror) from error
        return work

    def _answer(self) -> tuple[Any, ...]:
        answer = hand.receive(self._process.stdout.fileno()) if self._process.stdout else ()
        if not answer:
            raise Ended("a process that reads or writes files ended early")
        return answer
