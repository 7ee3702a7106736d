"""How much memory pkgrun's own process takes for a file that is much larger; its children are not counted."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from . import packages
from .ground import Ground
from .report import Goal, Report
from .timing import Trial, timed

SIZE = 2 << 30
LIMIT = 150
RESIDENT = Path(__file__).with_name("resident.py")


def measure(ground: Ground) -> Report:
    """Import and train a package with one large file, and the same with none."""
    folder = ground.folder("memory")
    size = 16 << 20 if ground.quick else SIZE
    large, small = folder / "large", folder / "small"
    remarks = []
    packages.weights(small, files=1, size=1)
    packages.weights(large, files=1, size=1)
    if shutil.disk_usage(folder).free > 6 * size:
        packages.random(large / "weights" / "large.bin", size)
    else:
        remarks.append("the disk is too full for random bytes: the file is a hole")
        with (large / "weights" / "large.bin").open("wb") as file:
            file.truncate(size)
    report = Report(
        f"Memory of pkgrun with a file of {size >> 20:,} MiB", ("command", "peak MiB", "s"), remarks=remarks
    )
    for name in ("small", "large"):
        store = folder / "store"
        peaks = [
            _peak(ground, report, store, f"package add {name}", "package", "add", os.fspath(folder / name)),
            _peak(ground, report, store, f"train {name}", "train", name, "--env", "number=0"),
        ]
    report.goals = [Goal("the larger of both", max(peaks), LIMIT, "MiB")]
    return report


def _peak(ground: Ground, report: Report, store: Path, name: str, *arguments: str) -> float:
    """Run pkgrun inside a process that tells its own peak; MiB."""
    told = ground.work / "peak.txt"
    argv = (os.fspath(ground.python), os.fspath(RESIDENT), os.fspath(told), *arguments)
    sample = timed(Trial(name, argv, ground.work, ground.env(store)))
    peak = int(told.read_text()) / (1 << 20)
    report.add(name, peak, sample.wall)
    report.samples[name] = (sample.wall,)
    return peak
