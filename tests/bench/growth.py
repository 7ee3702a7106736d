"""What a long history costs a training, and those who look at it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from statistics import median

from . import packages
from .ground import Ground, environ
from .report import Goal, Report
from .timing import Series, Trial, call, in_turn

ROUNDS = 11
VERSIONS = 10_000
RUNS = 5_000
HISTORY = Path(__file__).with_name("history.py")

PAGES: tuple[tuple[str, ...], ...] = (
    ("run", "list"),
    ("run", "list", "--all"),
    ("package", "list"),
    ("package", "show", "trivial"),
    ("package", "show", "trivial@1"),
)


def measure(ground: Ground) -> Report:
    """The trivial training and the pages, on an empty store, one of many versions, one of many others' runs."""
    folder = ground.folder("growth")
    versions, runs = (50, 60) if ground.quick else (VERSIONS, RUNS)
    package, data = packages.trivial(folder / "package"), packages.values(folder / "data")
    stores = {
        "empty": _store(ground, folder / "empty", package, data),
        f"{versions:,} minors": _store(ground, folder / "minors", package, data, versions=versions),
        f"{runs:,} runs of others": _store(ground, folder / "runs", package, data, runs=runs),
    }
    report = Report("Growth of the store", _columns(list(stores)))
    trained = _compare(ground, report, stores, "train", "trivial", "--data", os.fspath(data))
    report.goals = [
        Goal(f"a training, more with {name}", 1000 * median(series.added(trained["empty"])), 100, "ms")
        for name, series in trained.items()
        if name != "empty"
    ]
    for page in PAGES:
        _compare(ground, report, stores, *page, rounds=5)
    return report


def _columns(names: list[str]) -> tuple[str, ...]:
    return "command", *(f"{name}, ms" for name in names), *(f"{name}, added ms" for name in names[1:])


def _store(
    ground: Ground, store: Path, package: Path, data: Path, *, versions: int = 0, runs: int = 0
) -> Path:
    """A store with a package, trained once, and a history besides."""
    ground.call(store, "package", "add", os.fspath(package), "--name", "trivial")
    ground.call(store, "train", "trivial", "--data", os.fspath(data))
    if versions or runs:
        argv = (ground.python, HISTORY, store, "trivial", str(versions), str(runs))
        call(argv, cwd=ground.work, env=environ(ground.work))
    return store


def _compare(
    ground: Ground, report: Report, stores: Mapping[str, Path], *arguments: str, rounds: int = ROUNDS
) -> Mapping[str, Series]:
    trials: list[Trial] = [ground.pkgrun(name, store, *arguments) for name, store in stores.items()]
    taken = in_turn(trials, ground.counted(rounds))
    command = " ".join(arguments[:3] if arguments[0] != "train" else arguments[:2])
    added = [1000 * median(series.added(taken["empty"])) for series in list(taken.values())[1:]]
    report.add(command, *(1000 * series.wall for series in taken.values()), *added)
    report.samples |= {f"{command}, {name}": series.walls for name, series in taken.items()}
    return taken
