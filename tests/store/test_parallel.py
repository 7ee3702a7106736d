"""Work by several threads: the results in order, and the first error."""

from __future__ import annotations

import threading
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pkgrun.store.parallel import THREADS, each


@given(st.lists(st.integers(), max_size=60), st.integers(1, 8), st.integers(1, 20))
def test_the_results_are_in_order(items: list[int], threads: int, run: int) -> None:
    for these in (items, iter(items)):
        assert each(lambda item: item * 2, these, threads=threads, run=run) == [item * 2 for item in items]


@pytest.mark.parametrize("items", [range(4), iter(range(4))])
def test_several_threads_work_at_once(items: Iterable[int]) -> None:
    meeting = threading.Barrier(4, timeout=60)
    each(lambda item: meeting.wait(), items, threads=4, run=1)


def test_little_work_starts_no_thread() -> None:
    for items in (range(16), iter(range(16))):
        seen = each(lambda item: threading.current_thread(), items, threads=8)
        assert set(seen) == {threading.current_thread()}
    assert THREADS >= 1


def test_an_error_ends_the_work() -> None:
    done = []

    def work(item: int) -> None:
        if item == 3:
            raise KeyError(item)
        done.append(item)

    with pytest.raises(KeyError, match="3"):
        each(work, range(10_000), threads=1)
    assert done == [0, 1, 2]


def test_an_error_in_another_thread_is_raised_here() -> None:
    meeting = threading.Barrier(2, timeout=60)

    def work(item: int) -> None:
        meeting.wait()
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("there")

    with pytest.raises(RuntimeError, match="there"):
        each(work, range(2), threads=2, run=1)
    assert threading.active_count() == 1


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_passes(kind: type[BaseException]) -> None:
    def work(item: int) -> None:
        raise kind

    with pytest.raises(kind):
        each(work, range(100))
    assert threading.active_count() == 1
