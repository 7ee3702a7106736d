"""Who saw a content: every run that was given it, every version and dataset that holds it, and all that descends from those.

It answers from the index; asked to verify, from one that it makes of every record and every directory there is.
"""

from __future__ import annotations

import gc
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from typing import Any, Literal, NamedTuple

from pkgrun.identity import Version
from pkgrun.lineage.climbing import Holders, climb, matching
from pkgrun.lineage.contents import Content, check_digest
from pkgrun.lineage.evolution import UNKNOWN
from pkgrun.lineage.index import named, opened
from pkgrun.lineage.ledger import Flag, Role, raw, when
from pkgrun.lineage.relations import Named
from pkgrun.lineage.tables import Row, Tables, Unsound, sound, stretch_of
from pkgrun.observe import Observer, silent
from pkgrun.records import Decision, Status
from pkgrun.records.erasing import Receipt
from pkgrun.runs.results import STATUS
from pkgrun.store import erased, names
from pkgrun.store.objects import key_of
from pkgrun.store.root import Store

RoleName = Literal["input", "trained", "evaluated", "artifacts", "package", "dataset"]

_NAMES: dict[int, RoleName] = {
    Role.INPUT: "input",
    Role.TRAINED: "trained",
    Role.EVALUATED: "evaluated",
    Role.ARTIFACTS: "artifacts",
    Role.PACKAGE: "package",
    Role.DATASET: "dataset",
}
_LEARNT = frozenset({"input", "trained", "package"})
"""What a version is made of, and so all that is made from it."""


class Use(NamedTuple):
    """Where a content was: in what a run was given or made, in a version, or in a registered dataset."""

    role: RoleName
    package: str | None
    version: Version | None
    """The one that was made; None of a run that made none."""
    base: Version | None
    """The one that the run started from."""
    dataset: str | None
    """As `irises@2`, where the role is `dataset`."""
    run: str
    kind: str
    status: Status
    path: str
    """The first at which it was there; empty if it was the whole."""
    paths: int
    """At how many it was."""
    source: str
    """Where the dataset was from, as the run was told."""
    folder: str
    """What the package's own code had made it into; empty if it was given as it is."""
    attested: bool
    """Whether the digest is of the very bytes that the code was given."""
    kept: bool
    """Whether the run kept its data."""
    removed: bool
    """Whether the version was removed since; of an evaluation, the one that was evaluated."""
    when: datetime

    @property
    def learnt(self) -> bool:
        """Whether a version was made with it."""
        return self.version is not None and self.role in _LEARNT


# Ids of runs sort by when they began.
_ORDER = itemgetter(*map(Use._fields.index, ("run", "role", "folder")))


class Heir(NamedTuple):
    """A version that did not see a content itself, but comes from one that did: the nearest is `through`."""

    package: str
    version: Version
    through: Named
    run: str
    removed: bool
    when: datetime


@dataclass(frozen=True, slots=True)
class Uses:
    """Who saw a content. Both lists are in the order in which things happened."""

    content: Content
    uses: tuple[Use, ...]
    heirs: tuple[Heir, ...]
    unlisted: tuple[str, ...]
    """Runs of which nobody can say: what their data or package held is not in the store."""
    foreign: tuple[Named, ...]
    """Imports of which nobody can say, nor of what comes from them: what they come from is in another store."""
    held: bool
    """Whether the store holds the content itself; of a directory, the names and digests of what is in it."""
    erased: Receipt | None
    verified: bool
    """Whether every record and every directory was read for this answer."""

    @property
    def trained(self) -> list[Named]:
        """The versions that were made with it, each once."""
        return _distinct(
            Named(use.package, use.version)
            for use in self.uses
            if use.learnt and use.package is not None and use.version is not None
        )

    @property
    def evaluated(self) -> list[Named]:
        """The versions that were evaluated on it, each once: the one that was made, else the one that the run started from."""
        found = ((use.package, use.version or use.base) for use in self.uses if use.role == "evaluated")
        return _distinct(Named(package, version) for package, version in found if package and version)

    @property
    def affected(self) -> list[Named]:
        """Whatever would have to be made anew without it: what was made with it, then what inherits it."""
        return _distinct([*self.trained, *(Named(heir.package, heir.version) for heir in self.heirs)])


