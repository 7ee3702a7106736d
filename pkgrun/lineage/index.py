"""The index of a store: what goes backwards from records, answered without reading them all.

It is derived from records and directories, kept in this machine's cache folder, brought up to date by what is new whenever
it is opened, and made anew when it is damaged. It never writes to the store.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from typing import TypeVar

from pkgrun.errors import Damaged, NotFound
from pkgrun.identity import Version
from pkgrun.lineage.climbing import climb, matching
from pkgrun.lineage.evolution import UNKNOWN, Evolution
from pkgrun.lineage.ledger import Ledger, Role, raw
from pkgrun.lineage.news import News, Shrunk, news
from pkgrun.lineage.relations import Held, Named
from pkgrun.lineage.tables import FAULTS, FORM, Row, Tables, Unsound, marked, sound
from pkgrun.observe import Observer, Progress, silent
from pkgrun.records import Intent, Outcome, VersionRecord
from pkgrun.store import numbers, operations, registry
from pkgrun.store.objects import digest_of
from pkgrun.store.parallel import each
from pkgrun.store.root import Store

T = TypeVar("T")

_AT_ONCE = 500
"""Records that are read, and written into the index, at a time."""


@contextmanager
def opened(store: Store, *, fresh: bool = False, observer: Observer = silent) -> Iterator[Index]:
    """The index of a store as it is now.

    Args:
        fresh: not what is remembered, but made now from every record and every directory, each verified.
        observer: told how many runs have been read of those that are new.

    Raises:
        Damaged: a record or a directory is not what it should be; it is named.
        PermissionDenied, Temporary: the store cannot be read.
    """
    folder = os.path.join(store.cache, "stores", store.id) if store.cache is not None and not fresh else None
    path = os.path.join(folder, f"lineage-{FORM}.sqlite") if folder else None
    index = Index(store, path, observer)
    try:
        index.update()
        yield index
    finally:
        index.close()


class Index:
    """The index of one store; `Relations`, and what `uses` asks. For several threads, once it is up to date."""

    def __init__(self, store: Store, path: str | None, observer: Observer = silent) -> None:
        self._store = store
        self._observer = observer
        self._tables = Tables(path)
        self._lock = threading.Lock()

    def close(self) -> None:
        """Give the database back."""
        self._tables.close()

    def update(self) -> None:
        """Enter what is new in the store since the last time."""
        try:
            self._update()
        except (Shrunk, *FAULTS):
            self._anew()

    def _anew(self) -> None:
        """It says what is not so, or cannot be read: begin again; if that does not help either, in memory."""
        self._tables.discard()
        try:
            self._update()
        except (Shrunk, *FAULTS):
            self._tables.discard()
            self._tables.path = None
            try:
                self._update()
            except Unsound as error:
                raise Damaged(
                    "directories of the store hold what none can hold",
                    hint="`pkgrun store fsck` names what is damaged",
                ) from error

    def _update(self) -> None:
        # What another process enters meanwhile looks as if it were there no more.
        with suppress(Shrunk):
            if news(self._store.backend, self._tables).none:
                return
        with self._tables.alone():
            self._enter(news(self._store.backend, self._tables))

    def ask(self, question: Callable[[Tables], T]) -> T:
        """Answer from one state of the index; from a new one, if it turns out to be damaged."""
        with self._lock:
            try:
                with self._tables.reading():
                    return question(self._tables)
            except FAULTS:
                self._anew()
                with self._tables.reading():
                    return question(self._tables)

    # ------------------------------------------------------------------ what is new

    def _enter(self, found: News) -> None:
        evolution = Evolution(self._tables, self._directory)
        ledger = Ledger(self._tables, evolution)
        backend = self._store.backend
        self._store.objects.look_again()
        for number, runs in enumerate(_portions(found.runs)):
            self._observer(Progress("records", number * _AT_ONCE, len(found.runs), "files"))
            operations_ = each(lambda run: _run(self._store, run), runs, run=1)
            with self._tables.changing():
                for run, (intent, outcome) in zip(runs, operations_, strict=True):
                    ledger.run(run, intent, outcome)
        for keys in _portions(found.versions):
            versions = each(lambda key: _version(self._store, key), keys, run=1)
            with self._tables.changing():
                for record, digest in versions:
                    ledger.version(record, digest)
        for keys in _portions(found.datasets):
            datasets = each(lambda key: registry.read(backend, *_numbered(key)), keys, run=1)
            with self._tables.changing():
                for dataset in datasets:
                    ledger.dataset(dataset)
        with self._tables.changing():
            for key in found.tombstones:
                package, major, minor = _matched(numbers.TOMBSTONE.fullmatch(key))
                ledger.removed(package, int(major), int(minor))
            self._fill(evolution)
            self._tables.put("look", (marked(*look) for look in found.looks.items()))

    def _fill(self, evolution: Evolution) -> None:
        """Directories that were not in the store may be there now."""
        rows = self._tables.ask(
            "select n.digest, n.chain, n.seq, n.mark from file f join node n on n.chain = f.chain where f.digest = ?",
            UNKNOWN,
        )
        unknown = [sound(row)[0] for row in rows]
        for digest in self._store.objects.places(unknown):
            evolution.fill(digest)

    def _directory(self, digest: bytes) -> bytes | None:
        """A directory's bytes, verified; None if they are not in the store."""
        if self._store.objects.place("sha256:" + digest.hex()) is None:
            return None
        return self._store.objects.read("sha256:" + digest.hex())

    # ------------------------------------------------------------------ relations

    def children(self, of: Named) -> list[Named]:
        """The versions whose `parent` it is, and the imports whose origin is its record; ascending by when they were made."""
        return self.ask(lambda tables: [named for _, named in children(tables, of)])

    def runs_from(self, of: Named) -> list[str]:
        """The ids of all pipeline runs that started from it, in order of their beginning; also those that made nothing."""

        question = "select * from run where package = ? and major = ? and minor = ?"
        return self.ask(
            lambda tables: sorted(sound(row)[1] for row in tables.ask(question, of.package, *of.version))
        )

    def reproductions(self, of: Named) -> list[str]:
        """Of the runs that started from it those that did an earlier one again, in order of their beginning."""

        question = "select * from run where package = ? and major = ? and minor = ? and kind = 'reproduction'"
        return self.ask(
            lambda tables: sorted(sound(row)[1] for row in tables.ask(question, of.package, *of.version))
        )

    def unnumbered(self, package: str) -> list[str]:
        """The ids of the runs of a package that have decided to make a version, and that no version's record names."""

        question = (
            "select * from run where package = ? and state = 'COMMIT' and kind in ('import', 'training', 'full')"
            " and id not in (select run from version where package = ?)"
        )
        return self.ask(
            lambda tables: sorted(sound(row)[1] for row in tables.ask(question, package, package))
        )

    def by_record(self, digest: str) -> list[Named]:
        """The versions of this store whose record has that digest."""

        question = "select * from version where record = ?"
        return self.ask(lambda tables: sorted(named(sound(row)) for row in tables.ask(question, raw(digest))))

    def registered(self, tree: str) -> list[Held]:
        """The registered datasets that hold a directory of that digest, the oldest first."""

        def found(tables: Tables) -> list[Held]:
            columns = "t.chain, t.seq, t.role, t.subject, t.place, t.source, t.flags, t.mark"
            held = []
            for stretch, row in matching(
                tables, columns, "use t", ("t.chain", "t.seq"), climb(tables, raw(tree))
            ):
                _, _, role, subject, *_ = sound(row)
                if role == Role.DATASET:
                    one = sound(tables.one("select * from dataset where number = ?", subject))
                    held.append((one[4], one[1], one[2], stretch.path))
            return [Held(f"{name}@{n}", path) for _, name, n, path in sorted(held)]

        return self.ask(found)

    def holds_file(self, digest: str) -> bool:
        """Whether a file of that content is in any directory that is known."""
        question = "select * from file where digest = ?"
        return self.ask(lambda tables: any(map(sound, tables.ask(question, raw(digest)))))

    def saw(self, digest: str) -> list[Named]:
        """The versions that were made with a content, and all that come from them."""
        from pkgrun.lineage.uses import affected  # it asks the index itself

        return self.ask(lambda tables: affected(tables, raw(digest)))


