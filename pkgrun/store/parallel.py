"""The same work on many things with a few threads, for hashing and copying. It owns no state."""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

THREADS = min(8, (os.cpu_count() or 1) + 2)
"""Enough to keep the disk and the processors busy; more only fight for the interpreter."""


FEW = 2
MOST = 8
"""Threads for work that is mostly the interpreter's own, and how many it may become where they wait for something else."""

_WAITING = 5.0
"""How many times longer than its own work a thread takes that waits for a disk or a server, not for the others."""


def each(
    work: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    threads: int = THREADS,
    first: int | None = None,
    run: int = 16,
) -> list[Result]:
    """`[work(item) for item in items]` by several threads, `run` neighbours at a time; the first error is raised.

    Items are taken when there is a thread for them. `concurrent.futures` would do, but its import costs as much as
    starting Python.

    Args:
        first: begin with so many, and add one, up to `threads`, whenever one has mostly waited.
    """
    labour = _Labour(work, iter(items), run)
    count = len(items) if isinstance(items, Sized) else threads * run
    most = min(threads, -(-count // run))
    labour.go(helpers=min(most, first or most) - 1, more=max(0, most - (first or most)))
    return [result for done in labour.results for result in done]


class _Labour(Generic[Item, Result]):
    """Work being done: what is left of it, what came of it, and who does it."""

    def __init__(self, work: Callable[[Item], Result], items: Iterator[Item], run: int) -> None:
        self._work, self._items, self._run = work, items, run
        self._lock = threading.Lock()
        self._helpers: list[threading.Thread] = []
        self._failures: list[BaseException] = []
        self._more = 0
        self.results: list[list[Result]] = []

    def go(self, *, helpers: int, more: int) -> None:
        """Do all of it, in this thread too."""
        self._more = more
        for _ in range(helpers):
            self._help()
        self._labour()
        for helper in self._helpers:  # which may grow meanwhile
            helper.join()
        if self._failures:
            raise self._failures[0]

    def _help(self) -> None:
        helper = threading.Thread(target=self._labour, daemon=True)
        self._helpers.append(helper)
        helper.start()

    def _labour(self) -> None:
        try:
            while not self._failures:
                with self._lock:
                    some = list(itertools.islice(self._items, self._run))
                    done: list[Result] = []
                    self.results.append(done)
                if not some:
                    return
                began, worked = time.perf_counter(), time.thread_time()
                for item in some:
                    done.append(self._work(item))  # noqa: PERF401  # an error must leave the rest undone
                if self._more:
                    self._judge(time.perf_counter() - began, time.thread_time() - worked)
        except BaseException as error:
            self._failures.append(error)

    def _judge(self, took: float, worked: float) -> None:
        """Whether one more would help."""
        if took > _WAITING * worked:
            with self._lock:
                if self._more:
                    self._more -= 1
                    self._help()
