"""Who saw a content, found by walking all records and all trees: slow, short, and nothing in it to go wrong."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from pkgrun.errors import Damaged
from pkgrun.identity import Version
from pkgrun.lineage.relations import Named
from pkgrun.lineage.uses import Uses
from pkgrun.records import Facts, VersionRecord
from pkgrun.store import numbers, operations, registry, trees
from pkgrun.store.root import Store

from .walked import Walked


class Seen(NamedTuple):
    """What both must agree on."""

    role: str
    version: str
    run: str
    path: str
    paths: int
    attested: bool
    removed: bool


class Answer(NamedTuple):
    """Of one content."""

    uses: list[Seen]
    heirs: dict[str, str]
    unlisted: list[str]
    foreign: list[str]


def told(uses: Uses) -> Answer:
    """What the index says, as it is compared."""
    return Answer(
        sorted(
            Seen(use.role, use.dataset or _name(use.package, use.version), use.run, *_rest(use))
            for use in uses.uses
        ),
        {_name(heir.package, heir.version): str(heir.through) for heir in uses.heirs},
        sorted(uses.unlisted),
        sorted(map(str, uses.foreign)),
    )


def _rest(use: Any) -> tuple[str, int, bool, bool]:
    return use.path, use.paths, use.attested, use.removed


def _name(package: str | None, version: Version | None) -> str:
    return f"{package}@{version}" if version else ""


def walked(store: Store, content: str) -> Answer:
    """The same, of what is there now."""
    made = {record.run: record for record in _versions(store)}
    seen, unlisted = [], set()
    for run, role, tree, attested in _given(store):
        record = made.get(run)
        paths, whole = _paths(store, tree, content)
        if paths:
            name = _name(record.package, record.version) if record else ""
            gone = _removed(store, record) if record else role == "evaluated" and _base_removed(store, run)
            seen.append(Seen(role, name, run, min(paths), len(paths), attested, gone))
        if not whole and role != "artifacts":
            unlisted.add(run)
    for record in made.values():
        paths, whole = _paths(store, record.tree.digest, content)
        gone = _removed(store, record)
        if paths:
            name = _name(record.package, record.version)
            seen.append(Seen("package", name, record.run, min(paths), len(paths), True, gone))
        if not whole:
            unlisted.add(record.run)
    for name in registry.names(store.backend):
        for one in registry.records(store.backend, name):
            paths, _ = _paths(store, one.tree.digest, content)
            if paths:
                seen.append(Seen("dataset", one.label, one.run, min(paths), len(paths), True, False))
    heirs = _heirs(store, seen)
    return Answer(
        sorted(seen),
        heirs,
        sorted(unlisted - {one.run for one in seen}),
        sorted(_foreign(store) - set(heirs) - _learnt(seen)),
    )


def _given(store: Store) -> Iterator[tuple[str, str, str, bool]]:
    for run in operations.runs(store.backend):
        outcome = operations.decided(store.backend, run)
        facts = outcome.facts if outcome else None
        if facts is not None:
            for role, tree, attested in sorted(set(_trees(facts))):
                yield run, role, tree, attested


def _trees(facts: Facts) -> Iterator[tuple[str, str, bool]]:
    for data in (facts.data, facts.evaluation_data):
        if data is not None:
            yield data.role, data.tree.digest, data.attested
    for passed in facts.passed:
        yield passed.role, passed.tree.digest, passed.attested
    if facts.artifacts is not None:
        yield "artifacts", facts.artifacts.digest, True


def _paths(store: Store, tree: str, content: str) -> tuple[list[str], bool]:
    """Where it is, and whether all of the tree can be read."""
    found, whole = ([""] if tree == content else []), True
    waiting = [("", tree)]
    while waiting:
        folder, digest = waiting.pop()
        try:
            below = trees.read_node(store.objects, digest)
        except Damaged:
            whole = False
            continue
        for entry in below:
            path = f"{folder}/{entry.name}" if folder else entry.name
            if entry.digest == content:
                found.append(path)
            if entry.kind == "dir":
                waiting.append((path, entry.digest))
    return found, whole


def _versions(store: Store) -> Iterator[VersionRecord]:
    for package in numbers.packages(store.backend):
        yield from numbers.versions(store.backend, package)


def _removed(store: Store, record: VersionRecord) -> bool:
    return numbers.removed(store.backend, record.package, record.version) is not None


def _heirs(store: Store, seen: list[Seen]) -> dict[str, str]:
    relations = Walked(store)
    learnt = _learnt(seen)
    waiting = [
        (Named(record.package, record.version), Named(record.package, record.version))
        for record in _versions(store)
        if _name(record.package, record.version) in learnt
    ]
    found: dict[str, str] = {}
    while waiting:
        one, through = waiting.pop(0)
        for child in relations.children(one):
            if str(child) not in learnt and str(child) not in found:
                found[str(child)] = str(through)
                waiting.append((child, through))
    return found


def _learnt(seen: list[Seen]) -> set[str]:
    return {one.version for one in seen if one.role in ("input", "trained", "package") and one.version}


def _foreign(store: Store) -> set[str]:
    relations, found = Walked(store), set()
    for record in _versions(store):
        named = Named(record.package, record.version)
        if record.origin is not None and not set(relations.by_record(record.origin.record)) - {named}:
            found.add(str(named))
    return found


def _base_removed(store: Store, run: str) -> bool:
    intent = operations.intent(store.backend, run)
    base = intent.training.base if intent.training else None
    return (
        base is not None
        and intent.package is not None
        and numbers.removed(store.backend, intent.package, base) is not None
    )
