"""What the benchmarks of datasets find out, as rows of their tables: a figure, its floor, its goal, its proof."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import median

from .keepers import Keeper
from .report import Cell, Goal, Report
from .timing import Failed, Series, Trial, in_turn

COLUMNS = (
    "dataset, command",
    "median ms",
    "start-up ms",
    "floor ms",
    "× floor, whole",
    "× floor, less start-up",
    "goal",
    "reached",
    "peak MB",
    "proof",
)
MEMORY = 300e6
PROVED = "proved"
_FLOOR, _WHOLE, _STARTUP = "floor", "whole", "start-up"


@dataclass(frozen=True, slots=True)
class Figure:
    """A command, taken in turn with its floor and with itself on a dataset of one file: its start-up."""

    whole: Series
    startup: Series
    floor: Series | None = None

    @property
    def added(self) -> tuple[float, ...]:
        """Seconds of each round, less the start-up."""
        return self.whole.added(self.startup)

    @property
    def ratio(self) -> float:
        """The median of the pairwise ratios to the floor, less the start-up."""
        if self.floor is None:
            return median(self.added)
        pairs = zip(self.added, self.floor.walls, strict=True)
        return median(added / floor for added, floor in pairs)


def taken(whole: Trial, startup: Trial, floor: Trial | None, rounds: int, *, warm: int = 1) -> Figure:
    """Measure in turn: the floor, the command, its start-up.

    Raises:
        Failed: one of them ended badly.
    """
    trials = {_FLOOR: floor, _WHOLE: whole, _STARTUP: startup}
    named = [replace(trial, name=name) for name, trial in trials.items() if trial is not None]
    series = in_turn(named, rounds, warm=warm)
    return Figure(series[_WHOLE], series[_STARTUP], series.get(_FLOOR))


@dataclass(slots=True)
class Table:
    """A report whose rows are figures."""

    report: Report
    memory: float = MEMORY

    @classmethod
    def titled(cls, title: str, remarks: Sequence[str] = (), *, memory: float = MEMORY) -> Table:
        """A table without rows; `memory` is what pkgrun may hold at most, in bytes."""
        return cls(Report(title, COLUMNS, remarks=list(remarks)), memory)

    def figure(self, name: str, figure: Figure, proof: str | None, goal: float | None = None) -> None:
        """A row, with its goal: a ratio to the floor, or if there is none, seconds."""
        whole, startup, floor = figure.whole, figure.startup, figure.floor
        met = None if goal is None else Goal(name, figure.ratio, goal, "×" if floor else "s")
        ratios: tuple[Cell, Cell] = (whole.ratio(floor), figure.ratio) if floor else (None, None)
        limit, reached = (None, None) if met is None else (goal, "yes" if met.met else "NO")
        walls = (1000 * whole.wall, 1000 * startup.wall, 1000 * floor.wall if floor else None)
        self.report.add(name, *walls, *ratios, limit, reached, whole.peak / 1e6, proof)
        self.report.goals += [met] if met else []
        for series in (whole, startup, floor):
            if series is not None:
                self.report.samples[f"{name}: {series.name}"] = series.walls

    def absent(self, name: str, why: str) -> None:
        """A row without figures."""
        self.report.add(name, *(None for _ in COLUMNS[2:]), why)

    def attempt(self, keeper: Keeper, name: str, work: Callable[[], None]) -> None:
        """Do what adds rows about a keeper. That one does not do it is a finding, too."""
        try:
            work()
        except Failed as failure:
            self.absent(name, "failed")
            told = self.report.failures if keeper.ours else self.report.remarks
            told.append(f"{name}: {failure}")

    def limit_memory(self, name: str, figure: Figure) -> None:
        """The goal for the memory of a command of pkgrun's."""
        peak, limit = figure.whole.peak / 1e6, self.memory / 1e6
        self.report.goals.append(Goal(f"{name}: peak memory", peak, limit, "MB"))
