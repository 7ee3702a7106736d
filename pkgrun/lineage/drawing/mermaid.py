"""A lineage in the language of Mermaid, which many sites draw where it stands in a page."""

from __future__ import annotations

from pkgrun.lineage.drawing.picture import Arrow, Box, picture
from pkgrun.lineage.graph import Graph

_BRACKETS = {
    "version": "(x)",
    "run": "([x])",
    "evaluation": "([x])",
    "data": "[(x)]",
    "environment": "{{x}}",
    "source": "[x]",
    "commit": ">x]",
    "foreign": "(x)",
    "missing": "[x]",
    "more": "[x]",
}

_CLASSES = (
    "classDef version fill:#dbeafe,stroke:#1d4ed8,color:#111827",
    "classDef run fill:#f3f4f6,stroke:#4b5563,color:#111827",
    "classDef evaluation fill:#ede9fe,stroke:#6d28d9,color:#111827",
    "classDef data fill:#dcfce7,stroke:#15803d,color:#111827",
    "classDef environment fill:#fef3c7,stroke:#b45309,color:#111827",
    "classDef source fill:#f5f5f4,stroke:#57534e,color:#111827",
    "classDef commit fill:#ffe4e6,stroke:#be123c,color:#111827",
    "classDef foreign fill:#eff6ff,stroke:#1d4ed8,color:#111827,stroke-dasharray:4 3",
    "classDef missing fill:#fef2f2,stroke:#dc2626,color:#dc2626,stroke-dasharray:4 3",
    "classDef more fill:none,stroke:none,color:#6b7280",
    "classDef about stroke-width:3px",
    "classDef gone color:#9ca3af",
    "classDef bad stroke:#dc2626",
)

_PLAIN = frozenset(" ._-/@:,()+…=")


def mermaid(graph: Graph) -> str:
    """The graph as a Mermaid flowchart, from left to right."""
    drawn = picture(graph)
    used = {name for box in drawn.boxes for name in _classes(box)}
    arrows = sorted(drawn.arrows, key=lambda arrow: (arrow.start, arrow.end, arrow.kind))
    lines = [
        "flowchart LR",
        f"  accTitle: {_text(drawn.title)}",
        *(f"  n{place}{_box(box)}" for place, box in enumerate(drawn.boxes)),
        *(f"  {_arrow(arrow)}" for arrow in arrows),
        *(f"  {line}" for line in _CLASSES if line.split()[1] in used),
        *(f"  class n{place} {name}" for place, box in enumerate(drawn.boxes) for name in _classes(box)),
    ]
    return "\n".join(lines) + "\n"


def _classes(box: Box) -> list[str]:
    flags = (("about", box.about), ("gone", box.gone), ("bad", box.bad and box.kind != "missing"))
    return [box.kind, *(name for name, holds in flags if holds)]


def _box(box: Box) -> str:
    words = _text(box.title) + (f"<br/>{_text(box.line)}" if box.line else "")
    return _BRACKETS[box.kind].replace("x", f'"{words}"')


def _arrow(arrow: Arrow) -> str:
    line = "-.->" if arrow.doubtful or arrow.kind == "more" else "-->"
    label = f'|"{_text(arrow.label)}"|' if arrow.label else ""
    return f"n{arrow.start} {line}{label} n{arrow.end}"


def _text(text: str) -> str:
    """Letters and digits as they are; what could be Mermaid's, HTML's or Markdown's by its number."""
    return "".join(sign if sign.isalnum() or sign in _PLAIN else f"#{ord(sign)};" for sign in text)
