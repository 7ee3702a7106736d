"""What is related to what, found by walking all records: slow, short, and nothing in it to go wrong."""

from __future__ import annotations

from collections.abc import Iterator

from pkgrun.lineage.relations import Held, Named
from pkgrun.records import VersionRecord
from pkgrun.runs.recover import settle
from pkgrun.store import numbers, operations, registry, trees
from pkgrun.store.root import Store

_PIPELINES = ("training", "evaluation", "full", "reproduction")


class Walked:
    """Relations as they stand now."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def children(self, of: Named) -> list[Named]:
        found = [record for record in self._versions() if self._parent(record) == of]
        found.sort(key=lambda record: (record.created, record.run))
        return [Named(record.package, record.version) for record in found]

    def runs_from(self, of: Named) -> list[str]:
        records = (settle(self._store, run) for run in operations.runs(self._store.backend))
        begun = (record for record in records if record.kind in _PIPELINES)
        return sorted(record.run for record in begun if (record.package, record.parent) == tuple(of))

    def reproductions(self, of: Named) -> list[str]:
        found = (settle(self._store, run) for run in self.runs_from(of))
        return [record.run for record in found if record.kind == "reproduction"]

    def saw(self, digest: str) -> list[Named]:
        from .walked_uses import walked  # which walks by this

        found = walked(self._store, digest)
        names = {one.version for one in found.uses if one.role in ("input", "trained", "package")}
        return [one for one in map(_named, self._versions()) if str(one) in names | set(found.heirs)]

    def by_record(self, digest: str) -> list[Named]:
        return [named for named in map(_named, self._versions()) if self._digest(named) == digest]

    def registered(self, tree: str) -> list[Held]:
        return [
            Held(record.label, path)
            for name in registry.names(self._store.backend)
            for record in registry.records(self._store.backend, name)
            for path in self._places(record.tree.digest, tree)
        ]

    def _versions(self) -> Iterator[VersionRecord]:
        for name in numbers.packages(self._store.backend):
            yield from numbers.versions(self._store.backend, name)

    def _digest(self, named: Named) -> str:
        return numbers.digest(self._store.backend, *named)

    def _parent(self, record: VersionRecord) -> Named | None:
        if record.parent is not None:
            return Named(record.package, record.parent)
        origin = record.origin
        for digest in (origin.record, *origin.ancestors) if origin else ():
            for named in self.by_record(digest):
                if named != _named(record):
                    return named
        return None

    def _places(self, root: str, wanted: str) -> Iterator[str]:
        if root == wanted:
            yield ""
        for path, entry in trees.walk(self._store.objects, root):
            if entry.kind == "dir" and entry.digest == wanted:
                yield path


def _named(record: VersionRecord) -> Named:
    return Named(record.package, record.version)
