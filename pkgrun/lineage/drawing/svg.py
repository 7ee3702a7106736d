"""A lineage as an SVG that stands alone: no scripts, no fonts or files of others, readable in light and in dark."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from itertools import pairwise

from pkgrun.lineage.drawing.layout import Layout, Point, layout
from pkgrun.lineage.drawing.picture import Box, Picture, picture
from pkgrun.lineage.drawing.repeating import repeated
from pkgrun.lineage.graph import Graph

_MARGIN = 24.0
_HEAD = 34.0
_HEIGHT, _SMALL = 42.0, 26.0
_DESCENT = 6.0
"""The weight of an edge by which versions descend: that line is straight, the data come in from its sides."""

_STYLE = """
svg{--paper:#fff;--ink:#111827;--dim:#6b7280;--line:#9ca3af;--bad:#dc2626;
--version:#dbeafe;--version-edge:#1d4ed8;--run:#f3f4f6;--run-edge:#6b7280;--evaluation:#ede9fe;--evaluation-edge:#6d28d9;
--data:#dcfce7;--data-edge:#15803d;--environment:#fef3c7;--environment-edge:#b45309;--source:#f5f5f4;--source-edge:#78716c;
--commit:#ffe4e6;--commit-edge:#be123c;--foreign:#eff6ff;--foreign-edge:#1d4ed8;--missing:#fef2f2;--missing-edge:#dc2626}
@media(prefers-color-scheme:dark){svg{--paper:#0f1419;--ink:#e5e7eb;--dim:#9ca3af;--line:#6b7280;--bad:#f87171;
--version:#172554;--version-edge:#60a5fa;--run:#1f2937;--run-edge:#9ca3af;--evaluation:#2e1065;--evaluation-edge:#a78bfa;
--data:#052e16;--data-edge:#4ade80;--environment:#451a03;--environment-edge:#fbbf24;--source:#292524;--source-edge:#a8a29e;
--commit:#4c0519;--commit-edge:#fb7185;--foreign:#0b1a3a;--foreign-edge:#60a5fa;--missing:#450a0a;--missing-edge:#f87171}}
text{font:600 13px system-ui,-apple-system,"Segoe UI",Roboto,"Liberation Sans",sans-serif;fill:var(--ink)}
.line{font-weight:400;font-size:11px;fill:var(--dim)}.head{font-size:15px}
.label{font-weight:400;font-size:10px;fill:var(--dim);paint-order:stroke;stroke:var(--paper);stroke-width:4px}
.way{fill:none;stroke:var(--line);stroke-width:1.3}.data-way{stroke:var(--data-edge)}.doubtful{stroke-dasharray:5 4}
.tip{fill:var(--line)}.data-tip{fill:var(--data-edge)}
.shape{stroke-width:1.3}.about .shape{stroke-width:3}.gone text{fill:var(--dim)}.gone text:not(.line){text-decoration:line-through}
.gone .shape{stroke-dasharray:4 3}.bad .shape{stroke:var(--bad)}.bad .line{fill:var(--bad)}
.foreign .shape,.missing .shape{stroke-dasharray:4 3}.again .shape{stroke-dasharray:1.5 2.5}.more text{font-weight:400;fill:var(--dim)}
"""

_FILLED = (
    "version",
    "run",
    "evaluation",
    "data",
    "environment",
    "source",
    "commit",
    "foreign",
    "missing",
)
_SIDES = {"data": -1, "source": -1, "evaluation": 1, "environment": 1, "commit": 1}
_DATA = ("given", "trained-on", "evaluated-on")


def svg(graph: Graph) -> str:
    """The graph as an SVG document, from left to right."""
    drawn = repeated(picture(graph))
    sizes = [_size(box) for box in drawn.boxes]
    placed = _placed(drawn, sizes)
    width = max(placed.width, _width(drawn.title, 15)) + 2 * _MARGIN
    height = placed.height + _HEAD + 2 * _MARGIN
    fills = "".join(f".{kind} .shape{{fill:var(--{kind});stroke:var(--{kind}-edge)}}" for kind in _FILLED)
    extent = f'width="{width:.0f}" height="{height:.0f}"'
    view = f'viewBox="0 0 {width:.0f} {height:.0f}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {extent} {view} role="img" aria-labelledby="title desc">',
        f'<title id="title">{_escaped(drawn.title)}</title>',
        f'<desc id="desc">{_escaped(_description(drawn))}</desc>',
        f"<style>{fills}{_STYLE}</style>",
        _MARKERS,
        f'<rect {extent} fill="var(--paper)"/>',
        f'<text class="head" x="{_MARGIN}" y="{_MARGIN + 6}">{_escaped(drawn.title)}</text>',
        f'<g transform="translate({_MARGIN} {_MARGIN + _HEAD})">',
        *_ways(drawn, placed),
        *(_box(box, place, size) for box, place, size in zip(drawn.boxes, placed.places, sizes, strict=True)),
        "</g>",
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _placed(drawn: Picture, sizes: Sequence[tuple[float, float]]) -> Layout:
    return layout(
        sizes,
        [(arrow.start, arrow.end) for arrow in drawn.arrows],
        weights=[
            _DESCENT if arrow.kind in ("made", "started-from", "origin") else 1 for arrow in drawn.arrows
        ],
        sides=[_SIDES.get(box.kind, 0) for box in drawn.boxes],
    )


_MARKERS = (
    "<defs>"
    + "".join(
        f'<marker id="{name}" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path class="{name}" d="M0 0.8L8 4L0 7.2z"/></marker>'
        for name in ("tip", "data-tip")
    )
    + "</defs>"
)


def _description(drawn: Picture) -> str:
    """What can be seen, for who cannot see it."""
    kinds: dict[str, int] = {}
    for box in drawn.boxes:
        kinds[box.kind] = kinds.get(box.kind, 0) + 1
    counted = ", ".join(f"{kind} {count:,}" for kind, count in kinds.items())
    return f"A graph from left to right, in the order of time; boxes by kind: {counted}."


def _size(box: Box) -> tuple[float, float]:
    wide = max(_width(box.title, 13), _width(box.line, 11)) + (34 if box.kind != "more" else 10)
    high = _HEIGHT + 4 if box.kind == "data" else _HEIGHT
    return max(wide, 60.0), high if box.line else _SMALL


def _width(text: str, size: float) -> float:
    """About how wide a text is drawn; rather too wide than too narrow, for fonts are everybody's own."""
    return sum(_advance(sign) for sign in text) * size


def _advance(sign: str) -> float:
    if unicodedata.east_asian_width(sign) in "WF":
        return 1.05
    if unicodedata.combining(sign):
        return 0.0
    if sign in "ijl.,:;|!' ":
        return 0.34
    return 0.85 if sign in "mwMW@%…" else 0.7 if sign.isupper() or sign.isdigit() else 0.62


def _ways(drawn: Picture, placed: Layout) -> list[str]:
    """Arrows below the boxes, and their words where they begin; the same words of one box stand once."""
    parts: list[str] = []
    words: dict[int, list[str]] = {}
    for arrow, way in zip(drawn.arrows, placed.ways, strict=True):
        data = arrow.kind in _DATA
        names = "way" + " data-way" * data + " doubtful" * (arrow.doubtful or arrow.kind == "more")
        tip = "" if arrow.kind == "more" else f' marker-end="url(#{"data-tip" if data else "tip"})"'
        parts.append(f'<path class="{names}" d="{_curve(way)}"{tip}/>')
        said = words.setdefault(arrow.start, [])
        if arrow.label and arrow.label not in said:
            x, y = way[0][0] + 5, way[0][1] + (-4 if not said else 1 + 10 * len(said))
            parts.append(f'<text class="label" x="{x:.1f}" y="{y:.1f}">{_escaped(arrow.label)}</text>')
            said.append(arrow.label)
    return parts


def _curve(way: Sequence[Point]) -> str:
    """From point to point, level at each."""
    x, y = way[0]
    parts = [f"M{x:.1f} {y:.1f}"]
    for (x1, y1), (x2, y2) in pairwise(way):
        if y1 == y2:
            parts.append(f"H{x2:.1f}")
        else:
            bend = (x2 - x1) / 2
            parts.append(f"C{x1 + bend:.1f} {y1:.1f} {x2 - bend:.1f} {y2:.1f} {x2:.1f} {y2:.1f}")
    return "".join(parts)


def _box(box: Box, place: Point, size: tuple[float, float]) -> str:
    width, height = size
    x, y = place[0], place[1] - height / 2
    flags = (("about", box.about), ("gone", box.gone), ("bad", box.bad), ("again", box.again))
    names = " ".join([box.kind, *(name for name, holds in flags if holds)])
    top = 22 if box.kind == "data" else 17 if box.line else height / 2 + 4.5
    words = [_words(box.title, "", width / 2, top)]
    if box.line:
        words.append(_words(box.line, "line", width / 2, top + 15))
    return (
        f'<g class="{names}" transform="translate({x:.1f} {y:.1f})"><title>{_escaped(box.full)}</title>'
        f"{_shape(box.kind, width, height)}{''.join(words)}</g>"
    )


def _words(text: str, name: str, x: float, y: float) -> str:
    kind = f' class="{name}"' if name else ""
    return f'<text{kind} text-anchor="middle" x="{x:.1f}" y="{y:.1f}">{_escaped(text)}</text>'


def _shape(kind: str, width: float, height: float) -> str:
    w, h = f"{width:.1f}", f"{height:.1f}"
    if kind == "more":
        return ""
    if kind == "data":
        return (
            f'<path class="shape" d="M0 5C0 -1.5 {w} -1.5 {w} 5V{height - 5:.1f}C{w} {height + 1.5:.1f} 0 '
            f'{height + 1.5:.1f} 0 {height - 5:.1f}ZM0 5C0 11.5 {w} 11.5 {w} 5"/>'
        )
    if kind == "environment":
        half = f"{height / 2:.1f}"
        return (
            f'<path class="shape" d="M10 0H{width - 10:.1f}L{w} {half}L{width - 10:.1f} {h}H10L0 {half}Z"/>'
        )
    if kind == "source":
        return f'<path class="shape" d="M0 0H{width - 10:.1f}L{w} 10V{h}H0ZM{width - 10:.1f} 0V10H{w}"/>'
    if kind == "commit":
        return f'<path class="shape" d="M0 0H{width - 10:.1f}L{w} {height / 2:.1f}L{width - 10:.1f} {h}H0Z"/>'
    round = {"run": height / 2, "evaluation": height / 2, "missing": 0}.get(kind, 7)
    return f'<rect class="shape" width="{w}" height="{h}" rx="{round:.0f}"/>'


_REPLACED = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"}


def _escaped(text: str) -> str:
    return "".join(_REPLACED.get(sign, sign) for sign in text)
