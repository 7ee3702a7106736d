"""A lineage in the language of Graphviz."""

from __future__ import annotations

from pkgrun.lineage.drawing.picture import Arrow, Box, Picture, picture
from pkgrun.lineage.graph import Graph

_SHAPES = {
    "version": 'shape=box, style="rounded,filled", fillcolor="#dbeafe", color="#1d4ed8"',
    "run": 'shape=box, style="rounded,filled", fillcolor="#f3f4f6", color="#4b5563"',
    "evaluation": 'shape=box, style="rounded,filled", fillcolor="#ede9fe", color="#6d28d9"',
    "data": 'shape=cylinder, style=filled, fillcolor="#dcfce7", color="#15803d"',
    "environment": 'shape=hexagon, style=filled, fillcolor="#fef3c7", color="#b45309"',
    "source": 'shape=note, style=filled, fillcolor="#f5f5f4", color="#57534e"',
    "commit": 'shape=cds, style=filled, fillcolor="#ffe4e6", color="#be123c"',
    "foreign": 'shape=box, style="rounded,dashed", color="#1d4ed8"',
    "missing": 'shape=box, style=dashed, color="#dc2626", fontcolor="#dc2626"',
    "more": 'shape=plaintext, fontcolor="#6b7280"',
}


def dot(graph: Graph) -> str:
    """The graph as text for `dot`, from left to right."""
    drawn = picture(graph)
    lines = [
        f"digraph {_quoted(drawn.title)} {{",
        "  rankdir=LR;",
        '  node [fontname="Helvetica", fontsize=11, margin="0.14,0.06"];',
        '  edge [fontname="Helvetica", fontsize=9, color="#6b7280", fontcolor="#6b7280"];',
        *(f"  n{place} [{_box(box)}];" for place, box in enumerate(drawn.boxes)),
        *(f"  n{arrow.start} -> n{arrow.end}{_arrow(arrow)};" for arrow in _ordered(drawn)),
        "}",
    ]
    return "\n".join(lines) + "\n"


def _ordered(drawn: Picture) -> list[Arrow]:
    return sorted(drawn.arrows, key=lambda arrow: (arrow.start, arrow.end, arrow.kind))


def _box(box: Box) -> str:
    label = _text(box.title, box.line) if box.line else _text(box.title)
    told = f"label={label}, {_SHAPES[box.kind]}, tooltip={_text(*box.full.splitlines())}"
    if box.about:
        told += ", penwidth=2.5"
    if box.gone:
        told += ', fontcolor="#9ca3af"'
    return told + (', color="#dc2626"' if box.bad and box.kind != "missing" else "")


def _arrow(arrow: Arrow) -> str:
    told = [f"label={_quoted(arrow.label)}"] if arrow.label else []
    if arrow.doubtful or arrow.kind == "more":
        told.append("style=dashed")
    return f" [{', '.join(told)}]" if told else ""


def _text(*lines: str) -> str:
    """Lines as one label: `\\n` between them is the label's own."""
    return '"' + r"\n".join(map(_escaped, lines)) + '"'


def _quoted(text: str) -> str:
    return f'"{_escaped(text)}"'


def _escaped(text: str) -> str:
    """Nothing of a text is a quote, or an escape such as `\\N`; and `&lt;` stays what it is."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("&", "&amp;")