def _distinct(versions: Iterable[Named]) -> list[Named]:
    return list(dict.fromkeys(versions))


def used_by(
    store: Store, content: Content | str, *, verify: bool = False, observer: Observer = silent
) -> Uses:
    """Who saw the content of a file, or exactly a directory, under whatever name.

    Args:
        content: as `contents.find` tells it, or its digest.
        verify: read and verify every record and every directory for it, and believe no index.
        observer: told how many runs have been read of those that the index does not know yet.

    Raises:
        UsageError: that is no digest.
        Damaged: a record or a directory is not what it should be; it is named.
        PermissionDenied, Temporary: the store cannot be read.
    """
    if isinstance(content, str):
        content = Content(check_digest(content), "digest", content)
    digest = raw(content.digest)
    with opened(store, fresh=verify, observer=observer) as index:
        found = index.ask(lambda tables: answer(tables, digest))
    return Uses(
        content=content,
        uses=found.uses,
        heirs=found.heirs,
        unlisted=found.unlisted,
        foreign=found.foreign,
        held=_held(store, content.digest),
        erased=erased.receipt(store.backend, digest),
        verified=verify,
    )


def _held(store: Store, digest: str) -> bool:
    return store.objects.place(digest) is not None or store.backend.stat(key_of(digest)) is not None


class Answer(NamedTuple):
    """What the index says of a content; as `Uses` has it."""

    uses: tuple[Use, ...]
    heirs: tuple[Heir, ...]
    unlisted: tuple[str, ...]
    foreign: tuple[Named, ...]


@contextmanager
def _no_search_for_circles() -> Iterator[None]:
    """Rows hold no circles; to look for some among all that there is, again and again while ten thousand rows come, takes a
    sixth of the answer's time. Of two threads that ask at once the first to end turns it on again, which harms nobody."""
    wanted = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if wanted:
            gc.enable()


@_no_search_for_circles()
def answer(tables: Tables, content: bytes) -> Answer:
    """Who saw a content, and of whom nobody can say."""
    holders = climb(tables, content)
    found = _Found(tables)
    uses = [*found.given(holders), *found.versions(holders), *found.datasets(holders)]
    uses.sort(key=_ORDER)
    inherit = heirs(tables, found.learnt)
    known = {Named(heir.package, heir.version) for heir in inherit}
    return Answer(
        tuple(uses),
        tuple(inherit),
        tuple(_unlisted(tables, {use.run for use in uses})),
        tuple(one for one in _foreign(tables, found.learnt) if one not in known),
    )


def affected(tables: Tables, content: bytes) -> list[Named]:
    """The versions that were made with a content, and all that come from them."""
    found = answer(tables, content)
    made = [
        Named(use.package, use.version) for use in found.uses if use.learnt and use.package and use.version
    ]
    return _distinct([*made, *(Named(heir.package, heir.version) for heir in found.heirs)])


_ATTESTED, _KEPT = int(Flag.ATTESTED), int(Flag.KEPT)
_USE = "t.chain, t.seq, t.role, t.subject, t.place, t.source, t.flags, t.mark"
_WIDTH = 8
_RUN = _WIDTH + 9
_ORIGIN = 4
_MAKE = ("training", "full")


