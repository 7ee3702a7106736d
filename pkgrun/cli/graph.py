"""Who came from whom, drawn with rails: a straight line of descent stays straight, a branch gets a rail of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence

_WIDEST = 24
"""Rails that are drawn; more would push the text off the screen."""


def rails(family: Sequence[tuple[Hashable, Hashable | None]]) -> Iterator[str]:
    """One drawing a line for things given as (thing, parent), each parent before its children.

    A rail is kept for a thing while children of it are still to come; its last child takes the rail over.
    """
    yield from (drawing for drawing, _ in trunks(family))


def trunks(family: Sequence[tuple[Hashable, Hashable | None]]) -> Iterator[tuple[str, str]]:
    """The same, each with the rails that go on below it, for more lines about it."""
    coming = Counter(parent for _, parent in family)
    taken: list[Hashable | None] = []
    for thing, parent in family:
        start = taken.index(parent) if parent is not None and parent in taken else None
        if start is not None:
            coming[parent] -= 1
        last = start is not None and not coming[parent]
        at = start if start is not None and last else _free(taken)
        drawing = _drawn(taken, None if last else start, at)
        taken[at] = thing if coming[thing] else None
        while taken and taken[-1] is None:
            taken.pop()
        yield drawing, "".join("  " if one is None else "│ " for one in taken[:_WIDEST])


def _free(taken: list[Hashable | None]) -> int:
    if None in taken:
        return taken.index(None)
    taken.append(None)
    return len(taken) - 1


def _drawn(taken: list[Hashable | None], start: int | None, at: int) -> str:
    """The line of a thing at rail `at`, which branches off at rail `start`, if it does."""
    between = range(0) if start is None else range(min(start, at), max(start, at))
    cells = []
    for rail in range(max(len(taken), at + 1)):
        if rail == at:
            sign = "●"
        elif rail == start:
            sign = "├" if start < at else "┤"
        elif rail in between:
            sign = "┼" if taken[rail] is not None else "─"
        else:
            sign = "│" if taken[rail] is not None else " "
        cells.append(sign + ("─" if rail in between else " "))
    drawing = "".join(cells).rstrip()
    return drawing if len(cells) <= _WIDEST else drawing[: 2 * _WIDEST] + "…"


def padded(lines: Iterable[str]) -> list[str]:
    """The drawings in one width."""
    drawn = list(lines)
    width = max((len(line) for line in drawn), default=0)
    return [line.ljust(width) for line in drawn]
