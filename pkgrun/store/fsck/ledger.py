"""Every record of a store, read as far as it can be read: one that cannot is a finding, and the others are read on.

It checks each record by itself: its form, and that it lies where it belongs. How they fit together is for `chains`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

from pkgrun.errors import Damaged, NotFound, PkgrunError
from pkgrun.records import (
    Data,
    DatasetRecord,
    Facts,
    FileList,
    Head,
    Intent,
    KeyRecord,
    Outcome,
    Record,
    VersionRecord,
)
from pkgrun.records.collecting import Removal
from pkgrun.store import numbers, operations, registry, roots
from pkgrun.store.backend import Backend
from pkgrun.store.fsck.findings import FROM, REPAIR, Finding, Kind, Severity, strange
from pkgrun.store.fsck.forms import CLAIM, DATASET, IN_RUN, TOMBSTONE, VERSION, needs_of, parse
from pkgrun.store.objects import digest_of
from pkgrun.store.operations import key as key_of
from pkgrun.store.parallel import each
from pkgrun.store.roots import Root, Roots

R = TypeVar("R", bound=Record)

_KNOWN = frozenset(
    {
        "pkgrun-store.json",
        "objects",
        "packs",
        "packages",
        "datasets",
        "runs",
        "keys",
        "erased",
        "gc",
        "trials",
    }
)


class Written(NamedTuple, Generic[R]):
    """A record as it was read, and the digest of its bytes."""

    key: str
    record: R
    digest: str


@dataclass(frozen=True, slots=True)
class Operation:
    """A run's records, as far as they could be read, and the names of all files in its folder."""

    run: str
    names: frozenset[str]
    intent: Intent | None
    outcome: Outcome | None

    @property
    def decided(self) -> bool:
        """Whether there is a decision, be it one that cannot be read."""
        return "outcome.json" in self.names


class Some(NamedTuple):
    """The keys of some records, and the names of the files of some runs; all of them are there.

    `beside`: numbers of which only the chain is looked at, not who made them nor what they refer to. `begun`: runs of which it is
    enough to know what is in their folders.
    """

    versions: list[str]
    tombstones: list[str]
    datasets: list[str]
    claims: list[str]
    runs: dict[str, frozenset[str]]
    beside: frozenset[str]
    begun: dict[str, frozenset[str]]


Look = Callable[["Ledger", Operation], Iterable[Finding]]
"""Looks at a run while all of it is at hand; called from several threads."""


