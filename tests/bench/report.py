"""What a benchmark found: a table, goals that were met or missed, remarks. As text and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

Cell = str | float | None


@dataclass(frozen=True, slots=True)
class Goal:
    """A number that should not be above a limit."""

    text: str
    value: float
    limit: float
    unit: str = ""

    @property
    def met(self) -> bool:
        """Whether it is not above."""
        return self.value <= self.limit

    def __str__(self) -> str:
        verdict = "met   " if self.met else "MISSED"
        return f"{verdict} {self.text}: {shown(self.value)} {self.unit} of at most {shown(self.limit)} {self.unit}"


@dataclass(slots=True)
class Report:
    """One benchmark's table; `samples` are the single measurements behind it, in seconds, by trial.

    `failures` are what pkgrun did not do, whatever the numbers of others.
    """

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[Cell, ...]] = field(default_factory=list)
    goals: list[Goal] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    samples: dict[str, tuple[float, ...]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def add(self, *cells: Cell) -> None:
        """One more row."""
        self.rows.append(cells)

    def text(self) -> str:
        """For reading, in Markdown."""
        failures = [f"FAILED {failure}" for failure in self.failures]
        said = [*map(str, self.goals), *failures, *self.remarks]
        return "\n".join([f"## {self.title}", "", *self._table(), "", *said])

    def _table(self) -> Iterator[str]:
        cells = [self.columns, *(tuple(map(shown, row)) for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = ["| " + " | ".join(map(_padded, row, widths, range(len(row)))) + " |" for row in cells]
        yield lines[0]
        yield "|" + "|".join("-" * (width + 2) for width in widths) + "|"
        yield from lines[1:]

    def json(self) -> dict[str, Any]:
        """For machines."""
        return {
            "title": self.title,
            "rows": [dict(zip(self.columns, row, strict=True)) for row in self.rows],
            "goals": [asdict(goal) | {"met": goal.met} for goal in self.goals],
            "remarks": self.remarks,
            "samples": self.samples,
            "failures": self.failures,
        }


def _padded(cell: str, width: int, column: int) -> str:
    return cell.ljust(width) if column == 0 else cell.rjust(width)


def shown(cell: Cell) -> str:
    """A cell with as many digits as matter."""
    if cell is None:
        return ""
    if isinstance(cell, str):
        return cell
    return f"{cell:,.0f}" if abs(cell) >= 100 else f"{cell:.1f}" if abs(cell) >= 10 else f"{cell:.2f}"
