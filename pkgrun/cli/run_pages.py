"""Pages about runs, laid out for reading, and the same as JSON."""

from __future__ import annotations

import re
import sys
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from pkgrun.cli import pages, reproduction_pages, text
from pkgrun.observe import Event, Log
from pkgrun.packages import contract
from pkgrun.runs.results import results

if TYPE_CHECKING:
    from rich.console import Console

    from pkgrun.records import Changes, Confined, Copied, CopyRequest, Data, Device, Facts, RunRecord, Written
    from pkgrun.records.collecting import Removal
    from pkgrun.runs.reaper import Recovered, Recovery

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
    "silent": ("?", "yellow"),
}

_ENDS = {"killed": "was stopped", "timed-out": "ran out of time", "lost": "was lost"}

_TELLING = re.compile("held|valid|test|accuracy|auc|f1|score|r2|loss|error|rmse|mae", re.IGNORECASE)

_TAIL = 20


def document(record: RunRecord, store: str) -> dict[str, Any]:
    """A run as JSON: the plain facts first, everything under `record`."""
    vendor = results(record, store)
    return {
        "run_id": record.run,
        "kind": record.kind,
        "status": record.status,
        "package": record.package,
        "version": str(record.version) if record.version else None,
        "parent": str(record.parent) if record.parent else None,
        "dataset": f"{record.dataset}@{record.number}" if record.number else record.dataset,
        "results": pages.dump(vendor) if vendor else None,
        "error": pages.dump(record.error) if record.error else None,
        "score": record.facts.score if record.facts else None,
        "baseline_score": record.facts.baseline_score if record.facts else None,
        "metrics": record.facts.metrics if record.facts else None,
        **(reproduction_pages.document(record) if record.kind == "reproduction" else {}),
        "record": pages.dump(record),
    }


def done(record: RunRecord, removal: Removal | None = None) -> None:
    """What a run has made, in a few lines; without rich, whose import would take longer than a short run.

    `removal`: of its version, where the run was done before.
    """
    facts = record.facts
    took = f" in {_took(facts)}" if facts else ""
    number = record.version or record.parent
    click.secho(f"{record.package} {number}", fg="green", bold=True, nl=False, color=_coloured())
    click.echo(f"  {_MADE[record.kind]}{f' from {record.parent}' if record.version else ''}{took}")
    if removal:
        click.secho(f"  removed {pages.removal_line(removal)}", fg="red", color=_coloured())
    for row in [" ".join(row) for row in _score_row(facts)] + _metric_rows(facts):
        click.echo(f"  {row}")
    if facts and facts.changes:
        click.secho(f"  {_summary(facts.changes)}", dim=True, color=_coloured())
    click.secho(f"  pkgrun run show {record.run[:13]}", dim=True, color=_coloured())


_MADE = {"training": "trained", "full": "trained and evaluated,", "evaluation": "evaluated"}
_FOLDERS = {"training": contract.DATA, "full": contract.DATASET, "evaluation": contract.EVALUATION_DATA}


def _score_row(facts: Facts | None) -> list[tuple[str, str]]:
    if facts is None or facts.score is None:
        return []
    before = facts.baseline_score
    was = f"  (before the training: {text.number(before)})" if before is not None else ""
    return [("score", f"{text.number(facts.score)}{was}")]


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
        _failure(pages.console(stderr=True), record, log)


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
    # Lines are left to the terminal: one that is broken here could be neither searched for nor copied.
    if error.traceback:
        page.print(text.plain(error.traceback.rstrip()), style="dim", soft_wrap=True)
    phase = f" (phase {error.phase})" if error.phase and "\n" not in error.message else ""
    page.print("error: ", style="bold red", end="")
    page.print(f"{record.subject} {record.parent or ''} {_ENDS.get(record.status, record.status)}: ", end="")
    page.print(text.plain(error.message + phase), soft_wrap=True)
    if error.hint:
        page.print("hint: ", style="bold cyan", end="")
        page.print(text.plain(error.hint), soft_wrap=True)


def _last(log: Iterable[Event], count: int) -> list[Log]:
    """The last lines that the package's code wrote."""
    return list(deque((event for event in log if isinstance(event, Log)), maxlen=count))


