"""Which records concern a version: its own, those of all that it came from, and the chain down to its package's first.

It reads as few as there are of these, and believes none: what cannot be read ends the way there, and whoever checks the
records says why.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeVar

from pkgrun.errors import Damaged, NotFound
from pkgrun.identity import NAME_PATTERN, Version
from pkgrun.lineage.relations import Named, Relations
from pkgrun.records import (
    DatasetRecord,
    Intent,
    KeyRecord,
    Origin,
    Outcome,
    Record,
    VersionRecord,
)
from pkgrun.store import numbers, registry
from pkgrun.store.backend import Backend
from pkgrun.store.fsck import chains
from pkgrun.store.fsck.forms import CLAIM, IN_RUN, parse
from pkgrun.store.fsck.ledger import Some
from pkgrun.store.operations import key as key_of
from pkgrun.store.parallel import each

R = TypeVar("R", bound=Record)
Part = Literal["version", "parent", "origin", "dataset", "evaluation"]
"""What something is to the version: itself, what it or its parent started from, what an import was exported from, what one of
them was given, a run that measured it."""

REGISTERED = re.compile(rf"({NAME_PATTERN.strip('^$')})@([1-9][0-9]{{0,7}})(?:/(.*))?", re.DOTALL)
"""How records name what a run was given, if that was registered: dataset, number, and what of it."""


@dataclass(frozen=True, slots=True)
class Member:
    """A version, a dataset or an evaluation that the version rests on, as far as its records can be read.

    `key`: of its number's record, which an evaluation has none of. `names`: of the files in its run's folder.
    """

    label: str
    part: Part
    key: str | None
    record: VersionRecord | DatasetRecord | None
    run: str | None
    intent: Intent | None = None
    outcome: Outcome | None = None
    names: frozenset[str] = frozenset()

    @property
    def version(self) -> VersionRecord | None:
        """Its record, if it is a version."""
        return self.record if isinstance(self.record, VersionRecord) else None

    @property
    def once(self) -> tuple[str, ...]:
        """The keys of its records that were written once, ascending; a copy of the store has the same bytes there."""
        decided = (key_of(self.run, name) for name in ("intent.json", "outcome.json")) if self.run else ()
        return tuple(sorted(filter(None, (self.key, *decided))))


class Nearest(NamedTuple):
    """The nearest version of this store that an import says to come from; rank 0 is its origin, others are ancestors of that."""

    named: Named
    rank: int


@dataclass(frozen=True, slots=True)
class Pedigree:
    """All that a version rests on.

    `versions`: itself and what it came from, the nearest first. `chain`: the keys of the records from its own down to its
    package's first, by `previous`, and likewise of what it came from elsewhere, and of the datasets. `followers`: the keys of the
    records after them that name them. `nearest`: of imports, what of their origin is here.
    """

    versions: tuple[Member, ...]
    datasets: tuple[Member, ...]
    evaluations: tuple[Member, ...]
    chain: frozenset[str]
    followers: frozenset[str]
    claims: tuple[str, ...]
    begun: dict[str, frozenset[str]]
    tombstones: frozenset[str]
    nearest: dict[str, Nearest]

    @property
    def members(self) -> tuple[Member, ...]:
        """All of them."""
        return (*self.versions, *self.datasets, *self.evaluations)

    @property
    def some(self) -> Some:
        """Their records, for whoever checks them."""
        mine = {member.key for member in (*self.versions, *self.datasets) if member.key}
        every = sorted(self.chain | self.followers)
        return Some(
            versions=[key for key in every if key.startswith("packages/")],
            tombstones=sorted(self.tombstones),
            datasets=[key for key in every if key.startswith("datasets/")],
            claims=list(self.claims),
            runs={member.run: member.names for member in self.members if member.run and member.names},
            beside=frozenset(every) - mine,
            begun=self.begun,
        )


def trace(backend: Backend, relations: Relations, package: str, version: Version) -> Pedigree:
    """What a version rests on.

    Args:
        relations: tell which evaluations there were, and whether the origin of an import is here.

    Raises:
        PermissionDenied, Temporary: the store cannot be read.
    """
    nearest: dict[str, Nearest] = {}
    versions = _versions(backend, relations, Named(package, version), nearest)
    datasets = _datasets(backend, versions)
    evaluations = tuple(_evaluations(backend, relations, Named(package, version)))
    chain, followers = set[str](), set[str]()
    for member in (*versions, *datasets):
        if member.key is not None and member.key not in chain:
            chain.update(_chain(backend, member.key))
            followers.update(chains.following(member.key))
    claims, begun = _claims(backend, (*versions, *datasets, *evaluations))
    graves = {numbers.tombstone_of(member.key) for member in versions if member.key}
    there = _there(backend, chain | followers | graves)
    return Pedigree(
        versions=versions,
        datasets=datasets,
        evaluations=evaluations,
        chain=frozenset(chain & there),
        followers=frozenset(followers & there - chain),
        claims=claims,
        begun=begun,
        tombstones=frozenset(graves & there),
        nearest=nearest,
    )


def _there(backend: Backend, keys: set[str]) -> set[str]:
    """Which of some keys there are: a listing of each folder says it, however many they are."""
    folders = {key.rpartition("/")[0] for key in keys}
    return {f"{folder}/{name}" for folder in folders for name in backend.list(folder)} & keys


# ---------------------------------------------------------------------- versions


def _versions(
    backend: Backend, relations: Relations, first: Named, nearest: dict[str, Nearest]
) -> tuple[Member, ...]:
    """A version, its parent, and so on; beyond an import what it was exported from, or the nearest of what that came from, as far as
    it is here. `nearest` is filled with these."""
    found: dict[Named, Member] = {}
    waiting: list[tuple[Named, Part]] = [(first, "version")]
    while waiting:
        named, part = waiting.pop()
        if named in found:  # only records that were altered lead in a circle
            continue
        key = numbers.key(*named)
        record = _read(backend, key, VersionRecord)
        found[named] = Member(str(named), part, key, record, record.run if record else None)
        if record is not None and record.parent is not None:
            waiting.append((Named(named.package, record.parent), "parent"))
        elif record and record.origin and (come := _nearest(relations, record.origin, named)):
            nearest[str(named)] = come
            waiting.append((come.named, "origin"))
    return _with_runs(backend, found.values())


def _nearest(relations: Relations, origin: Origin, of: Named) -> Nearest | None:
    """As `lineage` goes on from an import."""
    for rank, digest in enumerate((origin.record, *origin.ancestors)):
        for named in relations.by_record(digest):
            if named != of:
                return Nearest(named, rank)
    return None


def _chain(backend: Backend, key: str) -> Iterator[str]:
    """The keys of a number and of all before it that it is chained to, also such as are missing."""
    folder, _, name = key.rpartition("/")
    first = 1 if key.startswith("datasets/") else 0
    yield from (f"{folder}/{number:08}.json" for number in range(first, int(name.removesuffix(".json")) + 1))
    if key.startswith("packages/"):
        yield from _majors(backend, f"{folder}/{0:08}.json")


def _majors(backend: Backend, begin: str) -> Iterator[str]:
    """The first records of the majors before one, as far as they are named."""
    record = _read(backend, begin, VersionRecord)
    while record is None or record.previous is not None:
        before = chains.before(begin)
        if before is None:
            return
        if backend.stat(before) is None and record is None:  # two that are missing: nothing tells of more
            return
        yield before
        begin, record = before, _read(backend, before, VersionRecord)


# ---------------------------------------------------------------------- runs, and what they were given


def _with_runs(backend: Backend, members: Iterable[Member]) -> tuple[Member, ...]:
    """The same, with the records of their runs, as far as they can be read."""
    return tuple(each(lambda member: _with_run(backend, member), list(members), run=1))


def _with_run(backend: Backend, member: Member) -> Member:
    run = member.run
    if run is None:
        return member
    keys = (key.split("/", 2)[2] for key, _ in backend.walk(f"runs/{run}") if IN_RUN.fullmatch(key))
    return Member(
        member.label,
        member.part,
        member.key,
        member.record,
        run,
        _read(backend, key_of(run, "intent.json"), Intent),
        _read(backend, key_of(run, "outcome.json"), Outcome),
        frozenset(keys),
    )


def given(member: Member) -> Iterator[tuple[str, int, str]]:
    """The registered datasets that a run was given: name, number, and which folder or file of it."""
    request = member.intent.training if member.intent else None
    for label in (request.data, request.evaluation_data) if request else ():
        if found := REGISTERED.fullmatch(label or ""):
            yield found[1], int(found[2]), found[3] or ""


def _datasets(backend: Backend, versions: tuple[Member, ...]) -> tuple[Member, ...]:
    found: dict[str, Member] = {}
    for name, number in dict.fromkeys(one[:2] for member in versions for one in given(member)):
        key = registry.key(name, number)
        record = _read(backend, key, DatasetRecord)
        label = f"{name}@{number}"
        found[label] = Member(label, "dataset", key, record, record.run if record else None)
    return _with_runs(backend, found.values())


def _evaluations(backend: Backend, relations: Relations, of: Named) -> Iterator[Member]:
    runs = [Member(f"run {run}", "evaluation", None, None, run) for run in relations.runs_from(of)]
    for member in _with_runs(backend, runs):
        if member.intent is None or member.intent.kind == "evaluation":
            yield member


def _claims(
    backend: Backend, members: tuple[Member, ...]
) -> tuple[tuple[str, ...], dict[str, frozenset[str]]]:
    """The claims to the idempotency keys of some runs, and what is in the folders of other runs that claim them too."""
    asked = {member.intent.idempotency_key for member in members if member.intent}
    keys, begun = [], {}
    for digest in sorted(filter(None, asked)):
        for key, _ in backend.walk(f"keys/{digest[7:]}"):
            if CLAIM.fullmatch(key):
                keys.append(key)
                claim = _read(backend, key, KeyRecord)
                if claim is not None:
                    begun[claim.run] = frozenset(backend.list(f"runs/{claim.run}"))
    return tuple(sorted(keys)), begun


def _read(backend: Backend, key: str, kind: type[R]) -> R | None:
    """A record, if it can be read and lies where it says."""
    try:
        return parse(kind, backend.read(key), key)
    except (NotFound, Damaged):
        return None
