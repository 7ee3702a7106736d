"""Whole processes timed in turn, A B C A B C: what slows the machine down for a while slows all of them.

It runs and counts; it knows nothing of what it runs.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import IO

_MAXRSS = 1 if sys.platform == "darwin" else 1024  # the unit of ru_maxrss, in bytes


class Failed(Exception):
    """A command of a benchmark ended badly; the message has the end of what it wrote."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A command to be timed, with its whole environment. `prepare` runs before it, untimed.

    `until` is a file into which the command writes `time.time_ns()` of the moment that ends the measured time; else
    the time ends when the process does.
    """

    name: str
    argv: Sequence[str]
    cwd: Path
    env: Mapping[str, str]
    prepare: Callable[[], object] = field(default=lambda: None)
    until: Path | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """One process with its descendants: seconds on the wall, seconds of processors.

    `peak`, in bytes, is the most that one of them held at once, and never less than what this process holds: the
    kernel's count begins with the parent's. It is a bound from above.
    """

    wall: float
    cpu: float
    peak: int = 0


@dataclass(frozen=True, slots=True)
class Series:
    """The samples of one trial, in the order of the rounds; seconds throughout."""

    name: str
    samples: tuple[Sample, ...]

    @property
    def walls(self) -> tuple[float, ...]:
        """Each sample's time on the wall."""
        return tuple(sample.wall for sample in self.samples)

    @property
    def wall(self) -> float:
        """The median time on the wall."""
        return median(self.walls)

    @property
    def cpu(self) -> float:
        """The median time of processors."""
        return median(sample.cpu for sample in self.samples)

    @property
    def peak(self) -> int:
        """The greatest bound of memory, in bytes."""
        return max(sample.peak for sample in self.samples)

    def added(self, floor: Series) -> tuple[float, ...]:
        """What each sample took more than the floor's of the same round."""
        return tuple(one - other for one, other in zip(self.walls, floor.walls, strict=True))

    def ratio(self, floor: Series) -> float:
        """The median of the pairwise ratios."""
        return ratio(self.walls, floor.walls)

    def cells(self, floor: Series) -> tuple[float, ...]:
        """Median, least, greatest and processors' time in milliseconds, and the ratio to the floor."""
        walls = (self.wall, min(self.walls), max(self.walls), self.cpu)
        return (*(1000 * wall for wall in walls), self.ratio(floor))


def ratio(these: Sequence[float], those: Sequence[float]) -> float:
    """The median of pairwise ratios."""
    return median(one / other for one, other in zip(these, those, strict=True))


def in_turn(trials: Sequence[Trial], rounds: int, *, warm: int = 1) -> dict[str, Series]:
    """Run all trials, round after round; `warm` rounds before are not counted.

    Raises:
        Failed: one of them ended badly.
    """
    taken: dict[str, list[Sample]] = {trial.name: [] for trial in trials}
    for number in range(warm + rounds):
        for trial in trials:
            sample = timed(trial)
            if number >= warm:
                taken[trial.name].append(sample)
    return {name: Series(name, tuple(samples)) for name, samples in taken.items()}


def timed(trial: Trial) -> Sample:
    """One run of a trial. What earlier ones left to be written is written first: it is not this one's."""
    trial.prepare()
    os.sync()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        moment, began = time.time_ns(), time.perf_counter()
        process = subprocess.Popen(
            trial.argv, cwd=trial.cwd, env=dict(trial.env), stdin=subprocess.DEVNULL, stdout=out, stderr=err
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise Failed(f"{trial.name} ended with {process.returncode}:\n{_tail(err)}\n{_tail(out)}")
    if trial.until is not None:
        wall = (int(trial.until.read_text()) - moment) / 1e9
    return Sample(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * _MAXRSS)


def _tail(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read()[-2000:].decode(errors="replace").strip()


def call(argv: Sequence[str | Path], *, cwd: Path, env: Mapping[str, str]) -> str:
    """Run a command that is not timed; its standard output.

    Raises:
        Failed: it ended badly.
    """
    done = subprocess.run(
        argv, cwd=cwd, env=dict(env), stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    if done.returncode:
        said = (done.stderr + done.stdout)[-2000:].decode(errors="replace")
        raise Failed(f"{' '.join(map(str, argv))} ended with {done.returncode}:\n{said}")
    return done.stdout.decode(errors="replace")
