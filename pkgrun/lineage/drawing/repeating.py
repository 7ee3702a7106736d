"""Draws what many use again beside each of them: an environment of a hundred runs need not be tied to all by long lines."""

from __future__ import annotations

from dataclasses import replace

from pkgrun.lineage.drawing.layout import columns
from pkgrun.lineage.drawing.picture import Arrow, Box, Picture

_FAR = 2
"""Columns to the next generation: between two versions stands a run."""

_REPEATED = ("environment", "data", "source", "commit")


def repeated(drawn: Picture) -> Picture:
    """The same picture in which boxes that nothing leads to are drawn once for what is near, and again further on."""
    ranks = columns(len(drawn.boxes), [(arrow.start, arrow.end) for arrow in drawn.arrows])
    led_to = {arrow.end for arrow in drawn.arrows}
    boxes: list[Box] = list(drawn.boxes)
    arrows: list[Arrow] = []
    copies: dict[int, tuple[int, int]] = {}
    for arrow in sorted(drawn.arrows, key=lambda one: (ranks[one.end], one.start)):
        box = drawn.boxes[arrow.start]
        if box.kind not in _REPEATED or arrow.start in led_to:
            arrows.append(arrow)
            continue
        first, copy = copies.setdefault(arrow.start, (ranks[arrow.end], arrow.start))
        if ranks[arrow.end] - first >= _FAR:
            boxes.append(replace(box, again=True, about=False))
            copy = len(boxes) - 1
            copies[arrow.start] = (ranks[arrow.end], copy)
        arrows.append(replace(arrow, start=copy))
    return Picture(drawn.title, tuple(boxes), tuple(arrows))
