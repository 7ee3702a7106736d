"""A backend that counts what is asked of it. A call is not always one request: a large upload is several."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self, TypeVar

from pkgrun.store.backend import Backend
from pkgrun.store.wrappers import Call, Wrapper

T = TypeVar("T")

LOCAL = frozenset({"upload", "upload.write", "upload.discard"})
"""Calls that by themselves ask nothing of a place which takes a blob in one request."""


@dataclass(frozen=True, slots=True)
class Tally:
    """What was counted, by method."""

    calls: Counter[str] = field(default_factory=Counter)
    sent: Counter[str] = field(default_factory=Counter)
    """Bytes that were sent."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, call: Call) -> None:
        with self.lock:
            self.calls[call.method] += 1
            self.sent[call.method] += call.sent

    @property
    def requests(self) -> int:
        """How many calls there were that a place has to answer."""
        with self.lock:
            return sum(count for method, count in self.calls.items() if method not in LOCAL)


class Counting(Wrapper):
    """Counts the calls and the bytes sent, together with those of all that are `apart` from it."""

    def __init__(self, backend: Backend, tally: Tally | None = None) -> None:
        super().__init__(backend)
        self.tally = tally or Tally()

    def around_apart(self, backend: Backend) -> Self:
        return type(self)(backend, self.tally)

    def around(self, call: Call, work: Callable[[], T]) -> T:
        self.tally.add(call)
        return work()
