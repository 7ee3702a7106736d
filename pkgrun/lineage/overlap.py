"""Whether test data is clean of training data: which of its files a version, or one that it comes from, was made with.

Contents are compared, by whatever names. It reads directories and not the index, which only tells where imports came from.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from pkgrun.errors import Damaged, NotFound, UsageError
from pkgrun.lineage import contents
from pkgrun.lineage.contents import Content, Machine
from pkgrun.lineage.index import Index, opened
from pkgrun.lineage.ledger import Flag, Role, uses_of
from pkgrun.lineage.relations import Named
from pkgrun.observe import Observer, silent
from pkgrun.records import VersionRecord
from pkgrun.runs import lookup
from pkgrun.store import numbers, operations, trees
from pkgrun.store.objects import digest_of, key_of
from pkgrun.store.root import Store
from pkgrun.store.sinks import Made
from pkgrun.store.trees import Entry

EMPTY = digest_of(b"")

_ROLES: dict[Role, Literal["input", "trained"]] = {Role.INPUT: "input", Role.TRAINED: "trained"}


class Shared(NamedTuple):
    """A file of the test data that a version was made with."""

    path: str
    """In the test data."""
    digest: str
    bytes: int
    version: Named
    """The first in the line of descent that was."""
    role: Literal["input", "trained", "package"]
    run: str
    train_path: str
    """Where it was there."""


class Unproven(NamedTuple):
    """A version in the line of descent of which it cannot be said, or not for sure, what it was made with."""

    version: str
    why: str


@dataclass(frozen=True, slots=True)
class Overlap:
    """What test data has in common with what a version, and all that it comes from, was made with."""

    train: Named
    test: Content
    files: int
    """Files of the test data that are not empty: a file without content tells nothing of where it is from."""
    empty: int
    shared: tuple[Shared, ...]
    """By path."""
    versions: tuple[Named, ...]
    """The line of descent, the first first."""
    unproven: tuple[Unproven, ...]

    @property
    def share(self) -> float:
        """Of the files; 0 of none."""
        return len(self.shared) / self.files if self.files else 0.0

    @property
    def clean(self) -> bool:
        """Whether it is proven that none is shared."""
        return not self.shared and not self.unproven


def overlap(store: Store, train: str, test: str, *, machine: Machine, observer: Observer = silent) -> Overlap:
    """Which files of `test` a version, or one that it comes from, was made with.

    Args:
        train: `name[@major[.minor]]`; with its number given in full also one that was removed.
        test: as `contents.find` has it; a digest must be that of a directory that the store knows, or of a file that it holds
            or that something in it is known to have held.

    Raises:
        NotFound, InvalidName, UsageError: one of them means nothing.
        Damaged: a record or a directory is not what it should be.
        PermissionDenied, Temporary: the store or the data cannot be read.
    """
    record = lookup.version(store, train, removed=True)
    made = Made()
    content = contents.find(store, test, machine=machine, observer=observer, made=made)
    with opened(store, observer=observer) as index:
        line, unproven = _line(store, index, record)
        if content.kind == "digest" and _is_file(store, index, content.digest):
            content = replace(content, kind="file")
    wanted, empty = _wanted(store, content, made.made)
    search = _Search(store, set(wanted))
    for one in line:
        unproven += search.through(one)
    shared = (
        Shared(path, digest, entry.bytes, *search.found[digest])
        for digest, some in wanted.items()
        if digest in search.found
        for path, entry in some
    )
    return Overlap(
        train=_named(record),
        test=content,
        files=sum(map(len, wanted.values())),
        empty=empty,
        shared=tuple(sorted(shared)),
        versions=tuple(map(_named, line)),
        unproven=tuple(unproven),
    )


def _named(record: VersionRecord) -> Named:
    return Named(record.package, record.version)


def _wanted(
    store: Store, content: Content, made: dict[str, bytes]
) -> tuple[dict[str, list[tuple[str, Entry]]], int]:
    """The files of the test data by content, and how many are empty."""
    wanted: dict[str, list[tuple[str, Entry]]] = {}
    empty = 0
    for path, entry in _files(store, content, made):
        if entry.digest == EMPTY:
            empty += 1
        else:
            wanted.setdefault(entry.digest, []).append((path, entry))
    return wanted, empty


def _is_file(store: Store, index: Index, digest: str) -> bool:
    """Whether a digest is known to be a file's. What may be a directory is taken for one."""
    data = contents.kept(store)([digest]).get(digest)
    if data is None:  # only files have objects of their own
        return index.holds_file(digest) or store.backend.stat(key_of(digest)) is not None
    try:
        trees.parse(data, digest)
    except Damaged:
        return True
    return False


