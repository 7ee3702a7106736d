"""The command line of the benchmarks; `python -m tests.bench --help`."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from . import __doc__ as purpose
from . import (
    growth,
    lineage,
    manyfiles,
    memory,
    mounts,
    objectstore,
    peers,
    snapshots,
    startup,
    storage,
    train,
)
from .datasets import usual_folder
from .ground import Ground, check, installed
from .report import Report
from .timing import Failed

BENCHMARKS: Mapping[str, Callable[[Ground], Report]] = {
    "startup": startup.measure,
    "train": train.measure,
    "growth": growth.measure,
    "storage": storage.measure,
    "memory": memory.measure,
    "snapshot": snapshots.snapshot,
    "restore": snapshots.restore,
    "mount": mounts.mount,
    "s3": objectstore.s3,
    "large": snapshots.large,
    "files": manyfiles.files,
    "lineage": lineage.lineage,
}
GROUPS: Mapping[str, tuple[str, ...]] = {
    "data": ("snapshot", "restore", "mount"),
}
ON_DEMAND = ("s3", "large", "files", "lineage")  # too long, or too large, to be had without asking


def main() -> int:
    """Measure what is asked for; 1 if something did not run, whatever the numbers are."""
    asked = _arguments()
    there, missing = peers.found(asked.peers)
    if missing:
        print(
            f"left out, as not there: {', '.join(missing)} (`python -m tests.bench.peers DIR`, then --peers DIR)"
        )
    work = Path(tempfile.mkdtemp(prefix="bench-", dir=asked.work)).resolve()
    try:
        python = asked.python.absolute() if asked.python else installed(work)
        check(python)
        data = None if asked.quick else asked.data.absolute()
        without = frozenset(asked.without)
        ground = Ground(python, work, there, asked.reps, asked.quick, data, asked.scale, without)
        reports = [_measured(name, ground) for name in asked.benchmarks]
    except Failed as failure:
        print(f"error: {failure}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(work, ignore_errors=True)
    if asked.json:
        asked.json.write_text(json.dumps(_document(reports), indent=1) + "\n")
    return 1 if any(report.failures for report in reports) else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description=purpose,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    named = (*BENCHMARKS, *GROUPS)
    parser.add_argument(
        "benchmarks",
        nargs="*",
        metavar="BENCHMARK",
        help=f"{', '.join(named)}; if none, all but {', '.join(ON_DEMAND)}",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all measurements there, too")
    parser.add_argument(
        "--reps", type=int, metavar="N", help="rounds that count; else each benchmark's own number"
    )
    parser.add_argument(
        "--peers", type=Path, metavar="DIR", help="the folder that tests.bench.peers has filled"
    )
    parser.add_argument(
        "--python", type=Path, metavar="PATH", help="a Python with pkgrun; else a fresh one is made"
    )
    parser.add_argument(
        "--work", type=Path, metavar="DIR", help="where to work; else the folder for temporary files"
    )
    parser.add_argument("--quick", action="store_true", help="small and few: only to see that all of it runs")
    _data_arguments(parser)
    asked = parser.parse_args()
    if unknown := [name for name in asked.benchmarks if name not in named]:
        parser.error(f"no benchmark is called {unknown[0]}; there are {', '.join(named)}")
    names = asked.benchmarks or [name for name in BENCHMARKS if name not in ON_DEMAND]
    asked.benchmarks = [each for name in names for each in GROUPS.get(name, (name,))]
    return asked


def _data_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data",
        type=Path,
        default=usual_folder(),
        metavar="DIR",
        help="where datasets are made, and kept for the next time",
    )
    parser.add_argument(
        "--scale", type=float, default=1.0, metavar="F", help="a share of the datasets, such as 0.02"
    )
    parser.add_argument(
        "--without", action="append", default=[], metavar="NAME", help="leave a program out; again for more"
    )


def _measured(name: str, ground: Ground) -> Report:
    report = BENCHMARKS[name](ground)
    print(f"\n{report.text()}", flush=True)
    return report


def _document(reports: list[Report]) -> dict[str, Any]:
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            "system": platform.platform(),
            "processors": os.cpu_count(),
            "python": platform.python_version(),
            "load": os.getloadavg()[0],
        },
        "reports": [report.json() for report in reports],
    }


if __name__ == "__main__":
    sys.exit(main())
