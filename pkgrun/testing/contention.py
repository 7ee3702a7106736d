"""The same work by many at once, threads or processes, all let go in the same moment."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable, Sequence
from multiprocessing.synchronize import Barrier
from typing import Protocol, TypeVar

from pkgrun.store.backend import Backend

Result = TypeVar("Result")
SECONDS = 120.0


class _Answers(Protocol):
    def put(self, answer: tuple[int, list[bool] | str]) -> None: ...


def together(count: int, work: Callable[[int], Result]) -> list[Result]:
    """What `work` returns in each of `count` threads, which is given its number; the first error is raised."""
    barrier = threading.Barrier(count)
    results: dict[int, Result] = {}
    failures: list[BaseException] = []

    def labour(number: int) -> None:
        try:
            barrier.wait(SECONDS)
            results[number] = work(number)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=labour, args=(number,), daemon=True) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
    if failures:
        raise failures[0]
    return [results[number] for number in range(count)]


def creating_processes(count: int, opener: Callable[[], Backend], keys: Sequence[str]) -> list[list[bool]]:
    """Which of the keys each of `count` processes created; process n writes `b"n" * 1000`."""
    # Not by forking: a backend may have threads, and they are not in the copy.
    context = multiprocessing.get_context("spawn")
    barrier, answers = context.Barrier(count), context.Queue()
    processes = [
        context.Process(target=_create, args=(number, opener, keys, barrier, answers), daemon=True)
        for number in range(count)
    ]
    for process in processes:
        process.start()
    told = dict(answers.get(timeout=SECONDS) for _ in processes)
    for process in processes:
        process.join(SECONDS)
    failures = [answer for answer in told.values() if isinstance(answer, str)]
    assert not failures, failures[0]
    return [told[number] for number in range(count)]


def _create(
    number: int, opener: Callable[[], Backend], keys: Sequence[str], barrier: Barrier, answers: _Answers
) -> None:
    try:
        backend, won = opener(), []
        for key in keys:
            barrier.wait(SECONDS)
            won.append(backend.create(key, b"%d" % number * 1000))
        answers.put((number, won))
    except BaseException as error:
        barrier.abort()
        answers.put((number, repr(error)))
