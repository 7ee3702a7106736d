"""Pages about packages and their versions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from pkgrun.cli import graph, pages, text

if TYPE_CHECKING:
    from pkgrun.records import VersionRecord


def listing(newest: list[tuple[VersionRecord, int]]) -> None:
    """Packages as a table."""
    heads = ("package", "newest", "versions", "created", "size", "description")
    rows = [
        (
            record.package,
            str(record.version),
            str(count),
            text.age(record.created),
            text.size(record.tree.bytes),
            text.line(record.description or ""),
        )
        for record, count in newest
    ]
    pages.columns(pages.console(), heads, rows, right=("versions", "size"))


def family(records: list[VersionRecord]) -> None:
    """The versions of a package, drawn as who came from whom."""
    from rich.text import Text

    page = pages.console()
    page.print(records[0].package, style="bold")
    descent = [(record.version, record.parent) for record in records]
    width = max(len(str(record.version)) for record in records)
    for record, drawing in zip(records, graph.padded(graph.rails(descent)), strict=True):
        words = Text.assemble(
            (drawing, "cyan"),
            (f"  {record.version!s:<{width}}", "bold"),
            f"  {record.kind:<8}  {text.age(record.created):>10}  {text.size(record.tree.bytes):>8}",
            (f"  run {record.run[:13]}", "dim"),
            (f"  {pages.tags(record.tags)}" if record.tags else "", "cyan"),
            (f"  {text.line(record.description)}" if record.description else "", "italic"),
        )
        page.print(words, no_wrap=True, overflow="ellipsis", soft_wrap=False)


def version(record: VersionRecord) -> None:
    """Everything about one version."""
    page = pages.console()
    page.print(f"{record.package} {record.version}", style="bold")
    pages.table(page, _version_rows(record))


def _version_rows(record: VersionRecord) -> Iterable[tuple[str, str]]:
    yield "made by", f"{record.kind}, run {record.run}"
    yield "created", text.moment(record.created)
    if record.parent:
        yield "parent", str(record.parent)
    yield from pages.content_rows(record.tree)
    if record.source:
        yield "from", text.line(record.source)
    if record.git:
        yield pages.git_row(record.git)
        yield "remote", text.line(record.git.remote or "-")
    yield "can run", ", ".join(record.contract.pipelines) or "no pipeline"
    yield "can serve", "yes" if record.contract.servable else "no"
    if record.environment:
        yield "environment", f"Python {record.environment.python}, lock {record.environment.lock.digest[:19]}"
    yield from pages.label_rows(record.description, record.tags)
    yield "record before", record.previous or "- (the first)"
