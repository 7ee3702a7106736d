"""A store's own record, `pkgrun-store.json`: which store it is, and its format; and how a store is known that has lost it.

Everything that ever was in a store came by an operation, so a store without its record is known by its records: one that is
valid, and lies where it belongs. A folder that is only called `runs` or `packages` is none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple

import orjson

from pkgrun.errors import Conflict, Damaged, NotFound
from pkgrun.identity import RUN_ID_PATTERN, Version
from pkgrun.records import FORMAT, DatasetRecord, Intent, StoreRecord, VersionRecord
from pkgrun.store import numbers, operations, registry
from pkgrun.store.backend import Backend
from pkgrun.store.files import shown

KEY = "pkgrun-store.json"

SIZE = 1 << 16
"""Bytes that the record has at most."""

_ID = re.compile(rb'"store" *: *"(%b)"' % RUN_ID_PATTERN.strip("^$").encode())
_FORMAT = re.compile(rb'"format" *: *([0-9]{1,9})')


class Lost(NamedTuple):
    """What is left of a record that is missing or damaged. `id`: the one that is legible in it, or a new one."""

    id: str
    legible: bool


def read(backend: Backend) -> bytes | None:
    """The record's bytes; None if there is none. It is asked for by a range, so that a server without ranges is found out."""
    try:
        return backend.read(KEY, 0, SIZE)
    except NotFound:
        return None


def parse(backend: Backend, data: bytes) -> StoreRecord:
    """The record.

    Raises:
        Conflict: it is of a newer format.
        Damaged: it is none.
    """
    try:
        found = orjson.loads(data)["format"]
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise _damaged(backend, f"{KEY} in {shown(backend.url)} is not a store's record") from error
    if isinstance(found, int) and found > FORMAT:
        raise _newer(backend, found)
    try:
        return StoreRecord.from_bytes(data, key=KEY)
    except Damaged as error:
        raise _damaged(backend, f"{error.message}, in {shown(backend.url)}") from error


def new(store: str) -> bytes:
    """The record of a store."""
    return StoreRecord(store=store, created=datetime.now(UTC)).to_bytes()


def again(backend: Backend, store: str) -> bytes:
    """The record as it should be: what it says, if it can be read, in its one form."""
    try:
        return parse(backend, read(backend) or b"").to_bytes()
    except Damaged:
        return new(store)


def check_not_lost(backend: Backend) -> None:
    """There is no record.

    Raises:
        Conflict: it looks like a store of a newer format.
        Damaged: it looks like a store nevertheless.
    """
    if (found := _known_by(backend)) is not None:
        url = shown(backend.url)
        raise _damaged(backend, f"{url} holds {found}, as a store does, and its {KEY} is missing")


def _damaged(backend: Backend, message: str) -> Damaged:
    return Damaged(message, hint=f"`pkgrun store repair --store {shown(backend.url)}` writes it anew")


def _newer(backend: Backend, found: int) -> Conflict:
    return Conflict(
        f"the store {shown(backend.url)} has format {found}; this release reads up to {FORMAT}",
        hint="upgrade pkgrun",
    )


# ---------------------------------------------------------------------- what has lost it


def lost(backend: Backend) -> Lost:
    """What is left of the record of a store that has lost it, or whose record is damaged.

    Raises:
        Conflict: what is left says that it is of a newer format.
        NotFound: nothing there is a store's.
    """
    data = read(backend) or b""
    format_ = _FORMAT.search(data)
    if format_ and int(format_[1]) > FORMAT:
        raise _newer(backend, int(format_[1]))
    if _known_by(backend) is None:
        raise NotFound(
            f"there is no store at {shown(backend.url)}: no record of one is there",
            hint=f"if there never was anything in it, take {KEY} away and begin anew",
        )
    legible = _ID.search(data)
    return Lost(legible[1].decode() if legible else operations.new_run_id(), legible is not None)


def _known_by(backend: Backend) -> str | None:
    """A record by which a store is known.

    Raises:
        Conflict: it is of a newer format.
    """
    return next((key for key, kind in _records(backend) if _is(backend, key, kind)), None)


def _records(backend: Backend) -> Iterator[tuple[str, type[Intent | VersionRecord | DatasetRecord]]]:
    """Where records may lie; the newest run first, for a newer release has written that."""
    if not {"runs", "packages", "datasets"}.intersection(
        backend.list("")
    ):  # a server would be asked three times
        return
    runs = (name for name in backend.list("runs") if re.fullmatch(RUN_ID_PATTERN, name))
    for run in sorted(runs, reverse=True):
        yield operations.key(run, "intent.json"), Intent
    for package in numbers.packages(backend):
        yield numbers.key(package, Version(numbers.majors(backend, package)[-1], 0)), VersionRecord
    for name in registry.names(backend):
        yield registry.key(name, 1), DatasetRecord


def _is(backend: Backend, key: str, kind: type[Intent | VersionRecord | DatasetRecord]) -> bool:
    try:
        data = backend.read(key)
        _check_format(backend, data)
        return _home(kind.from_bytes(data, key=key)) == key
    except (NotFound, Damaged):
        return False


def _check_format(backend: Backend, data: bytes) -> None:
    try:
        found = orjson.loads(data)["format"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return
    if isinstance(found, int) and found > FORMAT:
        raise _newer(backend, found)


def _home(record: Intent | VersionRecord | DatasetRecord) -> str:
    """Where it belongs."""
    if isinstance(record, Intent):
        return operations.key(record.run, "intent.json")
    if isinstance(record, VersionRecord):
        return numbers.key(record.package, record.version)
    return registry.key(record.dataset, record.number)
