"""What a long history costs those who ask which versions saw a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from .ground import Ground, environ
from .report import Goal, Report
from .timing import call, in_turn, timed

ROUNDS = 7
CHANGED = 3
GROWTH = (1_000, 10_000, 100_000, 1_000_000)
RUNS = 10_000
LIMIT = 100
MAKER = Path(__file__).with_name("descent.py")


class Shape(NamedTuple):
    """How the files of the dataset lie."""

    name: str
    folders: int
    files: int


SHAPES = (Shape("1,000 folders of 100", 1_000, 100), Shape("one folder of 100,000", 1, 100_000))
SMALL = (Shape("10 folders of 10", 10, 10), Shape("one folder of 9,000", 1, 9_000))


def lineage(ground: Ground) -> Report:
    """The index by itself, fed with runs on a dataset of which each changes three files; then the command on a store."""
    report = Report(
        "Lineage: who saw a file",
        (
            "runs, on 100,000 files",
            "build s",
            "MB",
            "of all, ms",
            "of ten, ms",
            "of none, ms",
            "one more, ms",
        ),
    )
    folder = ground.folder("lineage")
    deep, flat = SMALL if ground.quick else SHAPES
    for shape, stops in ((deep, GROWTH), (flat, GROWTH[:2])):
        for told in _fed(ground, folder / f"{shape.folders}.sqlite", shape, _stops(ground, stops)):
            _add(report, shape, told)
    _command(ground, report, folder / "store", deep)
    report.remarks.append("a file that all were given is answered with as many rows as there are runs")
    return report


def _stops(ground: Ground, stops: tuple[int, ...]) -> list[int]:
    return [5, 20] if ground.quick else [_scaled(ground, stop) for stop in stops]


def _scaled(ground: Ground, runs: int) -> int:
    return 20 if ground.quick else max(round(runs * ground.scale), 20)


def _fed(ground: Ground, index: Path, shape: Shape, stops: list[int]) -> list[dict[str, Any]]:
    """What feeding an index tells at each stop."""
    said = _made(ground, "feed", index, shape, *stops)
    return [json.loads(line) for line in said.splitlines()]


def _made(ground: Ground, what: str, where: Path, shape: Shape, *numbers: int) -> str:
    words = (what, str(where), *map(str, (shape.folders, shape.files, CHANGED, *numbers)))
    return call((ground.python, MAKER, *words), cwd=ground.work, env=environ(ground.work))


def _add(report: Report, shape: Shape, told: dict[str, Any]) -> None:
    asked = {name: 1000 * told[name] for name in ("all", "few", "none", "more")}
    report.add(f"{told['runs']:,}, {shape.name}", told["build"], told["bytes"] / 1e6, *asked.values())
    report.samples[f"{told['runs']:,}, {shape.name}, build"] = (told["build"],)
    if told["runs"] == RUNS:
        for what in ("all", "few", "none"):
            report.goals.append(Goal(f"{shape.name}, seen by {what} of {RUNS:,}", asked[what], LIMIT, "ms"))


def _command(ground: Ground, report: Report, store: Path, shape: Shape) -> None:
    """`pkgrun data used-by` on a store: for the first time, then with the index there, and after one more run."""
    runs = _scaled(ground, RUNS)
    asked = json.loads(_made(ground, "store", store, shape, 1, runs)) | {"none": "sha256:" + "0" * 64}
    trials = [ground.pkgrun(what, store, "data", "used-by", asked[what]) for what in ("all", "few", "none")]
    first = timed(trials[-1])
    taken = in_turn(trials, ground.counted(ROUNDS))
    (index,) = (ground.work / "cache").rglob("lineage-*.sqlite")
    size = index.stat().st_size / 1e6
    _made(ground, "store", store, shape, runs + 1, runs + 1)
    more = timed(trials[-1])
    walls = (1000 * series.wall for series in taken.values())
    report.add(f"{runs:,}, the command", first.wall, size, *walls, 1000 * more.wall)
    report.samples |= {f"the command, {what}": series.walls for what, series in taken.items()}
