"""What can be done about what an inspection found: a plan, made before anything is changed. It changes nothing."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from pkgrun.errors import Damaged, NotFound
from pkgrun.packages.contract import RESULTS_FILE
from pkgrun.runs.inspection import Inspection
from pkgrun.runs.proving import Proof
from pkgrun.store import collecting, numbers, operations, sentences
from pkgrun.store.backend import Stat
from pkgrun.store.erased import RECEIPT
from pkgrun.store.fsck import salvage
from pkgrun.store.fsck.findings import Finding, Report
from pkgrun.store.fsck.forms import CLAIM, DATASET, SENTENCE, TOMBSTONE, VERSION
from pkgrun.store.fsck.needs import name_of
from pkgrun.store.fsck.salvage import Source
from pkgrun.store.operations import key as key_of
from pkgrun.store.root import KEY, Store

Action = Literal[
    "carry-out", "derive", "delete", "set-aside", "restore-record", "restore", "rewrite", "sweep"
]
"""Never renamed. `carry-out`: do what was decided. `derive`: write anew what follows from others. `set-aside`: take out of
use. `restore-record`, `restore`: write what is proven, or what another store has. `rewrite`: what is good of a damaged file
into a new one. `sweep`: take out what was erased."""


_STAYING = frozenset({"unreferenced", "strange", "quarantined", "key-unused", "run-silent", "erased"})


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do, to one file."""

    action: Action
    key: str
    message: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be done about a report, and of what nothing can be done."""

    report: Report
    steps: tuple[Step, ...]
    hopeless: tuple[Finding, ...]


def plan(store: Store, seen: Inspection, source: Source) -> Plan:
    """What to do about all that was found.

    Args:
        source: where what is lost may come from.

    Raises:
        PermissionDenied, Temporary: a store cannot be read.
    """
    return _Planning(store, seen, source).plan()


@dataclass
class _Planning:
    """A plan in the making."""

    store: Store
    seen: Inspection
    source: Source
    steps: dict[tuple[str, str], Step] = field(default_factory=dict)
    hopeless: list[Finding] = field(default_factory=list)
    _proof: Proof = field(init=False)
    _rescued: set[bytes] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._proof = Proof(self.seen.ledger, self.source)

    def plan(self) -> Plan:
        """Go through all findings; numbers ascending, for each is proven by the one before."""
        self._rescued = set(self._rescue())
        for finding in sorted(self.seen.report.findings, key=lambda one: one.key):
            if finding.kind not in _STAYING and not self._plan(finding):
                self.hopeless.append(finding)
        return Plan(self.seen.report, tuple(self.steps.values()), tuple(self.hopeless))

    def _rescue(self) -> Iterator[bytes]:
        """What is good in packs whose indexes are damaged."""
        found = self.seen.contents
        for key in found.broken:
            with suppress(NotFound):
                yield from (one.raw for one in salvage.good_in(self.store.backend, key, None, found.missing))

    def _step(self, action: Action, key: str, message: str) -> bool:
        self.steps.setdefault((action, key), Step(action, key, message))
        return True

    def _plan(self, finding: Finding) -> bool:
        """What to do about one; False if nothing can be done, or not enough."""
        key = finding.key
        match finding.kind:
            case (
                "pack-damaged" | "object-altered" | "object-missing" | "directory-missing" | "listing-missing"
            ):
                return self._content(finding)
            case "counts-wrong" | "directory-malformed":
                return False
            case "decision-pending" | "run-dead":
                return self._step(
                    "carry-out", key, f"carry out what is decided of the run {key.split('/')[1]}"
                )
            case "erased-present":
                return self._step("sweep", key, f"{key} goes, or is written anew without what was erased")
            case "derived-wrong":
                return self._derived(key)
            case "leftover" | "run-without-intent":
                return self._leftover(finding)
            case _:
                return self._record(finding)

    def _content(self, finding: Finding) -> bool:
        """Bytes that are altered or gone."""
        found, needed = self.seen.contents, finding.digests & self.seen.contents.missing.keys()
        back = {raw for raw in needed if raw in self._rescued or self.source.has(raw)}
        if finding.kind in ("pack-damaged", "object-altered"):
            lost = len(needed - back)
            if finding.key.startswith("objects/") and back:
                return self._step("restore", finding.key, f"{finding.key} comes from the other store")
            message = f"what is good of {finding.key} is written anew, and the file is set aside"
            message += f"; {len(back)} come from elsewhere" if back else ""
            self._step("rewrite", finding.key, message + (f"; {lost} are lost" if lost else ""))
            unseen = found.missing if finding.key in found.broken else ()  # what it held is not known
            return not lost and all(raw in self._rescued or self.source.has(raw) for raw in unseen)
        if not needed or needed - back:
            return False
        where = "a pack whose index is damaged" if needed & self._rescued else "the other store"
        return self._step("restore", finding.key, f"{', '.join(map(name_of, needed))} comes from {where}")

    def _derived(self, key: str) -> bool:
        run, name = key.split("/", 2)[1:]
        if name == "heartbeat.json":
            return self._step("delete", key, f"{key} goes; the intent tells who began the run")
        if name not in ("run.json", RESULTS_FILE):
            return self._step("set-aside", key, f"{key} is set aside")
        if proven := self._proof.run(run):
            return self._records(proven)
        try:
            intent = operations.intent(self.store.backend, run)
            decided = operations.decided(self.store.backend, run)
        except (NotFound, Damaged):
            return False
        if decided is None:
            return self._step("set-aside", key, f"{key} is set aside: the run is not decided")
        if not self._proof.agree(intent, decided):  # then it is what tells that these are altered
            return False
        return self._step(
            "derive",
            key_of(run, "run.json"),
            f"what follows from the records of the run {run} is written anew",
        )

    def _records(self, proven: Iterable[str]) -> bool:
        for key in proven:
            self._step("restore-record", key, f"{key} is put back as it must have been")
        return True

    def _leftover(self, finding: Finding) -> bool:
        """Rubbish that has an owner who is gone."""
        key, backend = finding.key, self.store.backend
        if finding.kind == "run-without-intent":
            names = self.seen.ledger.runs.get(key.split("/")[1], frozenset())
            if "outcome.json" not in names:  # else a copy may just be bringing it
                for name in sorted(names):
                    self._step("delete", f"{key}/{name}", f"{key}/{name} goes")
            return True
        if "/events/" in key:
            folder = key.rpartition("/")[0]
            for name in sorted(backend.list(folder)):
                self._step("delete", f"{folder}/{name}", f"{folder}/{name} goes")
            return True
        stat = self._temporary.get(key)
        if stat is None or collecting.is_left(stat, time.time()):
            self._step("delete", key, f"{key} goes")
        return True

    @cached_property
    def _temporary(self) -> dict[str, Stat]:
        """What writers have left, or are just writing to."""
        return dict(self.store.backend.leftovers())

    def _record(self, finding: Finding) -> bool:
        """A record that was written once, and is missing or altered."""
        key = finding.key
        if key == KEY:
            return self._step("restore-record", key, f"{key} is written anew, with {self._id()}")
        if key.startswith("runs/"):
            return self._records(proven) if (proven := self._proof.run(key.split("/")[1])) else False
        if any(form.fullmatch(key) for form in (VERSION, DATASET, CLAIM)):
            return self._records([key]) if self._proof.of(key) is not None else False
        if RECEIPT.fullmatch(key):
            return self._records([key]) if self._proof.of(key) is not None else False
        if TOMBSTONE.fullmatch(key):
            about = numbers.buried(key) if finding.kind == "tombstone-unfounded" else key
            return self._records([about]) if self._proof.of(about) is not None else False
        if found := SENTENCE.fullmatch(key):
            return self._sentence(key, found[1], found[2])
        return False

    def _id(self) -> str:
        """Which id the store is to have, in words."""
        lost = self.store.lost
        if lost is None or lost.legible:
            return f"the id that it has, {self.store.id}"
        return "a NEW id: nothing tells the old one, by which this machine and others know what they have cached of it"

    def _sentence(self, key: str, folder: str, sentence: str) -> bool:
        """What a collection has written, and no collection can read; not while one may be carrying it out."""
        if folder == "open":
            return self._step("delete", key, f"{key} goes; the next collection writes it anew")
        if sentences.busy_for(self.store.backend, sentence, time.time()):
            return False
        return self._step("set-aside", key, f"{key} is set aside; the next collection decides anew")
