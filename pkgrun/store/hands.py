"""Processes that read and write many small files, since one interpreter does one thing at a time.

It owns the processes and the memory shared with them, and knows nothing of what the work is for.
"""

from __future__ import annotations

import errno
import os
import select
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from mmap import PAGESIZE, mmap
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from pkgrun.store import hand

_PATIENCE = 10
"""Seconds that a hand has to start, and to end."""

PROCESSES = min(8, os.cpu_count() or 1)


class Area:
    """Memory that is shared with a hand; work gets places in it, one behind the other.

    `noted` is what whoever looks at answers notes of it, until it is full and handed over.
    """

    def __init__(self, view: memoryview, start: int, head: int) -> None:
        self.view = view
        self.noted: list[Any] = []
        self._start, self._head = start, head
        self._used, self._left = head, len(view) - head
        self._carrying: threading.Thread | None = None
        self._carried = False
        self._failure: BaseException | None = None

    def place(self, work: Work) -> tuple[int, int] | None:
        """Where in the area, and where in all that is shared, there is a place for work; None if it is full."""
        room = work.size + work.behind
        if room > self._left:
            return None
        at = self._used
        self._used, self._left = at + work.size, self._left - room
        return at, self._start + at

    def hand_over(self, full: Callable[[Area], object]) -> None:
        """Nothing more comes into it: have it looked at, in the background, once."""
        if self.noted and self._carrying is None and not self._carried:
            self._carrying = threading.Thread(target=self._carry, args=(full,), daemon=True)
            try:
                self._carrying.start()
            except RuntimeError:  # there are as many as the system allows
                self._carrying = None
                self._carry(full)
                self._carried = True

    def _carry(self, full: Callable[[Area], object]) -> None:
        try:
            full(self)
        except BaseException as error:
            self._failure = error

    def reclaim(self) -> None:
        """Wait until it is not looked at any more; it is empty then.

        Raises:
            Whatever came of looking at it.
        """
        if self._carrying is not None:
            self._carrying.join()
            self._carrying = None
        if self._failure is not None:
            raise self._failure
        self.noted, self._carried = [], False
        self._used, self._left = self._head, len(self.view) - self._head


class Work(Protocol):
    """Something that a hand does."""

    @property
    def size(self) -> int:
        """Bytes of its place."""

    @property
    def behind(self) -> int:
        """Bytes that are to stay free for it behind all places."""

    def order(self, place: memoryview) -> tuple[Any, ...]:
        """What is to be done: a verb of `hand.py` and what it takes. What is to be written is put into the place."""

    def done(self, answer: tuple[Any, ...], area: Area, at: int) -> None:
        """What came of it; its place in the area begins at `at`."""


class Ended(OSError):
    """A hand could not be started, or ended early."""


def available() -> bool:
    """Whether there can be hands here."""
    return PROCESSES > 1 and bool(sys.executable) and hasattr(os, "memfd_create")


