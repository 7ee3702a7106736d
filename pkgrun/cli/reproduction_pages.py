"""The verdict on a reproduction, laid out for reading, and the same as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pkgrun.cli import pages, text

if TYPE_CHECKING:
    from rich.console import Console

    from pkgrun.records import Cause, Data, Differing, Facts, Reproduction, RunRecord, Tree

_VERDICTS = {
    "identical": ("●", "green", "the same came out, byte for byte"),
    "differs": ("✗", "red", "what came out is not the same"),
    "unproven": ("○", "yellow", "nothing that came out differs, but that is not proof enough"),
}
_NAMED = 10


def document(record: RunRecord) -> dict[str, Any]:
    """What a run's document has more if it is a reproduction."""
    found = record.reproduced
    of = record.request.reproduces if record.request else None
    return {
        "of": of,
        "verdict": found.verdict if found else None,
        "differs": list(found.differs) if found else [],
        "doubts": list(found.doubts) if found else [],
        "causes": [pages.dump(one) for one in found.causes] if found else [],
    }


def done(record: RunRecord, excerpts: Mapping[str, Sequence[str]]) -> None:
    """The verdict, and what there is to say for it.

    Args:
        excerpts: of files that differ, by path, the first lines that do.
    """
    found = record.reproduced
    if found is None:
        return
    page = pages.console()
    verdict(page, record, excerpts)
    page.print()
    for line in _further(record, found):
        page.print(line, style="dim", soft_wrap=True)


def verdict(
    page: Console, record: RunRecord, excerpts: Mapping[str, Sequence[str]], *, alone: bool = True
) -> None:
    """The same, as a part of a page, which tells what went in if this is not `alone`."""
    found = record.reproduced
    if found is None:
        return
    sign, style, words = _VERDICTS[found.verdict]
    page.print(f"{sign} {found.verdict}", style=f"bold {style}", end="")
    page.print(f"  {record.package} {found.version or record.parent}: {words}")
    pages.table(page, [*_rows(found, record, alone=alone), *_numbers(found)])
    _files(page, "files that differ", found.files, "", found.causes, excerpts)
    _files(page, "artifacts that differ", found.artifacts, "artifacts/", found.causes, excerpts)
    pages.listing(page, "not shown to be the same", [text.plain(one) for one in found.doubts])
    causes = [one for one in found.causes if one.path is None]
    pages.listing(page, "known to cause it", [text.plain(one.message) for one in causes if one.known])
    pages.listing(page, "possible causes", [text.plain(one.message) for one in causes if not one.known])


def _rows(found: Reproduction, record: RunRecord, *, alone: bool) -> Iterator[tuple[str, str]]:
    yield "the full run" if record.pipeline == "full" else f"the {record.pipeline}", found.run
    facts = record.facts
    if alone and facts:
        yield from _given(facts)
    if found.tree:
        yield "version", _extent(found.files, found.tree)
    artifacts = facts.artifacts if facts else None
    if found.artifacts.count or (artifacts and artifacts.files):
        yield "artifacts", _extent(found.artifacts, artifacts)
    if found.passed:
        yield "prepared data", f"otherwise in {', '.join(text.line(folder) for folder in found.passed)}"


def _from(data: Data) -> str:
    return "the store" if data.source == data.tree.digest else text.line(data.source)


def _extent(found: Differing, tree: Tree | None) -> str:
    if not found.count:
        return f"the same {pages.extent(tree)}" if tree else "none, as then"
    counts = (("changed", found.changed), ("added", found.added), ("removed", found.removed))
    return ", ".join(f"{text.plural(files.count, 'file')} {how}" for how, files in counts if files.count)


def _given(facts: Facts) -> Iterator[tuple[str, str]]:
    for what, data in (("data", facts.data), ("evaluation set", facts.evaluation_data)):
        if data:
            yield what, f"{pages.tree(data.tree)}, from {_from(data)}"
    if facts.environment:
        yield "environment", f"Python {facts.environment.python}, lock {facts.environment.lock.digest[:19]}"


def _numbers(found: Reproduction) -> Iterator[tuple[str, str]]:
    for name, before, now in (
        ("score", found.before.score, found.now.score),
        ("baseline score", found.before.baseline_score, found.now.baseline_score),
    ):
        if before is not None or now is not None:
            yield name, _change(before, now)
    then, after = found.before.metrics or {}, found.now.metrics or {}
    for name in list(dict.fromkeys((*then, *after)))[:_NAMED]:
        if then.get(name) != after.get(name):
            yield text.line(name), _change(then.get(name), after.get(name))


def _change(before: float | None, now: float | None) -> str:
    """Both as exactly as it takes to tell them apart."""
    if before == now:
        return f"{text.number(now or 0.0)}, the same"
    one, other = ("none" if value is None else text.number(value) for value in (now, before))
    return f"{one}, then {other}" if one != other else f"{now!r}, then {before!r}"


def _files(
    page: Console,
    title: str,
    found: Differing,
    below: str,
    causes: Sequence[Cause],
    excerpts: Mapping[str, Sequence[str]],
) -> None:
    if not found.count:
        return
    page.print(f"\n{title}", style="bold")
    kinds = ((pages.CHANGED, found.changed), (pages.ADDED, found.added), (pages.REMOVED, found.removed))
    for (mark, style), files in kinds:
        for name in files.names[:_NAMED]:
            page.print(f"  {mark} ", style=style, end="")
            page.print(text.line(below + name))
            told = [one for one in causes if one.path == below + name]
            _why(page, told)
            if not any(one.known for one in told):
                _excerpt(page, excerpts.get(below + name, ()))
        if files.count > _NAMED:
            page.print(f"  {mark} … and {files.count - min(_NAMED, len(files.names)):,} more", style="dim")


def _why(page: Console, causes: Iterable[Cause]) -> None:
    for cause in causes:
        page.print("      known: " if cause.known else "      ", style="green" if cause.known else "", end="")
        page.print(text.plain(cause.message), soft_wrap=True)


def _excerpt(page: Console, lines: Sequence[str]) -> None:
    for line in lines:
        style = {"-": "red", "+": "green"}.get(line[:1], "dim")
        page.print(f"      {text.line(line)}", style=style, soft_wrap=True)


def _further(record: RunRecord, found: Reproduction) -> Iterator[str]:
    yield f"pkgrun run show {record.run[:13]}"
    if found.tree:
        yield f"pkgrun run artifacts {record.run[:13]} --package --out DIR    what it made, as a package"