def children(tables: Tables, of: Named) -> list[tuple[int, Named]]:
    """The rows of the versions that were made from one, by `parent` or by origin, in the order in which they were made."""
    rows = tables.ask(
        "select * from version where package = ? and parent_major = ? and parent_minor = ?",
        of.package,
        *of.version,
    )
    found = {row[0]: sound(row) for row in list(rows)}
    itself = tables.one(
        "select * from version where package = ? and major = ? and minor = ?", of.package, *of.version
    )
    if itself is not None:
        for number in _imported(tables, sound(itself)[4]):
            found[number] = sound(tables.one("select * from version where number = ?", number))
    ordered = sorted(found.values(), key=lambda row: (row[8], row[5]))
    return [(row[0], named(row)) for row in ordered]


def _imported(tables: Tables, record: bytes) -> Iterator[int]:
    """The imports that came from the version of a record, and from none nearer that is in this store, too."""
    for row in list(tables.ask("select * from origin where record = ?", record)):
        _, version, rank = sound(row)
        nearer = tables.one(
            "select 1 from origin join version on version.record = origin.record "
            "where origin.version = ? and origin.rank < ?",
            version,
            rank,
        )
        if nearer is None:
            yield version


def named(row: Row) -> Named:
    """The version that a row is about."""
    return Named(row[1], Version(row[2], row[3]))


def _portions(keys: Sequence[str]) -> Iterator[list[str]]:
    waiting = iter(keys)
    while some := list(islice(waiting, _AT_ONCE)):
        yield some


def _run(store: Store, run: str) -> tuple[Intent | None, Outcome | None]:
    try:
        intent = operations.intent(store.backend, run)
    except NotFound:  # a folder that a crash left, or one that has only just begun
        return None, None
    return intent, operations.decided(store.backend, run)


def _version(store: Store, key: str) -> tuple[VersionRecord, str]:
    package, major, minor = _matched(numbers.RECORD.fullmatch(key))
    data = store.backend.read(key)
    record = VersionRecord.from_bytes(data, key=key)
    if (record.package, record.version) != (package, (int(major), int(minor))):
        raise Damaged(f"{key} is the record of {record.package}@{record.version}")
    return record, digest_of(data)


def _numbered(key: str) -> tuple[str, int]:
    name, number = _matched(registry.RECORD.fullmatch(key))
    return name, int(number)


def _matched(found: re.Match[str] | None) -> tuple[str, ...]:
    return found.groups() if found else ()
