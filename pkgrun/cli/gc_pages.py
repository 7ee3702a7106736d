"""Pages about a collection: what it would do, with the reason for each object, and what it did."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from pkgrun.cli import keeping, text

if TYPE_CHECKING:
    from rich.console import Console

    from pkgrun.runs.collecting import Collection, Outlook
    from pkgrun.store.collecting import Plan, Waiting

_RUNS = 3


class _Line(NamedTuple):
    """One object, or one pack, and what becomes of it."""

    what: str
    why: str
    bytes: int
    key: str


def plan(outlook: Outlook, *, every: bool) -> None:
    """What would be done, by reason with counts and sizes; `every` object, if that is wanted."""
    from pkgrun.cli import pages

    page, lines = pages.console(), list(_lines(outlook.plan))
    if outlook.verdicts:
        keeping.table(outlook.verdicts)
        page.print()
    if lines:
        _sums(page, lines)
        page.print()
    if every and lines:
        _each(page, lines)
        page.print()
    page.print(f"{text.size(outlook.plan.needed)} of {text.size(outlook.plan.total)} in the store are needed")


def _lines(plan: Plan) -> Iterator[_Line]:
    for doomed in plan.condemn:
        yield _Line("condemn", doomed.reason, doomed.bytes, doomed.key)
    for one in plan.rewrite:
        yield _Line("rewrite", f"a pack: {one.reason}", one.size, f"packs/{one.pack}.pack")
    for sentence in plan.due:
        for doomed in sentence.objects:
            yield _Line("delete", f"condemned {text.age(sentence.created)}", doomed.bytes, doomed.key)
    for one_waiting in plan.waiting:
        for doomed in one_waiting.sentence.objects:
            yield _Line("wait", _until(one_waiting), doomed.bytes, doomed.key)
    for leftover in plan.leftovers:
        yield _Line("delete", "a writer that died left it", leftover.bytes, leftover.key)


def _until(one: Waiting) -> str:
    """Why a sentence waits."""
    why = []
    if one.seconds:
        why.append(f"for {text.duration(one.seconds)} more")
    if one.runs:
        named = ", ".join(run[:13] for run in one.runs[:_RUNS])
        more = f" and {len(one.runs) - _RUNS} more" if len(one.runs) > _RUNS else ""
        why.append(f"for the end of {'run' if len(one.runs) == 1 else 'runs'} {named}{more}")
    return "condemned, waits " + " and ".join(why)


def _sums(page: Console, lines: Sequence[_Line]) -> None:
    from pkgrun.cli import pages

    sums: dict[tuple[str, str], list[int]] = {}
    for line in lines:
        sums.setdefault((line.what, line.why), []).append(line.bytes)
    heads = ("", "objects", "size", "because")
    rows = [
        (what, f"{len(sizes):,}", text.size(sum(sizes)), text.line(why))
        for (what, why), sizes in sums.items()
    ]
    pages.columns(page, heads, rows, right=("objects", "size"))


def _each(page: Console, lines: Iterable[_Line]) -> None:
    from pkgrun.cli import pages

    heads = ("", "size", "object", "because")
    rows = [(line.what, text.size(line.bytes), _short(line.key), text.line(line.why)) for line in lines]
    pages.columns(page, heads, rows, right=("size",))


def _short(key: str) -> str:
    """A key, cut where nobody reads on; JSON has it whole."""
    folder, _, name = key.partition("/")
    return f"{folder}/{name.rpartition('/')[2][:12]}"


def remarks(outlook: Outlook, grace: float) -> list[str]:
    """What the plan means."""
    plan, said = outlook.plan, []
    if outlook.verdicts:
        said += keeping.remarks(outlook.verdicts)
        if outlook.going:
            said.append("what only these versions need is not in the plan yet")
    if plan.condemn or plan.rewrite or plan.due or plan.leftovers or outlook.going:
        said.append("nothing was done; --yes does it")
    else:
        said.append("nothing to do" + ("" if plan.waiting or plan.open else ": all that is there is needed"))
    if plan.condemn or plan.rewrite:
        when = "at once" if grace == 0 else f"by the first collection after {text.duration(grace)}"
        said.append(f"what is condemned now is deleted {when}")
    if plan.open:
        one = len(plan.open) == 1
        said.append(
            f"{text.plural(len(plan.open), 'operation')} {'goes' if one else 'go'} on: what was written since is left "
            f"alone, and what is condemned waits for {'its' if one else 'their'} end"
        )
    return said


def done(done: Collection) -> list[str]:
    """What was done: on standard output what counts; the remarks besides."""
    found = done.collected
    click.echo(
        f"condemned {text.plural(found.condemned, 'object')}, {text.size(found.condemned_bytes)}; "
        f"deleted {text.plural(found.deleted, 'object')}; freed {text.size(max(0, found.freed_bytes))}"
    )
    said = []
    if done.lost:
        said.append(
            f"{text.plural(len(done.lost), 'operation')} given up, because nobody works on them any more"
        )
    if done.removed:
        said += keeping.done(done.removed, freed=True)
    if found.rewritten:
        anew = f"{text.plural(found.rewritten, 'pack')} written anew, {text.size(found.written_bytes)}"
        more = f": {text.size(-found.freed_bytes)} more until the old ones are deleted"
        said.append(anew + (more if found.freed_bytes < 0 else ""))
    for one in found.waiting:
        objects = one.sentence.objects
        size = text.size(sum(doomed.bytes for doomed in objects))
        said.append(f"{text.plural(len(objects), 'object')}, {size}: {_until(one)}")
    return said


# ---------------------------------------------------------------------- JSON


def plan_document(outlook: Outlook) -> dict[str, Any]:
    """A plan as JSON, each object with its reason."""
    plan = outlook.plan
    return {
        "needed": plan.needed,
        "total": plan.total,
        "prune": keeping.documents(outlook.verdicts),
        "condemn": [doomed.model_dump() for doomed in plan.condemn],
        "rewrite": [
            {"pack": one.pack, "bytes": one.size, "needed": one.share.live_bytes, "reason": one.reason}
            for one in plan.rewrite
        ],
        "due": [sentence.model_dump(mode="json", exclude={"format"}) for sentence in plan.due],
        "waiting": [_waiting(one, whole=True) for one in plan.waiting],
        "leftovers": [{"key": one.key, "bytes": one.bytes} for one in plan.leftovers],
        "open": list(plan.open),
    }


def _waiting(one: Waiting, *, whole: bool) -> dict[str, Any]:
    objects = one.sentence.objects
    return {
        "id": one.sentence.id,
        "created": one.sentence.created,
        "seconds": round(one.seconds),
        "runs": list(one.runs),
        "bytes": sum(doomed.bytes for doomed in objects),
        "objects": [doomed.model_dump() for doomed in objects] if whole else len(objects),
    }


def done_document(done: Collection) -> dict[str, Any]:
    """What was done, as JSON."""
    found = done.collected
    return {
        "lost": list(done.lost),
        "removed": [keeping.removed(one) for one in done.removed],
        "condemned": found.condemned,
        "condemned_bytes": found.condemned_bytes,
        "deleted": found.deleted,
        "deleted_bytes": found.deleted_bytes,
        "freed_bytes": found.freed_bytes,
        "rewritten": found.rewritten,
        "written_bytes": found.written_bytes,
        "waiting": [_waiting(one, whole=False) for one in found.waiting],
    }
