"""Stores with a history, written as records and trees without running anything."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from pkgrun.records import (
    Blob,
    Data,
    DatasetEntry,
    Facts,
    Head,
    Intent,
    Origin,
    Passed,
    TrainingRequest,
    Tree,
    VersionRecord,
)
from pkgrun.records.collecting import Removal
from pkgrun.store import numbers, operations, registry, trees
from pkgrun.store.objects import Objects, digest_and_raw, digest_of
from pkgrun.store.operations import new_run_id
from pkgrun.store.root import Store, open_store
from pkgrun.store.sinks import Hashing, Sink
from pkgrun.store.trees import Entry
from tests.store import entries

Folder = dict[str, "str | Folder"]
"""Names, and texts or folders."""


class Nodes(Hashing):
    """Keeps directories as plain blobs, and no files."""

    def __init__(self, objects: Objects) -> None:
        super().__init__()
        self._objects = objects

    def node(self, data: bytes) -> Blob:
        self._objects.keep([(digest_and_raw(data)[1], data)])
        return super().node(data)


def tree_of(folder: Folder, sink: Sink | None = None) -> Tree:
    """The tree of a folder, kept in a sink."""
    sink = sink or Hashing()
    found = []
    for name, one in folder.items():
        if isinstance(one, str):
            digest, raw = digest_and_raw(one.encode())
            sink.keep([(raw, one.encode())])
            found.append(Entry(name, "file", digest, 1, len(one)))
        else:
            below = tree_of(one, sink)
            found.append(Entry(name, "dir", below.digest, below.files, below.bytes))
    return trees.write_node(found, sink)


def new_store(folder: Path) -> Store:
    """An empty one, with a cache beside it."""
    return open_store(str(folder / "store"), create=True, cache=str(folder / "cache"))


@dataclass
class History:
    """A store, and what happens in it. Every event is a moment later than the one before."""

    store: Store
    made: list[VersionRecord] = field(default_factory=list)
    moments: int = 0

    def keep(self, folder: Folder, how: str) -> Tree:
        """A folder's tree; `how`: `kept` with its files, `listed`, or not at all in the store: `named`."""
        objects = self.store.objects
        sinks: dict[str, Sink] = {"kept": objects, "listed": Nodes(objects), "named": Hashing()}
        found = tree_of(folder, sinks[how])
        objects.flush()
        return found

    def import_(self, package: str, folder: Folder, origin: VersionRecord | None = None) -> VersionRecord:
        """A version from elsewhere; with `origin`, from what that version was exported to."""
        return self._made("import", package, self.keep(folder, "kept"), None, origin=_origin(origin))

    def train(
        self,
        base: VersionRecord,
        folder: Folder,
        data: Folder,
        how: str = "listed",
        *,
        decision: str = "COMMIT",
        **given: Any,
    ) -> VersionRecord | None:
        """A training on data; a version comes of it unless its decision is another."""
        facts = self.facts(self.keep(data, how), how=how, **given)
        tree = self.keep(folder, "kept")
        if decision == "COMMIT":
            return self._made("training", base.package, tree, base, facts=facts)
        self._run("training", base, decision, facts)
        return None

    def evaluate(self, base: VersionRecord, data: Folder, how: str = "listed", **given: Any) -> str:
        """An evaluation on data; its run."""
        facts = self.facts(self.keep(data, how), how=how, role="evaluated", **given)
        return self._run("evaluation", base, "COMMIT", facts)

    def reproduce(self, version: VersionRecord) -> str:
        """A run that did again what made a version; it failed."""
        run = new_run_id()
        assert version.parent is not None
        base = numbers.read(self.store.backend, version.package, version.parent)
        request = _request(base).model_copy(update={"reproduces": version.run, "pipeline": version.kind})
        self._intend(run, kind="reproduction", package=base.package, training=request)
        operations.decide(self.store.backend, entries.outcome(run, "FAILED"))
        return run

    def facts(
        self,
        data: Tree,
        *,
        how: str = "listed",
        role: Literal["input", "trained", "evaluated"] = "input",
        source: str = "/data",
        attested: bool = True,
        passed: tuple[tuple[Literal["trained", "evaluated"], Folder], ...] = (),
        artifacts: Folder | None = None,
    ) -> Facts:
        """What a run was given."""
        given = tuple(
            Passed(
                call="train" if one == "trained" else "evaluate",
                role=one,
                folder=f"dataset/{one}",
                tree=self.keep(folder, "listed"),
                attested=attested,
            )
            for one, folder in passed
        )
        return Facts(
            started=entries.NOW,
            ended=entries.NOW,
            data=Data(source=source, tree=data, role=role, mount="copy", attested=attested),
            passed=given,
            snapshot=data if how == "kept" else None,
            artifacts=self.keep(artifacts, "kept") if artifacts is not None else None,
        )

    def register(self, name: str, folder: Folder) -> str:
        """A number of a dataset; its label."""
        run, backend = new_run_id(), self.store.backend
        head = Head(major=registry.newest_number(backend, name))
        entry = DatasetEntry(
            dataset=name, run=run, tree=self.keep(folder, "kept"), source="/" + name, created=self._moment()
        )
        self._intend(run, kind="dataset", package=None, dataset=name, head=head)
        operations.decide(backend, entries.outcome(run, "COMMIT", dataset=entry))
        return registry.take(backend, entry, head).label

    def remove(self, version: VersionRecord) -> None:
        """Put a tombstone."""
        removal = Removal(
            package=version.package,
            version=version.version,
            created=self._moment(),
            by=entries.BY,
            reason="r",
        )
        key = numbers.tombstone(version.package, version.version)
        self.store.backend.create(key, removal.to_bytes())

    def begin(self, base: VersionRecord) -> str:
        """A run that goes on."""
        run = new_run_id()
        self._intend(run, package=base.package, training=_request(base))
        return run

    def end(self, run: str, facts: Facts) -> None:
        """It fails."""
        operations.decide(self.store.backend, entries.outcome(run, "FAILED", facts=facts))

    def _moment(self) -> datetime:
        self.moments += 1
        return entries.NOW + timedelta(seconds=self.moments)

    def _intend(self, run: str, **given: Any) -> Intent:
        intent = entries.intent(run, created=self._moment(), **given)
        assert operations.begin(self.store.backend, intent)
        return intent

    def _run(self, kind: str, base: VersionRecord, decision: str, facts: Facts) -> str:
        run = new_run_id()
        self._intend(run, kind=kind, package=base.package, training=_request(base))
        operations.decide(self.store.backend, entries.outcome(run, decision, facts=facts))
        return run

    def _made(
        self,
        kind: str,
        package: str,
        tree: Tree,
        base: VersionRecord | None,
        *,
        facts: Facts | None = None,
        origin: Origin | None = None,
    ) -> VersionRecord:
        run, backend = new_run_id(), self.store.backend
        head = numbers.head(backend, package, base.version.major if base else None)
        training = _request(base) if base else None
        intent = self._intend(run, kind=kind, package=package, head=head, training=training)
        entry = entries.entry(
            package=package,
            kind=kind,
            run=run,
            parent=base.version if base else None,
            tree=tree,
            origin=origin,
            created=intent.created,
        )
        operations.decide(backend, entries.outcome(run, "COMMIT", entry=entry, facts=facts))
        record = numbers.take(backend, entry, head)
        if record not in self.made:  # an import may be another's version
            self.made.append(record)
        return record


def _request(base: VersionRecord) -> TrainingRequest:
    return TrainingRequest(base=base.version, tree=base.tree, data="/data")


def _origin(origin: VersionRecord | None) -> Origin | None:
    if origin is None:
        return None
    return Origin(
        store=new_run_id(),
        package=origin.package,
        version=origin.version,
        record=digest_of(origin.to_bytes()),
        ancestors=(),
    )
