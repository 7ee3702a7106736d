"""An audit, laid out for reading, and as JSON: what was proven of each step, from the bytes up, and what was not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from pkgrun.cli import check_pages, pages, text

if TYPE_CHECKING:
    from rich.console import Console

    from pkgrun.lineage.audited import Audit, Check, Elsewhere, Given, Step, Verdict, What

_VERDICTS: dict[Verdict, tuple[str, str]] = {
    "verified": ("✓", "bold green"),
    "verified-with-reservations": ("✓", "bold yellow"),
    "broken": ("✗", "bold red"),
}
_RUNGS: tuple[What, ...] = ("bytes", "directories", "run", "decision", "record")
_STEPS = 12
_NAMED = 10


def document(found: Audit) -> dict[str, Any]:
    """An audit as JSON."""
    return {
        "version": found.name,
        "verdict": found.verdict,
        "record": found.record,
        "fingerprint": found.fingerprint or None,
        "fingerprint_of": list(found.records),
        "expected": found.expected,
        "steps": [_step(step) for step in found.steps],
        "chain": _check(found.chain),
        "elsewhere": [_elsewhere(one) for one in found.elsewhere],
        "findings": [check_pages.finding(one) for one in found.findings],
        "reservations": [
            {"kind": one.kind, "about": one.about, "message": text.shown(one.message)}
            for one in found.reservations
        ],
        "records": found.scope.records,
        "objects": found.scope.objects,
        "bytes_read": found.scope.read,
    }


def _step(step: Step) -> dict[str, Any]:
    return {
        "label": step.label,
        "part": step.part,
        "kind": step.kind,
        "run_id": step.run,
        "created": step.created,
        "record": step.digest,
        "commit": step.commit,
        "ok": step.ok,
        "checks": {check.what: _check(check) for check in step.checks},
        "given": [_given(one) for one in step.given],
    }


def _check(check: Check) -> dict[str, Any]:
    return {"count": check.count, "bytes": check.bytes, "erased": check.erased, "ok": check.ok}


def _elsewhere(one: Elsewhere) -> dict[str, Any]:
    return {
        "label": one.label,
        "origin": one.origin,
        "store": text.shown(one.store),
        "verdict": one.verdict,
        "fingerprint": one.fingerprint or None,
    }


def _given(one: Given) -> dict[str, Any]:
    return {
        "role": one.role,
        "dataset": one.label,
        "source": text.shown(one.source),
        "tree": pages.dump(one.tree),
        "attested": one.attested,
        "listed": one.listed,
        "kept": one.kept,
        "gone": one.gone,
    }


# ---------------------------------------------------------------------- for reading


def page(found: Audit, *, every: bool) -> None:
    """The verdict, the steps from the bytes up, what they were given, what weakens it, and what is wrong."""
    out = pages.console()
    mark, style = _VERDICTS[found.verdict]
    out.print(f"{mark} {found.name} {_in_words(found)}", style=style)
    pages.table(out, _heads(found))
    out.print()
    shown = found.steps if every else _shown(found.steps)
    _ladder(out, shown)
    if len(found.steps) > len(shown):
        out.print(
            f"  … and {len(found.steps) - len(shown):,} more, nothing wrong with them; -v shows all",
            style="dim",
        )
    for step in found.steps:
        if step.created is None and step.part != "evaluation":
            said = f"what {step.label} came from cannot be told, and was not looked at: its record cannot be read"
            out.print(said, style="red", soft_wrap=True)
    for step in found.steps:
        if step.commit:
            out.print(f"{step.label} is of the commit {step.commit[:12]}, as its import said", style="dim")
    out.print("each file is counted once, with the oldest that holds it", style="dim")
    link = "✓" if found.chain.ok else "✗"
    out.print()
    out.print(f"{link} chain", style="green" if found.chain.ok else "bold red", end="")
    out.print(f"  {_chain(found)}")
    for one in found.elsewhere:
        mark, style = _VERDICTS[one.verdict]
        said = f"{mark} {one.label} came from {one.origin} of {one.store}: audited there, {one.verdict}"
        out.print(text.line(text.shown(said)), style=style, soft_wrap=True)
        if one.fingerprint:
            out.print(f"  its fingerprint is {one.fingerprint}", style="dim", soft_wrap=True)
    _data(out, shown)
    _reservations(out, found)
    _findings(out, found, every=every)


def _in_words(found: Audit) -> str:
    if found.verdict == "broken":
        return "is broken: something is missing or altered"
    if found.verdict == "verified":
        return "is verified"
    return f"is verified, with {text.plural(len(found.reservations), 'reservation')}"


def _heads(found: Audit) -> Iterator[tuple[str, str]]:
    yield "record", found.record or "- (it cannot be read)"
    if found.fingerprint:
        yield "fingerprint", found.fingerprint
        yield "", f"of {text.plural(len(found.records), 'record')}: this one, and all that it rests on"
    else:
        yield "fingerprint", "- (a record that it is of is missing, or cannot be read)"


def _chain(found: Audit) -> str:
    if not found.chain.ok:
        return "is broken: a record is missing, or names another one before it than there is"
    beside = f", through {text.plural(found.chain.count, 'other record')}" if found.chain.count else ""
    return f"each record names the one before it, down to the first{beside}"


def _ladder(out: Console, steps: Sequence[Step]) -> None:
    """A line a step, a column a rung."""
    rows = []
    styles: dict[str, list[str]] = {head: [] for head in _RUNGS}
    for step in steps:
        checks = {check.what: check for check in step.checks}
        for head in _RUNGS:
            check = checks.get(head)
            styles[head].append("" if check is None or check.ok else "bold red")
        rows.append((_name(step), *(_cell(head, step, checks.get(head)) for head in _RUNGS)))
    names = ["" if step.ok else "bold red" for step in steps]
    pages.columns(out, ("", *_RUNGS), rows, styles={**styles, "": names})


def _shown(steps: Sequence[Step]) -> list[Step]:
    """The first of each part, and all with which something is wrong."""
    seen: Counter[str] = Counter()
    shown = []
    for step in steps:
        kind = step.part if step.part in ("dataset", "evaluation") else "version"
        seen[kind] += 1
        if seen[kind] <= _STEPS or not step.ok:
            shown.append(step)
    return shown


def _name(step: Step) -> str:
    return {
        "evaluation": "  evaluation",
        "dataset": f"  data {step.label}",
        "origin": f"{step.label} (origin)",
    }.get(step.part, step.label)


def _cell(head: str, step: Step, check: Check | None) -> str:
    if check is None:
        return "-"
    mark = "✓" if check.ok else "✗"
    told = {
        "bytes": f"{text.plural(check.count, 'file')}, {text.size(check.bytes)}{_erased(check)}",
        "directories": f"{check.count:,}",
        "run": (step.run or "-")[:13],
        "record": (step.digest or "-")[7:19],
    }.get(head, "")
    return f"{mark} {told}".rstrip()


def _erased(check: Check) -> str:
    return f"; {check.erased:,} erased" if check.erased else ""


def _content(one: Given) -> str:
    """What there is of it, in a word."""
    if one.gone:
        return one.gone
    return "kept" if one.kept else "registered" if one.label else "listed" if one.listed else "digest only"


def _data(out: Console, steps: Sequence[Step]) -> None:
    """What the runs were given."""
    rows = [
        (
            "  " + ((step.run or "")[:13] if step.part == "evaluation" else step.label),
            one.role,
            "attested" if one.attested else "not attested",
            _content(one),
            one.tree.digest[7:19],
            pages.extent(one.tree),
            text.line(text.shown(one.source)),
        )
        for step in steps
        for one in step.given
    ]
    if rows:
        out.print("\ngiven", style="bold")
        pages.columns(out, ("  to", "as", "seen", "content", "digest", "extent", "from"), rows)


def _reservations(out: Console, found: Audit) -> None:
    if not found.reservations:
        return
    out.print("\nreservations", style="bold yellow")
    for one in found.reservations:
        out.print(f"  ! {text.line(text.shown(one.message))}", soft_wrap=True)


def _findings(out: Console, found: Audit, *, every: bool) -> None:
    if not found.findings:
        return
    out.print("\nwhat is wrong", style="bold red")
    shown = found.findings if every else found.findings[:_NAMED]
    for one in shown:
        mark = "✗" if one.severity in ("hole", "damage") else "·"
        out.print(f"  {mark} {one.kind}: {text.line(text.shown(one.message))}", soft_wrap=True)
        for line in check_pages.needed(one, every=every):
            out.print("      " + line, style="dim")
    if len(found.findings) > len(shown):
        out.print(f"  … and {len(found.findings) - len(shown):,} more; -v names all", style="dim")
    for hint in dict.fromkeys(one.hint for one in shown):
        out.print(f"  hint: {hint}", style="cyan")


def remarks(found: Audit) -> list[str]:
    """What was looked at, and what to do with the answer."""
    scope = found.scope
    seen = f"{text.plural(scope.records, 'record')} and {text.plural(scope.objects, 'object')}"
    said = [f"{seen} looked at; {text.size(scope.read)} read and hashed"]
    if found.sound and found.expected is None:
        said.append(
            "keep the fingerprint outside the store; --expect holds this version to it, whatever was rewritten"
        )
    elif found.sound:
        said.append("it is as expected")
    return said
