"""Graphs of made-up histories, of any size and of any words, without a store."""

from __future__ import annotations

import hashlib
import random
from datetime import UTC, datetime, timedelta

from pkgrun.identity import Version
from pkgrun.lineage.graph import (
    CommitNode,
    Cut,
    DataNode,
    Edge,
    EnvironmentNode,
    ForeignNode,
    Gone,
    Graph,
    MissingNode,
    Node,
    RunNode,
    SourceNode,
    VersionNode,
)

_BEGAN = datetime(2026, 3, 1, tzinfo=UTC)


def digest(text: str) -> str:
    """A digest that is text's own."""
    return "sha256:" + hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()


def run_id(number: int) -> str:
    """The id of a made-up run."""
    return f"01a1fff1-{number:04x}-7000-8000-{number:012x}"


def version(
    minor: int, *, how: str = "training", removed: Gone | None = None, erased: tuple[str, ...] = ()
) -> VersionNode:
    """A version of `iris`, made by the run of its number."""
    at = _BEGAN + timedelta(hours=minor)
    number = Version(1, minor)
    return VersionNode(f"iris@{number}", "iris", number, how, at, run_id(minor), None, removed, erased)


def run(
    number: int, kind: str = "training", status: str = "successful", score: float | None = None
) -> RunNode:
    """A run that took a minute."""
    at = _BEGAN + timedelta(hours=number)
    return RunNode(run_id(number), kind, status, "iris", at, "ann", "lab", 60.0, score)


def family(versions: int, seed: int = 1, *, data: int = 5, evaluations: float = 0.3) -> Graph:
    """A package of so many versions, each trained from one of the last few before it, some evaluated."""
    chance = random.Random(seed)
    contents = [DataNode(digest(f"d{n}"), 10 + n, 1000 * n, (f"irises@{n + 1}",)) for n in range(data)]
    lock = digest("lock")
    environment = EnvironmentNode(f"environment {lock}", lock, "3.11.7", "linux-x86_64", "isolated", 12)
    nodes: list[Node] = [version(0, how="import"), SourceNode("source /src/iris", "/src/iris"), environment]
    edges = [Edge("imported-from", "iris@1.0", "source /src/iris")]
    for minor in range(1, versions):
        parent = f"iris@1.{chance.randrange(max(0, minor - 6), minor)}"
        given = contents[minor * data // versions]
        nodes += [version(minor), run(minor), given]
        edges += [
            Edge("made", run_id(minor), f"iris@1.{minor}"),
            Edge("started-from", run_id(minor), parent),
            Edge("trained-on", run_id(minor), given.id, attested=True, kept=False, source="irises"),
            Edge("installed", run_id(minor), environment.id),
        ]
        if chance.random() < evaluations:
            number = versions + minor
            nodes.append(run(number, "evaluation", score=0.9))
            edges.append(Edge("evaluates", run_id(number), f"iris@1.{minor}"))
    once = {node.id: node for node in nodes}
    return Graph("iris@1.0", "down", tuple(once.values()), tuple(edges))


def everything(words: str) -> Graph:
    """Every kind of node and edge, in which whatever others may write says `words`."""
    data = DataNode(digest(words), 2, 20, (words,))
    lock = digest("lock")
    environment = EnvironmentNode("environment x", lock, words, words, "isolated", None, True, (words,))
    gone = Gone(_BEGAN, words, words)
    maker = RunNode(
        run_id(1),
        "training",
        "failed",
        "iris",
        _BEGAN,
        words,
        words,
        1.0,
        0.5,
        None,
        {words: 1.0},
        {words: words},
    )
    nodes: tuple[Node, ...] = (
        version(1, removed=gone, erased=(digest("gone"),)),
        maker,
        data,
        environment,
        version(0, how="import"),
        SourceNode(f"source {words}", words),
        CommitNode(f"commit {words}", None, words, words, words, dirty=True),
        ForeignNode(digest("foreign"), digest("foreign"), "01a1fff1", "iris", Version(3, 0)),
        ForeignNode(digest("before"), digest("before"), "01a1fff1"),
        MissingNode("iris@9.9", "version", words),
    )
    edges = (
        Edge("made", run_id(1), "iris@1.1"),
        Edge("started-from", run_id(1), "iris@1.0"),
        Edge("trained-on", run_id(1), data.id, attested=False, source=words),
        Edge("given", run_id(1), data.id, attested=True, folder=words),
        Edge("installed", run_id(1), environment.id),
        Edge("imported-from", "iris@1.0", f"source {words}"),
        Edge("committed-at", "iris@1.0", f"commit {words}"),
        Edge("origin", "iris@1.0", digest("foreign")),
        Edge("descends-from", digest("foreign"), digest("before")),
        Edge("started-from", run_id(1), "iris@9.9"),
    )
    return Graph("iris@1.1", "both", nodes, edges, (Cut("iris@1.1", "down", 97), Cut("iris@1.0", "up", None)))
