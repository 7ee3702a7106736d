"""Growth: the same operations on ten thousand, a hundred thousand and a million files."""

from __future__ import annotations

from statistics import median

from .figures import PROVED, Figure
from .ground import Ground
from .keepers import PKGRUN
from .report import Goal, Report
from .snapshots import AGAIN, FIRST, RESTORE, Match
from .timing import Failed

ROUNDS = 3
GROUPS = ("G10k", "G100k", "G1M")
OPERATIONS = (FIRST, AGAIN, RESTORE)
LINEAR = 1.5  # of the seconds for as many files, the largest against the one before
MEMORY = 1e9
COLUMNS = ("operation, files", "s", "s for 10,000", "floor s", "× floor", "peak MB", "proof")


def files(ground: Ground) -> Report:
    """A table of all; the seconds are less the start-up, the largest dataset is measured once."""
    report = Report("Growth of a dataset", COLUMNS)
    rates: dict[tuple[str, str], float] = {}
    for name in GROUPS:
        try:
            rates |= _measured(ground, report, name)
        except Failed as failure:
            report.failures.append(f"{name}: {failure}")
    small, great = GROUPS[-2:]
    report.goals += [
        Goal(
            f"{operation}: by the file, {great} against {small}", rate / rates[operation, small], LINEAR, "×"
        )
        for (operation, name), rate in rates.items()
        if name == great and (operation, small) in rates
    ]
    return report


def _measured(ground: Ground, report: Report, name: str) -> dict[tuple[str, str], float]:
    """Rows about one dataset; seconds for 10,000 files of each operation."""
    dataset = ground.dataset(name)
    last = name == GROUPS[-1]
    rounds = 1 if last else ground.counted(ROUNDS)
    warm = 0 if last else 1
    rates = {}
    # An inode and a directory entry beside each file's bytes, and what each round leaves.
    room = (3 + 3 * (rounds + warm)) * dataset.bytes * 5 // 4
    with ground.scratch(room) as place:
        match = Match.prepared(place, PKGRUN, ground.program.parent, ground.kept(name))
        for operation in OPERATIONS:
            figure = match.figure(operation, rounds, warm=warm)
            match.lost(operation)  # or it fails
            rates[operation, name] = _row(report, f"{operation}, {dataset.files:,}", figure, dataset.files)
    return rates


def _row(report: Report, name: str, figure: Figure, files: int) -> float:
    """Add a row, which was proved; the seconds for 10,000 files."""
    seconds, peak = median(figure.added), figure.whole.peak / 1e6
    rate = seconds / files * 10_000
    floor = figure.floor.wall if figure.floor else None
    report.add(name, seconds, rate, floor, figure.ratio, peak, PROVED)
    report.samples[name] = figure.added
    report.goals.append(Goal(f"{name}: peak memory", peak, MEMORY / 1e6, "MB"))
    return rate
