"""Pages: what is known of a run or a version, laid out for reading, and the same as JSON."""

from __future__ import annotations

import re
import sys
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from pkgrun.cli import graph, text
from pkgrun.observe import Event, Log
from pkgrun.runs.results import results

if TYPE_CHECKING:
    from rich.console import Console

    from pkgrun.records import Changes, Facts, FileList, Record, RunRecord, VersionRecord

STYLES = {
    "successful": ("●", "green"),
    "failed": ("✗", "red"),
    "killed": ("■", "yellow"),
    "timed-out": ("◷", "yellow"),
    "lost": ("?", "red"),
    "running": ("▶", "cyan"),
    "packaging": ("▶", "cyan"),
    "queued": ("…", "cyan"),
    "scheduled": ("…", "cyan"),
}

_ENDS = {"killed": "was stopped", "timed-out": "ran out of time", "lost": "was lost"}

_TELLING = re.compile("held|valid|test|accuracy|auc|f1|score|r2|loss|error|rmse|mae", re.IGNORECASE)

_TAIL = 20

_UNCUT = 10_000
"""Characters of a line where nobody looks: a path or an id that is folded cannot be searched for."""


def console(*, stderr: bool = False) -> Console:
    """A page on standard output or error; no colours where none are wanted, no cutting where nobody looks."""
    from rich.console import Console

    class Page(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError  # of its own accord it would end the process with 1

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else _UNCUT
    return Page(
        file=stream,
        highlight=False,
        markup=False,
        emoji=False,  # `dict:key:` is no picture of a key
        width=width,
        soft_wrap=not stream.isatty(),
    )


def run_document(record: RunRecord, store: str) -> dict[str, Any]:
    """A run as JSON: the plain facts first, everything under `record`."""
    vendor = results(record, store)
    return {
        "run_id": record.run,
        "kind": record.kind,
        "status": record.status,
        "package": record.package,
        "version": str(record.version) if record.version else None,
        "parent": str(record.parent) if record.parent else None,
        "results": dump(vendor) if vendor else None,
        "error": dump(record.error) if record.error else None,
        "metrics": record.facts.metrics if record.facts else None,
        "record": dump(record),
    }


def dump(record: Record) -> dict[str, Any]:
    """A record as JSON holds it."""
    return record.model_dump(mode="json")


def trained(record: RunRecord) -> None:
    """What a training has made, in a few lines; without rich, whose import would take longer than a short run."""
    facts = record.facts
    took = f" in {_took(facts)}" if facts else ""
    click.secho(f"{record.package} {record.version}", fg="green", bold=True, nl=False, color=_coloured())
    click.echo(f"  trained from {record.parent}{took}")
    for row in _metric_rows(facts):
        click.echo(f"  {row}")
    if facts and facts.changes:
        click.secho(f"  {_summary(facts.changes)}", dim=True, color=_coloured())
    click.secho(f"  pkgrun run show {record.run[:13]}", dim=True, color=_coloured())


def _coloured() -> bool:
    return text.colours(sys.stdout)


def _took(facts: Facts) -> str:
    return text.duration((facts.ended - facts.started).total_seconds())


def _metrics(facts: Facts | None) -> list[tuple[str, str]]:
    return [(name, text.number(value)) for name, value in (facts.metrics or {}).items()] if facts else []


def _metric_rows(facts: Facts | None) -> list[str]:
    metrics = [(text.line(name), value) for name, value in _metrics(facts)]
    width = max((len(name) for name, _ in metrics), default=0)
    return [f"{name:<{width}}  {value}" for name, value in metrics]


def _summary(changes: Changes) -> str:
    counts = [
        f"{text.plural(one.count, 'file')} {how}"
        for how, one in (("changed", changes.changed), ("added", changes.added), ("removed", changes.removed))
        if one.count
    ]
    return ", ".join(counts) or "no file changed"


def failure(record: RunRecord, log: Iterable[Event]) -> None:
    """Why a run made no version: the phase, the package's traceback, the last lines it wrote, what to do."""
    with suppress(BrokenPipeError):  # the exit code tells it too
        _failure(console(stderr=True), record, log)


def _failure(page: Console, record: RunRecord, log: Iterable[Event]) -> None:
    _print_error(page, record)
    tail = _last(log, _TAIL)
    if tail:
        page.print(f"last lines of the log ({text.plural(len(tail), 'line')}):", style="bold")
        for event in tail:
            page.print(f"  │ {text.line(event.text)}", style="dim")
    kept = record.facts.artifacts if record.facts else None
    if kept and kept.files:
        page.print(f"artifacts: {text.plural(kept.files, 'file')}, `pkgrun run artifacts {record.run[:13]}`")
    page.print(f"all of it: `pkgrun run show {record.run[:13]}`, `pkgrun run logs {record.run[:13]}`")


def _print_error(page: Console, record: RunRecord) -> None:
    error = record.error
    if error is None:
        return
    if error.traceback:
        page.print(text.plain(error.traceback.rstrip()), style="dim")
    page.print("error: ", style="bold red", end="")
    page.print(f"{record.subject} {record.parent or ''} {_ENDS.get(record.status, record.status)}: ", end="")
    page.print(
        text.plain(
            error.message + (f" (phase {error.phase})" if error.phase and "\n" not in error.message else "")
        )
    )
    if error.hint:
        page.print("hint: ", style="bold cyan", end="")
        page.print(text.plain(error.hint))


def _last(log: Iterable[Event], count: int) -> list[Log]:
    """The last lines that the package's code wrote."""
    return list(deque((event for event in log if isinstance(event, Log)), maxlen=count))


def run_page(record: RunRecord, log: Iterable[Event], store: str) -> None:
    """Everything about a run on one page."""
    page = console()
    _headline(page, record)
    _table(page, _run_rows(record, store))
    if record.facts:
        _phases(page, record.facts)
        _listing(page, "metrics", _metric_rows(record.facts))
        if record.facts.changes:
            _changes(page, record.facts.changes)
        _listing(page, "warnings", [text.plain(warning) for warning in record.facts.warnings])
    if record.error:
        page.print()
        _print_error(page, record)
    tail = _last(log, _TAIL // 2)
    _listing(page, "last lines of the log", [f"│ {text.line(event.text)}" for event in tail])


def _headline(page: Console, record: RunRecord) -> None:
    symbol, style = STYLES[record.status]
    page.print(f"{symbol} {record.status}", style=f"bold {style}", end="")
    made = (
        f"{record.package} {record.parent} → {record.version}"
        if record.parent and record.version
        else (f"{record.package} {record.parent or record.version or ''}")
    )
    page.print(f"  {record.kind} of ", end="")
    page.print(made, style="bold")


def _run_rows(record: RunRecord, store: str) -> Iterable[tuple[str, str]]:
    facts, request = record.facts, record.request
    yield "run", record.run
    yield (
        "started",
        f"{text.moment(record.created)} by {text.line(record.by.user)} on {text.line(record.by.host)}",
    )
    if facts:
        yield "took", _took(facts)
    elif record.phase:
        yield "phase", record.phase
    if request:
        yield from _request_rows(record)
    if facts:
        yield from _facts_rows(facts)
    if record.git:
        state = ", with uncommitted changes" if record.git.dirty else ""
        yield (
            "git",
            f"{(record.git.commit or 'no commit')[:12]} on {text.line(record.git.branch or '?')}{state}",
        )
    yield "input", _tree(record.input) if record.input else "-"
    if record.output:
        yield "output", _tree(record.output)
    yield "in the store", text.line(f"{store}/runs/{record.run}")


def _request_rows(record: RunRecord) -> Iterable[tuple[str, str]]:
    request = record.request
    if request is None:
        return
    if request.parameters:
        yield (
            "parameters",
            "  ".join(f"{name}={text.line(value)}" for name, value in request.parameters.items()),
        )
    if request.secrets:
        yield "secrets", ", ".join(request.secrets) + " (values not recorded)"
    if request.description:
        yield "description", text.plain(request.description)
    if request.tags:
        yield "tags", "  ".join(f"{text.line(key)}={text.line(value)}" for key, value in request.tags.items())


def _facts_rows(facts: Facts) -> Iterable[tuple[str, str]]:
    if facts.data:
        proof = "attested" if facts.data.attested else "NOT attested"
        yield "data", f"{text.line(facts.data.source)}  by {facts.data.mount}, {proof}"
        yield "", _tree(facts.data.tree)
    if facts.snapshot:
        yield "snapshot", _tree(facts.snapshot)
    if facts.artifacts:
        yield "artifacts", f"{text.plural(facts.artifacts.files, 'file')}, {text.size(facts.artifacts.bytes)}"
    if facts.environment:
        one = facts.environment
        yield "environment", f"Python {one.python} on {one.platform}, {one.mode}, lock {one.lock.digest[:19]}"
    if facts.usage:
        peak = text.size(facts.usage.peak_memory_bytes)
        yield "used", f"{facts.usage.cpu_seconds:.2f} s of processor time, {peak} of memory at the peak"


def _tree(tree: Any) -> str:
    return f"{tree.digest[:19]}  {text.plural(tree.files, 'file')}, {text.size(tree.bytes)}"


def _table(page: Console, rows: Iterable[tuple[str, str]]) -> None:
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, text.plain(value))
    page.print(table)


def _phases(page: Console, facts: Facts) -> None:
    """The phases as bars on one scale of time."""
    total = max((facts.ended - facts.started).total_seconds(), 1e-6)
    page.print("\nphases", style="bold")
    for phase in facts.phases:
        start = (phase.started - facts.started).total_seconds() / total
        width = max(1, round(phase.seconds / total * 40))
        left = min(39, max(0, round(start * 40)))
        bar = " " * left + "━" * min(width, 40 - left)
        page.print(f"  {text.line(phase.name):<12} {text.duration(phase.seconds):>9}  ", end="")
        page.print(bar, style="cyan")


def _listing(page: Console, title: str, lines: list[str]) -> None:
    if lines:
        page.print(f"\n{title}", style="bold")
        for line in lines:
            page.print(f"  {line}")


def _changes(page: Console, changes: Changes) -> None:
    unexpected = set(changes.unexpected.names)
    page.print("\nfiles", style="bold", end="")
    page.print(f"  {_summary(changes)}", style="dim")
    for sign, style, files in (
        ("~", "yellow", changes.changed),
        ("+", "green", changes.added),
        ("-", "red", changes.removed),
    ):
        _files(page, sign, style, files, unexpected)


def _files(page: Console, sign: str, style: str, files: FileList, unexpected: set[str]) -> None:
    for name in files.names[:10]:
        page.print(f"  {sign} ", style=style, end="")
        page.print(text.line(name) + ("  (new place)" if name in unexpected else ""))
    if files.count > 10:
        page.print(f"  {sign} … and {files.count - 10:,} more", style="dim")


def run_list(records: list[RunRecord]) -> None:
    """Runs as a table, the newest first; on a narrow terminal scores stand without their names."""
    page = console()
    wide = page.width >= 100
    rows = [_run_row(record, named=wide) for record in records]
    heads = ("run", "type", "package", "version", "status", "created", "took", "score")
    _columns(page, heads, rows, styles={4: [STYLES[record.status][1] for record in records]})


def _run_row(record: RunRecord, *, named: bool) -> tuple[str, ...]:
    ends = [str(one) for one in (record.parent, record.version) if one]
    return (
        record.run[:13],
        record.kind,
        record.subject,
        str(record.number or "") or " → ".join(ends),
        f"{STYLES[record.status][0]} {record.status}",
        text.age(record.created),
        _took(record.facts) if record.facts else (record.phase or ""),
        _score(record, named=named),
    )


def _columns(
    page: Console, heads: tuple[str, ...], rows: list[tuple[str, ...]], styles: dict[int, list[str]]
) -> None:
    """A table whose last column alone is cut where the terminal is narrow."""
    from rich.table import Table
    from rich.text import Text

    table = Table(
        box=None, pad_edge=False, header_style="dim", padding=(0, 2 if page.width >= 100 else 1, 0, 0)
    )
    for index, head in enumerate(heads):
        width = max(len(head), *(len(row[index]) for row in rows))
        last = index == len(heads) - 1
        table.add_column(head, no_wrap=True, min_width=None if last else width, overflow="ellipsis")
    for number, row in enumerate(rows):
        table.add_row(
            *(Text(cell, style=styles[i][number] if i in styles else "") for i, cell in enumerate(row))
        )
    page.print(table)


def _score(record: RunRecord, *, named: bool) -> str:
    """The run's score, else the metric that most looks like one."""
    facts = record.facts
    if facts is None:
        return ""
    if facts.score is not None:
        return text.number(facts.score)
    metrics = _metrics(facts)
    telling = (pair for pair in metrics if _TELLING.search(pair[0]))
    chosen = next(telling, metrics[0] if metrics else None)
    if chosen is None:
        return ""
    return f"{chosen[1]} {text.line(chosen[0])}" if named else chosen[1]


def package_list(newest: list[tuple[VersionRecord, int]]) -> None:
    """Packages as a table."""
    heads = ("package", "newest", "versions", "created", "size", "description")
    rows: list[tuple[str, ...]] = [
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
    _columns(console(), heads, rows, styles={})


def package_page(records: list[VersionRecord]) -> None:
    """The versions of a package, drawn as who came from whom."""
    from rich.text import Text

    page = console()
    page.print(records[0].package, style="bold")
    family = [(record.version, record.parent) for record in records]
    width = max(len(str(record.version)) for record in records)
    for record, drawing in zip(records, graph.padded(graph.rails(family)), strict=True):
        tags = "".join(f"  {text.line(key)}={text.line(value)}" for key, value in record.tags.items())
        words = Text.assemble(
            (drawing, "cyan"),
            (f"  {record.version!s:<{width}}", "bold"),
            f"  {record.kind:<8}  {text.age(record.created):>10}  {text.size(record.tree.bytes):>8}",
            (f"  run {record.run[:13]}", "dim"),
            (tags, "cyan"),
            (f"  {text.line(record.description)}" if record.description else "", "italic"),
        )
        page.print(words, no_wrap=True, overflow="ellipsis", soft_wrap=False)


def version_page(record: VersionRecord) -> None:
    """Everything about one version."""
    page = console()
    page.print(f"{record.package} {record.version}", style="bold")
    _table(page, _version_rows(record))


def _version_rows(record: VersionRecord) -> Iterable[tuple[str, str]]:
    yield "made by", f"{record.kind}, run {record.run}"
    yield "created", text.moment(record.created)
    if record.parent:
        yield "parent", str(record.parent)
    yield "content", f"{record.tree.digest}"
    yield "", f"{text.plural(record.tree.files, 'file')}, {text.size(record.tree.bytes)}"
    if record.source:
        yield "from", text.line(record.source)
    if record.git:
        state = ", with uncommitted changes" if record.git.dirty else ""
        yield (
            "git",
            f"{(record.git.commit or 'no commit')[:12]} on {text.line(record.git.branch or '?')}{state}",
        )
        yield "remote", text.line(record.git.remote or "-")
    yield "can run", ", ".join(record.contract.pipelines) or "no pipeline"
    yield "can serve", "yes" if record.contract.servable else "no"
    if record.environment:
        yield "environment", f"Python {record.environment.python}, lock {record.environment.lock.digest[:19]}"
    if record.description:
        yield "description", text.plain(record.description)
    if record.tags:
        yield "tags", "  ".join(f"{text.line(key)}={text.line(value)}" for key, value in record.tags.items())
    yield "record before", record.previous or "- (the first)"
