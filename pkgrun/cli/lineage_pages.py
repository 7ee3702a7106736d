"""A lineage on a terminal: a line for each version, with rails; below it the data, and what ran it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, TypeAlias

from pkgrun.cli import graph as rails
from pkgrun.cli import pages, text
from pkgrun.cli.lineage_tree import Tree
from pkgrun.lineage.drawing.picture import clipped
from pkgrun.lineage.graph import (
    CommitNode,
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

if TYPE_CHECKING:
    from rich.console import Console

Words: TypeAlias = list[tuple[str, str]]
"""Pieces of a line, each with its style."""

_MADE = {"training": "trained", "full": "trained", "import": "imported"}
_SIGNS: dict[type[Node], tuple[str, str]] = {
    ForeignNode: ("○", "blue"),
    MissingNode: ("✗", "red"),
    RunNode: ("▷", "cyan"),
}
_DATA = {"given": "given", "trained-on": "trained on", "evaluated-on": "evaluated on"}
_ORDER = {kind: place for place, kind in enumerate(_DATA)}


def page(graph: Graph, *, everything: bool) -> bool:
    """The lineage as lines; whether some of it was left out."""
    out = pages.console()
    tree = Tree(graph, everything=everything)
    lines = _Lines(tree, longest=max(24, out.width // 2 - 8))
    family = tree.family()
    for (id, _), (drawing, below) in zip(family, rails.trunks(family), strict=True):
        _print(out, id, drawing, below, lines)
    return any(tree.hidden(id) or tree.ends_above(id) for id, _ in family)


def _print(out: Console, id: str, drawing: str, below: str, lines: _Lines) -> None:
    from rich.text import Text

    sign, style = _SIGNS.get(type(lines.tree.nodes[id]), ("●", "cyan"))
    head, _, tail = drawing.partition("●")
    first = Text.assemble((head, "cyan"), (sign, style), (tail, "cyan"), "  ", *lines.head(id))
    out.print(first, no_wrap=True, overflow="ellipsis")
    room = max(len(drawing), len(below.rstrip())) + 2
    for words in lines.below(id):
        line = Text.assemble((below.rstrip().ljust(room), "cyan"), "  ", *words)
        line.rstrip()
        out.print(line, no_wrap=True, overflow="ellipsis")


class _Lines:
    """What is said of each thing. What was described once is named only, where it comes again."""

    def __init__(self, tree: Tree, *, longest: int) -> None:
        self.tree, self._longest = tree, longest
        self._described: set[str] = set()

    def head(self, id: str) -> Words:
        """The first line of a version, or of whatever stands in its place."""
        node = self.tree.nodes[id]
        here = (
            [("  ←", "bold yellow")]
            if id == self.tree.graph.about and self.tree.graph.direction == "both"
            else []
        )
        if isinstance(node, VersionNode):
            return [*_version(node, self.tree.maker(id)), *here]
        if isinstance(node, RunNode):
            return [("run ", ""), (node.id[:13], "bold"), (f"  {_of_run(node)}", ""), *here]
        if isinstance(node, ForeignNode):
            name = f"{node.package}@{node.version}" if node.package else node.record[:19]
            told = "  of the store " + node.store[:13] if node.package else "  an ancestor there"
            return [(name, "bold"), (told, "")]
        return [(text.line(node.id), "bold"), (f"  {text.line(getattr(node, 'why', ''))}", "red")]

    def below(self, id: str) -> Iterator[Words]:
        """What is told below it."""
        top = self.tree.nodes[id]
        if isinstance(top, VersionNode) and top.removed is not None:
            why = f": {text.line(top.removed.reason)}" if top.removed.reason else ""
            yield [(f"removed {text.age(top.removed.at)} by {text.line(top.removed.by)}{why}", "red")]
        for edge in sorted(self.tree.said(id), key=lambda edge: _ORDER.get(edge.kind, len(_ORDER))):
            node = self.tree.nodes.get(edge.object)
            if isinstance(node, DataNode):
                yield self._data(edge, node)
            elif isinstance(node, EnvironmentNode):
                yield [*self._environment(node), *_devices(self.tree.maker(id))]
            elif isinstance(node, SourceNode | CommitNode):
                yield _origin(node)
            elif edge.kind == "reproduces" and edge.subject == id:
                made = self.tree.made(edge.object)
                words = f", which made {made}" if made else ""
                yield [("did the run ", ""), (edge.object[:13], "bold"), (f" again{words}", "")]
        if isinstance(top, VersionNode) and top.erased:
            count = text.plural(len(top.erased), "content")
            yield [(f"erased since: {count} that it, or what it came from, had seen", "red")]
        yield from self._results(id)
        if self.tree.ends_above(id):
            yield [("… and what it came from", "dim")]
        if hidden := self.tree.hidden(id):
            yield [(f"… and {hidden:,} more that came from it", "dim")]

    def _data(self, edge: Edge, node: DataNode) -> Words:
        name = clipped(text.line(called(node, edge)), self._longest)
        words = [(f"{_DATA.get(edge.kind, edge.kind)} ", ""), (f"{name}  ", "green"), (node.id[7:15], "dim")]
        if edge.attested is False:
            words.append(("  not attested", "yellow"))
        if node.id in self._described:
            return words
        self._described.add(node.id)
        kept = ", kept" if edge.kept else ""
        return [*words, (f"  {text.plural(node.files, 'file')}, {text.size(node.bytes)}{kept}", "dim")]

    def _environment(self, node: EnvironmentNode) -> Words:
        words = [("with ", ""), (f"Python {text.line(node.python)}", "yellow")]
        if node.packages is not None:
            words.append(
                (f", {text.plural(node.packages, 'package') if node.packages else 'no packages'}", "")
            )
        words.append((f"  {node.lock[7:15]}", "dim"))
        if node.id not in self._described:
            self._described.add(node.id)
            words += [(f"  {text.line(pin)}", "dim") for pin in node.relaxed]
            words += [("  requirements overridden", "dim")] * node.overridden
        return words

    def _results(self, id: str) -> Iterator[Words]:
        for run in self.tree.results(id):
            on = ", ".join(self._given(run))
            failed = run.status in ("failed", "killed", "timed-out", "lost")
            yield [
                (f"{run.kind} ", "red" if failed else "magenta"),
                (_of_run(run), "red" if failed else ""),
                (f"  on {on}" if on else "", "green"),
                (f"  {text.age(run.created)}  run {run.id[:13]}", "dim"),
            ]

    def _given(self, run: RunNode) -> Iterator[str]:
        for edge in self.tree.said(run.id):
            node = self.tree.nodes.get(edge.object)
            if isinstance(node, DataNode):
                yield clipped(text.line(called(node, edge)), self._longest)


def called(node: DataNode, edge: Edge) -> str:
    """The name that a run gave to its data, if it is one still, or else has. The store's own copy goes by its digest."""
    if edge.source in node.names or not node.names:
        return text.brief(edge.source or edge.folder or node.id)
    return node.names[0]


