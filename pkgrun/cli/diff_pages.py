"""What differs between two versions, runs or datasets, laid out for reading, and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pkgrun.cli import pages, text
from pkgrun.lineage.drawing.picture import clipped

if TYPE_CHECKING:
    from rich.console import Console

    from pkgrun.lineage.difference import (
        Change,
        DataChange,
        Diff,
        FileChange,
        Files,
        Given,
        How,
        Section,
        Side,
    )
    from pkgrun.runs.comparison import Value

_SIGNS: dict[How, tuple[str, str]] = {
    "changed": pages.CHANGED,
    "added": pages.ADDED,
    "removed": pages.REMOVED,
}
_FILES = 20
_FACTS = 30
_NONE = "-"
_BEGUN = " that it started from; it made none"


def document(found: Diff) -> dict[str, Any]:
    """A diff as JSON: everything that differs."""
    return {
        "one": _side(found.one),
        "other": _side(found.other),
        "same": found.same,
        "files": _files_document(found.files),
        "data": [
            {
                "name": one.name,
                "same": one.same,
                "one": _given(one.one),
                "other": _given(one.other),
                "files": _files_document(one.files),
            }
            for one in found.data
        ],
        **{section.topic: _section_document(section) for section in found.sections},
    }


def _side(side: Side) -> dict[str, Any]:
    return {
        "label": side.label,
        "what": side.what,
        "tree": pages.dump(side.tree) if side.tree else None,
        "holds": side.holds,
    }


def _given(given: Given | None) -> dict[str, Any] | None:
    if given is None:
        return None
    return {"source": given.source, "tree": pages.dump(given.tree), "attested": given.attested}


def _files_document(files: Files) -> dict[str, Any]:
    changes = None
    if files.changes is not None:
        changes = [
            {
                "path": one.path,
                "how": one.how,
                "before": one.before,
                "after": one.after,
                "executable_changed": one.executable,
                **({"patch": one.patch} if one.patch is not None else {}),
            }
            for one in files.changes
        ]
    return {"same": files.same, "why": files.why, "changes": changes}


def _section_document(section: Section) -> dict[str, Any]:
    return {
        "same": section.same,
        "why": section.why,
        "changes": [
            {"name": one.name, "before": one.before, "after": one.after, "better": one.better}
            for one in section.changes
        ],
    }


# ---------------------------------------------------------------------- for reading


def page(found: Diff, *, everything: bool) -> None:
    """The two names, then topic after topic; what is the same is said in one line."""
    out = pages.console()
    for sign, side in ((pages.REMOVED, found.one), (pages.ADDED, found.other)):
        extent = f"  {pages.extent(side.tree)}" if side.tree else ""
        out.print(sign[0], style=sign[1], end=" ")
        out.print(f"{text.line(side.label)}", style="bold", end="")
        out.print(f"  {side.what}{extent}{_BEGUN if side.holds == 'started-from' else ''}", style="dim")
    out.print()
    _files(out, "files", found.files, everything=everything)
    for data in found.data:
        _data(out, data, everything=everything)
    for section in found.sections:
        _section(out, section, everything=everything)


def _title(out: Console, title: str, said: str, *, style: str = "dim") -> None:
    out.print(f"{title:<15}", style="bold", end=" ")
    out.print(said, style=style, soft_wrap=True)


def _files(out: Console, title: str, files: Files, *, everything: bool) -> None:
    if files.changes is None:
        _title(out, title, f"cannot be told: {text.line(files.why or '')}", style="yellow")
        return
    if files.same:
        _title(out, title, "the same")
        return
    _title(out, title, _counts(files))
    _changes(out, files.changes, everything=everything)


def _counts(files: Files) -> str:
    return ", ".join(f"{text.plural(files.counts[how], 'file')} {how}" for how in _SIGNS if files.counts[how])


def _changes(out: Console, changes: Sequence[FileChange], *, everything: bool) -> None:
    shown = changes if everything else changes[:_FILES]
    for one in shown:
        sign, style = _SIGNS[one.how]
        out.print(f"  {sign}", style=style, end=" ")
        out.print(text.line(one.path), end="", soft_wrap=True)
        out.print(f"  {_sizes(one)}", style="dim")
        _patch(out, one.patch)
    if len(changes) > len(shown):
        out.print(f"  … and {len(changes) - len(shown):,} more; --all names them", style="dim")


def _sizes(one: FileChange) -> str:
    before, after = (None if size is None else text.size(size) for size in (one.before, one.after))
    how = ", executable or not" if one.executable else ""
    if before is None or after is None:
        return f"{before or after}"
    exactly = f"{one.before:,} → {one.after:,} B" if before == after and one.before != one.after else None
    return (exactly or (before if before == after else f"{before} → {after}")) + how


def _patch(out: Console, patch: str | None) -> None:
    """Lines of a diff, harmless to a terminal."""
    for line in (patch or "").split("\n")[2:]:
        style = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1], "dim")
        out.print("    " + text.line(line), style=style, soft_wrap=True)


def _data(out: Console, data: DataChange, *, everything: bool) -> None:
    if data.same and data.one and data.other:
        named = [given for given in (data.one, data.other) if not _stored(given)] or [data.one]
        names = dict.fromkeys(_called(out, given) for given in named)
        _title(out, data.name, f"the same: {' → '.join(names)} ({_digest(data.one, data.other)})")
        return
    _title(out, data.name, f"{_source(out, data.one)} → {_source(out, data.other)}", style="")
    if data.one is None or data.other is None:
        return
    if data.files.changes is None:
        out.print(f"  which files cannot be told: {text.line(data.files.why or '')}", style="yellow")
        return
    out.print(f"  {_counts(data.files) or 'no file differs'}", style="dim")
    _changes(out, data.files.changes, everything=everything)


def _stored(given: Given) -> bool:
    """Whether it was the store's own copy, which has no other name; an earlier run's name tells more."""
    return given.attested and given.source == given.tree.digest


def _source(out: Console, given: Given | None) -> str:
    if given is None:
        return _NONE
    return f"{_called(out, given)} ({_digest(given)})"


def _called(out: Console, given: Given) -> str:
    """What a run was told, so short that two of them fit a line."""
    return clipped(text.line(text.brief(text.shown(given.source))), max(15, out.width // 2 - 25))


def _digest(*given: Given) -> str:
    doubt = "" if all(one.attested for one in given) else ", not attested"
    return given[0].tree.digest[7:19] + doubt


def _section(out: Console, section: Section, *, everything: bool) -> None:
    if section.why is not None:
        _title(out, section.topic, text.line(section.why))
        return
    if section.same:
        _title(out, section.topic, "the same")
        return
    _title(out, section.topic, text.plural(len(section.changes), "difference"))
    shown = section.changes if everything else section.changes[:_FACTS]
    for one in shown:
        _fact(out, one)
    if len(section.changes) > len(shown):
        out.print(f"  … and {len(section.changes) - len(shown):,} more; --all names them", style="dim")


def _fact(out: Console, one: Change) -> None:
    before, after = _values(one)
    out.print(f"  {text.line(one.name)}", style="dim", end="  ")
    out.print(before, style="bold green" if one.better == "one" else "", end="", soft_wrap=True)
    out.print(" → ", style="dim", end="")
    mark = {"other": "  better", "one": "  worse"}.get(one.better or "", "")
    out.print(after, style="bold green" if one.better == "other" else "", end="", soft_wrap=True)
    out.print(mark, style="green" if one.better == "other" else "red")


def _values(one: Change) -> tuple[str, str]:
    """As short as they can be without looking the same."""
    short = _value(one.before, one.name), _value(one.after, one.name)
    return short if short[0] != short[1] else (_exact(one.before), _exact(one.after))


def _value(value: Value, name: str) -> str:
    if isinstance(value, str) and value.startswith("sha256:"):
        return value[7:19]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return text.duration(value) if name == "seconds" else text.number(value)
    return _exact(value)


def _exact(value: Value) -> str:
    if value is None:
        return _NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    return text.line(value) if isinstance(value, str) else repr(value)
