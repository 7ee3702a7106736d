"""How a run ended: a value, and the one place that decides which of the ways it was. Pure."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pkgrun.worker.limits import Limits
from pkgrun.worker.messages import Exited, Failure

Reason = Literal[
    "finished",
    "raised",
    "exited",
    "signalled",
    "out-of-memory",
    "storage-exceeded",
    "timed-out",
    "killed",
    "lost",
]
Cause = Literal["limit", "system", "exception"]
Asked = Literal["timed-out", "killed", "storage-exceeded"]


@dataclass(frozen=True, slots=True)
class Usage:
    """What the worker and all it started took.

    The peak is the larger of what the largest single process held, and of the sum over all, looked at twice a second;
    the sum counts pages that processes share once for each.
    """

    wall_seconds: float
    cpu_seconds: float = 0.0
    peak_memory_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Exit:
    """How a run ended. `phase` is the last that began: `init`, then the methods; None before that.

    finished: all calls returned. raised: an exception (`failure`). exited: the package ended the interpreter,
    `failure` tells where if by sys.exit. signalled: by nobody of us, such as SIGSEGV. out-of-memory: the kernel killed
    it because the run's own limit was reached (`cause` limit) or because there was none left around it (system), or
    an exception said so under a limit (exception). storage-exceeded: it wrote more than its limit. timed-out, killed:
    by the deadline, by the `Stop`. lost: the guard was killed, so nobody knows.

    By the labels of calls: `scores`, what was a finite number; `types`, of what type each value was; `tolerated`, the
    failures of those that may fail.
    """

    reason: Reason
    code: int | None
    signal: int | None
    failure: Failure | None
    phase: str | None
    scores: Mapping[str, float]
    usage: Usage
    cause: Cause | None = None
    types: Mapping[str, str] = field(default_factory=dict)
    tolerated: Mapping[str, Failure] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return self.reason == "finished"


def ended(
    *,
    asked: Asked | None,
    exited: Exited | None,
    failure: Failure | None,
    complete: bool,
    limits: Limits,
    overfull: bool,
) -> tuple[Reason, Cause | None]:
    """Which way it was.

    Args:
        asked: what we asked it to end for.
        exited: how the worker's process ended, as the guard saw it.
        failure: what the package's code raised.
        complete: all calls have returned.
        limits: those it was under.
        overfull: it held too much in the end.
    """
    if asked is not None:
        return asked, None
    if exited is None:
        return "lost", None
    if complete and failure is None and not overfull:
        return "finished", None
    if not complete and (cause := _memory(exited, failure, limits)):
        return "out-of-memory", cause
    if overfull or (limits.storage is not None and _too_large(exited, failure)):
        return "storage-exceeded", None
    if failure is not None:
        return ("exited" if failure.exits else "raised"), None
    return ("exited" if exited.signal is None else "signalled"), None


def _memory(exited: Exited, failure: Failure | None, limits: Limits) -> Cause | None:
    """By the kernel's word, for which a process of the run was killed; else by the exception's, where a limit explains it."""
    if exited.out_of_memory == "limit":
        return "limit"
    if exited.out_of_memory == "system":
        return "system"
    explained = limits.memory is not None and failure is not None and failure.lacks == "memory"
    return "exception" if explained else None


def _too_large(exited: Exited, failure: Failure | None) -> bool:
    return exited.signal == signal.SIGXFSZ or (failure is not None and failure.lacks == "storage")
