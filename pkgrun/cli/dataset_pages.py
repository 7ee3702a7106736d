"""Pages about registered datasets and what differs between them."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import click

from pkgrun.cli import pages, text

if TYPE_CHECKING:
    from pkgrun.records import DatasetRecord
    from pkgrun.store.trees import Difference

_SIGNS = {"changed": pages.CHANGED, "added": pages.ADDED, "removed": pages.REMOVED}

_COUNTS = ("files", "size")


def listing(newest: list[DatasetRecord]) -> None:
    """Datasets as a table, each by its newest number."""
    heads = ("dataset", "newest", "files", "size", "created", "source")
    rows = [(record.dataset, *_row(record), text.line(record.source)) for record in newest]
    pages.columns(pages.console(), heads, rows, right=_COUNTS)


def numbers(records: list[DatasetRecord]) -> None:
    """The numbers of a dataset as a table, ascending, with what somebody said about them."""
    page = pages.console()
    page.print(records[0].dataset, style="bold")
    heads = ("number", "files", "size", "created", "run", "source")
    rows = [(*_row(record), record.run[:13], _said(record)) for record in records]
    pages.columns(page, heads, rows, right=_COUNTS)


def _row(record: DatasetRecord) -> tuple[str, str, str, str]:
    tree = record.tree
    return str(record.number), f"{tree.files:,}", text.size(tree.bytes), text.age(record.created)


def _said(record: DatasetRecord) -> str:
    words = (text.line(record.source), pages.tags(record.tags), text.line(record.description or ""))
    return "  ".join(word for word in words if word)


def number(record: DatasetRecord) -> None:
    """Everything about one number."""
    page = pages.console()
    page.print(f"{record.dataset} {record.number}", style="bold")
    pages.table(page, _rows(record))


def _rows(record: DatasetRecord) -> Iterable[tuple[str, str]]:
    yield "made by", f"run {record.run}"
    yield "created", text.moment(record.created)
    yield "from", text.line(record.source)
    yield from pages.content_rows(record.tree)
    yield from pages.label_rows(record.description, record.tags)
    yield "record before", record.previous or "- (the first)"


def diff(found: Sequence[Difference]) -> None:
    """Differences, a line each."""
    coloured = text.colours(sys.stdout)
    for one in found:
        sign, colour = _SIGNS[one.how]
        mark = click.style(sign, fg=colour) if coloured else sign
        # Not `click.echo`, which flushes each of a hundred thousand lines.
        sys.stdout.write(f"{mark} {text.line(text.shown(one.path))}\n")
    sys.stdout.flush()


def diff_summary(found: Sequence[Difference]) -> str:
    """How many files there are of each."""
    counts = Counter[str](one.how for one in found)
    words = [f"{text.plural(counts[how], 'file')} {how}" for how in _SIGNS if counts[how]]
    return ", ".join(words) or "no file differs"


def diff_document(found: Sequence[Difference]) -> dict[str, Any]:
    """The same as JSON."""
    return {how: [text.shown(one.path) for one in found if one.how == how] for how in _SIGNS}