@dataclass(slots=True)
class Ledger:
    """What was read. `there`: the keys of all numbers, readable or not."""

    backend: Backend
    there: set[str] = field(default_factory=set)
    numbers: dict[str, Written[VersionRecord] | Written[DatasetRecord]] = field(default_factory=dict)
    made: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """The keys of the numbers that each run says to have made."""
    tombstones: set[str] = field(default_factory=set)
    claims: dict[str, KeyRecord | None] = field(default_factory=dict)
    runs: dict[str, frozenset[str]] = field(default_factory=dict)
    asked: dict[str, str | None] = field(default_factory=dict)
    """Of each run whose intent can be read, the digest of its idempotency key."""
    operations: list[Outcome | Intent] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    beside: frozenset[str] = frozenset()
    """The keys of numbers that are known for the chain alone."""
    count: int = 0

    def read(
        self, key: str, kind: type[R], *, severity: Severity = "hole", hint: str = FROM
    ) -> Written[R] | None:
        """A record; None, and a finding, if it cannot be read. None alone if it is gone meanwhile."""
        try:
            data = self.backend.read(key)
            record = parse(kind, data, key)
        except NotFound:
            return None
        except Damaged as error:
            self.find("record-malformed", severity, key, error.message, hint)
            return None
        return Written(key, record, digest_of(data))

    def find(self, kind: Kind, severity: Severity, key: str, message: str, hint: str = REPAIR) -> None:
        """Note what is wrong."""
        self.findings.append(Finding(kind, severity, key, message, hint, needs_of(key)))

    def misplaced(self, key: str, what: str, severity: Severity = "hole", hint: str = FROM) -> None:
        """A record that is another's."""
        self.find("record-misplaced", severity, key, f"{key} is the record of {what}", hint)

    def listed(self, folder: str, forms: Iterable[re.Pattern[str]]) -> list[str]:
        """The keys below a folder that have one of some forms; every other is a finding."""
        found = []
        for key, stat in self.backend.walk(folder):
            if any(form.fullmatch(key) for form in forms):
                found.append(key)
            else:
                self.findings.append(strange(key, stat.size))
        self.count += len(found)
        return found

    def roots(self) -> Roots:
        """What the readable ones refer to."""
        versions = [
            roots.Numbered(key, one.record, numbers.tombstone_of(key) in self.tombstones)
            for key, one in self.numbers.items()
            if isinstance(one.record, VersionRecord) and key not in self.beside
        ]
        datasets: list[Root] = [
            roots.of_dataset(key, one.record)
            for key, one in self.numbers.items()
            if isinstance(one.record, DatasetRecord) and key not in self.beside
        ]
        return roots.arrange(versions, datasets, self.operations, self._head)

    def _head(self, run: str) -> Head:
        """What an import saw as the newest when it began; what cannot be read is told elsewhere."""
        try:
            return operations.intent(self.backend, run).head
        except PkgrunError:
            return Head(major=0)


def load(backend: Backend, look: Look) -> Ledger:
    """Read all records: first numbers, then who claims to have made them, so that what happens meanwhile is no finding.

    Raises:
        PermissionDenied, Temporary: the store cannot be read.
    """
    ledger = Ledger(backend)
    _strangers(ledger)
    keys = ledger.listed("packages", (VERSION, TOMBSTONE))
    _versions(ledger, sorted(key for key in keys if VERSION.fullmatch(key)))
    _tombstones(ledger, sorted(key for key in keys if TOMBSTONE.fullmatch(key)))
    _datasets(ledger, sorted(ledger.listed("datasets", (DATASET,))))
    _attribute(ledger)
    _claims(ledger, sorted(ledger.listed("keys", (CLAIM,))))
    _operations(ledger, _listed_runs(ledger), look)
    return ledger


def load_some(backend: Backend, some: Some, look: Look) -> Ledger:
    """Read some records, as if there were no others.

    Raises:
        PermissionDenied, Temporary: the store cannot be read.
    """
    ledger = Ledger(backend, beside=some.beside)
    _versions(ledger, some.versions)
    _tombstones(ledger, some.tombstones)
    _datasets(ledger, some.datasets)
    _attribute(ledger)
    _claims(ledger, some.claims)
    ledger.runs = dict(some.begun)
    _operations(ledger, some.runs, look)
    ledger.count = sum(map(len, (some.versions, some.tombstones, some.datasets, some.claims)))
    ledger.count += sum(map(len, some.runs.values()))
    return ledger


def _attribute(ledger: Ledger) -> None:
    """Who says to have made which number."""
    for one in ledger.numbers.values():
        if one.key not in ledger.beside:
            ledger.made[one.record.run].append(one.key)


def _strangers(ledger: Ledger) -> None:
    """What lies beside the folders of the format."""
    for name in sorted(set(ledger.backend.list("")) - _KNOWN):
        stat = ledger.backend.stat(name)
        below = [(name, stat)] if stat else list(ledger.backend.walk(name))
        for key, one in below:
            ledger.findings.append(strange(key, one.size))


def _versions(ledger: Ledger, keys: list[str]) -> None:
    ledger.there.update(keys)
    for key, one in zip(keys, each(lambda key: ledger.read(key, VersionRecord), keys, run=1), strict=True):
        if one is None:
            continue
        if key != numbers.key(one.record.package, one.record.version):
            ledger.misplaced(key, f"{one.record.package}@{one.record.version}")
        else:
            ledger.numbers[key] = one