def run(record: RunRecord, log: Iterable[Event], store: str, removal: Removal | None = None) -> None:
    """Everything about a run on one page; `removal`: of the version that it made."""
    page = pages.console()
    _headline(page, record)
    if removal:
        pages.table(page, pages.removal_rows(removal, "its version was removed"))
    pages.table(page, _run_rows(record, store))
    if record.reproduced:
        page.print()
        reproduction_pages.verdict(page, record, {}, alone=False)
    if record.facts:
        _phases(page, record.facts)
        pages.listing(page, "metrics", _metric_rows(record.facts))
        if record.facts.data:
            _data(page, record.facts.data, "the dataset", _FOLDERS[record.pipeline])
        if record.facts.evaluation_data:
            _data(page, record.facts.evaluation_data, "the evaluation set", contract.DATASET_TEST)
        if record.facts.changes:
            _changes(page, record.facts.changes)
        pages.listing(page, "warnings", [text.plain(warning) for warning in record.facts.warnings])
    if record.error:
        page.print()
        _print_error(page, record)
    tail = _last(log, _TAIL // 2)
    pages.listing(page, "last lines of the log", [f"│ {text.line(event.text)}" for event in tail])


def _headline(page: Console, record: RunRecord) -> None:
    symbol, style = STYLES[record.status]
    page.print(f"{symbol} {record.status}", style=f"bold {style}", end="")
    if record.parent and record.version:
        made = f"{record.package} {record.parent} → {record.version}"
    else:
        again = record.reproduced.version if record.reproduced else None
        made = f"{record.subject} {record.number or again or record.parent or record.version or ''}".rstrip()
    page.print(f"  {record.kind}{' of ' if made else ''}", end="")
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
    if record.heard:
        yield "last heard", f"{text.moment(record.heard)} ({text.age(record.heard)})"
    if request:
        yield from _request_rows(record)
    if record.source:
        yield from _copy_rows(record.source, record.copied)
    yield from _erasure_rows(record)
    if facts:
        yield from _facts_rows(facts)
    if record.git:
        yield pages.git_row(record.git)
    if record.subject and record.kind not in ("dataset", "copy"):
        yield "input", pages.tree(record.input) if record.input else "-"
    if record.output:
        yield "output", pages.tree(record.output)
    yield "in the store", text.line(f"{store}/runs/{record.run}")


def _erasure_rows(record: RunRecord) -> Iterable[tuple[str, str]]:
    if record.erasure:
        yield "erased", record.erasure.digest
        yield "because", text.line(text.plain(record.erasure.reason))
    if record.erased:
        yield "freed", text.size(record.erased.bytes)


def _copy_rows(source: CopyRequest, copied: Copied | None) -> Iterable[tuple[str, str]]:
    yield "copied from", text.line(source.source)
    if copied:
        shares = (copied.versions, "version"), (copied.datasets, "dataset"), (copied.runs, "run")
        words = [text.plural(share.copied, what) for share, what in shares]
        words += [text.plural(copied.removals, "removal")] if copied.removals else []
        yield (
            "brought",
            ", ".join([*words, f"{text.plural(copied.files, 'file')} ({text.size(copied.bytes)})"]),
        )


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
    yield from pages.label_rows(request.description, request.tags)


def _facts_rows(facts: Facts) -> Iterable[tuple[str, str]]:
    yield from _score_row(facts)
    for what, data in (("data", facts.data), ("evaluation set", facts.evaluation_data)):
        if data:
            proof = "attested" if data.attested else f"NOT attested: {_doubt(data)}"
            yield what, f"{text.line(data.source)}  by {data.mount}, {proof}"
            yield "", pages.tree(data.tree)
    for given in facts.passed:
        proof = "" if given.attested else "  NOT attested"
        yield (
            f"given to {text.line(given.call)}",
            f"{text.line(given.folder)}  {pages.tree(given.tree)}{proof}",
        )
    if facts.snapshot:
        yield "snapshot", pages.tree(facts.snapshot)
    if facts.evaluation_snapshot:
        yield "", pages.tree(facts.evaluation_snapshot)
    if facts.artifacts:
        yield "artifacts", pages.extent(facts.artifacts)
    yield from _surroundings_rows(facts)
    if facts.usage:
        peak = text.size(facts.usage.peak_memory_bytes)
        yield "used", f"{facts.usage.cpu_seconds:.2f} s of processor time, {peak} of memory at the peak"


def _surroundings_rows(facts: Facts) -> Iterable[tuple[str, str]]:
    """What the package's code ran in."""
    if facts.environment:
        one = facts.environment
        yield "environment", f"Python {one.python} on {one.platform}, {one.mode}, lock {one.lock.digest[:19]}"
        yield from pages.requirement_rows(one)
    if facts.devices:
        yield "shown", ", ".join(_device(device) for device in facts.devices)
    if facts.confined:
        yield "held by", _held_by(facts.confined)


def _device(device: Device) -> str:
    about = [text.size(device.memory)] if device.memory is not None else []
    about += [f"driver {device.driver}"] if device.driver else []
    named = text.line(device.name or device.id)
    return f"{named} ({', '.join(about)})" if about else named


def _held_by(confined: Confined) -> str:
    means = (
        ("memory", confined.memory),
        ("processors", confined.cpus),
        ("storage", confined.storage),
    )
    held = [f"{what} by {how}" for what, how in means if how]
    return ", ".join([f"sandbox {confined.sandbox}", *held])


def _doubt(data: Data) -> str:
    changed = f"{text.plural(data.unstable.count, 'file')} changed while the code ran"
    return text.line(data.doubt) if data.doubt else changed


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


def _changes(page: Console, changes: Changes) -> None:
    unexpected = set(changes.unexpected.names)
    page.print("\nfiles", style="bold", end="")
    page.print(f"  {_summary(changes)}", style="dim")
    pages.signed(page, pages.CHANGED, changes.changed)
    pages.signed(page, pages.ADDED, changes.added, noted=unexpected, note="new place")
    pages.signed(page, pages.REMOVED, changes.removed)


def _data(page: Console, data: Data, what: str, folder: str) -> None:
    """What became of a dataset meanwhile, and what the package's code did to its own view of it."""
    if data.unstable.count:
        page.print(f"\n{what} itself", style="bold", end="")
        when = "while it was copied" if data.attested else "while the code ran"
        page.print(f"  {text.plural(data.unstable.count, 'file')} changed {when}", style="dim")
        pages.signed(page, pages.CHANGED, data.unstable)
    written = data.written
    if written and (written.changed.count or written.added.count or written.removed.count):
        page.print(f"\nwritten into {folder}/", style="bold", end="")
        page.print(f"  {_counts(written)}", style="dim")
        pages.signed(page, pages.CHANGED, written.changed)
        pages.signed(page, pages.ADDED, written.added)
        pages.signed(page, pages.REMOVED, written.removed)


def killed(was: RunRecord, now: RunRecord, *, waited: bool) -> str:
    """What became of the wish that a run end."""
    name = f"the run {now.run[:13]}"
    if was.final:
        return f"{name} had ended before: {_how(was)}"
    if now.final:
        return f"{name} has ended: {_how(now)}"
    if now.status == "silent" and now.heard:
        return (
            f"{name} on {now.by.host} has given no sign of life since {text.moment(now.heard)}; it ends if it comes back"
            "\nhint: `pkgrun run recover` gives it up"
        )
    if not waited:
        return f"{name} was asked to end"
    return f"{name} has not ended yet; it was asked to, and ends as soon as its supervisor sees it"


def _how(record: RunRecord) -> str:
    said = _ENDS.get(record.status, record.status)
    return f"{said}, {record.error.message}" if record.error else said


def recovery_document(found: Recovery, store: str) -> dict[str, Any]:
    """What was recovered, as JSON."""
    failed = [
        {
            "run_id": one.run,
            "error": {"kind": one.error.kind, "message": one.error.message, "hint": one.error.hint},
        }
        for one in found.failed
    ]
    done = [{"done": one.done, **document(one.record, store)} for one in found.done]
    return {"recovered": done, "open": list(found.open), "failed": failed}


def recovered(done: Sequence[Recovered]) -> None:
    """What was recovered, as a table."""
    rows = [(one.record.run[:13], one.record.kind, one.record.subject, text.line(_done(one))) for one in done]
    pages.columns(pages.console(), ("run", "type", "name", "what was done"), rows)


def _done(one: Recovered) -> str:
    record = one.record
    if one.done == "rewritten":
        return "its results were written again"
    if one.done == "given-up" or record.error:
        return f"{record.status}: {record.error.message if record.error else ''}"
    number = record.version or record.number
    return f"carried out: {record.subject} {number}" if number else "carried out"


def _counts(written: Written) -> str:
    """How much there is of each; folders are among them, so they are no counts of files."""
    counts = (
        ("changed", written.changed.count),
        ("added", written.added.count),
        ("removed", written.removed.count),
    )
    return ", ".join(f"{count:,} {how}" for how, count in counts if count)


def listing(records: list[RunRecord]) -> None:
    """Runs as a table, the newest first; on a narrow terminal scores stand without their names."""
    page = pages.console()
    wide = page.width >= pages.ROOMY
    rows = [_run_row(record, named=wide) for record in records]
    subject = "package" if all(record.package for record in records) else "name"
    heads = ("run", "type", subject, "version", "status", "created", "took", "score")
    styles = {"status": [STYLES[record.status][1] for record in records]}
    pages.columns(page, heads, rows, right=("took",), styles=styles)


def _run_row(record: RunRecord, *, named: bool) -> tuple[str, ...]:
    again = record.reproduced.version if record.reproduced else None
    ends = [str(one) for one in (again or record.parent, record.version) if one]
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


def _score(record: RunRecord, *, named: bool) -> str:
    """The run's score, else the metric that most looks like one; of a reproduction its verdict."""
    facts = record.facts
    if facts is not None and facts.reproduced is not None:
        return facts.reproduced.verdict
    if facts is None:
        return ""
    if facts.score is not None:
        return text.number(facts.score)
    chosen = telling(facts.metrics or {})
    if chosen is None:
        return ""
    value = text.number(chosen[1])
    return f"{value} {text.line(chosen[0])}" if named else value


def telling(metrics: Mapping[str, float]) -> tuple[str, float] | None:
    """The metric that most looks like a score, by its name; else the first."""
    found = (pair for pair in metrics.items() if _TELLING.search(pair[0]))
    return next(found, next(iter(metrics.items()), None))
