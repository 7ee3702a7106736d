"""What a copy takes along: looked up in both stores before anything is written, and every conflict found.

It reads, and settles the source's runs as every reader does. It never writes to the target.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from pkgrun.errors import Damaged, NotFound
from pkgrun.identity import NAME_PATTERN, RUN_ID_PATTERN, Version, check_name
from pkgrun.records import (
    Blob,
    Intent,
    KeyRecord,
    Outcome,
    RunRecord,
    Share,
    Tree,
    VersionRecord,
)
from pkgrun.runs import idempotency, recover, twins
from pkgrun.runs.landing import KEY
from pkgrun.runs.twins import Numbered
from pkgrun.store import erased, numbers, operations, registry, roots
from pkgrun.store.objects import digest_of
from pkgrun.store.operations import key as key_of
from pkgrun.store.parallel import each
from pkgrun.store.reach import reach
from pkgrun.store.root import Store

_REGISTERED = re.compile(rf"({NAME_PATTERN.strip('^$')})@([1-9][0-9]{{0,7}})(/.*)?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Item:
    """A version, a number of a dataset, a run, or a claim to a key: its records, and what these refer to."""

    there: bool
    keys: tuple[str, ...]
    trees: tuple[Tree, ...] = ()
    blobs: tuple[Blob, ...] = ()
    listings: tuple[Tree, ...] = ()


@dataclass(frozen=True, slots=True)
class Cargo:
    """All that a copy is about, and how many runs it leaves out because they go on. `removals`: tombstones of versions;
    `removed`: the versions that were removed in either store, whose contents are not brought."""

    versions: list[Item]
    removals: list[Item]
    datasets: list[Item]
    runs: list[Item]
    claims: list[Item]
    open: int
    removed: frozenset[tuple[str, Version]]

    @property
    def missing(self) -> list[Item]:
        """What the target lacks."""
        every = (*self.versions, *self.removals, *self.datasets, *self.runs, *self.claims)
        return [item for item in every if not item.there]


def share(items: Iterable[Item]) -> Share:
    """How many of them have to be brought, and how many are there."""
    there = [item.there for item in items]
    return Share(copied=there.count(False), there=there.count(True))


def load(source: Store, target: Store, package: str | None) -> Cargo:
    """Everything in the source; or one package with its lineage: versions, runs, the datasets these were given.

    Raises:
        NotFound: the source has no such package.
        Conflict: the target has something else under a number, of a run, or for an idempotency key.
        Damaged: a record is not what it should be.
    """
    loading = _Loading(source, target)
    # Before the runs: what one of these has made meanwhile is then seen to be missing, and left to the next copy.
    versions = loading.versions(package)
    datasets = loading.newest() if package is None else {}
    found = loading.settled()
    if package is not None:
        mine = [record for record in found if record.package == package]
        datasets = loading.named(mine)
        found = mine + [record for record in found if record.number and record.dataset in datasets]
    taken = [record for record in found if record.final and _complete(record, versions, datasets)]
    runs = dict(each(loading.run, taken, run=1))
    cargo = Cargo(
        versions=list(versions.values()),
        removals=loading.removals(),
        datasets=loading.datasets(datasets),
        runs=[item for item, _ in runs.values()],
        claims=loading.claims({run: key for run, (_, key) in runs.items()}),
        open=sum(not record.final for record in found),
        removed=frozenset(loading.removed),
    )
    loading.check()
    return cargo


def receipts(source: Store, target: Store, concerned: Cargo | None) -> list[bytes]:
    """The receipts of the source, byte for byte, for what the target has not erased.

    Args:
        concerned: only of what this leads to; None for all of them.

    Raises:
        Damaged: one of them is not what it should be.
    """
    raws = erased.raws(source.backend) - erased.raws(target.backend)
    if raws and concerned is not None:
        every = (*concerned.versions, *concerned.datasets, *concerned.runs)
        trees = tuple(tree for item in every for tree in (*item.trees, *item.listings))
        blobs = tuple(blob for item in every for blob in item.blobs)
        reached = reach(source.objects, [roots.Root("", "", trees, blobs)])
        raws &= {*reached.files, *reached.large}
    found = (erased.receipt(source.backend, raw) for raw in sorted(raws))
    return [receipt.to_bytes() for receipt in found if receipt is not None]


def check_numbers(source: Store, target: Store, cargo: Cargo) -> None:
    """Look once more at the numbers that the target lacked.

    Raises:
        Conflict: one was given to something else meanwhile.
    """
    loading = _Loading(source, target)
    each(
        loading.number,
        [key for item in (*cargo.versions, *cargo.datasets) if not item.there for key in item.keys],
    )
    loading.check()


def _complete(
    record: RunRecord, versions: Mapping[tuple[str, Version], Item], datasets: Mapping[str, int]
) -> bool:
    """Whether what a run has made is copied too."""
    if record.version is not None:
        return (record.package, record.version) in versions
    return record.number is None or record.number <= datasets.get(record.dataset or "", 0)


@dataclass(frozen=True, slots=True)
class _Loading:
    """What was found so far.

    `alike`: numbers of the same content that are no twins. `twins`: the numbers that have one, by the digest of the
    source's record. `chained`: those that the target lacks, by the digest that they name as the record before.
    `removed`: the versions that were removed in either store, and whether each of them was in the source and in the target.
    A tombstone holds in both from then on, and what went with a version is not brought.
    """

    source: Store
    target: Store
    conflicts: list[str] = field(default_factory=list)
    alike: list[str] = field(default_factory=list)
    twins: dict[str, str] = field(default_factory=dict)
    chained: dict[str, str] = field(default_factory=dict)
    removed: dict[tuple[str, Version], tuple[bool, bool]] = field(default_factory=dict)

    def compare(self, key: str) -> tuple[bytes, bool]:
        """A record of the source, and whether the target has it."""
        data = self.source.backend.read(key)
        standing = self._standing(key)
        if standing not in (None, data):
            self.conflicts.append(key)
        return data, standing is not None

    def _standing(self, key: str) -> bytes | None:
        try:
            return self.target.backend.read(key)
        except NotFound:
            return None

    def number(self, key: str) -> tuple[Numbered, bool]:
        """The record of a number in the source, and whether the target has it, or a twin of it."""
        data = self.source.backend.read(key)
        record = twins.parsed(key, data)
        standing = self._standing(key)
        if standing is None:
            self.chained[str(record.previous)] = key
        elif standing != data:
            self._differs(key, record, data, twins.parsed(key, standing))
        return record, standing is not None

    def _differs(self, key: str, record: Numbered, data: bytes, other: Numbered) -> None:
        if twins.twins(record, other):
            self.twins[digest_of(data)] = key
        else:
            (self.alike if record.tree == other.tree else self.conflicts).append(key)

    def check(self) -> None:
        """Raises:
        Conflict: something is not the same in both stores, or a number cannot be chained to a twin.
        """
        stores = self.source.url, self.target.url
        if self.conflicts:
            raise twins.conflict(self.conflicts, *stores)
        if self.alike:
            raise twins.made_twice(self.alike, *stores)
        for digest in self.twins.keys() & self.chained.keys():
            raise twins.chained(self.twins[digest], self.chained[digest], *stores)

    # ------------------------------------------------------------------ numbers

    def versions(self, package: str | None) -> dict[tuple[str, Version], Item]:
        """The versions of one package, or of all, ascending."""
        backend = self.source.backend
        names = numbers.packages(backend) if package is None else [check_name(package)]
        for name in names:
            self._load_removals(name)
        found = [(name, version) for name in names for version in self._numbers(name)]
        if package is not None and not found:
            raise NotFound(
                f"there is no package {package} in {self.source.url}",
                hint=f"`pkgrun package list --store {self.source.url}` shows what there is",
            )
        return dict(zip(found, each(self._version, found, run=1), strict=True))

    def _numbers(self, package: str) -> Iterator[Version]:
        backend = self.source.backend
        for major in numbers.majors(backend, package):
            newest = numbers.newest_minor(backend, package, major)
            yield from (Version(major, minor) for minor in range(-1 if newest is None else newest + 1))

    def _version(self, which: tuple[str, Version]) -> Item:
        package, version = which
        key = numbers.key(package, version)
        record, there = self.number(key)
        if not isinstance(record, VersionRecord) or (record.package, record.version) != which:
            raise Damaged(f"{key} is the record of {twins.label(record)}")
        lock = (record.environment.lock,) if record.environment else ()
        return Item(there, (key,), () if which in self.removed else (record.tree,), lock)

    def _load_removals(self, package: str) -> None:
        here, there = (
            numbers.removals(store.backend, package).keys() for store in (self.source, self.target)
        )
        self.removed.update(
            {(package, version): (version in here, version in there) for version in here | there}
        )

    def removals(self) -> list[Item]:
        """The tombstones of the source."""
        return [
            Item(there, (numbers.tombstone(package, version),))
            for (package, version), (here, there) in self.removed.items()
            if here
        ]

    def newest(self) -> dict[str, int]:
        """The newest number of every dataset."""
        backend = self.source.backend
        return {name: registry.newest_number(backend, name) for name in registry.names(backend)}

    def named(self, runs: Iterable[RunRecord]) -> dict[str, int]:
        """The datasets that runs were given, with the newest number of each that one was; those before it belong to it."""
        found: dict[str, int] = {}
        for record in runs:
            match = _REGISTERED.fullmatch((record.request and record.request.data) or "")
            if match is None:
                continue
            name, number = match[1], int(match[2])
            if registry.exists(self.source.backend, name, number):
                found[name] = max(number, found.get(name, 0))
        return found

    def datasets(self, newest: Mapping[str, int]) -> list[Item]:
        """The numbers of datasets up to the newest of each."""
        every = [(name, number + 1) for name, last in newest.items() for number in range(last)]
        return each(self._dataset, every, run=1)

    def _dataset(self, which: tuple[str, int]) -> Item:
        name, number = which
        key = registry.key(name, number)
        record, there = self.number(key)
        if twins.label(record) != f"{name}@{number}":
            raise Damaged(f"{key} is the record of {twins.label(record)}")
        return Item(there, (key,), (record.tree,))

    # ------------------------------------------------------------------ runs

    def settled(self) -> list[RunRecord]:
        """All runs as they stand, the oldest first."""
        names = sorted(
            name for name in self.source.backend.list("runs") if re.fullmatch(RUN_ID_PATTERN, name)
        )
        return [record for record in each(self._settled, names, run=1) if record is not None]

    def _settled(self, run: str) -> RunRecord | None:
        if not operations.exists(self.source.backend, run):
            return None
        return recover.settle(self.source, run)

    def run(self, record: RunRecord) -> tuple[str, tuple[Item, str | None]]:
        """A run, what belongs to it, and the digest of its idempotency key."""
        run, first, last = record.run, key_of(record.run, "intent.json"), key_of(record.run, "outcome.json")
        data, begun = self.compare(first)
        intent = operations.of_run(run, Intent.from_bytes(data, key=first), first)
        data, decided = self.compare(last)
        outcome = operations.of_run(run, Outcome.from_bytes(data, key=last), last)
        keys = [first, last, key_of(run, "run.json")]
        if outcome.facts is None or outcome.facts.log is None:
            events = key_of(run, "events")
            found = [f"{events}/{name}" for name in self.source.backend.list(events)]
            keys += filter(KEY.fullmatch, found)
        trees = () if self._gone(record) else tuple(roots.trees_of(outcome))
        blobs, listings = tuple(roots.blobs_of(outcome)), roots.listings_of(outcome)
        item = Item(begun and decided, tuple(keys), trees, blobs, listings)
        return run, (item, intent.idempotency_key)

    def _gone(self, record: RunRecord) -> bool:
        """Whether what a run kept went with its version, or with that of the run that it reproduces."""
        if record.reproduced is not None:
            original = self._settled(record.reproduced.run)
            return original is not None and self._gone(original)
        return record.version is not None and (record.package, record.version) in self.removed

    def claims(self, keys: Mapping[str, str | None]) -> list[Item]:
        """What idempotency keys stand for, as far as their runs are copied; an attempt without those before it is none."""
        claims = []
        for digest in sorted({key for key in keys.values() if key is not None}):
            for attempt in range(10**8):
                key = idempotency.key_of(digest, attempt)
                if self._claimed(key) not in keys:
                    break
                _, there = self.compare(key)
                claims.append(Item(there, (key,)))
        return claims

    def _claimed(self, key: str) -> str | None:
        try:
            return KeyRecord.from_bytes(self.source.backend.read(key), key=key).run
        except NotFound:
            return None
