"""Make up runs on a dataset that evolves, to see what the lineage index makes of them.

    PYTHON descent.py feed INDEX FOLDERS FILES CHANGED RUNS...
    PYTHON descent.py store STORE FOLDERS FILES CHANGED FIRST LAST

Runs under the Python that pkgrun is installed for. The dataset has FOLDERS folders of FILES files each; before each run CHANGED
files become others. `feed` hands records and directories to an index as it is handed them when it reads a store, and tells, in
a JSON line whenever as many runs as one of RUNS were fed, what that took and what questions take; no store is there.
`store` writes the runs FIRST to LAST into a store, their directories as listings, without making each durable by itself.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import resource
import sys
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from statistics import median
from typing import Any

from pkgrun.identity import Version
from pkgrun.lineage.evolution import Evolution
from pkgrun.lineage.ledger import Ledger
from pkgrun.lineage.tables import Tables
from pkgrun.lineage.uses import answer
from pkgrun.records import (
    Actor,
    Contract,
    Data,
    Facts,
    Head,
    Intent,
    Outcome,
    TrainingRequest,
    Tree,
    VersionEntry,
    VersionRecord,
)
from pkgrun.store import numbers, operations
from pkgrun.store.root import open_store

AT_ONCE = 500
ASKED = 7
FEW = 10
CHAINED = 50
"""Versions that descend from each other before the next is trained on the first again."""

_NOW = datetime(2026, 11, 20, tzinfo=UTC)
_PART = 4_000


class Evolving:
    """A dataset as its nodes, of which a few become others before each run; and the nodes that the last changes made.

    A flat one has its entries in parts, as large directories have.
    """

    def __init__(self, folders: int, files: int, changed: int) -> None:
        self._random = random.Random(6)
        self._changed = changed
        self._flat = folders == 1 and files > 2 * _PART
        width = _PART if self._flat else files
        count = files // _PART if self._flat else folders
        self.first = self._digest(0, 0, 0)
        self._late: deque[bytes] = deque(maxlen=FEW * changed)
        self._names = [f"{number:05}.csv" for number in range(width)]
        self._folders = [
            [_file(name, self._digest(folder, number, 0)) for number, name in enumerate(self._names)]
            for folder in range(count)
        ]
        self.nodes: dict[bytes, bytes] = {}
        self._changes = 0
        self._held: dict[int, bytes] = {}
        self._before: list[bytes] = []
        self._root = [self._made(number) for number in range(count)]
        self.root = self._seal()

    @staticmethod
    def _digest(folder: int, number: int, change: int) -> bytes:
        return hashlib.sha256(b"%d %d %d" % (folder, number, change)).digest()

    def _made(self, folder: int) -> bytes:
        data = b'{"entries":[' + b",".join(self._folders[folder]) + b"]}"
        digest = hashlib.sha256(data).digest()
        self.nodes[digest] = data
        self._held[folder] = digest
        below = len(self._names)
        if self._flat:
            return b'{"bytes":%d,"digest":"sha256:%s","files":%d,"first":"%05d"}' % (
                10 * below, digest.hex().encode(), below, folder,
            )  # fmt: skip
        return b'{"bytes":%d,"digest":"sha256:%s","files":%d,"kind":"dir","name":"%05d"}' % (
            10 * below, digest.hex().encode(), below, folder,
        )  # fmt: skip

    def _seal(self) -> bytes:
        what = b"parts" if self._flat else b"entries"
        data = b'{"%s":[' % what + b",".join(self._root) + b"]}"
        digest = hashlib.sha256(data).digest()
        self.nodes[digest] = data
        return digest

    @property
    def late(self) -> bytes:
        """The content of a file that the last few runs were given, unless it was changed again."""
        return self._late[0] if self._late else self.first

    @property
    def fresh(self) -> list[bytes]:
        """The nodes that the last change made."""
        held = set(self._held.values()) | {self.root}
        return [node for digest, node in list(self.nodes.items())[-self._changed - 1 :] if digest in held]

    def change(self) -> bytes:
        """Some files become others; the new root. What was before is still there until the next change."""
        for digest in self._before:
            del self.nodes[digest]
        self._before = []
        for _ in range(self._changed):
            folder = self._random.randrange(len(self._folders))
            number = self._random.randrange(1, len(self._names))
            self._changes += 1
            late = self._digest(folder, number, self._changes)
            self._late.append(late)
            self._folders[folder][number] = _file(self._names[number], late)
            self._before.append(self._held[folder])
            self._root[folder] = self._made(folder)
        self._before.append(self.root)
        self.root = self._seal()
        return self.root


def _file(name: str, digest: bytes) -> bytes:
    return b'{"digest":"sha256:%s","kind":"file","name":"%s","size":10}' % (
        digest.hex().encode(),
        name.encode(),
    )


class Records:
    """The records of one run after the other, and the directories that they name."""

    def __init__(self, data: Evolving) -> None:
        self.data = data
        self.package = b'{"entries":[' + _file("main.py", b"p" * 32) + b"]}"
        self._package = "sha256:" + hashlib.sha256(self.package).hexdigest()
        self._intent, self._outcome, self._version = _templates(self._package)

    def read(self, digest: bytes) -> bytes | None:
        """A directory that the last run or the one before named."""
        found = self.data.nodes.get(digest)
        return self.package if found is None and digest.hex() == self._package[7:] else found

    def of(self, number: int) -> tuple[Intent, Outcome, VersionRecord]:
        """Those of one run."""
        run = f"01a1fff7-0000-7000-8000-{number:012x}"
        created = _NOW + timedelta(seconds=number)
        parent = Version(1, (number - 1) if number % CHAINED else 0)
        tree = Tree(digest="sha256:" + self.data.root.hex(), files=100_000, bytes=1_000_000)
        request, facts, entry = self._intent.training, self._outcome.facts, self._outcome.entry
        if request is None or facts is None or facts.data is None or entry is None:
            raise SystemExit("the templates lack something")
        given = facts.model_copy(update={"data": facts.data.model_copy(update={"tree": tree})})
        common: dict[str, Any] = {"run": run, "created": created}
        made = entry.model_copy(update=common | {"parent": parent})
        request = request.model_copy(update={"base": parent})
        return (
            self._intent.model_copy(update=common | {"training": request}),
            self._outcome.model_copy(update=common | {"facts": given, "entry": made}),
            self._version.model_copy(update=common | {"version": Version(1, number), "parent": parent}),
        )


class Feeder:
    """Feeds an index, run by run."""

    def __init__(self, path: str, data: Evolving) -> None:
        self.tables = Tables(path)
        self.data = data
        self._records = Records(data)
        self._ledger = Ledger(self.tables, Evolution(self.tables, self._records.read))
        self.fed = 0
        self.spent = 0.0

    def feed(self, runs: int) -> None:
        """So many runs more; only what the index does counts."""
        while runs:
            some = min(runs, AT_ONCE)
            runs -= some
            began = time.perf_counter()
            with self.tables.changing():
                for _ in range(some):
                    began += self._made_up()
            self.spent += time.perf_counter() - began

    def _made_up(self) -> float:
        """One more; the seconds that it took to make it up."""
        began = time.perf_counter()
        self.fed += 1
        if self.fed > 1:
            self.data.change()
        intent, outcome, version = self._records.of(self.fed)
        took = time.perf_counter() - began
        self._ledger.run(intent.run, intent, outcome)
        self._ledger.version(version, "sha256:" + hashlib.sha256(intent.run.encode()).hexdigest())
        return took


def _templates(package: str) -> tuple[Intent, Outcome, VersionRecord]:
    run, tree = "01a1fff7-0000-7000-8000-000000000000", Tree(digest=package, files=1, bytes=1)
    contract = Contract(methods=("train",), pipelines=("training",), servable=True)
    data = Data(source="/data/rows", tree=tree, mount="overlay", attested=True)
    request = TrainingRequest(base=Version(1, 0), tree=tree, data="/data/rows")
    intent = Intent(
        run=run,
        kind="training",
        package="p",
        created=_NOW,
        by=Actor(user="u", host="h", pkgrun="0"),
        head=Head(major=1, minor=0),
        training=request,
    )
    entry = VersionEntry(
        package="p", kind="training", run=run, parent=None, tree=tree, contract=contract, created=_NOW
    )
    facts = Facts(started=_NOW, ended=_NOW, data=data)
    version = VersionRecord(**entry.model_dump(), version=Version(1, 1), previous=None)
    outcome = Outcome(run=run, decision="COMMIT", created=_NOW, facts=facts, entry=entry)
    return intent, outcome, version


def _timed(question: Callable[[], object]) -> float:
    taken = []
    for _ in range(ASKED):
        began = time.perf_counter()
        question()
        taken.append(time.perf_counter() - began)
    return median(taken)


def feed(path: str, data: Evolving, stops: list[int]) -> None:
    """Feed an index, and tell at every stop."""
    feeder = Feeder(path, data)
    for stop in stops:
        feeder.feed(stop - feeder.fed)
        feeder.tables.ask("pragma wal_checkpoint(truncate)")
        told: dict[str, float] = {"runs": stop, "build": feeder.spent, "bytes": os.path.getsize(path)}
        asked = {"all": feeder.data.first, "few": feeder.data.late, "none": b"n" * 32}
        with feeder.tables.reading():
            for name, content in asked.items():
                told[name] = _timed(partial(answer, feeder.tables, content))
        before = feeder.spent
        feeder.feed(1)
        told["more"] = feeder.spent - before
        told["memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(json.dumps(told), flush=True)


def store(place: str, data: Evolving, first: int, last: int) -> None:
    """Write runs into a store; tell the digests of a file that all were given, and of one that only the last few were."""
    opened = open_store(place, create=True)
    records = Records(data)
    for number in range(1, last + 1):
        if number > 1:
            data.change()
        if number < first:
            continue
        nodes = data.nodes.values() if number == first else data.fresh
        opened.objects.keep([(hashlib.sha256(node).digest(), node) for node in nodes])
        if number == 1:
            opened.objects.put(records.package)
        intent, outcome, version = records.of(number)
        for key, record in (
            (operations.key(intent.run, "intent.json"), intent),
            (operations.key(intent.run, "outcome.json"), outcome),
            (
                numbers.key("p", Version(1, number - 1)),
                version.model_copy(update={"version": Version(1, number - 1)}),
            ),
        ):
            path = os.path.join(place, key)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "xb") as file:
                file.write(record.to_bytes())
    opened.objects.flush()
    print(json.dumps({"all": "sha256:" + data.first.hex(), "few": "sha256:" + data.late.hex()}))


if __name__ == "__main__":
    what, where, *given = sys.argv[1:]
    folders, files, changed, *rest = map(int, given)
    evolving = Evolving(folders, files, changed)
    if what == "feed":
        feed(where, evolving, rest)
    else:
        store(where, evolving, *rest)
