"""A comparison, laid out for reading, and as JSON.

A row whose values do not fit beside each other is given a line a column instead: nothing that tells columns apart is cut.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from pkgrun.cli import pages, text

if TYPE_CHECKING:
    from rich.console import Console

    from pkgrun.runs.comparison import Column, Comparison, File, Row, Value

_ALWAYS = ("made by", "parent")
_NAMES = {
    ("data", "data"): "source",
    ("run", "seconds"): "took",
    ("content", "digest"): "content",
    ("content", "bytes"): "size",
}
_UNTITLED = ("made", "run", "content", "score")
_BEST = " *"
_LABELS = 26
"""Columns that the names of rows may take; a longer one stands on a line of its own."""

_FILES = 20
_METRICS = 20
_NONE = "-"


@dataclass(frozen=True, slots=True)
class _Line:
    """A row as it is shown."""

    title: str
    name: str
    cells: tuple[str, ...]
    same: bool
    best: tuple[int, ...] = ()


def document(found: Comparison) -> dict[str, Any]:
    """A comparison as JSON: all rows, also those that are the same everywhere."""
    return {
        "columns": [_column(column) for column in found.columns],
        "rows": [
            {"group": row.group, "name": row.name, "values": row.values, "same": row.same, "best": row.best}
            for row in found.rows
        ],
        "files": None
        if found.files is None
        else [{"path": file.path, "contents": file.contents} for file in found.files],
    }


def _column(column: Column) -> dict[str, Any]:
    return {
        "name": column.name,
        "package": column.package,
        "version": str(column.version) if column.version else None,
        "run_id": column.run,
        "kind": column.kind,
        "status": column.status,
        "parent": str(column.parent) if column.parent else None,
        "created": column.created,
        "removed": column.removed,
    }


def page(found: Comparison, *, everything: bool, quiet: bool) -> None:
    """The rows that differ, or all; then the files."""
    out = pages.console()
    heads = _heads(found.columns)
    lines = [
        _line(row, found.columns) for row in found.rows if any(value is not None for value in row.values)
    ]
    shown = [line for line in lines if everything or not line.same or _told_anyway(line, lines)]
    listed = found.files or () if everything else (found.files or ())[:_FILES]
    table = _Table(out, heads, shown, [_file(file) for file in listed])
    table.head()
    for title, group in groupby(shown, key=lambda line: line.title):
        table.section(title, list(group))
    table.files(found.files)
    if quiet:
        return
    if any(line.best for line in shown):
        alike = all(row.same for row in found.rows if row.name == "data digest")
        doubt = "" if alike else "; the data were not the same"
        out.print(
            f"\n{_BEST.strip()} the best, where a metric's name tells which way is better{doubt}", style="dim"
        )
    if hidden := len(lines) - len(shown):
        out.print(f"\n{text.plural(hidden, 'row')} the same everywhere; --all shows them", style="dim")


def _told_anyway(line: _Line, lines: Sequence[_Line]) -> bool:
    """Who made it from what; and that scores and metrics came out the same, unless these are many."""
    if line.name in _ALWAYS:
        return True
    told = line.title == "metrics" or line.name in ("score", "baseline score")
    few = sum(one.title == "metrics" for one in lines) <= _METRICS
    return told and few


def _heads(columns: Sequence[Column]) -> tuple[str, ...]:
    """Names of versions, beginnings of the ids of runs."""
    return tuple(column.name[:13] if column.version is None else column.name for column in columns)


def _line(row: Row, columns: Sequence[Column]) -> _Line:
    title = "" if row.group in _UNTITLED else row.group
    cells = _cells(row)
    if row.name == "made by":
        cells = tuple(
            f"{cell}, no run" if column.run is None else cell
            for cell, column in zip(cells, columns, strict=True)
        )
    cells = tuple(cell + _BEST * (index in row.best) for index, cell in enumerate(cells))
    return _Line(title, _NAMES.get((row.group, row.name), row.name), cells, row.same, row.best)


def _cells(row: Row) -> tuple[str, ...]:
    """Values as short as they can be without looking the same where they are not."""
    ways: tuple[Callable[[Value], str], ...] = (_short(row), _exact)
    for way in ways:
        cells = tuple(way(value) for value in row.values)
        if len(set(cells)) == len(set(row.values)):
            return cells
    return cells


def _short(row: Row) -> Callable[[Value], str]:
    what = row.name.rpartition(" ")[2]

    def way(value: Value) -> str:
        if isinstance(value, int | float) and not isinstance(value, bool):
            units: dict[str, Callable[[float], str]] = {"bytes": text.size, "seconds": text.duration}
            return units.get(what, text.number)(value)
        if isinstance(value, str) and what == "digest":
            return value.removeprefix("sha256:")[:8]
        if isinstance(value, str) and what == "commit":
            return value[:8]
        return _exact(value)

    return way


def _exact(value: Value) -> str:
    if value is None:
        return _NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    return text.line(value) if isinstance(value, str) else repr(value)


def _file(file: File) -> _Line:
    """Equal letters are equal contents."""
    return _Line("files", text.line(file.path), tuple(map(_letter, file.contents)), same=False)


def _letter(content: int | None) -> str:
    if content is None:
        return _NONE
    return chr(ord("a") + content) if content < 26 else str(content)


class _Table:
    """Columns of one width a column, laid out for all rows at once."""

    def __init__(
        self, out: Console, heads: tuple[str, ...], lines: Sequence[_Line], files: Sequence[_Line]
    ) -> None:
        from rich.cells import cell_len

        self._len = cell_len
        self._out, self._heads, self._files = out, heads, files
        self._legend: tuple[str, ...] = ()
        labels = [cell_len(line.name) + 2 for line in (*lines, *files)]
        self._label = max((one for one in labels if one <= _LABELS), default=0) + 2
        room = (out.width - self._label) // len(heads) - 2
        if max(map(cell_len, heads)) > room:
            self._legend, self._heads = heads, tuple(str(number) for number, _ in enumerate(heads, 1))
        self._widths = [
            max([cell_len(head), *(n for line in lines if (n := cell_len(line.cells[index])) <= room)])
            for index, head in enumerate(self._heads)
        ]

    def head(self) -> None:
        """The names of the columns; where they are too long, numbers, and before these what they stand for."""
        for number, name in enumerate(self._legend, 1):
            self._out.print(f"{number:>3}  {name}", soft_wrap=True)
        self._print("", self._heads, style="bold")

    def section(self, title: str, lines: Sequence[_Line]) -> None:
        """Rows under a title."""
        if title:
            self._out.print(f"\n{title}", style="bold")
        for line in lines:
            self._line(line, indent="  " if title else "")

    def files(self, files: Sequence[File] | None) -> None:
        """Which files are not the same everywhere."""
        if files is None:
            self._out.print("\nfiles cannot be compared: the content of a version was removed", style="dim")
            return
        self._out.print("\nfiles", style="bold", end="")
        if not files:
            self._out.print("  all the same", style="dim")
            return
        self._out.print(
            f"  {text.plural(len(files), 'file')} not the same everywhere; equal letters, equal contents",
            style="dim",
        )
        for line in self._files:
            self._line(line, indent="  ")
        if len(files) > len(self._files):
            self._out.print(f"  … and {len(files) - len(self._files):,} more", style="dim")

    def _line(self, line: _Line, indent: str) -> None:
        name = indent + text.line(line.name)
        fits = all(self._len(cell) <= width for cell, width in zip(line.cells, self._widths, strict=True))
        if fits and self._len(name) + 2 <= self._label:
            self._print(name, line.cells, style="dim" if line.same else "", best=line.best)
            return
        self._out.print(name, style="dim", soft_wrap=True)
        if fits:
            self._print("", line.cells, style="dim" if line.same else "", best=line.best)
            return
        wide = max(map(self._len, self._heads))
        for index, (head, cell) in enumerate(zip(self._heads, line.cells, strict=True)):
            room = " " * (wide - self._len(head))
            if cell != _NONE:
                self._out.print(f"{indent}  {head}{room}  ", style="dim", end="")
                self._out.print(cell, style=self._style(index, line.best, cell), soft_wrap=True)

    def _print(self, name: str, cells: Sequence[str], *, style: str, best: Sequence[int] = ()) -> None:
        from rich.text import Text

        line = Text(style=style)
        line.append(
            name + " " * (self._label - self._len(name)), "dim" if name.strip() and style != "bold" else ""
        )
        for index, (cell, width) in enumerate(zip(cells, self._widths, strict=True)):
            line.append(cell + " " * (width - self._len(cell)), self._style(index, best, cell))
            line.append("  ")
        line.rstrip()
        self._out.print(line, no_wrap=True, overflow="ellipsis")

    @staticmethod
    def _style(index: int, best: Sequence[int], cell: str) -> str:
        return "bold green" if index in best else "dim" if cell == _NONE else ""