def _datasets(ledger: Ledger, keys: list[str]) -> None:
    ledger.there.update(keys)
    for key, one in zip(keys, each(lambda key: ledger.read(key, DatasetRecord), keys, run=1), strict=True):
        if one is None:
            continue
        if key != registry.key(one.record.dataset, one.record.number):
            ledger.misplaced(key, one.record.label)
        else:
            ledger.numbers[key] = one


def _tombstones(ledger: Ledger, keys: list[str]) -> None:
    for key, one in zip(keys, each(lambda key: ledger.read(key, Removal), keys, run=1), strict=True):
        ledger.tombstones.add(key)
        if one is None:
            continue
        removal = one.record
        if key != numbers.tombstone(removal.package, removal.version):
            ledger.misplaced(key, f"{removal.package}@{removal.version}")


def _claims(ledger: Ledger, keys: list[str]) -> None:
    for key, one in zip(keys, each(lambda key: ledger.read(key, KeyRecord), keys, run=1), strict=True):
        ledger.claims[key] = one.record if one else None


def _listed_runs(ledger: Ledger) -> dict[str, frozenset[str]]:
    names: dict[str, set[str]] = defaultdict(set)
    for key in ledger.listed("runs", (IN_RUN,)):
        _, run, name = key.split("/", 2)
        names[run].add(name)
    return {run: frozenset(found) for run, found in sorted(names.items())}


def _operations(ledger: Ledger, runs: dict[str, frozenset[str]], look: Look) -> None:
    ledger.runs |= runs  # at hand already for what each looks at in others
    looked = each(lambda run: _operation(ledger, run, look), runs, run=1)
    for slim, findings in looked:
        ledger.findings += findings
        if slim is not None:
            ledger.operations.append(slim)


def _operation(ledger: Ledger, run: str, look: Look) -> tuple[Outcome | Intent | None, list[Finding]]:
    names = ledger.runs[run]
    intent = _of_run(ledger, run, Intent, "intent.json") if "intent.json" in names else None
    outcome = _of_run(ledger, run, Outcome, "outcome.json") if "outcome.json" in names else None
    if intent is not None and "outcome.json" not in names:  # it may have been decided meanwhile
        outcome = _of_run(ledger, run, Outcome, "outcome.json")
        names |= {"outcome.json"} if outcome else set()
    if intent is not None:
        ledger.asked[run] = intent.idempotency_key
    findings = list(look(ledger, Operation(run, names, intent, outcome)))
    return (_slim(outcome) if outcome else intent), findings


def _of_run(ledger: Ledger, run: str, kind: type[R], name: str) -> R | None:
    one = ledger.read(key_of(run, name), kind)
    if one is None:
        return None
    if (other := getattr(one.record, "run", run)) != run:
        ledger.misplaced(one.key, f"the run {other}")
        return None
    return one.record


def _slim(outcome: Outcome) -> Outcome:
    """What a decision refers to, without all that it tells."""
    if outcome.facts is None:
        return outcome
    kept = (
        "started",
        "ended",
        "snapshot",
        "evaluation_snapshot",
        "passed",
        "artifacts",
        "log",
        "environment",
    )
    slim = {name: getattr(outcome.facts, name) for name in kept}
    slim |= {name: _slim_data(getattr(outcome.facts, name)) for name in ("data", "evaluation_data")}
    again = outcome.facts.reproduced
    slim["reproduced"] = again.model_copy(update={"causes": ()}) if again else None
    facts = Facts.model_construct(**slim)
    return outcome.model_copy(update={"facts": facts})


def _slim_data(data: Data | None) -> Data | None:
    nothing = FileList()
    return data.model_copy(update={"unstable": nothing, "written": None}) if data and data.listed else None