def do(
    works: Iterable[Work],
    *,
    room: int,
    head: int = 0,
    full: Callable[[Area], object] = lambda area: None,
    processes: int = PROCESSES,
) -> None:
    """Have work done; `works`, `order`, `done` and `full` are called from several threads.

    Args:
        room: bytes of an area; a hand has two.
        head: how many of them are left free at its beginning.
        full: handed an area in which something was noted, once nothing more comes into it, also if the hand has died.
        processes: how many hands at most.

    Raises:
        Ended: some of the work was not done.
        And what `works`, `order`, `done` and `full` raise.
    """
    waiting, lock = iter(works), threading.Lock()
    failures: list[BaseException] = []
    all_hands: list[_Hand] = []

    def take() -> Work | None:
        with lock:
            return None if failures else next(waiting, None)

    def drive() -> None:
        try:
            with _Hand(-(-room // PAGESIZE) * PAGESIZE, head, full) as one:
                all_hands.append(one)
                one.work(take, sound=lambda: all(isinstance(failure, Ended) for failure in failures))
        except BaseException as error:
            failures.append(error)

    drivers = [threading.Thread(target=drive, daemon=True) for _ in range(min(processes, PROCESSES))]
    started = _started(drivers)
    try:
        for driver in started:
            driver.join()
    except BaseException as error:  # an interrupt: nothing goes on behind the back of whoever hears of it
        failures.append(error)
        for one in all_hands:
            one.kill()
        for driver in started:
            driver.join()
        raise
    if failures:
        raise next((one for one in failures if not isinstance(one, Ended)), failures[0])


def _started(threads: Iterable[threading.Thread]) -> list[threading.Thread]:
    """Those that could be started.

    Raises:
        Ended: none.
    """
    started: list[threading.Thread] = []
    for thread in threads:
        try:
            thread.start()
        except RuntimeError as error:  # there are as many as the system allows
            if not started:
                raise Ended(errno.EAGAIN, str(error)) from error
            break
        started.append(thread)
    return started


class _Asked(NamedTuple):
    work: Work
    area: Area
    at: int


class _Hand:
    """One process and two areas: it works on the next thing while what came of the one before is looked at."""

    def __init__(self, room: int, head: int, full: Callable[[Area], object]) -> None:
        memory = -1
        try:
            memory = os.memfd_create("pkgrun", os.MFD_CLOEXEC)
            os.ftruncate(memory, 2 * room)
            self._memory = mmap(memory, 2 * room)
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
            if memory >= 0:
                os.close(memory)
        self._view = memoryview(self._memory)
        self._areas = [Area(self._view[start : start + room], start, head) for start in (0, room)]
        self._full = full
        self._ready = False

    def __enter__(self) -> _Hand:
        return self

    def __exit__(self, *error: object) -> None:
        if error[0] is not None:
            self.kill()
        elif self._process.stdin is not None:
            # Said, and not only by closing: a process forked meanwhile may hold the other end of the pipe.
            with suppress(OSError):
                hand.send(self._process.stdin.fileno(), ())
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
            self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with suppress(OSError):
                    stream.close()
        for area in self._areas:
            with suppress(BaseException):  # the first failure is told
                area.reclaim()
            area.view.release()
        self._view.release()
        with suppress(BufferError):  # somebody kept what is valid no more
            self._memory.close()

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    def work(self, take: Callable[[], Work | None], *, sound: Callable[[], bool]) -> None:
        """Do work until there is none; `sound` says whether what came of some is worth anything although it ended."""
        try:
            asked = self._ask(take())
            while asked is not None:
                following = self._ask(take())
                asked.work.done(self._answer(), asked.area, asked.at)
                if following is not None and following.area is not asked.area:
                    asked.area.hand_over(self._full)
                asked = following
        except Ended:
            if sound():
                self._hand_over()  # what came of it before is none the worse
            raise
        self._hand_over()

    def _hand_over(self) -> None:
        """All that was not."""
        for area in self._areas:
            area.hand_over(self._full)
        for area in self._areas:
            area.reclaim()

    def _ask(self, work: Work | None) -> _Asked | None:
        if work is None or self._process.stdin is None:
            return None
        place = self._areas[0].place(work)
        if place is None:
            self._areas.reverse()
            self._areas[0].reclaim()
            place = self._areas[0].place(work)
        if place is None:
            raise ValueError(f"{work.size} bytes are more than an area has")
        at, start = place
        area = self._areas[0]
        verb, *rest = work.order(area.view[at : at + work.size])
        try:
            hand.send(self._process.stdin.fileno(), (verb, start, *rest))
        except OSError as error:
            raise Ended(error.errno, error.strerror) from error
        return _Asked(work, area, at)

    def _answer(self) -> tuple[Any, ...]:
        if self._process.stdout is None:
            return ()
        descriptor = self._process.stdout.fileno()
        if not self._ready:
            self._greet(descriptor)
        answer = hand.receive(descriptor)
        if not answer:
            raise Ended("a process that reads or writes files ended early")
        return answer

    def _greet(self, descriptor: int) -> None:
        """It is what it should be: an application that embeds Python may be called as if it were one, and is none."""
        waiting = select.poll()  # `select` knows no descriptors beyond 1023
        waiting.register(descriptor, select.POLLIN)
        if not waiting.poll(1000 * _PATIENCE) or hand.exactly(descriptor, len(hand.READY)) != hand.READY:
            raise Ended(f"{sys.executable} does not run {hand.__file__}")
        self._ready = True
