"""Processes that read and hash many small files, since one interpreter does one thing at a time.

It owns the processes and the memory shared with them. What they cannot do, is done here.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from mmap import mmap
from pathlib import Path
from typing import NamedTuple

from pkgrun.store import reader

PROCESSES = min(8, os.cpu_count() or 1)

Files = Sequence[tuple[str, int]]
"""Names in a folder and sizes, of small files."""


class Work(NamedTuple):
    """Files of one folder to be read, and whose they are."""

    owner: object
    directory: str
    files: Files


class Answer(NamedTuple):
    """What was read of one work, all files together.

    `digests`: 32 bytes for each; `seen`: five numbers for each, as `fstat` saw it after it was read; `data`: their bytes,
    one file behind the other, valid during the call only; `odd`: which of them have to be read otherwise.
    """

    digests: bytes
    seen: list[int]
    data: memoryview
    odd: frozenset[int]


Told = Callable[[Work, Answer], object]
"""Handed what was read of each work, from several threads."""


def available() -> bool:
    """Whether there can be such processes here."""
    return PROCESSES > 1 and bool(sys.executable) and hasattr(os, "memfd_create")


def read(works: Iterable[Work], told: Told, *, room: int) -> None:
    """Have files read.

    Args:
        room: bytes that the files of one work have at most.

    Raises:
        What `told` and `works` raise; and OSError: a process cannot be started, or ended early.
    """
    waiting, lock = iter(works), threading.Lock()
    failures: list[BaseException] = []

    def take() -> Work | None:
        with lock:
            return None if failures else next(waiting, None)

    def drive() -> None:
        try:
            with _Reader(room) as one:
                one.go(take, told)
        except BaseException as error:
            failures.append(error)

    drivers = [threading.Thread(target=drive, daemon=True) for _ in range(PROCESSES)]
    for driver in drivers:
        driver.start()
    for driver in drivers:
        driver.join()
    if failures:
        raise failures[0]


class _Reader:
    """One process, and two places for what it reads: it fills one while the other is looked at."""

    def __init__(self, room: int) -> None:
        self._room = room
        memory = os.memfd_create("pkgrun", os.MFD_CLOEXEC)
        try:
            os.ftruncate(memory, 2 * room)
            self._area = mmap(memory, 2 * room)
            self._view = memoryview(self._area)
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(Path(reader.__file__)), str(memory)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                pass_fds=(memory,),
                bufsize=0,
            )
        finally:
            os.close(memory)

    def __enter__(self) -> _Reader:
        return self

    def __exit__(self, *error: object) -> None:
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        if error[0] is not None:
            self._process.kill()
        self._process.wait()
        self._view.release()
        with suppress(BufferError):  # somebody kept what is valid no more
            self._area.close()

    def go(self, take: Callable[[], Work | None], told: Told) -> None:
        """Have work done until there is none."""
        place = 0
        asked = self._ask(take(), place)
        while asked is not None:
            following = take()
            work, asked = asked, self._ask(following, 1 - place)
            told(work, self._answer(work, place))
            place = 1 - place

    def _ask(self, work: Work | None, place: int) -> Work | None:
        if work is not None and self._process.stdin is not None:
            files = [(os.fsencode(name), size) for name, size in work.files]
            reader.send(
                self._process.stdin.fileno(), (place * self._room, os.fsencode(work.directory), files)
            )
        return work

    def _answer(self, work: Work, place: int) -> Answer:
        answer = reader.receive(self._process.stdout.fileno()) if self._process.stdout else ()
        if not answer:
            raise OSError("a process that reads files ended")
        digests, seen, odd = answer
        start = place * self._room
        size = sum(size for _, size in work.files)
        return Answer(digests, seen, self._view[start : start + size], frozenset(odd))
