"""What a run has found out so far: filled in while it goes, frozen at the end. Each step writes its own part."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from pkgrun.observe import Event, Notice, Observer, Phase, Progress
from pkgrun.records import (
    Changes,
    Confined,
    Data,
    Device,
    Environment,
    Exit,
    Facts,
    Passed,
    PhaseTime,
    Reproduction,
    Tree,
    Usage,
)


class Course:
    """The findings of one run."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._lock = threading.Lock()
        self._started = time.time()
        # The clock may be set while we run; durations must not be what it was set by.
        self._ticks = time.monotonic()
        self._phases: list[tuple[str, float]] = []
        self._warnings: list[str] = []
        self.data: Data | None = None
        self.evaluation_data: Data | None = None
        self.passed: tuple[Passed, ...] = ()
        self.snapshot: Tree | None = None
        self.evaluation_snapshot: Tree | None = None
        self.artifacts: Tree | None = None
        self.environment: Environment | None = None
        self.inherited: tuple[str, ...] = ()
        self.hash_seed: str | None = None
        self.changes: Changes | None = None
        self.metrics: dict[str, float] | None = None
        self.score: float | None = None
        self.baseline_score: float | None = None
        self.exit: Exit | None = None
        self.confined: Confined | None = None
        self.devices: tuple[Device, ...] = ()
        self.usage: Usage | None = None
        self.reproduced: Reproduction | None = None

    @property
    def phase(self) -> str | None:
        """The phase that the run is in."""
        return self._phases[-1][0] if self._phases else None

    def enter(self, phase: str) -> None:
        """A phase begins."""
        self.observe(Phase(phase, self._now()))

    def _now(self) -> float:
        return self._started + time.monotonic() - self._ticks

    def warn(self, message: str, hint: str | None = None) -> None:
        """Something that the record keeps and a person should know."""
        self._warnings.append(message)
        self.observe(Notice(message, hint))

    def counter(self, label: str, total: int) -> Callable[[int], None]:
        """What adds up the bytes of a piece of work, from several threads, and tells how far it is."""
        done = 0

        def count(size: int) -> None:
            nonlocal done
            done += size
            self.observe(Progress(label, done, total, "bytes"))

        return count

    def observe(self, event: Event) -> None:
        """Take note of an event, and pass it on."""
        if isinstance(event, Phase):
            event = replace(event, at=self._now())
            with self._lock:
                self._phases.append((event.name, event.at))
        self._observer(event)

    def facts(self) -> Facts:
        """All that was found out, as it stands now."""
        end = self._now()
        starts = [at for _, at in self._phases]
        return Facts(
            started=_moment(self._started),
            ended=_moment(end),
            phases=tuple(
                PhaseTime(name=name, started=_moment(at), seconds=round(max(0.0, until - at), 6))
                for (name, at), until in zip(self._phases, [*starts[1:], end], strict=True)
            ),
            data=self.data,
            evaluation_data=self.evaluation_data,
            passed=self.passed,
            snapshot=self.snapshot,
            evaluation_snapshot=self.evaluation_snapshot,
            artifacts=self.artifacts,
            environment=self.environment,
            inherited=self.inherited,
            hash_seed=self.hash_seed,
            changes=self.changes,
            metrics=self.metrics,
            score=self.score,
            baseline_score=self.baseline_score,
            exit=self.exit,
            confined=self.confined,
            devices=self.devices,
            usage=self.usage,
            warnings=tuple(self._warnings),
            reproduced=self.reproduced,
        )


def _moment(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)
