"""How long until pkgrun has said something that needs no store, or little of one."""

from __future__ import annotations

import os

from . import packages
from .ground import Ground, environ
from .report import Goal, Report
from .timing import Trial, in_turn

ROUNDS = 21
FLOOR = "python -c pass"


def measure(ground: Ground) -> Report:
    """Start-up of pkgrun and its peers, against a bare Python of the same virtual environment."""
    folder = ground.folder("startup")
    package = packages.trivial(folder / "package")
    ground.call(folder / "store", "package", "add", os.fspath(package), "--name", "trivial")
    calls = (("--version",), ("--help",), ("train", "--help"), ("package", "list"))
    trials = [ground.script(FLOOR, folder, "-c", "pass")]
    trials += [ground.pkgrun(" ".join(("pkgrun", *call)), folder / "store", *call) for call in calls]
    for peer in ground.peers:
        home = folder / peer.name
        home.mkdir()
        name = " ".join((peer.name, *peer.version[1:]))
        trials.append(Trial(name, peer.version, folder, peer.env(home, environ(home))))
    taken = in_turn(trials, ground.counted(ROUNDS))
    report = Report("Start-up", ("command", "median ms", "min ms", "max ms", "cpu ms", "× python"))
    for series in taken.values():
        report.add(series.name, *series.cells(taken[FLOOR]))
        report.samples[series.name] = series.walls
    version, page = taken["pkgrun --version"], taken["pkgrun --help"]
    report.goals = [
        Goal("--version against bare Python", version.ratio(taken[FLOOR]), 6, "×"),
        Goal("--help against bare Python", page.ratio(taken[FLOOR]), 10, "×"),
    ]
    if (dvc := taken.get("dvc --version")) is not None:
        report.goals += [
            Goal("--version against dvc --version", version.ratio(dvc), 1, "×"),
            Goal("--help against dvc --version", page.ratio(dvc), 1, "×"),
        ]
    return report
