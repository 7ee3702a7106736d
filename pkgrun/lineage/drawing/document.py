"""A lineage as JSON: every node and edge with all that is known of it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import orjson

from pkgrun.lineage.graph import Edge, Graph, Node


def json(graph: Graph) -> str:
    """The document as text."""
    # A path that is not UTF-8 has signs that JSON cannot hold.
    told = _encodable(document(graph))
    return orjson.dumps(
        told, option=orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE
    ).decode()


def _encodable(value: Any) -> Any:
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_encodable(key): _encodable(item) for key, item in value.items()}
    return [_encodable(item) for item in value] if isinstance(value, list | tuple) else value


def document(graph: Graph) -> dict[str, Any]:
    """Nodes and edges; an edge's `from` and `to` go the way that time goes, `subject` and `object` are those of
    the sentence."""
    return {
        "about": graph.about,
        "direction": graph.direction,
        "depth": graph.depth,
        "doubt": graph.doubt,
        "nodes": [_node(node) for node in graph.nodes],
        "edges": [_edge(edge) for edge in graph.edges],
        "left_out": [asdict(cut) for cut in graph.cuts],
    }


def _node(node: Node) -> dict[str, Any]:
    """As it is; its version as text, as everywhere."""
    told = {"what": node.what, **asdict(node)}
    version = getattr(node, "version", None)
    return told | {"version": str(version)} if version is not None else told


def _edge(edge: Edge) -> dict[str, Any]:
    start, end = edge.flow
    told = {name: value for name, value in asdict(edge).items() if value is not None}
    return {"kind": edge.kind, "from": start, "to": end, **told}
