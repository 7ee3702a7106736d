"""What worker and guard say, read without trust: user code can write on the events pipe too.

It owns the way from bytes to values. What is no message is counted and otherwise ignored; nothing here raises for
what came through a pipe.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pkgrun.worker.child.protocol import LINE_LIMIT


@dataclass(frozen=True, slots=True)
class Refused:
    """The system refused the `limits` or `namespaces` that were asked for, so nothing of the package was run."""

    what: str
    reason: str


@dataclass(frozen=True, slots=True)
class PhaseBegan:
    """The worker begins a phase."""

    name: str


@dataclass(frozen=True, slots=True)
class Failure:
    """What the package's code raised, secrets masked. `exits`: it asked the interpreter to exit.

    `lacks` is `memory` or `storage` of an exception that says so (MemoryError, ENOMEM, EFBIG), else empty.
    """

    phase: str
    type: str
    message: str
    traceback: str
    notes: str = ""
    exits: bool = False
    lacks: str = ""


@dataclass(frozen=True, slots=True)
class Look:
    """The worker waits: what the call of that label will be given may be looked at now."""

    name: str


@dataclass(frozen=True, slots=True)
class Tolerated:
    """A call failed that may."""

    failure: Failure


@dataclass(frozen=True, slots=True)
class Returned:
    """All calls have returned, or were tolerated; by label, what was a finite number, and of what type each value was."""

    scores: Mapping[str, float]
    types: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Ended:
    """The package's threads and exit handlers have ended too."""


@dataclass(frozen=True, slots=True)
class Started:
    """The worker exists."""

    pid: int


@dataclass(frozen=True, slots=True)
class Exited:
    """Nothing of the run is left, unless `survivors`. CPU in seconds, memory in bytes.

    `out_of_memory`: the kernel ended a process for want of it, by the run's own `limit` or that of the `system`.
    """

    code: int | None
    signal: int | None
    cpu_seconds: float
    peak_memory_bytes: int
    out_of_memory: str
    survivors: bool


Message = Refused | PhaseBegan | Look | Tolerated | Failure | Returned | Ended | Started | Exited


class Messages:
    """Reads messages out of bytes that come in parts. `ignored` counts the lines that were none."""

    def __init__(self) -> None:
        self.ignored = 0
        self._rest = b""
        self._overlong = False

    def feed(self, data: bytes) -> Iterator[Message]:
        """The messages that are complete now."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            message = None if self._overlong or len(line) > LINE_LIMIT else _message(line)
            if message is not None:
                yield message
            elif line.strip() or self._overlong:
                self.ignored += 1
            self._overlong = False
        if len(self._rest) > LINE_LIMIT:
            self._overlong, self._rest = True, b""


def _message(line: bytes) -> Message | None:
    try:
        content = json.loads(line)
        return _READERS[content["event"]](content)
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError):
        return None


def _failure(content: Mapping[str, Any]) -> Failure:
    return Failure(
        phase=_text(content["phase"]),
        type=_text(content["type"]),
        message=_text(content["message"]),
        traceback=_text(content["traceback"]),
        notes=_text(content["notes"]),
        exits=content["exits"] is True,
        lacks=_text(content["lacks"]),
    )


def _returned(content: Mapping[str, Any]) -> Returned:
    return Returned(
        scores={_text(name): _number(value) for name, value in dict(content["scores"]).items()},
        types={_text(name): _text(value) for name, value in dict(content["types"]).items()},
    )


def _exited(content: Mapping[str, Any]) -> Exited:
    return Exited(
        code=None if content["code"] is None else int(content["code"]),
        signal=None if content["signal"] is None else int(content["signal"]),
        cpu_seconds=_number(content["cpu_seconds"]),
        peak_memory_bytes=int(content["peak_memory_bytes"]),
        out_of_memory=_text(content["out_of_memory"]),
        survivors=content["survivors"] is True,
    )


_READERS: Mapping[str, Callable[[Mapping[str, Any]], Message]] = {
    "refused": lambda content: Refused(_text(content["what"]), _text(content["reason"])),
    "phase": lambda content: PhaseBegan(_text(content["name"])),
    "look": lambda content: Look(_text(content["name"])),
    "tolerated": lambda content: Tolerated(_failure(content)),
    "failure": _failure,
    "result": _returned,
    "ended": lambda _: Ended(),
    "started": lambda content: Started(int(content["pid"])),
    "exit": _exited,
}


def _text(value: Any) -> str:
    """A string that can be written as UTF-8."""
    if not isinstance(value, str):
        raise TypeError
    return value.encode("utf-8", "backslashreplace").decode("utf-8")


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TypeError
    return float(value)
