"""What happened, a line each, with rails that say what came from what; and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pkgrun.cli import graph, pages, text
from pkgrun.cli.run_pages import STYLES, telling
from pkgrun.lineage.drawing.picture import clipped

if TYPE_CHECKING:
    from pkgrun.lineage.history import Happening, History

_MADE = {"import": "imported", "training": "trained", "full": "trained", "copy": "copied"}
_DONE = {
    **_MADE,
    "evaluation": "evaluated",
    "reproduction": "reproduced",
    "removal": "removed",
    "erasure": "erased",
    "registration": "registered",
}
_TRIED = {
    "import": "import",
    "training": "training",
    "full": "full pipeline",
    "evaluation": "evaluation",
    "reproduction": "reproduction",
}
_SIGNS = {
    "evaluation": ("○", "magenta"),
    "reproduction": ("◇", "magenta"),
    "removal": ("✕", "red"),
    "erasure": ("✕", "red"),
}


def document(found: History) -> dict[str, Any]:
    """A history as JSON."""
    return {
        "name": found.name,
        "what": found.what,
        "earlier": found.earlier,
        "happenings": [_document(one) for one in found.happenings],
    }


def _document(one: Happening) -> dict[str, Any]:
    told = asdict(one) | {"at": one.at.isoformat().replace("+00:00", "Z")}
    run = told.pop("run")
    versions = {"version": one.version, "base": one.base}
    return told | {"run_id": run} | {name: str(of) if of else None for name, of in versions.items()}


def page(found: History) -> None:
    """A line for each thing that happened."""
    from rich.cells import cell_len
    from rich.text import Text

    out = pages.console()
    out.print(found.name, style="bold")
    drawings = graph.padded(graph.rails(list(_family(found))))
    narrow = out.width < pages.ROOMY
    longest = max(24, out.width // 3)
    rows = [_row(one, found, narrow=narrow, longest=longest) for one in found.happenings]
    widths = [max(map(cell_len, column)) for column in zip(*(row[:-1] for row in rows), strict=True)]
    for one, row, drawing in zip(found.happenings, rows, drawings, strict=True):
        head, mark, tail = drawing.partition("●")
        sign, style = _sign(one, found)
        line = Text.assemble((head, "cyan"), (sign if mark else "", style), (tail, "cyan"))
        styles = ("bold", "red" if style == "red" else "", "dim", "dim", "dim")
        for cell, width, how in zip(row, widths, styles, strict=False):
            if width:
                line.append(f"  {cell}{' ' * (width - cell_len(cell))}", how)
        line.append(f"  {row[-1]}")
        line.rstrip()
        out.print(line, no_wrap=True, overflow="ellipsis")


def _family(found: History) -> Iterator[tuple[str, str | None]]:
    """Things and what they came from. What made nothing is a leaf of what it was about."""
    for place, one in enumerate(found.happenings):
        number = one.number if found.what == "dataset" else None
        if number is not None and one.kind == "registration":
            yield str(number), str(number - 1)
        elif found.what == "dataset":
            yield f"{place} ", None if number is None else str(number)
        elif one.version is not None and one.kind in _MADE:
            yield str(one.version), str(one.base)
        else:
            yield f"{place} ", str(one.version or one.base)


def _sign(one: Happening, found: History) -> tuple[str, str]:
    if found.what == "dataset" and one.package is not None and one.status == "successful":
        return "▸", "green"
    if one.status is None or one.status == "successful":
        return _SIGNS.get(one.kind, ("●", "cyan"))
    return STYLES.get(one.status, ("?", "red"))


def _row(
    one: Happening, found: History, *, narrow: bool, longest: int
) -> tuple[str, str, str, str, str, str]:
    """Which, what, when, how long, by whom, and the rest; where there is little room, without what tells least."""
    took = text.duration(one.seconds) if one.seconds is not None and one.kind != "import" else ""
    rest = "  ".join(_rest(one, longest))
    by = "" if narrow and len({each.by for each in found.happenings}) == 1 else _by(one)
    return (_which(one, found), _what(one), text.age(one.at), "" if narrow else took, by, rest)


def _by(one: Happening) -> str:
    return f"by {text.line(one.by)}" if one.by else ""


def _which(one: Happening, found: History) -> str:
    if found.what == "package":
        return _numbers(one)
    if one.kind == "registration" or one.package is None:
        return str(one.number or "")
    return f"{one.number}  {one.package} {_numbers(one)}"


def _numbers(one: Happening) -> str:
    if one.version is None:
        return str(one.base or "")
    return f"{one.base} → {one.version}" if one.base else str(one.version)


def _what(one: Happening) -> str:
    if one.status == "missing":
        return "missing"
    if one.status in (None, "successful"):
        return _DONE.get(one.kind, one.kind)
    return f"{_TRIED.get(one.kind, one.kind)} {one.status}"


def _rest(one: Happening, longest: int) -> Iterator[str]:
    if one.error:
        yield text.line(one.error)
    if one.added is not None:
        yield f"+{one.added:,} -{one.removed:,} ~{one.changed:,}"
    if one.files is not None:
        yield f"{text.plural(one.files, 'file')}, {text.size(one.bytes or 0)}"
    for given in one.data:
        role = "" if given.role != "evaluated" or one.kind == "evaluation" else "evaluated "
        doubt = "" if given.attested else ", not attested"
        yield f"{role}on {clipped(text.line(text.brief(given.name)), longest)}{doubt}"
    yield from _numbers_of(one)
    if one.source:
        yield f"from {clipped(text.line(text.brief(one.source)), longest)}"
    if one.digest and one.kind == "erasure":
        yield one.digest[:15]
    if one.reason:
        yield text.line(one.reason)


def _numbers_of(one: Happening) -> Iterator[str]:
    if one.verdict:
        yield one.verdict
    if one.score is not None:
        yield f"score {text.number(one.score)}"
    elif chosen := telling(one.metrics):
        yield f"{text.number(chosen[1])} {text.line(chosen[0])}"