class _Found:
    """Makes uses of rows. `learnt`: the numbers of the versions that were made with what was asked for."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._sources: dict[int, str] = {}
        self._gone: dict[tuple[Any, ...], bool] = {}
        self._made: set[str] | None = None
        self.learnt: set[int] = set()

    def given(self, holders: Holders) -> Iterator[Use]:
        """What runs were given, and what they made besides versions."""
        source = "use t left join run r on r.number = t.subject left join version v on v.run = r.id"
        columns = f"{_USE}, r.*, v.*"
        where = f"t.role < {int(Role.PACKAGE)}"
        last, path = None, ""
        for stretch, row in matching(self._tables, columns, source, ("t.chain", "t.seq"), holders, where):
            if stretch is not last:
                last, path = stretch, _path(stretch.path)
            _, _, role, _, place, label, flags = stretch_of(row, 0, _WIDTH)
            _, run, kind, state, package, major, minor, created = stretch_of(row, _WIDTH, _RUN)
            name, made, removed = _NAMES[role], None, False
            if row[_RUN] is not None:
                number, _, made_major, made_minor, _, by, _, _, _, gone = stretch_of(row, _RUN, len(row))
                if by != run:
                    raise Unsound  # what finds a version by its run has found another
                made, removed = Version(made_major, made_minor), gone == 1
                if name in _LEARNT:
                    self.learnt.add(number)
            elif state == "COMMIT" and kind in _MAKE and run in self._makers():
                raise Unsound  # what finds a version by its run does not
            elif role == Role.EVALUATED and major is not None:
                removed = self._removed(package, major, minor)
            # By place, for ten thousand of them are a tenth of the answer's time.
            yield Use(
                name,
                package or None,
                made,
                None if major is None else Version(major, minor),
                None,
                run,
                kind,
                _status(state),
                path,
                stretch.paths,
                self._source(label),
                place,
                flags & _ATTESTED != 0,
                flags & _KEPT != 0,
                removed,
                when(created),
            )

    def versions(self, holders: Holders) -> Iterator[Use]:
        """Versions whose own files hold it."""
        source = "use t left join version v on v.number = t.subject left join run r on r.id = v.run"
        where = f"t.role = {int(Role.PACKAGE)}"
        columns = f"{_USE}, v.*, r.kind"
        for stretch, row in matching(self._tables, columns, source, ("t.chain", "t.seq"), holders, where):
            use, version, kind = sound(row[:_WIDTH]), sound(row[_WIDTH:-1]), row[-1]
            self.learnt.add(version[0])
            parent = Version(version[6], version[7]) if version[6] is not None else None
            yield Use(
                role="package",
                package=version[1],
                version=Version(version[2], version[3]),
                base=parent,
                dataset=None,
                run=version[5],
                kind=kind or "",
                status="successful",
                path=_path(stretch.path),
                paths=stretch.paths,
                source=self._source(use[5]),
                folder="",
                attested=True,
                kept=not version[9],
                removed=bool(version[9]),
                when=when(version[8]),
            )

    def datasets(self, holders: Holders) -> Iterator[Use]:
        """Registered datasets that hold it."""
        source = "use t left join dataset d on d.number = t.subject"
        where = f"t.role = {int(Role.DATASET)}"
        columns = f"{_USE}, d.*"
        for stretch, row in matching(self._tables, columns, source, ("t.chain", "t.seq"), holders, where):
            use, dataset = sound(row[:_WIDTH]), sound(row[_WIDTH:])
            yield Use(
                role="dataset",
                package=None,
                version=None,
                base=None,
                dataset=f"{dataset[1]}@{dataset[2]}",
                run=dataset[3],
                kind="dataset",
                status="successful",
                path=_path(stretch.path),
                paths=stretch.paths,
                source=self._source(use[5]),
                folder="",
                attested=True,
                kept=True,
                removed=False,
                when=when(dataset[4]),
            )

    def _source(self, number: int) -> str:
        if number not in self._sources:
            row = self._tables.one("select * from source where number = ?", number)
            self._sources[number] = sound(row)[1]
        return self._sources[number]

    def _removed(self, *version: Any) -> bool:
        if version not in self._gone:
            row = self._tables.one(
                "select * from version where package = ? and major = ? and minor = ?", *version
            )
            self._gone[version] = row is not None and sound(row)[9] == 1
        return self._gone[version]

    def _makers(self) -> set[str]:
        """The runs that made versions, by the versions' own rows. A run may be decided and its version not yet there."""
        if self._made is None:
            rows = self._tables.ask("select * from version not indexed")
            self._made = {sound(row)[5] for row in rows}
        return self._made


