"""A backend that takes its time, as one behind a network does."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Self, TypeVar

from pkgrun.store.backend import Backend
from pkgrun.store.wrappers import Call, Wrapper

T = TypeVar("T")


class Slow(Wrapper):
    """Every call takes `seconds` more, and every byte sent or received its share of a second."""

    def __init__(self, backend: Backend, seconds: float, *, bandwidth: float | None = None) -> None:
        """Wrap a backend.

        Args:
            seconds: what each call waits before it is made.
            bandwidth: bytes a second, for each thread by itself; None is without limit.
        """
        super().__init__(backend)
        self._seconds = seconds
        self._bandwidth = bandwidth

    def around_apart(self, backend: Backend) -> Self:
        return type(self)(backend, self._seconds, bandwidth=self._bandwidth)

    def around(self, call: Call, work: Callable[[], T]) -> T:
        time.sleep(self._seconds)
        self._transfer(call.sent)
        answer = work()
        self._transfer(len(answer) if isinstance(answer, bytes) else 0)
        return answer

    def stream(self, key: str) -> Iterator[bytes]:
        pieces = super().stream(key)
        for number, piece in enumerate(pieces):
            self._transfer(len(piece) if number else 0)  # the first went by way of `around`
            yield piece

    def _transfer(self, size: int) -> None:
        if self._bandwidth and size:
            time.sleep(size / self._bandwidth)
