"""What retraining a large package costs in bytes and in time, when each training changes one file of it."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path
from statistics import median

from . import packages
from .ground import Ground, environ
from .report import Goal, Report
from .timing import Sample, Series, Trial, timed

RETRAININGS = 10
FILES = 100
SIZE = 1_000_000


def measure(ground: Ground) -> Report:
    """Ten retrainings, each in turn with a plain copy of the package."""
    folder = ground.folder("storage")
    size = SIZE // 100 if ground.quick else SIZE
    package = packages.weights(folder / "package", files=FILES, size=size)
    store = folder / "store"
    ground.call(store, "package", "add", os.fspath(package), "--name", "weights")
    ours: list[Sample] = []
    floor: list[Sample] = []
    held = [bytes_below(store)]
    for number in range(ground.counted(RETRAININGS)):
        # The copies stay until the end: on ext4 files come slower where others were just removed.
        target = os.fspath(folder / f"copy-{number}")
        copy = ("cp", "-r", os.fspath(package), target)
        floor.append(timed(Trial("cp -r", copy, folder, environ(ground.work))))
        train = ("train", "weights", "--env", f"number={number % FILES}")
        ours.append(timed(ground.pkgrun("pkgrun train", store, *train)))
        held.append(bytes_below(store))
    added = [(after - before) / 1e6 for before, after in pairwise(held)]
    return _report(Series("cp -r", tuple(floor)), Series("pkgrun train", tuple(ours)), added, size / 1e6)


def _report(floor: Series, ours: Series, added: list[float], file: float) -> Report:
    columns = ("command", "median ms", "min ms", "max ms", "cpu ms", "× cp -r", "MB each", "MB in all")
    report = Report(f"Retraining a package of {FILES} files, {FILES * file:.0f} MB; one changes", columns)
    for series, bytes_each in ((floor, [FILES * file] * len(added)), (ours, added)):
        report.add(series.name, *series.cells(floor), median(bytes_each), sum(bytes_each))
        report.samples[series.name] = series.walls
    goal = Goal(f"added by {len(added)} retrainings", sum(added), 1.1 * file * len(added), "MB")
    report.goals = [goal] if file >= 1 else []  # of small files the records are the larger part
    report.remarks = ["bytes are the sizes of the files in the store, records and all"]
    return report


def bytes_below(folder: Path) -> int:
    """The bytes of all files below a folder."""
    return sum(
        os.lstat(os.path.join(place, name)).st_size for place, _, names in os.walk(folder) for name in names
    )
