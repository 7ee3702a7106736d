"""What is drawn of a lineage, whatever the format: boxes with a few words, arrows the way that time goes.

Whatever others wrote stands here with its control characters made visible; how a format quotes it is the format's own.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

from pkgrun.lineage.graph import (
    CommitNode,
    Cut,
    DataNode,
    Edge,
    EnvironmentNode,
    ForeignNode,
    Graph,
    MissingNode,
    Node,
    RunNode,
    SourceNode,
    VersionNode,
)

Kind: TypeAlias = Literal[
    "version", "run", "evaluation", "data", "environment", "source", "commit", "foreign", "missing", "more"
]

_LONGEST = 34
_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}

ENDED_BADLY = ("failed", "killed", "timed-out", "lost")
WORDS = {"training": "trained", "full": "full pipeline", "import": "imported", "copy": "copied"}


@dataclass(frozen=True, slots=True)
class Box:
    """A node: a title, a line below it, and all of it for whoever asks. `about`: what the lineage is of. `again`: it stands
    elsewhere, too."""

    id: str
    kind: Kind
    title: str
    line: str
    full: str
    about: bool = False
    gone: bool = False
    bad: bool = False
    again: bool = False


@dataclass(frozen=True, slots=True)
class Arrow:
    """An edge, by the places of its boxes. `doubtful`: of data that were not attested."""

    start: int
    end: int
    kind: str
    label: str
    doubtful: bool = False


@dataclass(frozen=True, slots=True)
class Picture:
    """Boxes and arrows; what it is of, in words."""

    title: str
    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]


def picture(graph: Graph) -> Picture:
    """What is drawn of a graph. What it leaves out stands in it as a box that says how much that is."""
    told = {edge.object: edge.source or edge.folder for edge in reversed(graph.edges)}
    boxes = [_box(node, graph, told.get(node.id)) for node in graph.nodes]
    places = {box.id: place for place, box in enumerate(boxes)}
    arrows = [_arrow(edge, places) for edge in graph.edges if {edge.subject, edge.object} <= places.keys()]
    for cut in graph.cuts:
        if cut.of in places:
            boxes.append(Box(f"more {cut.direction} {cut.of}", "more", beyond(cut), "", beyond(cut)))
            ends = (places[cut.of], len(boxes) - 1)
            arrows.append(Arrow(*(ends if cut.direction == "down" else ends[::-1]), "more", ""))
    return Picture(_title(graph), tuple(boxes), tuple(arrows))


def _title(graph: Graph) -> str:
    told = {
        "up": "What {} came from",
        "down": "What came from {}",
        "both": "What {} came from, and what came from it",
    }
    return told[graph.direction].format(graph.about)


def beyond(cut: Cut) -> str:
    """How much a graph leaves out."""
    return f"and {cut.count:,} more" if cut.count is not None else "and more"


def visible(text: str) -> str:
    """Text on one line, in which nothing hides: what controls a terminal or a reader's eye is written out."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(ascii(sign)[1:-1] if unicodedata.category(sign) in _HIDDEN else sign for sign in text)


def clipped(text: str, longest: int = _LONGEST) -> str:
    """The beginning and the end of a text that is too long: of a path the end tells most."""
    if len(text) <= longest:
        return text
    tail = longest // 2
    return f"{text[: longest - tail - 1]}…{text[-tail:]}"


def _box(node: Node, graph: Graph, told: str | None) -> Box:
    """A node as it is drawn; `told`: what a run called it, if it is data."""
    title, line, more = _of_data(node, told) if isinstance(node, DataNode) else _said(node)
    kind: Kind = (
        "evaluation" if isinstance(node, RunNode) and node.kind == "evaluation" else _KINDS[node.what]
    )
    full = "\n".join(visible(words) for words in (title, line, *more) if words)
    return Box(
        id=node.id,
        kind=kind,
        title=clipped(visible(title)),
        line=clipped(visible(line)),
        full=full,
        about=node.id == graph.about,
        gone=isinstance(node, VersionNode) and node.removed is not None,
        bad=isinstance(node, MissingNode) or (isinstance(node, RunNode) and node.status in ENDED_BADLY),
    )


