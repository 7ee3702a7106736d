"""What records refer to: the trees and blobs that a store must keep, each with the record that says so.

It reads every record there is, and goes on past none that it cannot read: what such a one refers to nobody knows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from pkgrun.errors import NotFound
from pkgrun.identity import RUN_ID_PATTERN, Version
from pkgrun.records import (
    Blob,
    DatasetEntry,
    DatasetRecord,
    Environment,
    Head,
    Intent,
    Outcome,
    Tree,
    VersionEntry,
    VersionRecord,
)
from pkgrun.store import numbers, operations, registry
from pkgrun.store.backend import Backend
from pkgrun.store.parallel import each

_RUN = re.compile(RUN_ID_PATTERN)


class Root(NamedTuple):
    """A record, and what it refers to. `label`: what people call it; `listings`: trees of which the directories are needed,
    and the files are not."""

    key: str
    label: str
    trees: tuple[Tree, ...] = ()
    blobs: tuple[Blob, ...] = ()
    listings: tuple[Tree, ...] = ()


class Roots(NamedTuple):
    """What must be kept; what only versions that were removed refer to; and the operations that go on."""

    kept: list[Root]
    removed: list[Root]
    open: list[str]


class Numbered(NamedTuple):
    """A version's record, and whether the version was removed."""

    key: str
    record: VersionRecord
    removed: bool


def load(backend: Backend) -> Roots:
    """All of them.

    What is decided meanwhile is among the kept, or its operation is among the open: operations are listed first, and each
    one's decision is read last.

    Raises:
        Damaged: a record is not what it should be.
    """
    runs = sorted(name for name in backend.list("runs") if _RUN.fullmatch(name))
    versions = each(lambda key: _version(backend, key), _keys(backend, "packages", numbers.RECORD), run=1)
    datasets = each(lambda key: _dataset(backend, key), _keys(backend, "datasets", registry.RECORD), run=1)
    found = each(lambda run: _run(backend, run), runs, run=1)
    return arrange(versions, datasets, found, lambda run: operations.intent(backend, run).head)


def arrange(
    versions: list[Numbered],
    datasets: list[Root],
    operations: Iterable[Outcome | Intent | None],
    head: Callable[[str], Head],
) -> Roots:
    """What records refer to that were read already; `fsck` has some that cannot be.

    Args:
        head: what an import saw as the newest when it began; asked of those few that have no version of their own.
    """
    given_up = _GivenUp(versions, head)
    roots = Roots(datasets, [], [])
    for version in versions:
        _sort(roots, _of_version(version.key, version.record), removed=version.removed)
    for found in operations:
        if isinstance(found, Outcome):
            _sort(roots, _of_outcome(found), removed=given_up.includes(found))
        elif found is not None:
            roots.open.append(found.run)
            roots.kept.append(_of_intent(found))
    return roots


def _keys(backend: Backend, folder: str, form: re.Pattern[str]) -> list[str]:
    return sorted(key for key, _ in backend.walk(folder) if form.fullmatch(key))


def _sort(roots: Roots, root: Root, *, removed: bool) -> None:
    """Of what was removed the lock stays, the log, and the listings of its data: they tell how it was made."""
    if removed:
        roots.removed.append(root._replace(blobs=(), listings=()))
        root = root._replace(trees=())
    roots.kept.append(root)


class _GivenUp:
    """The versions that were removed, and who made them."""

    def __init__(self, versions: list[Numbered], head: Callable[[str], Head]) -> None:
        self._head = head
        self._makers = {version.record.run: version.removed for version in versions}
        self._standing = {(version.record.package, version.record.version): version for version in versions}

    def includes(self, outcome: Outcome) -> bool:
        """Whether what a run made was removed, or what it reproduces; an import may be found to be another one's version."""
        entry, again = outcome.entry, outcome.facts.reproduced if outcome.facts else None
        if again is not None:
            return self._makers.get(again.run, False)
        if outcome.run in self._makers or entry is None or entry.kind != "import":
            return self._makers.get(outcome.run, False)
        return self._removed_as_anothers(entry)

    def _removed_as_anothers(self, entry: VersionEntry) -> bool:
        """Whether the version is removed that an import will be found to be (`numbers.take`); not if it gets its own number."""
        for place in numbers.places(self._head(entry.run)):
            standing = self._standing.get((entry.package, place))
            if standing is None:
                return False
            if numbers.same_import(standing.record, entry):
                return standing.removed
        return False


def _version(backend: Backend, key: str) -> Numbered:
    package, major, minor = _matched(numbers.RECORD, key)
    version = Version(int(major), int(minor))
    return Numbered(
        key, numbers.read(backend, package, version), numbers.removed(backend, package, version) is not None
    )


def _dataset(backend: Backend, key: str) -> Root:
    name, number = _matched(registry.RECORD, key)
    return of_dataset(key, registry.read(backend, name, int(number)))


def of_dataset(key: str, record: DatasetRecord) -> Root:
    """What a number of a dataset refers to."""
    return Root(key, record.label, (record.tree,))


def _matched(form: re.Pattern[str], key: str) -> tuple[str, ...]:
    found = form.fullmatch(key)
    return found.groups() if found else ()


def _run(backend: Backend, run: str) -> Outcome | Intent | None:
    outcome = operations.decided(backend, run)
    if outcome is not None:
        return outcome
    try:
        intent = operations.intent(backend, run)
    except NotFound:  # a folder that a crash left
        return None
    return operations.decided(backend, run) or intent


def _of_intent(intent: Intent) -> Root:
    key = operations.key(intent.run, "intent.json")
    return Root(key, f"run {intent.run}", (intent.training.tree,) if intent.training else ())


def _of_version(key: str, record: VersionRecord) -> Root:
    return Root(key, f"{record.package}@{record.version}", (record.tree,), _lock(record.environment))


def _of_outcome(outcome: Outcome) -> Root:
    return Root(
        operations.key(outcome.run, "outcome.json"),
        f"run {outcome.run}",
        tuple(trees_of(outcome)),
        tuple(blobs_of(outcome)),
        listings_of(outcome),
    )


def trees_of(outcome: Outcome) -> Iterator[Tree]:
    """The trees that a decision refers to. The dataset that a run was given is none of them: it may lie anywhere."""
    facts = outcome.facts
    made: VersionEntry | DatasetEntry | None = outcome.entry or outcome.dataset
    if facts:
        yield from facts.kept
    if made:
        yield made.tree
    if outcome.copied and outcome.copied.records:
        yield outcome.copied.records


def listings_of(outcome: Outcome) -> tuple[Tree, ...]:
    """The trees of which a decision refers to the directories alone: what the run was given."""
    return outcome.facts.listed if outcome.facts else ()


def blobs_of(outcome: Outcome) -> Iterator[Blob]:
    """The blobs that a decision refers to beside its trees: the log, and what was installed."""
    facts, entry = outcome.facts, outcome.entry
    if facts and facts.log:
        yield facts.log
    for one in (facts, entry):
        yield from _lock(one.environment if one else None)


def _lock(environment: Environment | None) -> tuple[Blob, ...]:
    return (environment.lock,) if environment else ()
