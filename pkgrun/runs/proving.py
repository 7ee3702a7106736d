"""What the bytes of a record must have been that is missing or altered: from what others say of it, never invented.

A number follows from the decision of its run and the digest of the record before it, and the record after it names its
digest. A run's records come from another store only, and must agree with what this one says of the run.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from typing import TypeVar

from pkgrun.errors import Damaged, NotFound
from pkgrun.identity import Version
from pkgrun.records import (
    DatasetEntry,
    DatasetRecord,
    Intent,
    KeyRecord,
    Outcome,
    Record,
    RunRecord,
    VersionEntry,
    VersionRecord,
)
from pkgrun.records.collecting import Removal
from pkgrun.records.erasing import Receipt
from pkgrun.runs.inspection import differing, number_of
from pkgrun.store import erased, numbers, registry
from pkgrun.store.erased import RECEIPT
from pkgrun.store.fsck import chains
from pkgrun.store.fsck.forms import CLAIM, DATASET, TOMBSTONE, VERSION, parse
from pkgrun.store.fsck.ledger import Ledger
from pkgrun.store.fsck.salvage import Source
from pkgrun.store.objects import digest_of
from pkgrun.store.operations import key as key_of

R = TypeVar("R", bound=Record)


@dataclass(slots=True)
class Proof:
    """What is known of the records of a store, and another store that may have them. `given` were proven already."""

    ledger: Ledger
    source: Source
    given: dict[str, bytes] = field(default_factory=dict)

    def of(self, key: str) -> bytes | None:
        """The bytes of a number, a tombstone or a claim; None if nothing proves any."""
        if key not in self.given:
            if VERSION.fullmatch(key) or DATASET.fullmatch(key):
                found = next((data for data in self._numbers(key) if self._fits(key, data)), None)
            else:
                found = self._by_itself(key)
            if found is None:
                return None
            self.given[key] = found
        return self.given[key]

    # ------------------------------------------------------------------ numbers

    def _numbers(self, key: str) -> Iterator[bytes]:
        """What a number's record may have been."""
        for outcome in self._makers(key):
            if data := self._rebuilt(key, outcome):
                yield data
        if data := self.source.record(key):
            yield data

    def _makers(self, key: str) -> Iterator[Outcome]:
        """The decisions that may have led to a number: of the run that it names, or of one that names it."""
        folder = key.split("/")[1]
        standing = self.ledger.numbers.get(key)
        for one in self.ledger.operations:
            if not isinstance(one, Outcome) or one.decision != "COMMIT":
                continue
            entry = _entry(one)
            name = entry.dataset if isinstance(entry, DatasetEntry) else entry.package if entry else ""
            if name != folder or isinstance(entry, DatasetEntry) != key.startswith("datasets/"):
                continue
            if standing is not None:
                if standing.record.run == one.run:
                    yield one
            elif one.run not in self.ledger.made and self._claimed(one.run) in (None, key):
                yield one

    def _claimed(self, run: str) -> str | None:
        """The number that a run's own record says it has made."""
        record = self._read(key_of(run, "run.json"), RunRecord)
        return number_of(record) if record else None

    def _read(self, key: str, kind: type[R]) -> R | None:
        try:
            return parse(kind, self.ledger.backend.read(key), key)
        except (NotFound, Damaged):
            return None

    def _rebuilt(self, key: str, outcome: Outcome) -> bytes | None:
        """A number's record, as it follows from a decision."""
        last = self._before(key, outcome.run)
        previous = self._digest(last) if last else None
        if last and previous is None:
            return None
        number = int(key.rpartition("/")[2].removesuffix(".json"))
        if outcome.dataset is not None:
            return DatasetRecord(**outcome.dataset.model_dump(), number=number, previous=previous).to_bytes()
        if outcome.entry is None:
            return None
        version = Version(int(key.split("/")[2]), number)
        return VersionRecord(**outcome.entry.model_dump(), version=version, previous=previous).to_bytes()

    def _before(self, key: str, run: str) -> str | None:
        """The key of the record that the one under `key`, which `run` made, names as the one before it."""
        intent = self._read(key_of(run, "intent.json"), Intent)
        if intent and (found := VERSION.fullmatch(key)):
            version = Version(int(found[2]), int(found[3]))
            if numbers.begins_history(intent.head, version):
                return None
        return chains.before(key)

    def _digest(self, key: str) -> str | None:
        """Of a record that stands, or was proven."""
        if key in self.given:
            return digest_of(self.given[key])
        one = self.ledger.numbers.get(key)
        return one.digest if one else None

    def _fits(self, key: str, data: bytes) -> bool:
        """Whether a record may be that number: it names the one before, and is named by the one after, or was decided."""
        try:
            record = _number(key, data)
        except Damaged:
            return False
        last = self._before(key, record.run)
        if _key_of(record) != key or (last is not None and self._digest(last) not in (None, record.previous)):
            return False
        following = (self.ledger.numbers.get(one) for one in chains.following(key))
        named = (one.record.previous for one in following if one)
        witnesses = [digest == digest_of(data) for digest in named if digest is not None]
        if entry := next((_entry(one) for one in self.ledger.operations if one.run == record.run), None):
            witnesses.append(not chains.differing(record, entry))
        return bool(witnesses) and all(witnesses)

    # ------------------------------------------------------------------ others

    def _by_itself(self, key: str) -> bytes | None:
        """A claim, a tombstone or a receipt of the other store, if it is about the same; a receipt also as its run asked for it."""
        if RECEIPT.fullmatch(key) and (asked := self._asked(key)) is not None:
            return asked
        data = self.source.record(key)
        try:
            if data is None:
                return None
            if found := CLAIM.fullmatch(key):
                claim = parse(KeyRecord, data, key)
                return data if self.ledger.asked.get(claim.run) == f"sha256:{found[1]}" else None
            if RECEIPT.fullmatch(key):
                receipt = parse(Receipt, data, key)
                return data if erased.key(bytes.fromhex(receipt.digest[7:])) == key else None
            if found := TOMBSTONE.fullmatch(key):
                removal = parse(Removal, data, key)
                about = Version(int(found[2]), int(found[3]))
                return data if (removal.package, removal.version) == (found[1], about) else None
        except Damaged:
            return None
        return None

    def _asked(self, key: str) -> bytes | None:
        """The receipt that the first erasure of a content has created."""
        for one in sorted(self.ledger.operations, key=lambda one: one.run):
            if not isinstance(one, Outcome) or one.erased is None:
                continue
            intent = self._read(key_of(one.run, "intent.json"), Intent)
            receipt = erased.receipt_of(intent) if intent is not None else None
            if receipt is not None and erased.key(bytes.fromhex(receipt.digest[7:])) == key:
                return receipt.to_bytes()
        return None

    # ------------------------------------------------------------------ runs

    def run(self, run: str) -> dict[str, bytes]:
        """What has to be written of a run's intent and decision so that all that is said of it agrees; empty if nothing does."""
        names = (
            key_of(run, "outcome.json"),
            key_of(run, "intent.json"),
        )  # in this order: without an intent there is no run
        theirs = {name: data for name in names if (data := self.source.record(name))}
        ours = {name: data for name in names if (data := self._own(name))}
        for outcome, intent in product(*([ours.get(name), theirs.get(name)] for name in names)):
            if outcome is None or intent is None or not self._agrees(run, intent, outcome):
                continue
            chosen = dict(zip(names, (outcome, intent), strict=True))
            return {name: data for name, data in chosen.items() if data != ours.get(name)}
        return {}

    def _own(self, key: str) -> bytes | None:
        try:
            return self.ledger.backend.read(key)
        except (NotFound, Damaged):
            return None

    def _agrees(self, run: str, asked: bytes, decided: bytes) -> bool:
        """Whether an intent and a decision fit each other, the run's own record if there is one, and what it has made."""
        try:
            intent = parse(Intent, asked, key_of(run, "intent.json"))
            outcome = parse(Outcome, decided, key_of(run, "outcome.json"))
        except Damaged:
            return False
        if intent.run != run or outcome.run != run or not self.agree(intent, outcome):
            return False
        record = self._read(key_of(run, "run.json"), RunRecord)
        if record is None:
            return run in self.ledger.made
        its = self.ledger.numbers.get(number_of(record) or "")
        return not differing(record, intent, outcome, its.record if its else None)

    def agree(self, intent: Intent, outcome: Outcome) -> bool:
        """Whether a decision is about what was asked, and about what the run has made."""
        entry = _entry(outcome)
        made = [self.ledger.numbers[key].record for key in self.ledger.made.get(intent.run, ())]
        if any(entry is None or chains.differing(one, entry) for one in made):
            return False
        if isinstance(entry, VersionEntry):
            return (entry.package, entry.kind) == (intent.package, intent.kind)
        return entry is None or entry.dataset == intent.dataset


def _entry(one: Outcome | Intent) -> VersionEntry | DatasetEntry | None:
    """The number but for its number that was decided."""
    if not isinstance(one, Outcome) or one.decision != "COMMIT":
        return None
    return one.entry or one.dataset


def _number(key: str, data: bytes) -> VersionRecord | DatasetRecord:
    """A number's record.

    Raises:
        Damaged: it is none.
    """
    return parse(DatasetRecord, data, key) if DATASET.fullmatch(key) else parse(VersionRecord, data, key)


def _key_of(record: VersionRecord | DatasetRecord) -> str:
    if isinstance(record, DatasetRecord):
        return registry.key(record.dataset, record.number)
    return numbers.key(record.package, record.version)