_KINDS: dict[str, Kind] = {
    "version": "version",
    "run": "run",
    "data": "data",
    "environment": "environment",
    "source": "source",
    "commit": "commit",
    "foreign": "foreign",
    "missing": "missing",
}


def _said(
    node: VersionNode | RunNode | EnvironmentNode | SourceNode | CommitNode | ForeignNode | MissingNode,
) -> tuple[str, str, list[str]]:
    """Title, line, and what else there is to say."""
    match node:
        case VersionNode():
            return _of_version(node)
        case RunNode():
            return _of_run(node)
        case EnvironmentNode():
            packages = {None: "", 0: "no packages"}.get(node.packages, plural(node.packages or 0, "package"))
            more = [f"lock {node.lock}", node.platform, node.mode, *node.relaxed]
            return f"Python {node.python}", packages, more + ["requirements overridden"] * node.overridden
        case SourceNode():
            return node.source.rstrip("/").rpartition("/")[2] or node.source, node.source, []
        case CommitNode():
            return _of_commit(node)
        case ForeignNode():
            more = [f"record {node.record}", f"store {node.store}"]
            if node.package is None:
                return node.record[:19], "an ancestor there", more
            return f"{node.package}@{node.version}", "of another store", more
        case MissingNode():
            return (
                node.id if node.thing == "version" else f"{node.thing} {node.id[:13]}",
                "missing",
                [node.why],
            )


def _of_version(node: VersionNode) -> tuple[str, str, list[str]]:
    more = [f"run {node.run}", node.description or "", *(f"erased since: {one}" for one in node.erased)]
    if node.removed is None:
        return node.id, f"{WORDS.get(node.how, node.how)} {day(node.created)}", more
    gone = node.removed
    why = f": {gone.reason}" if gone.reason else ""
    return node.id, f"removed {day(gone.at)}", [f"by {gone.by}{why}", *more]


def _of_run(node: RunNode) -> tuple[str, str, list[str]]:
    told = node.verdict or ("" if node.score is None else f"score {node.score:.4g}")
    line = told if node.status == "successful" else node.status
    more = [f"run {node.id}", f"by {node.by} on {node.host}, {day(node.created)}"]
    if node.seconds is not None:
        more.append(f"{node.seconds:.1f} s")
    more += [f"{name} {value:.4g}" for name, value in node.metrics.items()]
    more += [f"{name}={value}" for name, value in node.parameters.items()]
    more += [f"on {device}" for device in node.devices]
    return node.kind, line or f"run {node.id[:13]}", [*more, node.error or ""]


def _of_data(node: DataNode, told: str | None) -> tuple[str, str, list[str]]:
    """By its name, else by what a run called it: the last of a path."""
    name = (told or "").rstrip("/").rpartition("/")[2]
    title = node.names[0] if node.names else name or node.id[:15]
    line = f"{node.id[7:15]}, {plural(node.files, 'file')}"
    more = [node.id, *node.names[1:], "" if node.names else told or "", "kept" if node.kept else ""]
    return title, line, more


def _of_commit(node: CommitNode) -> tuple[str, str, list[str]]:
    branch = node.branch or "no branch"
    line = f"{branch}, with changes" if node.dirty else branch
    return f"git {(node.commit or 'no commit')[:10]}", line, [node.commit or "", node.remote or "", node.path]


_LABELS = {
    "made": "",
    "started-from": "",
    "installed": "",
    "given": "given",
    "trained-on": "trained on",
    "evaluated-on": "evaluated on",
    "evaluates": "evaluated",
    "reproduces": "reproduced",
    "imported-from": "imported",
    "committed-at": "at",
    "origin": "imported as",
    "descends-from": "",
}


def _arrow(edge: Edge, places: dict[str, int]) -> Arrow:
    start, end = edge.flow
    doubtful = edge.attested is False
    label = _LABELS[edge.kind] + (", not attested" if doubtful else "")
    return Arrow(places[start], places[end], edge.kind, label, doubtful)


def day(at: datetime) -> str:
    """A day as it was there, in UTC: a picture says the same wherever it is drawn."""
    return f"{at:%Y-%m-%d}"


def plural(count: int, word: str) -> str:
    """`1 file`, `2 files`."""
    return f"{count:,} {word}" + ("" if count == 1 else "s")
