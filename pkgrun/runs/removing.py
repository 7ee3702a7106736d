"""Removes versions: the record and the number stay, the content goes with the next collection. Never what is built upon.

A tombstone is created and never taken back, so nothing may begin from the version once it is there: whoever starts from
one looks for it again when the intent is written (`launch`). Who had looked just before is seen by the second look here,
and goes on: what an open operation starts from is kept by every collection until it is decided (`store/roots.py`).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from pkgrun.errors import Conflict, NotFound, UsageError
from pkgrun.identity import RUN_ID_PATTERN, Version
from pkgrun.records import Actor, Tree, VersionRecord
from pkgrun.records.collecting import Removal
from pkgrun.runs import labels, lookup, recover
from pkgrun.store import numbers, operations
from pkgrun.store.parallel import each
from pkgrun.store.root import Store

_INTENT = re.compile(rf"runs/({RUN_ID_PATTERN.strip('^$')})/intent\.json")
_NAMED = 5


@dataclass(frozen=True, slots=True)
class Loss:
    """What goes with a version: its files, and what the run that made it kept."""

    record: VersionRecord
    artifacts: Tree | None
    snapshot: Tree | None


@dataclass(frozen=True, slots=True)
class Removed:
    """A version that is removed; `new` if it was just now.

    `late`: operations that began from it at the same moment. What they need stays until they have ended.
    """

    record: VersionRecord
    removal: Removal
    new: bool
    late: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Family:
    """All versions of a package, ascending, and which of them were removed."""

    records: Sequence[VersionRecord]
    removed: Collection[Version] = ()

    @property
    def there(self) -> list[VersionRecord]:
        """Those that were not removed."""
        return [record for record in self.records if record.version not in self.removed]

    def grounds(self) -> dict[Version, Version]:
        """What a version that is there came from, of those that are there: one that was removed is no gap in a descent."""
        found: dict[Version, Version | None] = {}
        for record in self.records:  # what one came from stands before it
            on = record.parent
            found[record.version] = found.get(on) if on is not None and on in self.removed else on
        return {one: on for one, on in found.items() if on is not None and one not in self.removed}


@dataclass(slots=True)
class Ground:
    """What stands on which version: versions that came from it and are there, operations that start from it."""

    store: Store
    underway: dict[tuple[str, Version], list[str]] = field(default_factory=dict)
    _families: dict[str, Family] = field(default_factory=dict)

    def look(self) -> None:
        """Look which operations go on, as they stand now. What is decided has its number then."""
        keys = {key for key, _ in self.store.backend.walk("runs")}
        begun = (found[1] for key in keys if (found := _INTENT.fullmatch(key)))
        waiting = [run for run in begun if operations.key(run, "run.json") not in keys]
        self.underway = {}
        for record in each(lambda run: recover.settle(self.store, run), sorted(waiting), run=1):
            if not record.final and record.package and record.parent:
                self.underway.setdefault((record.package, record.parent), []).append(record.run)

    def family(self, package: str) -> Family:
        """The versions of a package, as they stood at the first look."""
        if package not in self._families:
            removed = numbers.removals(self.store.backend, package)
            self._families[package] = Family(list(numbers.versions(self.store.backend, package)), removed)
        return self._families[package]

    def check(self, record: VersionRecord, *, force: bool) -> None:
        """Raises:
        Conflict: an operation starts from the version; or another one came from it, be it through some that were removed,
            and is there, unless that is told to be fine.
        """
        name = f"{record.package}@{record.version}"
        if runs := self.underway.get((record.package, record.version)):
            raise Conflict(
                f"{name} cannot be removed: {_some('the run', runs)} {_goes(runs)} on from it",
                hint="remove it when that has ended; `pkgrun run kill ID` ends one, `pkgrun run recover` one that has died",
            )
        grounds = self.family(record.package).grounds()
        children = [f"{record.package}@{one}" for one, on in grounds.items() if on == record.version]
        if children and not force:
            raise Conflict(
                f"{name} cannot be removed: {_some('', children)} came from it",
                hint="remove what came from it first; or --force: the others stay whole, and show that it was removed",
            )


def _some(what: str, names: Sequence[str]) -> str:
    shown = ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
    return f"{what}{'s' if what and len(names) > 1 else ''} {shown}".strip()


def _goes(runs: Sequence[str]) -> str:
    return "goes" if len(runs) == 1 else "go"


def plan(store: Store, name: str, *, force: bool) -> Loss:
    """What would be lost with a version, if it can be removed.

    Raises:
        UsageError: the name has not the version in full.
        NotFound: there is no such version, or it was removed already.
        Conflict: something stands on it.
    """
    record = lookup.there(store, _exactly(store, name))
    ground = Ground(store)
    ground.look()
    ground.check(record, force=force)
    return loss(store, record)


def loss(store: Store, record: VersionRecord) -> Loss:
    """What would be lost with a version."""
    try:
        facts = recover.settle(store, record.run).facts
    except NotFound:
        facts = None
    return Loss(record, facts.artifacts if facts else None, facts.snapshot if facts else None)


def remove(store: Store, name: str, *, reason: str | None, force: bool, by: Actor) -> Removed:
    """Remove a version; nothing is done to one that was removed already.

    Raises:
        UsageError: the name has not the version in full, or the reason is none.
        NotFound: there is no such version.
        Conflict: something stands on it.
    """
    record = _exactly(store, name)
    _check_reason(reason)
    standing = numbers.removed(store.backend, record.package, record.version)
    if standing is not None:
        return Removed(record, standing, new=False)
    ground = Ground(store)
    ground.look()
    ground.check(record, force=force)
    return bury(store, ground, [record], reason=reason, by=by)[0]


def _exactly(store: Store, name: str) -> VersionRecord:
    """The version of that number: what is the newest changes from one moment to the next."""
    if not re.fullmatch(r"[^@]+@[^@.]+\.[^@.]+", name):
        raise UsageError(f"{name!r} does not say which version exactly", hint="such as churn@1.2")
    return lookup.version(store, name, removed=True)


def _check_reason(reason: str | None) -> None:
    if reason is not None and labels.written(labels.text(reason, "the reason")) > labels.LIMIT:
        raise UsageError(f"the reason is larger than {labels.LIMIT >> 10} KiB", hint="say it in a sentence")


def bury(
    store: Store, ground: Ground, records: Iterable[VersionRecord], *, reason: str | None, by: Actor
) -> list[Removed]:
    """Create the tombstones of versions that may go, and look who began meanwhile."""
    made = [(record, *_create(store, record, reason, by)) for record in records]
    ground.look()
    return [
        Removed(
            record,
            removal,
            new,
            tuple(ground.underway.get((record.package, record.version), ())) if new else (),
        )
        for record, removal, new in made
    ]


def _create(store: Store, record: VersionRecord, reason: str | None, by: Actor) -> tuple[Removal, bool]:
    """The tombstone that stands, and whether it is ours."""
    removal = Removal(
        package=record.package, version=record.version, created=datetime.now(UTC), by=by, reason=reason
    )
    if store.backend.create(numbers.tombstone(record.package, record.version), removal.to_bytes()):
        return removal, True
    standing = numbers.removed(store.backend, record.package, record.version) or removal
    return standing, standing == removal
