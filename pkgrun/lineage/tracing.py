"""Follows what a version came from, and what came from it, generation by generation, and makes a graph of it.

Up goes by what the records themselves say; down by the questions of `Relations`. Each generation is read at once, by
several threads. A record that others name and that is not there, or is damaged, stands in the graph as missing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TypeVar

from pkgrun.errors import NotFound, UsageError
from pkgrun.lineage import looking
from pkgrun.lineage.direct import Direct
from pkgrun.lineage.gathering import Gathered
from pkgrun.lineage.graph import Cut, Direction, Edge, EdgeKind, ForeignNode, Graph, MissingNode
from pkgrun.lineage.looking import Seen
from pkgrun.lineage.relations import Named, Traced
from pkgrun.records import Origin, RunRecord, VersionRecord
from pkgrun.runs import lookup
from pkgrun.store import numbers, registry
from pkgrun.store.parallel import each
from pkgrun.store.root import Store

Item = TypeVar("Item")

_TELLING = ("evaluation", "reproduction")
"""Runs that tell something of a version though they made none. A training that failed does not: nothing came of it."""


def trace(
    store: Store,
    relations: Traced,
    name: str,
    *,
    direction: Direction = "up",
    depth: int | None = None,
    limit: int | None = None,
) -> Graph:
    """The lineage of a version, or of a run.

    Args:
        name: `name@major.minor` (or less of it) or a run's id, or the beginning of one.
        depth: so many generations of versions; 0: only how it was made itself. None: all.
        limit: so many versions, and as many runs that made none, are read downwards; the nearest first, and of siblings
            the newest. None: all.

    Raises:
        UsageError: depth or limit is negative, or `name` cannot be one.
        NotFound: there is no such version or run.
        Damaged: its own record is not what it should be.
    """
    for what, number in (("depth", depth), ("limit", limit)):
        if number is not None and number < 0:
            raise UsageError(f"{what} must be 0 or more, not {number}")
    tracer = _Tracer(store, relations, depth, limit)
    about = tracer.begin(name, direction)
    nodes, edges = tuple(tracer.found.nodes()), tuple(tracer.found.edges())
    doubt = relations.why.message if isinstance(relations, Direct) else None
    return Graph(about, direction, nodes, edges, tuple(tracer.cuts), depth, doubt)


class _Tracer:
    """One walk through a store."""

    def __init__(self, store: Store, relations: Traced, depth: int | None, limit: int | None) -> None:
        self.found = Gathered(store, relations, looking.erased(store, relations))
        self.cuts: list[Cut] = []
        self._store, self._relations = store, relations
        self._depth, self._limit = depth, limit

    def begin(self, name: str, direction: Direction) -> str:
        """Follow what a name means; its id."""
        run = _run_meant(self._store, name)
        if run is not None:
            self._from_run(run, direction)
            return run
        record = _version_meant(self._store, name)
        named = Named(record.package, record.version)
        if direction != "down":
            self._up([named], 0)
        if direction != "up":
            self._down([named], 0)
        if record.parent is not None:
            self._done_again(Named(record.package, record.parent), record.run, str(named))
        return str(named)

    def _from_run(self, id: str, direction: Direction) -> None:
        """A run; what it started from and what it made are one generation away."""
        record = looking.run(self._store, id)
        if isinstance(record, MissingNode):
            raise NotFound(record.why, hint="`pkgrun run list` shows the runs")
        if record.package is None or record.parent is None:
            raise UsageError(f"the run {id} is no pipeline", hint="`pkgrun run list` shows those that are")
        self.found.run(record, whole=direction != "down")
        near, parent = self._depth != 0, Named(record.package, record.parent)
        if direction != "down":
            self._tie(_begun(record), id, str(parent)) if near else self.cuts.append(Cut(id, "up", 1))
            self._up([parent] if near else [], 1)
        self._done_again(parent, id, None)
        first = record.request.reproduces if record.request else None
        if first is not None:
            self._again(id, first)
        if direction != "up" and record.version is not None:
            made = Named(record.package, record.version)
            self._tie("made", id, str(made)) if near else self.cuts.append(Cut(id, "down", 1))
            self._down([made] if near else [], 1)

    def _done_again(self, base: Named, run: str, made: str | None) -> None:
        """The reproductions of a run, which started from where it did itself. Without an index nobody knows them."""
        if isinstance(self._relations, Direct):
            return
        for id in self._relations.reproductions(base):
            again = looking.run(self._store, id)
            if isinstance(again, RunRecord) and again.request and again.request.reproduces == run:
                self.found.run(again, whole=False)
                self._first(run, made)
                self._tie("reproduces", id, run)

    def _again(self, id: str, first: str) -> None:
        """The run that a reproduction did again, and what that had made."""
        record = self._first(first, None)
        self._tie("reproduces", id, first)
        if record is not None and record.package is not None and record.version is not None:
            made = self.found.version(looking.version(self._store, Named(record.package, record.version)))
            self._tie("made", first, made)

    def _first(self, run: str, made: str | None) -> RunRecord | None:
        """Add a run that was done again, and tie it to the version that it made, if that is known."""
        record = looking.run(self._store, run)
        if isinstance(record, MissingNode):
            self.found.add(record)
        else:
            self.found.run(record, whole=False)
        if made is not None:
            self._tie("made", run, made)
        return None if isinstance(record, MissingNode) else record

    def _tie(self, kind: EdgeKind, subject: str, object: str) -> None:
        self.found.tie(Edge(kind, subject, object))

    # Up

    def _up(self, level: Sequence[Named], generation: int) -> None:
        seen = set(level)
        while level:
            found = each(lambda named: looking.version(self._store, named), level, run=1)
            above: list[Named] = []
            for one in found:
                maker = self.found.making(one)
                if one.record is None or (one.record.parent is None and one.record.origin is None):
                    continue
                if generation == self._depth:
                    self.cuts.append(Cut(str(one.named), "up", 1 if one.record.parent else None))
                else:
                    above += self._ground(one.named, maker, one.record)
            level = [named for named in dict.fromkeys(above) if named not in seen]
            seen.update(level)
            generation += 1

    def _ground(self, named: Named, maker: str, record: VersionRecord) -> list[Named]:
        """The versions of this store that a version came from: one, mostly."""
        if record.parent is not None:
            parent = Named(record.package, record.parent)
            self._tie("started-from", maker, str(parent))
            return [parent]
        return self._origin(named, record.origin) if record.origin else []

    def _origin(self, named: Named, origin: Origin) -> list[Named]:
        """What an import is from: the version here that has that record, or else another store's, and so on before it."""
        kind: EdgeKind = "origin"
        id = str(named)
        for number, digest in enumerate((origin.record, *origin.ancestors)):
            here = [one for one in self._relations.by_record(digest) if one != named]
            for one in here:
                self._tie(kind, id, str(one))
            if here:
                return here
            told = (origin.package, origin.version) if number == 0 else (None, None)
            self.found.add(ForeignNode(digest, digest, origin.store, *told))
            self._tie(kind, id, digest)
            id, kind = digest, "descends-from"
        return []

    # Down

    def _down(self, level: Sequence[Named], generation: int) -> None:
        for named in level:
            self.found.version(looking.version(self._store, named))
        seen = set(level)
        room = spare = self._limit
        while level:
            family = {named: self._children(named, seen) for named in level}
            wanted = {named: [] if generation == self._depth else family[named] for named in level}
            taken, room = _within(wanted, room)
            read = [(named, child) for named, some in taken.items() for child in some]
            made = each(lambda pair: looking.version(self._store, pair[1]), read, run=4)
            for (named, _), child in zip(read, made, strict=True):
                self._child(named, child)
            known = {one.record.run for one in made if one.record}
            runs = {named: self._other_runs(named, known) for named in level}
            some, spare = _within(runs, spare)
            makers = self._results(some)
            for named in level:
                left = len(family[named]) - len(taken[named])
                unread = len(runs[named]) - len(some[named])
                self._cut(named, left + max(0, unread - max(0, left - makers[named])))
            level = [child for _, child in read]
            generation += 1

    def _children(self, named: Named, seen: set[Named]) -> list[Named]:
        found = [child for child in self._relations.children(named) if child not in seen]
        seen.update(found)
        return found

    def _child(self, parent: Named, child: Seen) -> None:
        """A version that came from another, and how."""
        id, record = self.found.version(child), child.record
        if record is not None and record.parent is None:
            self._tie("origin", id, str(parent))
            return
        for one in child.missing if record else ():
            self._tie("made", one.id, id)
        if child.run is not None:
            self.found.run(child.run, whole=False)
            self._tie("made", child.run.run, id)
        self._tie("started-from", child.run.run if child.run else id, str(parent))

    def _other_runs(self, named: Named, known: set[str]) -> list[str]:
        return [run for run in self._relations.runs_from(named) if run not in known and run not in self.found]

    def _results(self, runs: Mapping[Named, Sequence[str]]) -> Counter[Named]:
        """Add the runs that made no version but tell something; of each version, how many made one that was left out."""
        pairs = [(named, run) for named, some in runs.items() for run in some]
        found = each(lambda pair: looking.run(self._store, pair[1]), pairs, run=4)
        makers: Counter[Named] = Counter()
        for (named, _), record in zip(pairs, found, strict=True):
            if isinstance(record, MissingNode):
                self.found.add(record)
                self._tie("started-from", record.id, str(named))
            elif record.version is not None:
                makers[named] += 1
            elif record.kind in _TELLING or not record.final:
                self.found.run(record, whole=False)
                again = record.request.reproduces if record.request else None
                if again is not None and again in self.found:
                    self._tie("reproduces", record.run, again)
                else:
                    self._tie(_begun(record), record.run, str(named))
        return makers

    def _cut(self, named: Named, count: int) -> None:
        if count:
            self.cuts.append(Cut(str(named), "down", count))


def _within(
    wanted: Mapping[Named, Sequence[Item]], room: int | None
) -> tuple[dict[Named, Sequence[Item]], int | None]:
    """The newest of each as far as there is room, one after the other; and what room is left."""
    if room is None:
        return dict(wanted), None
    taken: dict[Named, Sequence[Item]] = {}
    for named, some in wanted.items():
        taken[named] = some[max(0, len(some) - room) :]
        room -= len(taken[named])
    return taken, room


def _begun(record: RunRecord) -> EdgeKind:
    """How a run is tied to the version that it started from."""
    return "evaluates" if record.kind == "evaluation" else "started-from"


def _run_meant(store: Store, name: str) -> str | None:
    return lookup.run(store, name) if lookup.means_run(store, name) else None


def _version_meant(store: Store, name: str) -> VersionRecord:
    try:
        return lookup.version(store, name, removed=True)
    except NotFound as error:
        bare = name.partition("@")[0]
        if registry.exists(store.backend, bare, 1) and not numbers.majors(store.backend, bare):
            hint = f"{bare} is a dataset: `pkgrun data used-by {name}` tells what was made of it"
            raise NotFound(f"there is no package {bare}", hint=hint) from error
        raise
