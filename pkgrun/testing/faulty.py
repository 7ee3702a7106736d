"""A backend that fails on purpose: once, at a call that is counted off, before or after the call has taken effect."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Self, TypeVar

from pkgrun.errors import PkgrunError
from pkgrun.store.backend import Backend
from pkgrun.store.wrappers import Call, Wrapper

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Fault:
    """The `at`-th call of `method`, counted from 1, raises `error`; `method=None` counts all calls.

    `before`: the place was not asked. `after`: it did as asked, and the answer was lost.
    """

    method: str | None
    at: int
    when: Literal["before", "after"]
    error: PkgrunError


class Plan:
    """Faults, and the calls so far. Shared by a backend and all that are `apart` from it; thread-safe."""

    def __init__(self, *faults: Fault) -> None:
        self._waiting = list(faults)
        self._lock = threading.Lock()
        self.calls: list[Call] = []
        self.fired: list[Fault] = []

    def due(self, call: Call) -> Fault | None:
        """Count a call, and say whether it fails."""
        with self._lock:
            self.calls.append(call)
            for fault in self._waiting:
                if fault.method in (None, call.method) and self._count(fault.method) == fault.at:
                    self._waiting.remove(fault)
                    self.fired.append(fault)
                    return fault
        return None

    def _count(self, method: str | None) -> int:
        return sum(method in (None, call.method) for call in self.calls)


class Faulty(Wrapper):
    """A backend whose calls fail by a plan."""

    def __init__(self, backend: Backend, plan: Plan) -> None:
        super().__init__(backend)
        self.plan = plan

    def around_apart(self, backend: Backend) -> Self:
        return type(self)(backend, self.plan)

    def around(self, call: Call, work: Callable[[], T]) -> T:
        fault = self.plan.due(call)
        if fault is None:
            return work()
        if fault.when == "after":
            work()
        raise fault.error
