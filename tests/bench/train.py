"""What running a training through pkgrun costs over running the script: nothing else is done in it."""

from __future__ import annotations

import os
from statistics import median

from . import packages
from .ground import Ground, environ
from .peers import SCRIPT
from .report import Goal, Report
from .timing import Series, in_turn, ratio

ROUNDS = 21
FLOOR = "python run.py"
OURS = "pkgrun train"
BARE = "pkgrun train, no dataset"


def measure(ground: Ground) -> Report:
    """A trivial training, its environment being there, with all that makes it durable."""
    folder = ground.folder("train")
    package, data = packages.trivial(folder / "package"), packages.values(folder / "data")
    store, base = folder / "store", environ(ground.work)
    ground.call(store, "package", "add", os.fspath(package), "--name", "trivial")
    idle = packages.entering(folder / "idle")
    ground.call(store, "package", "add", os.fspath(idle), "--name", "idle")
    trials = [
        ground.script(FLOOR, packages.script(folder / "script"), SCRIPT),
        ground.pkgrun(OURS, store, "train", "trivial", "--data", os.fspath(data)),
        ground.pkgrun(BARE, store, "train", "idle", "--env", f"entered={folder / 'entered'}"),
    ]
    trials += [peer.run(packages.script(folder / peer.name), ground.python, base) for peer in ground.peers]
    taken = in_turn(trials, ground.counted(ROUNDS))
    columns = ("command", "median ms", "min ms", "max ms", "cpu ms", "× script", "added ms", "added, × dvc's")
    report = Report("Trivial training", columns)
    dvc = taken.get("dvc repro")
    for series in taken.values():
        report.add(series.name, *series.cells(taken[FLOOR]), *_added(series, taken[FLOOR], dvc))
        report.samples[series.name] = series.walls
    added = taken[OURS].added(taken[FLOOR])
    report.goals = [Goal("pkgrun train, more than the script", 1000 * median(added), 250, "ms")]
    if dvc is not None:
        share = ratio(added, dvc.added(taken[FLOOR]))
        report.goals.append(Goal("what pkgrun train adds against what dvc repro adds", share, 0.6, "×"))
    return report


def _added(series: Series, floor: Series, dvc: Series | None) -> tuple[float | None, float | None]:
    if series is floor:
        return None, None
    added = series.added(floor)
    return 1000 * median(added), ratio(added, dvc.added(floor)) if dvc else None
