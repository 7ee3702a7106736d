"""A lineage as text: a picture in dot, mermaid or SVG, or JSON. Each format is a pure function of a graph."""

from __future__ import annotations

import os
from typing import Literal, TypeAlias

from pkgrun.errors import UsageError
from pkgrun.lineage.graph import Graph

Form: TypeAlias = Literal["json", "dot", "mermaid", "svg"]


def draw(graph: Graph, form: Form) -> str:
    """The text of a graph: nodes and edges as JSON, the source of a drawing for Graphviz or Mermaid, or an SVG that stands alone."""
    if form == "json":
        from pkgrun.lineage.drawing.document import json

        return json(graph)
    if form == "dot":
        from pkgrun.lineage.drawing.dot import dot

        return dot(graph)
    if form == "mermaid":
        from pkgrun.lineage.drawing.mermaid import mermaid

        return mermaid(graph)
    from pkgrun.lineage.drawing.svg import svg

    return svg(graph)


def save(graph: Graph, form: Form, out: str) -> None:
    """Write that text into a new file, whole or not at all.

    Raises:
        Conflict: something is there already.
        UsageError: that is no path of a file.
        PermissionDenied, Temporary: it cannot be written.
    """
    from pkgrun.store.export import export_files

    folder, name = os.path.split(out)
    if not name:
        raise UsageError(f"{out!r} is no path of a file", hint="name a new file")
    data = draw(graph, form).encode("utf-8", "backslashreplace")

    def write(staged: str) -> None:
        with open(os.path.join(staged, name), "wb") as file:
            file.write(data)

    export_files(folder or ".", [name], write)
