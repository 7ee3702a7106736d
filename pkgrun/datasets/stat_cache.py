"""What files of datasets were last time: how each folder looked, and the digests of what was read there.

It is derived and may be deleted at any time. What it may be trusted for is said in `schemas/README.md`, "The stat
cache": a file whose stamp is the same to the last digit, if that stamp was older than the moment it was read by
`MARGIN`, has the same bytes. One row a folder, since a row a file would cost more than the walk.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from pkgrun.datasets.mountpoints import on_this_machine

if TYPE_CHECKING:
    import sqlite3

MARGIN = 2_000_000_000
"""Nanoseconds: no file system's clock ticks more slowly. A change in the tick in which a file was read shows nothing."""

LIMIT = 1 << 30
"""Bytes of the database after which it begins anew."""

_FORM = 1
_TABLE = """
create table if not exists folder (
    path blob primary key, looks blob not null, digests blob not null, below blob not null,
    node blob not null, files integer not null, bytes integer not null, read_at integer not null,
    mark integer not null
) without rowid
"""


class Row(NamedTuple):
    """A folder as it was. `digests`: 32 bytes for each file, in the order of its looks, zeros if not known.

    `below`: 32 bytes for each folder in it; `node`: of the folder itself, with so many `files` and `bytes` below it.
    `read_at`: nanoseconds since the epoch, before anything of it was read.
    """

    looks: bytes
    digests: bytes
    below: bytes
    node: bytes
    files: int
    bytes: int
    read_at: int


_KINDS = [bytes] * 5 + [int] * 3
"""Of the path and of the row's values: what is damaged may have others."""


def for_dataset(folder: str | None, path: str) -> StatCache:
    """The cache for a dataset, which knows nothing and learns nothing where ctimes prove nothing."""
    return StatCache(folder if on_this_machine(path) else None)


class StatCache:
    """The rows of one machine. Not for several threads. Whatever goes wrong with it, it only knows nothing."""

    def __init__(self, folder: str | None) -> None:
        self._path = os.path.join(folder, f"looks-{_FORM}.sqlite") if folder is not None else None
        self._database: sqlite3.Connection | None = None

    def get(self, path: str) -> Row | None:
        """What is remembered of the folder at a real path."""
        return next((row for _, row in self._ask("path = ?", os.fsencode(path))), None)

    def below(self, path: str) -> dict[str, Row]:
        """What is remembered of all folders below one, by their real paths."""
        above = os.fsencode(path).rstrip(b"/")
        return dict(
            self._ask("path > ? and path < ?", above + b"/", above + b"0")
        )  # what comes after a slash

    def _ask(self, where: str, *values: bytes) -> list[tuple[str, Row]]:
        import sqlite3

        try:
            database = self._open()
            if database is None:
                return []
            question = f"select path, looks, digests, below, node, files, bytes, read_at, mark from folder where {where}"  # noqa: S608 - ours
            found = database.execute(question, values).fetchall()
        except (sqlite3.Error, UnicodeDecodeError):  # the latter of what it says about a damaged table
            self._discard()
            return []
        rows = [
            (os.fsdecode(path), Row._make(fields), mark)
            for path, *fields, mark in found
            if [type(value) for value in (path, *fields)] == _KINDS
        ]
        return [(path, row) for path, row, mark in rows if mark == _mark(path, row)]

    def put(self, rows: Iterable[tuple[str, Row]]) -> None:
        """Remember folders."""
        import sqlite3

        try:
            database = self._open()
            if database is not None:
                with database:
                    database.executemany(
                        "insert or replace into folder values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                        ((os.fsencode(path), *row, _mark(path, row)) for path, row in rows),
                    )
        except (sqlite3.Error, UnicodeDecodeError):
            self._discard()

    def close(self) -> None:
        """Give the file back."""
        if self._database is not None:
            self._database.close()
            self._database = None

    def _open(self) -> sqlite3.Connection | None:
        if self._database is None and self._path is not None:
            import sqlite3

            with suppress(OSError):
                os.makedirs(os.path.dirname(self._path), mode=0o700, exist_ok=True)
                if os.path.getsize(self._path) > LIMIT:
                    self._remove(self._path)
            self._database = sqlite3.connect(
                self._path, timeout=30, isolation_level="DEFERRED", check_same_thread=False
            )
            self._database.executescript("pragma journal_mode=wal; pragma synchronous=off;" + _TABLE)
        return self._database

    def _discard(self) -> None:
        """What cannot be read or written is forgotten."""
        self.close()
        if self._path is not None:
            self._remove(self._path)
        self._path = None

    @staticmethod
    def _remove(path: str) -> None:
        for end in ("", "-wal", "-shm"):
            with suppress(OSError):
                os.unlink(path + end)


def _mark(path: str, row: Row) -> int:
    """By which a row is known to be as it was written: the database is not synced, and does not check its pages."""
    numbers = repr((path, row.files, row.bytes, row.read_at)).encode()
    return zlib.crc32(b"\0".join((numbers, row.looks, row.digests, row.below, row.node)))
