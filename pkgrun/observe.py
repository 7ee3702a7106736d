"""What a run tells while it goes: phases, progress, log lines, notices. It owns the events, never their display.

The library never prints. Whoever wants to see passes an `Observer`, any callable that takes one event; it is
called from several threads, must not raise and should return at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Phase:
    """A phase begins; the one before it has ended. `at` is in seconds since the epoch."""

    name: str
    at: float


@dataclass(frozen=True, slots=True)
class Progress:
    """Work within a phase: `done` of `total` (None where the total is not known yet), in `unit`."""

    label: str
    done: int
    total: int | None
    unit: Literal["bytes", "files"]


@dataclass(frozen=True, slots=True)
class Log:
    """One line that the package's code wrote, secrets masked, without its line end."""

    stream: Literal["out", "err"]
    text: str
    at: float


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that a person should know and that is no failure."""

    message: str
    hint: str | None = None


Event = Phase | Progress | Log | Notice
Observer = Callable[[Event], None]


def silent(event: Event) -> None:
    """The observer of those who do not want to know."""


class Counted:
    """Tells what some step counts, as events: a phase when it is another step, and how far it is."""

    def __init__(self, observer: Observer) -> None:
        self._observer, self._phase = observer, ""

    def __call__(self, what: str, done: int, total: int) -> None:
        if what != self._phase:
            self._phase = what
            self._observer(Phase(what, time.time()))
        self._observer(Progress(what, done, total, "files"))
