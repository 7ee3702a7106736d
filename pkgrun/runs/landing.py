"""Lays out the records that a copy has decided to bring, each under its key, so that no reader ever sees half of one.

A run's records come first and its intent last: until then it does not exist. A version comes when its content is
there and all versions before it are, and its run right after it. Anybody may do it, any number of times.

A tombstone comes after its version: before it, it would be the next one's who takes that number. In between the version is
there without its content, which a reader would be told is missing; whoever carries the copy out again closes that.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import orjson

from pkgrun.identity import NAME_PATTERN, RUN_ID_PATTERN
from pkgrun.packages.contract import RESULTS_FILE
from pkgrun.records import RunRecord, Tree
from pkgrun.runs import twins
from pkgrun.runs.results import results
from pkgrun.store import numbers, trees
from pkgrun.store.objects import digest_of
from pkgrun.store.operations import key as key_of
from pkgrun.store.parallel import each
from pkgrun.store.root import Store
from pkgrun.store.stretches import read_all

KEY = re.compile(
    r"packages/{name}/\d{{8}}/\d{{8}}(\.removed)?\.json|datasets/{name}/\d{{8}}\.json|keys/[0-9a-f]{{64}}/\d{{8}}\.json"
    r"|runs/{run}/((intent|outcome|run)\.json|events/\d{{8}}\.jsonl)".format(
        name=NAME_PATTERN.strip("^$"), run=RUN_ID_PATTERN.strip("^$")
    ),
    re.ASCII,
)
"""The keys that a copy brings. A store that somebody else made may hold others, and so may what it says it has copied."""

_INTENT = "intent.json"
_BATCH = 500
"""Runs whose records are in memory at once; of all others the intents are, and of versions the records."""


def land(store: Store, records: Tree) -> list[str]:
    """Create all records that are files of the tree.

    Returns:
        The keys under which something else stands in the store already, and no twin (`twins`). Nothing of such a
        package or dataset was created from there on, nor any of its runs.
    """
    files = {
        path: entry.digest
        for path, entry in trees.walk(store.objects, records.digest)
        if entry.kind == "file" and KEY.fullmatch(path)
    }
    return _Landing(store, files).land()


@dataclass(slots=True)
class _Landing:
    store: Store
    files: Mapping[str, str]
    stopped: set[str] = field(default_factory=set)
    """Folders of packages and datasets, and runs, of which no more is created."""
    conflicts: list[str] = field(default_factory=list)
    _at_hand: dict[str, bytes] = field(default_factory=dict)

    def land(self) -> list[str]:
        """All of it."""
        runs: dict[str, list[str]] = defaultdict(list)
        numbered: dict[str, list[str]] = defaultdict(list)
        for path in sorted(self.files):
            kind, name, _ = path.split("/", 2)
            if kind == "runs":
                runs[name].append(path)
            elif kind in ("packages", "datasets"):
                numbered[f"{kind}/{name}"].append(path)
        for some in _batches(list(runs)):
            paths = [path for run in some for path in runs[run] if not path.endswith(_INTENT)]
            self._read(paths)
            each(self._prepare, [(run, runs[run]) for run in some], run=1)
            for path in paths:
                del self._at_hand[path]
        self._read([path for path in self.files if path.endswith(_INTENT) or not path.startswith("runs/")])
        each(self._count, list(numbered.items()), run=1)
        each(self._begin, list(runs), run=1)
        each(self._claim, [path for path in sorted(self.files) if path.startswith("keys/")], run=1)
        return sorted(self.conflicts)

    def _read(self, paths: Sequence[str]) -> None:
        found = read_all(self.store.objects, [self.files[path] for path in paths])
        self._at_hand.update((path, found[self.files[path]]) for path in paths)

    def _create(self, path: str, *, chained: Collection[str] | None = None) -> bool:
        """Create a record, or find it; one of a number may have a twin, unless its digest is among those in `chained`."""
        data = self._at_hand[path]
        if self.store.backend.create(path, data) or (standing := self.store.backend.read(path)) == data:
            return True
        free = chained is not None and digest_of(data) not in chained
        if free and twins.twins(twins.parsed(path, data), twins.parsed(path, standing)):
            return True
        self.conflicts.append(path)
        return False

    def _prepare(self, run: tuple[str, Iterable[str]]) -> None:
        """All of a run but its intent."""
        name, paths = run
        for path in paths:
            if path.endswith("/outcome.json"):
                if not self._create(path):
                    self.stopped.add(name)
            elif path.endswith("/run.json"):
                self._write_results(RunRecord.from_bytes(self._at_hand[path], key=path))
            elif not path.endswith(_INTENT):
                self.store.backend.write(path, self._at_hand[path])

    def _write_results(self, record: RunRecord) -> None:
        """What is derived; it names the store it is in."""
        if vendor := results(record, self.store.url):
            self.store.backend.write(key_of(record.run, RESULTS_FILE), vendor.to_bytes())
        self.store.backend.write(key_of(record.run, "run.json"), record.to_bytes())

    def _count(self, folder: tuple[str, Sequence[str]]) -> None:
        """The numbers of one package or dataset, ascending, each with its run, and with its tombstone if it was removed."""
        name, paths = folder
        chained = {orjson.loads(self._at_hand[path]).get("previous") for path in paths}
        for path in paths:
            if numbers.TOMBSTONE.fullmatch(path):  # whoever has removed it there has removed it
                self.store.backend.create(path, self._at_hand[path])
                continue
            if not self._create(path, chained=chained):
                self.stopped.add(name)
                return
            self._begin(orjson.loads(self._at_hand[path])["run"])

    def _begin(self, run: str) -> None:
        """Let a run exist."""
        path = key_of(run, _INTENT)
        if run in self.stopped or path not in self.files:
            return
        intent = orjson.loads(self._at_hand[path])
        homes = {f"packages/{intent.get('package')}", f"datasets/{intent.get('dataset')}"}
        if homes & self.stopped or not self._create(path):
            self.stopped.add(run)

    def _claim(self, path: str) -> None:
        if orjson.loads(self._at_hand[path])["run"] not in self.stopped:
            self._create(path)


def _batches(runs: Sequence[str]) -> Iterator[Sequence[str]]:
    return (runs[start : start + _BATCH] for start in range(0, len(runs), _BATCH))
