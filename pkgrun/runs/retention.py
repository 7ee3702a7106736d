"""Which versions a rule keeps and why, and which go. Pure but for `plan` and `prune`; what goes is removed by `removing`."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from pkgrun.errors import NotFound, UsageError
from pkgrun.identity import Version, check_name
from pkgrun.records import Actor, VersionRecord
from pkgrun.runs import removing
from pkgrun.runs.removing import Family, Ground, Removed
from pkgrun.store import numbers
from pkgrun.store.root import Store

_UNITS = (("d", 86400), ("h", 3600), ("min", 60))


@dataclass(frozen=True, slots=True)
class Rule:
    """What is kept of each package: its `last` versions by the time they were made, and all made `within` so many seconds.

    Raises:
        UsageError: it would keep nothing, or is no rule.
    """

    last: int | None = None
    within: float | None = None

    def __post_init__(self) -> None:
        if self.last is None and self.within is None:
            raise UsageError(
                "nothing says which versions are kept", hint="--keep-last N, --keep-within DURATION, or both"
            )
        if self.last is not None and self.last < 1:
            raise UsageError(f"the last {self.last} versions are none", hint="keep 1 at least")
        if self.within is not None and not 0 <= self.within < 1e11:
            raise UsageError(f"{self.within:g} s is no stretch of time", hint="such as 30 days")

    def __str__(self) -> str:
        parts = [f"the last {self.last}"] if self.last is not None else []
        parts += [f"what was made within {_span(self.within)}"] if self.within is not None else []
        return "keep " + " and ".join(parts)


def _span(seconds: float) -> str:
    for unit, size in _UNITS:
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:g} s"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A version, and why it is kept; None: it goes. `descent`: only because a kept one came from it."""

    record: VersionRecord
    kept: str | None
    descent: bool = False


@dataclass(frozen=True, slots=True)
class Pruned:
    """What a rule said of each version, and what was removed."""

    verdicts: tuple[Verdict, ...]
    removed: tuple[Removed, ...]


def judge(
    family: Family,
    rule: Rule,
    *,
    now: datetime,
    underway: Mapping[Version, Collection[str]],
    force: bool,
) -> list[Verdict]:
    """What becomes of those versions of a package that are there, in their order.

    Args:
        underway: the operations that start from a version.
        force: also what kept versions came from goes, unless something else keeps it.
    """
    known, grounds = family.there, family.grounds()
    reasons = dict(_reasons(known, rule, now, underway))
    children: dict[Version, Version] = {}
    verdicts = []
    for record in reversed(known):  # who came from a version stands behind it
        why = reasons.get(record.version)
        child = None if why or force else children.get(record.version)
        verdicts.append(
            Verdict(record, why or (child and f"{child} came from it"), descent=child is not None)
        )
        if verdicts[-1].kept and record.version in grounds:
            children.setdefault(grounds[record.version], record.version)
    return verdicts[::-1]


def _reasons(
    known: list[VersionRecord], rule: Rule, now: datetime, underway: Mapping[Version, Collection[str]]
) -> Iterator[tuple[Version, str]]:
    """Why versions are kept for their own sake; what is said last of one counts."""
    for record in known:
        if rule.within is not None and (now - record.created).total_seconds() <= rule.within:
            yield record.version, f"made within {_span(rule.within)}"
    if rule.last is not None:
        for record in sorted(known, key=lambda one: (one.created, one.version))[-rule.last :]:
            yield record.version, f"one of the last {rule.last}"
    for version in {record.version.major: record.version for record in known}.values():
        yield version, f"the newest of major {version.major}"
    for version, runs in underway.items():
        yield version, f"the run {min(runs)[:13]} starts from it"


def plan(store: Store, package: str | None, rule: Rule, *, force: bool) -> list[Verdict]:
    """What becomes of every version of a package, or of all packages; nothing is removed.

    Raises:
        NotFound: there is no such package.
    """
    return _plan(_ground(store), package, rule, force)


def _ground(store: Store) -> Ground:
    ground = Ground(store)
    ground.look()
    return ground


def _plan(ground: Ground, package: str | None, rule: Rule, force: bool) -> list[Verdict]:
    backend, now = ground.store.backend, datetime.now(UTC)
    if package is not None and not numbers.majors(backend, check_name(package)):
        raise NotFound(f"there is no package {package}", hint="`pkgrun package list` shows what there is")
    verdicts: list[Verdict] = []
    for name in numbers.packages(backend) if package is None else [package]:
        underway = {version: runs for (other, version), runs in ground.underway.items() if other == name}
        verdicts += judge(ground.family(name), rule, now=now, underway=underway, force=force)
    return verdicts


def prune(store: Store, package: str | None, rule: Rule, *, force: bool, by: Actor) -> Pruned:
    """Remove what the rule does not keep; who came from others goes first.

    Raises:
        NotFound: there is no such package.
    """
    ground = _ground(store)
    verdicts = _plan(ground, package, rule, force)
    going = [verdict.record for verdict in reversed(verdicts) if verdict.kept is None]
    removed = removing.bury(store, ground, going, reason=f"retention: {rule}", by=by) if going else []
    return Pruned(tuple(verdicts), tuple(removed))
