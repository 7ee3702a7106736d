"""Gathers the nodes and edges of a lineage, each once, out of what was read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from pkgrun.lineage import looking
from pkgrun.lineage.graph import CommitNode, DataNode, Edge, EdgeKind, Node, SourceNode, VersionNode
from pkgrun.lineage.looking import Seen
from pkgrun.lineage.relations import Relations
from pkgrun.packages import contract
from pkgrun.records import Environment, Facts, RunRecord, Tree, VersionRecord
from pkgrun.store.root import Store

_ROLES: dict[str, EdgeKind] = {"input": "given", "trained": "trained-on", "evaluated": "evaluated-on"}


@dataclass(slots=True)
class Gathered:
    """What was found so far. What is added again stays as it was."""

    store: Store
    relations: Relations
    _erased: Mapping[str, tuple[str, ...]]
    _nodes: dict[str, Node] = field(default_factory=dict)
    _edges: dict[tuple[EdgeKind, str, str], Edge] = field(default_factory=dict)

    def __contains__(self, id: str) -> bool:
        return id in self._nodes

    def nodes(self) -> Iterator[Node]:
        """All nodes, in the order in which they were found; data say whether the store holds them."""
        held = {edge.object for edge in self.edges() if edge.kept}
        for node in self._nodes.values():
            if isinstance(node, DataNode):
                yield replace(node, kept=bool(node.names) or node.id in held)
            else:
                yield node

    def edges(self) -> Iterator[Edge]:
        """All edges. A snapshot went with the version whose run kept it."""
        versions = (node for node in self._nodes.values() if isinstance(node, VersionNode))
        gone = {node.run for node in versions if node.removed}
        for edge in self._edges.values():
            yield replace(edge, kept=False) if edge.kept and edge.subject in gone else edge

    def add(self, node: Node) -> None:
        """Add a node, unless it is there."""
        self._nodes.setdefault(node.id, node)

    def tie(self, edge: Edge) -> None:
        """Add an edge; where the same was said twice, what was not attested once is not."""
        name = (edge.kind, edge.subject, edge.object)
        known = self._edges.setdefault(name, edge)
        if known.attested and not edge.attested:
            self._edges[name] = edge

    def version(self, seen: Seen) -> str:
        """Add a version, and what of it is missing; its id."""
        for one in seen.missing:
            self.add(one)
        record, id = seen.record, str(seen.named)
        if record is not None:
            self.add(
                VersionNode(
                    id=id,
                    package=record.package,
                    version=record.version,
                    how=record.kind,
                    created=record.created,
                    run=record.run,
                    description=record.description,
                    removed=seen.gone,
                    erased=self._erased.get(id, ()),
                )
            )
        return id

    def making(self, seen: Seen) -> str:
        """Add all that a version was made by and of; the id of what started from its parent."""
        id = self.version(seen)
        maker = seen.run.run if seen.run else id
        if seen.run is not None:
            self.run(seen.run, whole=True)
            self.tie(Edge("made", maker, id))
        for one in seen.missing if seen.record else ():
            self.tie(Edge("made", one.id, id))
        if seen.record is not None:
            if seen.run is None and seen.record.environment is not None:
                self._environment(id, seen.record.environment)
            self._source(id, seen.record)
        return maker

    def run(self, record: RunRecord, *, whole: bool) -> None:
        """Add a run and its data; with `whole` its environment too."""
        self.add(looking.run_node(record))
        facts = record.facts
        if facts is None:
            return
        for edge, tree in _given(record, facts):
            self._data(tree)
            self.tie(edge)
        if whole and facts.environment is not None:
            self._environment(record.run, facts.environment)

    def _source(self, id: str, record: VersionRecord) -> None:
        if record.source is not None:
            source = f"source {record.source}"
            self.add(SourceNode(source, record.source))
            self.tie(Edge("imported-from", id, source))
        if record.git is not None:
            git = record.git
            commit = f"commit {git.commit} {git.remote or ''} {git.path}"
            self.add(CommitNode(commit, git.commit, git.branch, git.remote, git.path, git.dirty))
            self.tie(Edge("committed-at", id, commit))

    def _environment(self, subject: str, environment: Environment) -> None:
        id = looking.environment_id(environment)
        if id not in self:
            self.add(looking.environment(self.store, environment))
        self.tie(Edge("installed", subject, id))

    def _data(self, tree: Tree) -> None:
        if tree.digest not in self:
            held = self.relations.registered(tree.digest)
            names = (f"{one.label}/{one.path}" if one.path else one.label for one in held)
            self.add(DataNode(tree.digest, tree.files, tree.bytes, tuple(names)))


def _given(record: RunRecord, facts: Facts) -> Iterator[tuple[Edge, Tree]]:
    """What a run was given, in which role. Where its own code prepared nothing, it was trained on what lay there."""
    prepared = any(phase.name == contract.PROCESS_DATA for phase in facts.phases)
    for data, snapshot in ((facts.data, facts.snapshot), (facts.evaluation_data, facts.evaluation_snapshot)):
        if data is not None:
            kind = _ROLES[data.role] if data.role != "input" or prepared else "trained-on"
            kept = snapshot is not None
            edge = Edge(kind, record.run, data.tree.digest, data.attested, kept, source=data.source)
            yield edge, data.tree
    for one in facts.passed:
        kind = _ROLES[one.role]
        yield (
            Edge(kind, record.run, one.tree.digest, one.attested, one.kept, folder=one.folder),
            one.tree,
        )