def _files(store: Store, content: Content, made: dict[str, bytes]) -> Iterator[tuple[str, Entry]]:
    if content.kind == "file":
        name = content.label.rsplit("/", 1)[-1]
        yield name, Entry(name, "file", content.digest, 1, content.bytes or 0)
        return
    read = contents.of(made) if made else contents.kept(store)
    waiting = [("", content.digest)]
    while waiting:  # each directory as often as it is there
        folder, digest = waiting.pop()
        for path, entry in contents.entries(read, digest, folder):
            if entry is None:
                raise UsageError(
                    f"{content.label}: the store does not know what is in it",
                    hint="name a folder, a registered dataset, or the digest of a directory that is in the store",
                )
            if entry.kind == "dir":
                waiting.append((path, entry.digest))
            elif entry.kind == "file":
                yield path, entry


def _line(store: Store, index: Index, record: VersionRecord) -> tuple[list[VersionRecord], list[Unproven]]:
    """A version and all that it comes from, the first first; and what of that is not in this store."""
    line, unproven, seen = [record], [], {_named(record)}
    while True:
        before = None
        if record.parent is not None:
            before = Named(record.package, record.parent)
        elif record.origin is not None:
            before, elsewhere = _origin(index, record)
            unproven += elsewhere
        if before is None or before in seen:
            return line[::-1], unproven
        seen.add(before)
        try:
            record = numbers.read(store.backend, before.package, before.version)
        except NotFound:
            return line[::-1], [*unproven, Unproven(str(before), "its record is not there")]
        line.append(record)


def _origin(index: Index, record: VersionRecord) -> tuple[Named | None, list[Unproven]]:
    """The nearest version of this store that an import comes from; what lies between is in another store."""
    origin = record.origin
    assert origin is not None  # noqa: S101 - whoever calls looks
    missing = 0
    for digest in (origin.record, *origin.ancestors):
        found = [one for one in index.by_record(digest) if one != _named(record)]
        if found:
            break
        missing += 1
    else:
        found = []
    if not missing:
        return found[0], []
    others = f" and {missing - 1} more" if missing > 1 else ""
    label = f"{origin.package}@{origin.version}{others}"
    return (found[0] if found else None), [Unproven(label, "in another store, and not copied from there")]


class _Search:
    """Looks for contents in what versions were made with, one after the other."""

    def __init__(self, store: Store, wanted: set[str]) -> None:
        self._store = store
        self._wanted = wanted
        self._read = contents.kept(store)
        self._known: set[str] = set()
        self.found: dict[str, tuple[Named, Literal["input", "trained", "package"], str, str]] = {}

    def through(self, record: VersionRecord) -> list[Unproven]:
        """Look in one; what cannot be said of it."""
        unproven = []
        for role, digest, flags in self._roots(record):
            if not flags & Flag.ATTESTED:
                unproven.append(Unproven(str(_named(record)), "its data changed while it was trained"))
            whole = True
            for path, entry in contents.files(self._read, [digest], self._known):
                if entry is None:
                    whole = False
                elif entry.digest in self._wanted and entry.digest not in self.found:
                    self.found[entry.digest] = _named(record), role, record.run, path
            if not whole:
                what = "its own content" if role == "package" else "what its data held"
                unproven.append(Unproven(str(_named(record)), f"{what} is not in the store"))
        if record.kind != "import" and operations.decided(self._store.backend, record.run) is None:
            unproven.append(Unproven(str(_named(record)), f"the record of its run {record.run} is not there"))
        return unproven

    def _roots(
        self, record: VersionRecord
    ) -> Iterator[tuple[Literal["input", "trained", "package"], str, Flag]]:
        outcome = operations.decided(self._store.backend, record.run)
        for use in uses_of(outcome.facts) if outcome and outcome.facts else ():
            if use.role in _ROLES:
                yield _ROLES[use.role], use.digest, use.flags
        yield "package", record.tree.digest, Flag.ATTESTED