def _path(written: str) -> str:
    """A path as `os` functions take it."""
    return "/".join(map(names.read, written.split("/"))) if "%" in written else written


def _status(decision: Decision | Literal[""]) -> Status:
    return STATUS[decision] if decision else "running"


_DESCENT = """
with recursive below(number, above) as (
    select c.number, p.number from temp.seed s cross join version p on p.number = s.number
        join version c on c.package = p.package and c.parent_major = p.major and c.parent_minor = p.minor
        where c.number not in (select number from temp.seed)
    union
    select o.version, p.number from temp.seed s cross join version p on p.number = s.number
        join origin o on o.record = p.record
        where o.version not in (select number from temp.seed) and not exists (
            select 1 from origin n join version v on v.record = n.record where n.version = o.version and n.rank < o.rank
        )
    union
    select c.number, p.number from below join version p on p.number = below.number
        join version c on c.package = p.package and c.parent_major = p.major and c.parent_minor = p.minor
    union
    select o.version, p.number from below join version p on p.number = below.number
        join origin o on o.record = p.record
        where not exists (
            select 1 from origin n join version v on v.record = n.record where n.version = o.version and n.rank < o.rank
        )
)
select above, v.* from below cross join version v on v.number = below.number
"""


def heirs(tables: Tables, seen: Iterable[int]) -> list[Heir]:
    """The versions that descend from those of these numbers and are none of them, in the order in which they were made."""
    seeds = set(seen)
    tables.ask("create temp table if not exists seed (number integer primary key)")
    tables.ask("delete from temp.seed")
    tables.ask("insert into temp.seed select value from json_each(?)", json.dumps(sorted(seeds)))
    rows: dict[int, tuple[int, Row]] = {}
    for above, *row in list(tables.ask(_DESCENT)):
        if row[0] not in seeds:
            rows.setdefault(row[0], (above, sound(tuple(row))))
    through: dict[int, Named] = {}
    known: dict[int, Row] = {}
    for number, (above, version) in rows.items():  # what is nearer comes first
        if above not in known:
            known[above] = rows[above][1] if above in rows else _version(tables, above)
        if version[6] is not None and (version[1], *version[6:8]) != known[above][1:4]:
            raise Unsound  # what finds versions by their parents has found another
        through[number] = through[above] if above in rows else named(known[above])
    found = [
        Heir(row[1], Version(row[2], row[3]), through[number], row[5], bool(row[9]), when(row[8]))
        for number, (_, row) in rows.items()
    ]
    return sorted(found, key=itemgetter(Heir._fields.index("run")))


def _version(tables: Tables, number: int) -> Row:
    return sound(tables.one("select * from version where number = ?", number))


def _unlisted(tables: Tables, known: set[str]) -> list[str]:
    """The runs that were given, or made, what is not in the store; but for those of which the answer is known."""
    holders = climb(tables, UNKNOWN)
    given = "use t left join run r on r.number = t.subject"
    made = "use t left join version v on v.number = t.subject"
    by = ("t.chain", "t.seq")
    runs = matching(tables, f"{_USE}, r.*", given, by, holders, f"t.role < {int(Role.ARTIFACTS)}")
    versions = matching(tables, f"{_USE}, v.*", made, by, holders, f"t.role = {int(Role.PACKAGE)}")
    found = {sound(row[_WIDTH:])[at] for some, at in ((runs, 1), (versions, 5)) for _, row in some}
    return sorted(found - known)


def _foreign(tables: Tables, known: set[int]) -> list[Named]:
    """The imports whose origin's record is no other version's of this store; by name. But for some, by their numbers."""
    rows = tables.ask(
        "select o.*, v.* from origin o left join version v on v.number = o.version where o.rank = 0 and not exists "
        "(select 1 from version b where b.record = o.record and b.number != o.version)"
    )
    found = []
    for row in rows:
        sound(row[:_ORIGIN])
        version = sound(row[_ORIGIN:])
        if version[0] not in known:
            found.append(named(version))
    return sorted(found)
