"""What the index holds of records: each run, version and dataset a row, and each directory that one of them refers to a use.

It reads no record; it is handed them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from enum import IntEnum, IntFlag
from typing import NamedTuple, TypeVar

from pkgrun.lineage.evolution import Evolution
from pkgrun.lineage.tables import Tables, marked, sound
from pkgrun.records import Data, DatasetRecord, Facts, Intent, Outcome, VersionRecord

_LIKELY = 4
"""Chains that the next directory of the same line is compared with."""


_KNOWN = 50_000
"""Lines, and sources, that are remembered while rows are written."""


class Role(IntEnum):
    """What a directory was to whoever refers to it."""

    INPUT = 0
    TRAINED = 1
    EVALUATED = 2
    ARTIFACTS = 3
    PACKAGE = 4
    DATASET = 5


class Flag(IntFlag):
    """What is told of a use besides."""

    ATTESTED = 1
    KEPT = 2


class Use(NamedTuple):
    """A directory that a run was given, or that is a version's or dataset's own."""

    digest: str
    role: Role
    source: str
    flags: Flag
    place: str = ""
    """Relative to the work directory, of what a package's own code had made."""


class Ledger:
    """Writes rows; within a transaction of `Tables.changing`."""

    def __init__(self, tables: Tables, evolution: Evolution) -> None:
        self._tables = tables
        self._evolution = evolution
        self._lines: dict[str, list[int]] = {}
        self._sources: dict[str, int] = {}

    def run(self, id: str, intent: Intent | None, outcome: Outcome | None) -> None:
        """Enter an operation, or what became of it since the last look.

        Raises:
            Damaged: a directory is none.
        """
        row = self._tables.one("select * from run where id = ?", id)
        base = intent.training.base if intent and intent.training else (None, None)
        fields = (
            (
                intent.kind,
                outcome.decision if outcome else "",
                intent.package or "",
                *base,
                moment(intent.created),
            )
            if intent
            else ("", "", "", *base, 0)
        )
        number = sound(row)[0] if row else self._following("run")
        self._tables.put("run", [marked(number, id, *fields)])
        if intent and outcome and outcome.facts:
            for use in uses_of(outcome.facts):
                self._use(use, number, (f"source {use.source}", f"data {intent.package}"))

    def version(self, record: VersionRecord, digest: str) -> None:
        """Enter a version; `digest`: of its record.

        Raises:
            Damaged: a directory is none.
        """
        number = self._following("version")
        parent = record.parent or (None, None)
        self._tables.put(
            "version",
            [
                marked(
                    number,
                    record.package,
                    *record.version,
                    raw(digest),
                    record.run,
                    *parent,
                    moment(record.created),
                    0,
                )
            ],
        )
        if record.origin is not None:
            named = dict.fromkeys((record.origin.record, *record.origin.ancestors))
            ranks = (marked(raw(one), number, rank) for rank, one in enumerate(named))
            self._tables.put("origin", ranks)
        use = Use(record.tree.digest, Role.PACKAGE, record.source or "", Flag.ATTESTED | Flag.KEPT)
        self._use(use, number, (f"package {record.package}",))

    def removed(self, package: str, major: int, minor: int) -> None:
        """A version has a tombstone."""
        row = self._tables.one(
            "select * from version where package = ? and major = ? and minor = ?", package, major, minor
        )
        if row is not None:  # it is not there if its record was lost
            *fields, _ = sound(row)
            self._tables.put("version", [marked(*fields, 1)])

    def dataset(self, record: DatasetRecord) -> None:
        """Enter a number of a registered dataset.

        Raises:
            Damaged: a directory is none.
        """
        number = self._following("dataset")
        row = marked(number, record.dataset, record.number, record.run, moment(record.created))
        self._tables.put("dataset", [row])
        use = Use(record.tree.digest, Role.DATASET, record.source, Flag.ATTESTED | Flag.KEPT)
        self._use(use, number, (f"dataset {record.dataset}", f"source {record.source}"))

    def _following(self, table: str) -> int:
        row = self._tables.one(f"select coalesce(max(number), 0) + 1 from {table}")  # noqa: S608 - ours
        return int(row[0]) if row else 1

    def _use(self, use: Use, subject: int, lines: Sequence[str]) -> None:
        digest = raw(use.digest)
        spot = self._evolution.spot(digest)
        if spot is None:
            near = dict.fromkeys(chain for line in lines for chain in self._line(line))
            spot = self._evolution.enter(digest, tuple(near))
        for line in lines:
            self._go_on(line, spot.chain)
        source = self._source(use.source)
        self._tables.put("use", [marked(*spot, int(use.role), subject, use.place, source, int(use.flags))])

    def _line(self, name: str) -> list[int]:
        if name not in self._lines:
            row = self._tables.one("select * from line where name = ?", name)
            _put(self._lines, name, [int(chain) for chain in sound(row)[1].split()] if row else [])
        return self._lines[name]

    def _go_on(self, name: str, chain: int) -> None:
        """The next directory of this line is probably like this one."""
        before = self._line(name)
        if before[:1] != [chain]:
            chains = [chain, *(one for one in before if one != chain)][:_LIKELY]
            self._tables.put("line", [marked(name, " ".join(map(str, chains)))])
            _put(self._lines, name, chains)

    def _source(self, label: str) -> int:
        if label not in self._sources:
            row = self._tables.one("select * from source where label = ?", label)
            if row is None:
                row = marked(self._following("source"), label)
                self._tables.put("source", [row])
            _put(self._sources, label, int(sound(row)[0]))
        return self._sources[label]


