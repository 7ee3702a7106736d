"""The same work on many things with a few threads, for hashing and copying. It owns no state."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

THREADS = min(8, (os.cpu_count() or 1) + 2)
"""Enough to keep the disk and the processors busy; more only fight for the interpreter."""


def each(
    work: Callable[[Item], Result], items: Sequence[Item], *, threads: int = THREADS, run: int = 16
) -> list[Result]:
    """`[work(item) for item in items]` by several threads, `run` neighbours at a time; the first error is raised.

    `concurrent.futures` would do, but its import costs as much as starting Python.
    """
    results: list[Result] = [None] * len(items)  # type: ignore[list-item]
    failures: list[BaseException] = []
    starts = iter(range(0, len(items), run))
    lock = threading.Lock()

    def labour() -> None:
        while not failures:
            with lock:
                start = next(starts, None)
            if start is None:
                return
            try:
                for index in range(start, min(start + run, len(items))):
                    results[index] = work(items[index])
            except BaseException as error:
                failures.append(error)

    helpers = [
        threading.Thread(target=labour, daemon=True) for _ in range(min(threads, -(-len(items) // run)) - 1)
    ]
    for helper in helpers:
        helper.start()
    labour()
    for helper in helpers:
        helper.join()
    if failures:
        raise failures[0]
    return results
