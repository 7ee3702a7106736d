"""A backend that fails at one call, in every way that one can."""

from __future__ import annotations

import errno
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Self, TypeVar, cast

from pkgrun.errors import PkgrunError, Temporary
from pkgrun.store.backend import Backend
from pkgrun.store.local import translate
from pkgrun.store.wrappers import Call, Wrapper

T = TypeVar("T")
When = Literal["before", "after"]

ERRORS: dict[str, Callable[[], PkgrunError]] = {
    "ENOSPC": lambda: translate(OSError(errno.ENOSPC, "No space left on device"), "the store"),
    "EIO": lambda: translate(OSError(errno.EIO, "Input/output error"), "the store"),
    "EACCES": lambda: translate(OSError(errno.EACCES, "Permission denied"), "the store"),
    "lost answer": lambda: Temporary("the answer did not come"),
    "409": lambda: Temporary("the server answers 409 (ConditionalRequestConflict)"),
    "500": lambda: Temporary("the server answers 500"),
    "503": lambda: Temporary("the server answers 503"),
}
KINDS = ("KILL", *ERRORS, "412", "slow")
"""412: a record is created, and the answer is that it was there: of an earlier try nobody knows."""

_SLOW = 0.2


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens at the `at`-th call, counted from 1."""

    at: int
    when: When
    kind: str


@dataclass(slots=True)
class Calls:
    """The calls of one process, counted over all that are `apart`."""

    fault: Fault | None = None
    made: list[Call] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def due(self, call: Call) -> Fault | None:
        """Count a call; the fault that it meets."""
        with self.lock:
            self.made.append(call)
            fault = self.fault
            return fault if fault is not None and fault.at == len(self.made) else None


def faults(calls: list[Call]) -> list[Fault]:
    """All that can happen to an operation that makes these calls."""
    found = []
    for at, call in enumerate(calls, 1):
        for kind in KINDS:
            if kind == "412" and call.method != "create":
                continue
            moments: tuple[When, ...] = ("after",) if kind in ("412", "lost answer") else ("before", "after")
            found += [Fault(at, when, kind) for when in moments]
    return found


class Failing(Wrapper):
    """Passes all calls on but one."""

    def __init__(self, backend: Backend, calls: Calls) -> None:
        super().__init__(backend)
        self.calls = calls

    def around_apart(self, backend: Backend) -> Self:
        return type(self)(backend, self.calls)

    def around(self, call: Call, work: Callable[[], T]) -> T:
        fault = self.calls.due(call)
        if fault is None:
            return work()
        if fault.kind == "slow":
            return _slowly(work, fault.when)
        if fault.when == "after":
            work()
        if fault.kind == "KILL":
            os.kill(os.getpid(), signal.SIGKILL)
            signal.pause()
        if fault.kind == "412":
            return cast("T", False)
        raise ERRORS[fault.kind]()  # noqa: RSE102 - it makes the error


def _slowly(work: Callable[[], T], when: When) -> T:
    if when == "before":
        time.sleep(_SLOW)
        return work()
    done = work()
    time.sleep(_SLOW)
    return done