T = TypeVar("T")


def _put(known: dict[str, T], name: str, value: T) -> None:
    """Remember it; not without end."""
    if len(known) > _KNOWN:
        known.clear()
    known[name] = value


def uses_of(facts: Facts) -> Iterator[Use]:
    """The directories that a run was given and made, but for its version's own."""
    given = ((facts.data, facts.snapshot), (facts.evaluation_data, facts.evaluation_snapshot))
    for data, snapshot in given:
        if data is not None:
            yield Use(
                data.tree.digest,
                Role[data.role.upper()],
                data.source,
                _told(attested=data.attested, kept=snapshot is not None),
            )
    sources = {role: data.source for role, data in _made_of(facts) if data is not None}
    passed: dict[tuple[str, Role, str], Flag] = {}
    for one in facts.passed:  # a call that was given the same again says no more than the worse of both
        key = one.tree.digest, Role[one.role.upper()], one.folder
        flags = _told(attested=one.attested, kept=one.kept)
        passed[key] = passed.get(key, flags) & flags
    for (digest, role, folder), flags in passed.items():
        yield Use(digest, role, sources.get(role, ""), flags, folder)
    if facts.artifacts is not None:
        yield Use(facts.artifacts.digest, Role.ARTIFACTS, "", Flag.ATTESTED | Flag.KEPT)


def _made_of(facts: Facts) -> tuple[tuple[Role, Data | None], ...]:
    """Of which dataset the code makes what it trains on, and what it evaluates on."""
    return (Role.TRAINED, facts.data), (Role.EVALUATED, facts.evaluation_data or facts.data)


def _told(*, attested: bool, kept: bool) -> Flag:
    return (Flag.ATTESTED if attested else Flag(0)) | (Flag.KEPT if kept else Flag(0))


def raw(digest: str) -> bytes:
    """The 32 bytes of `sha256:…`."""
    return bytes.fromhex(digest[7:])


_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def moment(when: datetime) -> int:
    """Microseconds since the epoch."""
    return (when - _BEGINNING) // _MICROSECOND


def when(moment: int) -> datetime:
    """The other way round."""
    return _BEGINNING + timedelta(0, 0, moment)
