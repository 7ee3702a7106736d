"""Feed the lineage index with made-up runs on a dataset that evolves, and tell how long it takes and how large it gets.

    PYTHON descent.py INDEX FOLDERS FILES CHANGED RUNS...

Runs under the Python that pkgrun is installed for. The dataset has FOLDERS folders of FILES files each; before each run CHANGED
files become others. Whenever as many runs as one of RUNS were fed, a JSON line tells what that took and what questions take. Records
and directories are handed to the index as it is handed them when it reads a store; no store is there.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import resource
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
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
    VersionRecord,
)

AT_ONCE = 500
ASKED = 7
CHAINED = 50
"""Versions that descend from each other before the next is trained on the first again."""

_NOW = datetime(2026, 11, 20, tzinfo=UTC)
_PART = 4_000
_PACKAGE = b"p" * 32


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
        self.late = b""
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

    def change(self) -> bytes:
        """Some files become others; the new root. What was before is still there until the next change."""
        for digest in self._before:
            del self.nodes[digest]
        self._before = []
        for _ in range(self._changed):
            folder = self._random.randrange(len(self._folders))
            number = self._random.randrange(1, len(self._names))
            self._changes += 1
            self.late = self._digest(folder, number, self._changes)
            self._folders[folder][number] = _file(self._names[number], self.late)
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


class Feeder:
    """Feeds an index, run by run."""

    def __init__(self, path: str, data: Evolving) -> None:
        self.tables = Tables(path)
        self.data = data
        self._package = b'{"entries":[' + _file("main.py", b"p" * 32) + b"]}"
        self._evolution = Evolution(self.tables, self._read)
        self._ledger = Ledger(self.tables, self._evolution)
        self.fed = 0
        self.spent = 0.0
        self._intent, self._outcome, self._version = _templates()

    def _read(self, digest: bytes) -> bytes | None:
        return self.data.nodes.get(digest) or (self._package if digest == _PACKAGE else None)

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
        intent, outcome, version = self._records()
        took = time.perf_counter() - began
        self._ledger.run(intent.run, intent, outcome)
        self._ledger.version(version, "sha256:" + hashlib.sha256(intent.run.encode()).hexdigest())
        return took

    def _records(self) -> tuple[Intent, Outcome, VersionRecord]:
        run = f"01a1fff7-0000-7000-8000-{self.fed:012x}"
        created = _NOW + timedelta(seconds=self.fed)
        parent = Version(1, (self.fed - 1) if self.fed % CHAINED else 0)
        tree = Tree(digest="sha256:" + self.data.root.hex(), files=100_000, bytes=1_000_000)
        request = self._intent.training
        facts = self._outcome.facts
        assert request is not None  # noqa: S101
        assert facts is not None  # noqa: S101
        assert facts.data is not None  # noqa: S101
        given = facts.model_copy(update={"data": facts.data.model_copy(update={"tree": tree})})
        common: dict[str, Any] = {"run": run, "created": created}
        return (
            self._intent.model_copy(
                update=common | {"training": request.model_copy(update={"base": parent})}
            ),
            self._outcome.model_copy(update=common | {"facts": given}),
            self._version.model_copy(update=common | {"version": Version(1, self.fed), "parent": parent}),
        )


def _templates() -> tuple[Intent, Outcome, VersionRecord]:
    run, tree = "01a1fff7-0000-7000-8000-000000000000", Tree(digest="sha256:" + "70" * 32, files=1, bytes=1)
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
    facts = Facts(started=_NOW, ended=_NOW, data=data)
    version = VersionRecord(
        package="p",
        kind="training",
        run=run,
        parent=None,
        tree=tree,
        contract=Contract(methods=("train",), pipelines=("training",), servable=True),
        created=_NOW,
        version=Version(1, 1),
        previous=None,
    )
    return intent, Outcome(run=run, decision="COMMIT", created=_NOW, facts=facts), version


def _timed(question: Callable[[], object]) -> float:
    taken = []
    for _ in range(ASKED):
        began = time.perf_counter()
        question()
        taken.append(time.perf_counter() - began)
    return median(taken)


def main(path: str, folders: int, files: int, changed: int, stops: list[int]) -> None:
    """Feed, and tell at every stop."""
    feeder = Feeder(path, Evolving(folders, files, changed))
    for stop in stops:
        feeder.feed(stop - feeder.fed)
        feeder.tables.ask("pragma wal_checkpoint(truncate)")
        told: dict[str, float] = {"runs": stop, "build": feeder.spent, "bytes": os.path.getsize(path)}
        asked = {"all": feeder.data.first, "few": feeder.data.late, "none": b"n" * 32}
        for name, content in asked.items():
            with feeder.tables.reading():
                told[name] = _timed(lambda wanted=content: answer(feeder.tables, wanted))  # type: ignore[misc]
        before = feeder.spent
        feeder.feed(1)
        told["more"] = feeder.spent - before
        told["memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    where, *given = sys.argv[1:]
    folders, files, changed, *stops = map(int, given)
    main(where, folders, files, changed, stops)
