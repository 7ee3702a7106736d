"""Pages about what is wrong with a store, by how bad it is, and about what was done."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from pkgrun.cli import text

if TYPE_CHECKING:
    from rich.console import Console

    from pkgrun.runs.mending import Repaired
    from pkgrun.store.fsck.findings import Finding, Report

_NAMED = 10
_NEEDS = 5
_MEANING = {
    "hole": ("missing or altered, though it was acknowledged", "bold red"),
    "damage": ("altered, and all of it is elsewhere or not needed", "yellow"),
    "pending": ("not carried out yet", "cyan"),
    "rubbish": ("not needed by anybody", "dim"),
    "note": ("as it should be", "dim"),
}


def document(report: Report) -> dict[str, Any]:
    """A report as JSON."""
    scope = report.scope
    return {
        "sound": report.sound,
        "counts": dict(report.counts),
        "affected": list(report.affected),
        "findings": [finding(one) for one in report.findings],
        "records": scope.records,
        "objects": scope.objects,
        "bytes": scope.bytes,
        "bytes_read": scope.read,
        "seed": scope.seed,
    }


def finding(one: Finding) -> dict[str, Any]:
    return {
        "kind": one.kind,
        "severity": one.severity,
        "key": text.shown(one.key),
        "message": text.shown(one.message),
        "hint": one.hint,
        "needed_by": [{"label": need.label, "path": text.shown(need.path)} for need in one.needed_by],
        "bytes": one.size,
        "digests": sorted("sha256:" + raw.hex() for raw in one.digests),
    }


def report(report: Report, *, every: bool) -> None:
    """A table of each severity; of what is bad, whom it concerns. `every`: name everything."""
    from pkgrun.cli import pages

    page = pages.console()
    for severity, group in groupby(report.findings, key=lambda one: one.severity):
        found, (meaning, style) = list(group), _MEANING[severity]
        page.print(f"{severity}: {meaning}", style=style)
        _table(page, found)
        if severity == "rubbish" and not every:
            page.print()
            continue
        for one in found if every else found[:_NAMED]:
            page.print("  " + text.line(text.shown(one.message)))
            for line in needed(one, every=every):
                page.print("    " + line, style="dim")
        _more(page, len(found) - _NAMED, every=every)
        for hint in dict.fromkeys(one.hint for one in found):
            page.print(f"  hint: {hint}", style="cyan")
        page.print()


def _table(page: Console, found: Sequence[Finding]) -> None:
    """How many of each kind, and how large the files."""
    from pkgrun.cli import pages

    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for one in found:
        sums[one.kind][0] += 1
        sums[one.kind][1] += one.size
    rows = [(f"  {kind}", f"{count:,}", text.size(size)) for kind, (count, size) in sums.items()]
    pages.columns(page, ("  what", "count", "size"), rows, right=("count", "size"))


def needed(one: Finding, *, every: bool) -> Iterator[str]:
    paths: dict[str, list[str]] = defaultdict(list)
    for need in one.needed_by:
        paths[need.label] += [text.line(text.shown(need.path))] if need.path else []
    shown = list(paths.items())[: None if every else _NEEDS]
    for label, places in shown:
        yield f"needed by {label}" + (f": {', '.join(places)}" if places else "")
    if len(paths) > len(shown):
        yield f"… and by {len(paths) - len(shown)} more"


def _more(page: Console, more: int, *, every: bool) -> None:
    if more > 0 and not every:
        page.print(f"  … and {more:,} more; -v names all", style="dim")


def remarks(report: Report) -> list[str]:
    """What was looked at, and what that means."""
    scope = report.scope
    read = (
        f"{text.size(scope.read)} read and hashed"
        if scope.read
        else "sizes and indexes compared, no bytes read"
    )
    if scope.seed is not None:
        read += f", with --seed {scope.seed}"
    seen = f"{text.plural(scope.records, 'record')} and {text.plural(scope.objects, 'object')}"
    said = [f"{seen} of {text.size(scope.bytes)}; {read}"]
    if report.affected:
        named = ", ".join(report.affected[:_NAMED])
        more = len(report.affected) - _NAMED
        said.append(f"not whole: {named}" + (f" and {more} more" if more > 0 else ""))
    elif report.sound:
        said.append("all that was acknowledged is there")
    return said


# ---------------------------------------------------------------------- repair


def repaired_document(done: Repaired) -> dict[str, Any]:
    """A repair, or the plan of one, as JSON."""
    return {
        "run_id": done.run,
        "sound": done.sound,
        "steps": [
            {"action": step.action, "key": text.shown(step.key), "message": text.shown(step.message)}
            for step in done.plan.steps
        ],
        "hopeless": [finding(one) for one in done.plan.hopeless],
        "lost": list(done.lost),
        "before": document(done.plan.report),
        "after": document(done.after) if done.after else None,
    }


def repaired(done: Repaired, *, every: bool) -> None:
    """What is done, or would be, and what nothing can be done about."""
    from pkgrun.cli import pages
    from pkgrun.store.fsck.findings import FROM, REPAIR

    page, steps, hopeless = pages.console(), done.plan.steps, done.plan.hopeless
    if steps:
        page.print("done" if done.run else "what would be done", style="bold")
        for step in steps if every else steps[:_NAMED]:
            page.print(f"  {step.action:<14}  {text.line(text.shown(step.message))}")
        _more(page, len(steps) - _NAMED, every=every)
        page.print()
    if hopeless:
        page.print("what cannot be repaired", style="bold red")
        for one in hopeless if every else hopeless[:_NAMED]:
            page.print("  " + text.line(text.shown(one.message)))
            for line in needed(one, every=every):
                page.print("    " + line, style="dim")
            if one.hint not in (REPAIR, FROM):  # which is what was just tried
                page.print(f"    hint: {one.hint}")
        _more(page, len(hopeless) - _NAMED, every=every)
        page.print()
    if done.after is not None and not done.after.sound:
        page.print("what is left", style="bold")
        report(done.after, every=every)


def repair_remarks(done: Repaired) -> list[str]:
    """What it came to."""
    if not done.plan.steps and not done.plan.hopeless:
        return ["nothing to repair"]
    said = []
    if done.run:
        said.append(f"{text.plural(len(done.plan.steps), 'step')} done, by the run {done.run}")
    elif done.plan.steps:
        said.append("nothing was changed; --yes does it")
    if done.lost:
        said.append(f"{text.plural(len(done.lost), 'content')} lost; adding the same again brings it back")
    if done.after and done.after.sound:
        said.append("all that was acknowledged is there")
    return said
