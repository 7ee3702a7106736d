"""Pages about packages and their versions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pkgrun.cli import graph, pages, text
from pkgrun.cli import listing as said_of

if TYPE_CHECKING:
    from pkgrun.identity import Version
    from pkgrun.records import Contract, VersionRecord
    from pkgrun.records.collecting import Removal
    from pkgrun.runs.removing import Loss


@dataclass(frozen=True, slots=True)
class Line:
    """A package in a list; `newest`: of its versions that are there, if any is."""

    package: str
    newest: VersionRecord | None
    versions: int
    removed: int

    def document(self) -> dict[str, Any]:
        """As JSON."""
        newest = str(self.newest.version) if self.newest else None
        return {"package": self.package, "newest": newest, "versions": self.versions, "removed": self.removed}

    def cells(self) -> tuple[str, ...]:
        """As a row."""
        count = f"{self.versions:,}" + (f" ({self.removed:,} removed)" if self.removed else "")
        if self.newest is None:
            return self.package, "-", count, "", "", ""
        return (
            self.package,
            str(self.newest.version),
            count,
            text.age(self.newest.created),
            text.size(self.newest.tree.bytes),
            text.line(self.newest.description or ""),
        )


def listing(packages: list[Line]) -> None:
    """Packages as a table."""
    heads = ("package", "newest", "versions", "created", "size", "description")
    rows = [line.cells() for line in packages]
    pages.columns(pages.console(), heads, rows, right=("versions", "size"))


def family(records: list[VersionRecord], removals: Mapping[Version, Removal]) -> None:
    """The versions of a package, drawn as who came from whom; and which were removed."""
    from rich.text import Text

    page = pages.console()
    page.print(records[0].package, style="bold")
    descent = [(record.version, record.parent) for record in records]
    width = max(len(str(record.version)) for record in records)
    for record, drawing in zip(records, graph.padded(graph.rails(descent)), strict=True):
        removal = removals.get(record.version)
        words = Text.assemble(
            (drawing, "cyan"),
            (f"  {record.version!s:<{width}}", "dim strike" if removal else "bold"),
            (f"  {record.kind:<8}  {text.age(record.created):>10}", "dim" if removal else ""),
            f"  {text.size(record.tree.bytes):>8}" if removal is None else "",
            (f"  removed {pages.removal_line(removal)}", "red") if removal else "",
            (f"  run {record.run[:13]}", "dim"),
            (f"  {pages.tags(record.tags)}" if record.tags else "", "cyan"),
            (f"  {text.line(record.description)}" if record.description else "", "italic"),
        )
        page.print(words, no_wrap=True, overflow="ellipsis", soft_wrap=False)


def loss(loss: Loss) -> None:
    """What goes with a version, on standard error, for the question that follows."""
    record = loss.record
    text.tell(f"{record.package}@{record.version} is to be removed, for good:")
    for what, tree in (("files", record.tree), ("artifacts", loss.artifacts), ("snapshot", loss.snapshot)):
        if tree is not None:
            text.tell(f"  {what:<10} {pages.extent(tree)}")
    text.tell("Its record, its log and its number stay; `pkgrun store gc` frees the space.")


def version(record: VersionRecord, removal: Removal | None) -> None:
    """Everything about one version."""
    page = pages.console()
    page.print(f"{record.package} {record.version}", style="bold")
    pages.table(page, _version_rows(record, removal))


def _version_rows(record: VersionRecord, removal: Removal | None) -> Iterable[tuple[str, str]]:
    if removal:
        yield from pages.removal_rows(removal)
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
    yield from _parameter_rows(record.contract)
    if record.environment:
        yield "environment", f"Python {record.environment.python}, lock {record.environment.lock.digest[:19]}"
        yield from pages.requirement_rows(record.environment)
    yield from pages.label_rows(record.description, record.tags)
    yield from said_of.rows(record.listing)
    if record.origin:
        origin = record.origin
        yield "exported from", f"{origin.package}@{origin.version} of the store {origin.store}"
        if origin.ancestors:
            yield "", f"with {text.plural(len(origin.ancestors), 'ancestor')}"
    yield "record before", record.previous or "- (the first)"


def _parameter_rows(contract: Contract) -> Iterable[tuple[str, str]]:
    from pkgrun.packages.parameters import Parameter, meaning

    head = "parameters"
    for name, one in sorted(contract.parameters.items()):
        yield head, text.line(f"{name}: {meaning(Parameter(**one.model_dump()))}")
        head = ""
