"""How far work is and how fast it goes, in words."""

from __future__ import annotations

from collections import deque

from pkgrun.cli import text
from pkgrun.observe import Progress


class Rate:
    """How fast work goes: over the last seconds, since the beginning tells little of a transfer that has stalled."""

    _SPAN = 5.0

    def __init__(self) -> None:
        self._label = ""
        self._points: deque[tuple[float, int]] = deque()

    def count(self, work: Progress, at: float) -> None:
        """So much is done at a time; other work begins anew."""
        if work.label != self._label:
            self._label, self._points = work.label, deque()  # a new one: somebody may be reading the old
        points = self._points
        # Several threads tell, so the words of one may come behind those of another.
        if not points or (at - points[-1][0] >= 0.1 and work.done > points[-1][1]):
            points.append((at, work.done))
        while len(points) > 2 and at - points[1][0] >= self._SPAN:
            points.popleft()

    def of(self, at: float) -> float:
        """Per second; 0 as long as that cannot be said."""
        points = self._points
        if not points or at - points[0][0] < 0.5:
            return 0.0
        began, before = points[0]
        return (points[-1][1] - before) / (at - began)


def amount(work: Progress) -> str:
    """What is done, for reading: `1.2 GB of 4.0 GB`, `312 of 20,000 files`; of an unknown total only the first."""
    if work.total is None:
        return quantity(work.done, work.unit)
    if work.unit == "files":
        return f"{work.done:,} of {text.plural(work.total, 'file')}"
    return f"{text.size(work.done)} of {text.size(work.total)}"


def quantity(count: float, unit: str) -> str:
    """So many files or bytes, for reading."""
    return text.plural(round(count), "file") if unit == "files" else text.size(count)