def _version(node: VersionNode, maker: RunNode | None) -> Words:
    words = [(node.id, "dim strike" if node.removed else "bold")]
    words.append((f"  {_MADE.get(node.how, node.how)} {text.age(node.created)}", ""))
    if maker is not None:
        took = f"  {text.duration(maker.seconds)}" if maker.seconds is not None else ""
        words.append((f" by {text.line(maker.by)}{took}", "dim"))
        words += [(f"  {one}", "") for one in _numbers(maker)]
    return words


def _devices(run: RunNode | None) -> Words:
    return [(f"  on {', '.join(map(text.line, run.devices))}", "")] if run is not None and run.devices else []


def _of_run(run: RunNode) -> str:
    if run.verdict is not None:
        return run.verdict
    if run.status != "successful":
        why = f": {text.line(run.error)}" if run.error else ""
        return f"{run.status}{why}"
    return ", ".join(_numbers(run)) or run.status


def _numbers(run: RunNode) -> Iterable[str]:
    """The score, else the metrics that look most like one."""
    if run.score is not None:
        return [f"score {text.number(run.score)}"]
    from pkgrun.cli.run_pages import telling

    chosen = telling(run.metrics)
    return [f"{text.number(chosen[1])} {text.line(chosen[0])}"] if chosen else []


def _origin(node: SourceNode | CommitNode) -> Words:
    if isinstance(node, SourceNode):
        return [("from ", ""), (text.line(node.source), "green")]
    commit = (node.commit or "no commit")[:12]
    branch = f" on {text.line(node.branch)}" if node.branch else ""
    remote = f"  {text.line(node.remote)}" if node.remote else ""
    changed = ", with uncommitted changes" if node.dirty else ""
    return [("git ", ""), (commit, "yellow"), (f"{branch}{changed}{remote}", "dim")]
