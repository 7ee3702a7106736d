"""The same work on many things with a few threads, for hashing and copying. It owns no state."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable, Iterable, Sequence, Sized
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

THREADS = min(8, (os.cpu_count() or 1) + 2)
"""Enough to keep the disk and the processors busy; more only fight for the interpreter."""


FEW = 2
"""Threads for work that is mostly the interpreter's own: one waits for the system while the other works, and more would
only pass the interpreter round."""


def each(
    work: Callable[[Item], Result], items: Iterable[Item], *, threads: int = THREADS, run: int = 16
) -> list[Result]:
    """`[work(item) for item in items]` by several threads, `run` neighbours at a time; the first error is raised.

    Items are taken when there is a thread for them. `concurrent.futures` would do, but its import costs as much as
    starting Python.
    """
    results: list[list[Result]] = []
    failures: list[BaseException] = []
    waiting = iter(items)
    if isinstance(items, Sized):
        count = len(items)
    else:  # whether there is work for a second thread is known once there is its first item
        first = list(itertools.islice(waiting, run + 1))
        count = len(first) if len(first) <= run else threads * run
        waiting = itertools.chain(first, waiting)
    lock = threading.Lock()

    def labour() -> None:
        while not failures:
            try:
                with lock:
                    some = list(itertools.islice(waiting, run))
                    done: list[Result] = []
                    results.append(done)
                if not some:
                    return
                for item in some:
                    done.append(work(item))  # noqa: PERF401  # an error must leave the rest undone
            except BaseException as error:
                failures.append(error)

    helpers = [
        threading.Thread(target=labour, daemon=True) for _ in range(min(threads, -(-count // run)) - 1)
    ]
    started = [helper for helper in helpers if _starts(helper)]
    labour()
    _wait_for(started, failures)
    if failures:
        raise failures[0]
    return [result for done in results for result in done]


def _wait_for(threads: Sequence[threading.Thread], failures: list[BaseException]) -> None:
    """Until all have ended, also if it is interrupted, which is a failure that ends them."""
    try:
        for thread in threads:
            thread.join()
    except BaseException as error:
        failures.append(error)
        for thread in threads:
            thread.join()


def _starts(thread: threading.Thread) -> bool:
    try:
        thread.start()
    except RuntimeError:  # there are as many as the system allows: the others do its work
        return False
    return True
