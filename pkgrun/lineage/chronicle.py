"""Finds what happened to a package or a dataset. When is known without reading much, so the newest few cost little."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import NamedTuple, TypeAlias

from pkgrun.errors import Damaged, NotFound, UsageError
from pkgrun.identity import Version, check_name
from pkgrun.lineage import happenings, looking
from pkgrun.lineage.graph import MissingNode
from pkgrun.lineage.happenings import Names
from pkgrun.lineage.history import Happening, History
from pkgrun.lineage.index import Index
from pkgrun.lineage.ledger import Role, raw
from pkgrun.lineage.relations import Named
from pkgrun.lineage.tables import Tables, sound
from pkgrun.lineage.uses import Use, answer
from pkgrun.records import DatasetRecord, RunRecord, VersionRecord
from pkgrun.records.erasing import Receipt
from pkgrun.store import erased, numbers, registry
from pkgrun.store.parallel import each
from pkgrun.store.root import Store

_Run: TypeAlias = RunRecord | MissingNode


class _Moment(NamedTuple):
    """When something happened, the run that it was, and what tells the rest of it."""

    at: datetime
    run: str | None
    tell: Callable[[_Run], Happening]


def history(store: Store, index: Index, name: str, *, limit: int | None = None) -> History:
    """What happened to a package, or to a dataset.

    Args:
        name: of either; where both have it the package is meant. `dataset:NAME` and `package:NAME` force it.
        limit: the newest so many. None: all.

    Raises:
        NotFound: there is neither.
        InvalidName, UsageError: that is no name; the limit is negative.
        Damaged: a record that says what there is cannot be read.
    """
    if limit is not None and limit < 0:
        raise UsageError(f"limit must be 0 or more, not {limit}")
    forced, bare = _parsed(name)
    package = forced != "dataset" and bool(_numbers(store, bare))
    dataset = forced != "package" and registry.exists(store.backend, bare, 1)
    if not package and not dataset:
        hint = "`pkgrun package list` and `pkgrun dataset list` show what there is"
        raise NotFound(f"there is no {forced or 'package or dataset'} {bare}", hint=hint)
    found = sorted(_of_package(store, index, bare) if package else _of_dataset(store, index, bare), key=_when)
    wanted = found if limit is None else found[max(0, len(found) - limit) :]
    return History(
        name=bare,
        what="package" if package else "dataset",
        happenings=tuple(_once(list(_told(store, wanted)))),
        earlier=len(found) - len(wanted),
        namesake=package and dataset,
    )


def _when(moment: _Moment) -> tuple[datetime, str]:
    return moment.at, moment.run or ""


def _told(store: Store, moments: Sequence[_Moment]) -> Iterator[Happening]:
    """Runs are read by several threads, the index is asked by this one."""
    records = each(lambda moment: looking.run(store, moment.run) if moment.run else _NONE, moments, run=4)
    for moment, record in zip(moments, records, strict=True):
        yield moment.tell(record)


def _once(found: Sequence[Happening]) -> Iterator[Happening]:
    """Of a number whose record is not there the run that was given it tells more than its gap."""
    told = {one.version for one in found if one.run is not None}
    return (one for one in found if one.run is not None or one.status != "missing" or one.version not in told)


_NONE = MissingNode("", "run", "")


def _parsed(name: str) -> tuple[str | None, str]:
    kind, colon, bare = name.partition(":")
    if colon and kind in ("package", "dataset"):
        return kind, check_name(bare, kind)
    if "@" in name:
        hint = f"`pkgrun history {name.partition('@')[0]}`"
        raise UsageError(f"{name}: a history is of all that has a name, not of one number", hint=hint)
    return None, check_name(name)


def _of_package(store: Store, index: Index, package: str) -> Iterator[_Moment]:
    """Its versions, the runs that began with them, removals, and erasures of what they had seen; and gaps, where they would be."""
    given = _numbers(store, package)
    found = each(lambda version: _version(store, package, version), given, run=1)
    made = {one.run: one for one in found if isinstance(one, VersionRecord)}
    at = min((one.created for one in made.values()), default=datetime.now(UTC))
    for version, one in zip(given, found, strict=True):
        if isinstance(one, VersionRecord):
            at = one.created
        else:
            yield _certain(at, happenings.gap(at, package, version, one))
    runs = {*made, *(run for version in given for run in index.runs_from(Named(package, version)))}
    names = Names(index)
    for run in runs:
        tell = partial(_ran, names, made.get(run))
        yield _Moment(happenings.begun(run), run, tell)
    for version, removal in numbers.removals(store.backend, package).items():
        yield _certain(removal.created, happenings.removed(removal, version))
    for receipt in erased.receipts(store.backend):
        if any(name.startswith(f"{package}@") for name in receipt.versions):
            yield _certain(receipt.created, happenings.erased(receipt))


def _version(store: Store, package: str, version: Version) -> VersionRecord | str:
    """The record of a version, or why it is not there."""
    try:
        return numbers.read(store.backend, package, version)
    except NotFound:
        return happenings.NOT_THERE
    except Damaged as error:
        return error.message


def _numbers(store: Store, package: str) -> list[Version]:
    """The numbers that were given, as far as keys tell: up to the last of each major, also those whose record is not there."""
    found = []
    for name in sorted(store.backend.list(f"packages/{package}")):
        keys = (
            numbers.RECORD.fullmatch(f"packages/{package}/{name}/{key}")
            for key in store.backend.list(f"packages/{package}/{name}")
        )
        minors = [int(one[3]) for one in keys if one]
        found += [Version(int(name), minor) for minor in range(max(minors, default=-1) + 1)]
    return found


def _certain(at: datetime, told: Happening) -> _Moment:
    return _Moment(at, None, lambda run: told)


def _of_dataset(store: Store, index: Index, dataset: str) -> Iterator[_Moment]:
    """Its numbers, the runs that were given one of them or a folder in it, and erasures of what was in it."""
    records = list(registry.records(store.backend, dataset))
    names = Names(index)
    for before, record in zip([None, *records], records, strict=False):
        tell = partial(_registered, store, record, before)
        yield _Moment(record.created, record.run, tell)
    for run, number in _users(index, dataset, records).items():
        yield _Moment(happenings.begun(run), run, partial(_used, names, number))
    for receipt in erased.receipts(store.backend):
        if _concerns(index, receipt, records):
            yield _certain(receipt.created, happenings.erased(receipt))


def _ran(names: Names, version: VersionRecord | None, run: _Run) -> Happening:
    """A run that began with the package; that it made a version is not enough for that to be there."""
    told = happenings.ran(names, run, version)
    if version is None and isinstance(run, RunRecord) and run.version is not None:
        return replace(told, status="missing", error=happenings.NOT_THERE)
    return told


def _registered(store: Store, record: DatasetRecord, before: DatasetRecord | None, run: _Run) -> Happening:
    return happenings.registered(store, record, before, run)


def _used(names: Names, number: int, run: _Run) -> Happening:
    return replace(happenings.ran(names, run, None), number=number)


def _concerns(index: Index, receipt: Receipt, records: Iterable[DatasetRecord]) -> bool:
    held = {use.dataset for use in _uses(index, receipt.digest)}
    return any(record.label in held for record in records)


def _uses(index: Index, digest: str) -> Sequence[Use]:
    return index.ask(lambda tables: answer(tables, raw(digest)))[0]


def _users(index: Index, dataset: str, records: Sequence[DatasetRecord]) -> dict[str, int]:
    """The runs that were given a number of the dataset: exactly its content, or it or a folder of it by its name."""
    found: dict[str, int] = {}
    for record in records:
        for use in _uses(index, record.tree.digest):
            if use.role in ("input", "trained", "evaluated"):
                found.setdefault(use.run, record.number)
    for run, label in index.ask(lambda tables: _by_name(tables, dataset)):
        number = label.partition("@")[2].partition("/")[0]
        if number.isdecimal():
            found[run] = int(number)
    return found


def _by_name(tables: Tables, dataset: str) -> list[tuple[str, str]]:
    """Runs, and what they were told, where that begins with `dataset@`: what sorts from there to what follows the `@`."""
    question = (
        "select s.label, r.* from source s join use u on u.source = s.number and u.role < ? "
        "join run r on r.number = u.subject where s.label >= ? and s.label < ?"
    )
    rows = tables.ask(question, int(Role.PACKAGE), f"{dataset}@", f"{dataset}A")
    return [(sound(row[1:])[1], row[0]) for row in rows]
