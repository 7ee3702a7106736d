"""Reads what a lineage is made of from the store. What is missing or damaged is told as such; nothing is raised for it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from pkgrun.errors import Damaged, NotFound, PkgrunError
from pkgrun.lineage.graph import EnvironmentNode, Gone, MissingNode, RunNode
from pkgrun.lineage.relations import Named, Traced
from pkgrun.records import Environment, RunRecord, VersionRecord
from pkgrun.records.collecting import Removal
from pkgrun.runs import recover
from pkgrun.store import erased as receipts
from pkgrun.store import numbers
from pkgrun.store.root import Store
from pkgrun.worker import locks


@dataclass(frozen=True, slots=True)
class Seen:
    """A version and the run that made it, as far as they can be read; `missing` says what cannot be, and why."""

    named: Named
    record: VersionRecord | None = None
    gone: Gone | None = None
    run: RunRecord | None = None
    missing: tuple[MissingNode, ...] = ()


def version(store: Store, named: Named) -> Seen:
    """A version, whether it was removed, and the pipeline that made it."""
    try:
        record = numbers.read(store.backend, named.package, named.version)
    except (NotFound, Damaged) as error:
        return Seen(named, missing=(MissingNode(str(named), "version", error.message),))
    missing = []
    try:
        removal = numbers.removed(store.backend, named.package, named.version)
        gone = _gone(removal) if removal else None
    except Damaged as error:
        gone = Gone(record.created, "somebody", error.message)
    made = run(store, record.run) if record.kind != "import" else None
    if isinstance(made, MissingNode):
        missing.append(made)
    return Seen(named, record, gone, made if isinstance(made, RunRecord) else None, tuple(missing))


def _gone(removal: Removal) -> Gone:
    return Gone(removal.created, removal.by.user, removal.reason)


def run(store: Store, id: str) -> RunRecord | MissingNode:
    """A run as it stands."""
    try:
        return recover.settle(store, id)
    except (NotFound, Damaged) as error:
        return MissingNode(id, "run", error.message)


def run_node(record: RunRecord) -> RunNode:
    """What a lineage tells of a run."""
    facts = record.facts
    return RunNode(
        id=record.run,
        kind=record.kind,
        status=record.status,
        package=record.package or "",
        created=record.created,
        by=record.by.user,
        host=record.by.host,
        seconds=(facts.ended - facts.started).total_seconds() if facts else None,
        score=facts.score if facts else None,
        baseline_score=facts.baseline_score if facts else None,
        metrics=dict(facts.metrics or {}) if facts else {},
        parameters=dict(record.request.parameters) if record.request else {},
        devices=tuple(device.name or device.id for device in facts.devices) if facts else (),
        error=record.error.message if record.error else None,
        verdict=record.reproduced.verdict if record.reproduced else None,
    )


def erased(store: Store, relations: Traced) -> dict[str, tuple[str, ...]]:
    """Which contents were erased that a version had seen, by its name.

    A receipt names the versions of its day, of its store, and a thousand at most: who saw the content is asked now.
    """
    found: dict[str, tuple[str, ...]] = {}
    for raw in sorted(receipts.raws(store.backend)):
        digest = "sha256:" + raw.hex()
        with suppress(Damaged):
            for named in relations.saw(digest):
                found[str(named)] = (*found.get(str(named), ()), digest)
    return found


def environment(store: Store, found: Environment) -> EnvironmentNode:
    """A Python and how many packages its lock names."""
    return EnvironmentNode(
        id=environment_id(found),
        lock=found.lock.digest,
        python=found.python,
        platform=found.platform,
        mode=found.mode,
        packages=_packages(store, found.lock.digest),
        overridden=found.overrides is not None,
        relaxed=tuple(f"{pin.pin} became {pin.version}" for pin in found.relaxed),
    )


def environment_id(found: Environment) -> str:
    """One lock may have served several Pythons."""
    return f"environment {found.lock.digest} {found.python} {found.platform}"


def _packages(store: Store, lock: str) -> int | None:
    try:
        return len(locks.required(store.objects.read(lock).decode("utf-8", "replace")))
    except PkgrunError:
        return None
