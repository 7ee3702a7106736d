"""Which versions of a lineage stand under which, where it is shown as lines. It decides no words."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from pkgrun.lineage.graph import Edge, Graph, Node, RunNode

FAN = 12
RUNS = 5
"""How many versions, and how many runs that made none, are told of one version: the newest."""

_DESCENT = ("started-from", "origin", "descends-from")
_AGAIN = ("started-from", "evaluates", "reproduces")


class Tree:
    """The versions of a graph in the order in which they are shown, each after what it hangs on."""

    def __init__(self, graph: Graph, *, everything: bool) -> None:
        self.graph = graph
        self._everything = everything
        self.nodes: dict[str, Node] = {node.id: node for node in graph.nodes}
        self._by_subject: dict[str, list[Edge]] = defaultdict(list)
        self._by_object: dict[str, list[Edge]] = defaultdict(list)
        for edge in graph.edges:
            self._by_subject[edge.subject].append(edge)
            self._by_object[edge.object].append(edge)
        self._cuts = {(cut.of, cut.direction): cut.count for cut in graph.cuts}

    def family(self) -> list[tuple[str, str | None]]:
        """Each thing and what it hangs on: going up its descendant, else what it came from."""
        above: list[tuple[str, str | None]] = [(self.graph.about, None)]
        if self.graph.direction != "down":
            above = self._walk(up=True)
        if self.graph.direction == "up":
            return above
        older = [thing for thing, _ in reversed(above)]
        return [*zip(older, [None, *older[:-1]], strict=True), *self._walk(up=False)[1:]]

    def _walk(self, *, up: bool) -> list[tuple[str, str | None]]:
        """From what is asked about, one branch after the other."""
        found: list[tuple[str, str | None]] = []
        waiting: list[tuple[str, str | None]] = [(self.graph.about, None)]
        seen = {self.graph.about}
        while waiting:
            thing, before = waiting.pop()
            found.append((thing, before))
            following = self._above(thing) if up else self._shown(self._below(thing))
            new = [one for one in following if one not in seen]
            seen.update(new)
            waiting += [(one, thing) for one in reversed(new)]
        return found

    def maker(self, id: str) -> RunNode | None:
        """The run that made a version, if it is known; a run is its own."""
        made = (edge.subject for edge in self._by_object[id] if edge.kind == "made")
        node = self.nodes.get(next(made, id))
        return node if isinstance(node, RunNode) else None

    def made(self, run: str) -> str | None:
        """The version that a run made, if it is known."""
        return next((edge.object for edge in self._by_subject[run] if edge.kind == "made"), None)

    def said(self, id: str) -> list[Edge]:
        """What a version and its run say."""
        maker = self.maker(id)
        of_run = self._by_subject[maker.id] if maker is not None and maker.id != id else []
        return [*of_run, *self._by_subject[id]]

    def hidden(self, id: str) -> int:
        """How many versions, and runs, came from a version and are not shown."""
        left = len(self._below(id)) - len(self._shown(self._below(id)))
        left += len(self._results(id)) - len(self.results(id))
        return left + (self._cuts.get((id, "down")) or 0)

    def ends_above(self, id: str) -> bool:
        """Whether what a version came from was left out."""
        return (id, "up") in self._cuts

    def results(self, id: str) -> list[RunNode]:
        """The newest runs that began with a version, or did again what made it, and made none themselves."""
        found = self._results(id)
        return found if self._everything else found[-RUNS:]

    def _results(self, id: str) -> list[RunNode]:
        maker = self.maker(id)
        tied = [*self._by_object[id], *(self._by_object[maker.id] if maker is not None else ())]
        runs = {edge.subject: self.nodes[edge.subject] for edge in tied if edge.kind in _AGAIN}
        return [run for run in runs.values() if isinstance(run, RunNode) and self._made_nothing(run)]

    def _made_nothing(self, run: RunNode) -> bool:
        return run.id != self.graph.about and all(edge.kind != "made" for edge in self._by_subject[run.id])

    def _shown(self, found: list[str]) -> list[str]:
        return found if self._everything else found[-FAN:]

    def _above(self, id: str) -> list[str]:
        found = [edge.object for edge in self.said(id) if edge.kind in (*_DESCENT, "evaluates")]
        return [one for one in dict.fromkeys(found) if one in self.nodes]

    def _below(self, id: str) -> list[str]:
        made = [edge.object for edge in self._by_subject[id] if edge.kind == "made"]
        begun = (edge.subject for edge in self._by_object[id] if edge.kind in _DESCENT)
        return [*dict.fromkeys([*made, *(one for begin in begun for one in self._came_of(begin))])]

    def _came_of(self, id: str) -> Iterator[str]:
        """A version; or of a run that began with one, what it made."""
        if not isinstance(self.nodes[id], RunNode):
            yield id
        yield from (edge.object for edge in self._by_subject[id] if edge.kind == "made")
