"""The database of the index: its tables, the marks of its rows, and how it is opened, locked and thrown away.

It is derived from the store alone and may be deleted at any time. Nothing syncs it and SQLite does not check its pages, so
each row has a mark; a row that does not fit its mark is `Unsound`, and whoever meets one throws the database away.
"""

from __future__ import annotations

import fcntl
import marshal
import os
import sqlite3
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

FORM = 2
"""Of the tables: another one is another file."""

PATIENCE = 600.0
"""Seconds for which another process is waited for that brings the same index up to date."""

Row = tuple[Any, ...]

_TABLES = """
create table if not exists chain (
    number integer primary key, head integer not null, digest blob not null, mark integer not null
);
create table if not exists node (
    digest blob primary key, chain integer not null, seq integer not null, mark integer not null
) without rowid;
create table if not exists file (
    digest blob not null, chain integer not null, name text not null, first integer not null, last integer,
    mark integer not null, primary key (digest, chain, name, first)
) without rowid;
create table if not exists folder (
    child integer not null, at integer not null, chain integer not null, name text not null, first integer not null,
    last integer, mark integer not null, primary key (child, at, chain, name, first)
) without rowid;
create table if not exists use (
    chain integer not null, seq integer not null, role integer not null, subject integer not null, place text not null,
    source integer not null, flags integer not null, mark integer not null,
    primary key (chain, seq, role, subject, place)
) without rowid;
create table if not exists line (name text primary key, chains text not null, mark integer not null) without rowid;
create table if not exists source (number integer primary key, label text not null unique, mark integer not null);
create table if not exists run (
    number integer primary key, id text not null unique, kind text not null, state text not null, package text not null,
    major integer, minor integer, created integer not null, mark integer not null
);
create index if not exists run_base on run (package, major, minor, id) where major is not null;
create index if not exists run_open on run (state) where state = '';
create table if not exists version (
    number integer primary key, package text not null, major integer not null, minor integer not null,
    record blob not null, run text not null, parent_major integer, parent_minor integer, created integer not null,
    removed integer not null, mark integer not null, unique (package, major, minor)
);
create index if not exists version_parent on version (package, parent_major, parent_minor) where parent_major is not null;
create index if not exists version_record on version (record);
create index if not exists version_run on version (run);
create table if not exists origin (
    record blob not null, version integer not null, rank integer not null, mark integer not null,
    primary key (record, version, rank)
) without rowid;
create index if not exists origin_version on origin (version, rank);
create table if not exists dataset (
    number integer primary key, name text not null, n integer not null, run text not null, created integer not null,
    mark integer not null, unique (name, n)
);
create table if not exists look (folder text primary key, stamp text not null, mark integer not null) without rowid;
"""


class Unsound(Exception):
    """A row is not what was written."""


FAULTS = (sqlite3.Error, Unsound, UnicodeDecodeError)  # the latter of what SQLite says about a damaged table


def marked(*values: object) -> Row:
    """A row to be written: the values, and by what it will be known that they are these."""
    return (*values, _mark(values))


def _mark(values: tuple[Any, ...]) -> int:
    # An answer of ten thousand rows has as many to check, and `repr` takes three times as long. Of that version equal
    # values have equal bytes, in every Python. Four bytes of it are four bytes in SQLite, too.
    return zlib.crc32(marshal.dumps(values, 2)) >> 1


def sound(row: Row | None) -> Row:
    """A row's values, without the mark that is its last.

    Raises:
        Unsound: they are not what was written, or it should be there and is not.
    """
    if row is None:
        raise Unsound
    values = row[:-1]
    if zlib.crc32(marshal.dumps(values, 2)) >> 1 != row[-1]:  # `_mark`, without a call for each of many rows
        raise Unsound
    return values


def stretch_of(row: Row, first: int, end: int) -> Row:
    """The same of one of several rows that a join has put side by side.

    Raises:
        Unsound: they are not what was written.
    """
    values = row[first : end - 1]
    if zlib.crc32(marshal.dumps(values, 2)) >> 1 != row[end - 1]:
        raise Unsound
    return values


class Tables:
    """An open database; without a path, or where none can be written, in memory. For one thread."""

    def __init__(self, path: str | None) -> None:
        self.path = path
        self._database: sqlite3.Connection | None = None
        self._file: os.stat_result | None = None

    @property
    def database(self) -> sqlite3.Connection:
        """The connection; transactions are begun and ended by `changing`."""
        if self._database is None:
            self._database = self._opened()
        return self._database

    def _opened(self) -> sqlite3.Connection:
        if self.path is not None:
            try:
                os.makedirs(os.path.dirname(self.path), mode=0o700, exist_ok=True)
                with _door(self.path):
                    return self._connected_or_anew(self.path)
            except (OSError, *FAULTS):
                self.path = None  # it cannot be written there
        return _connected(":memory:")

    def _connected_or_anew(self, path: str) -> sqlite3.Connection:
        try:
            database = _connected(path)
        except FAULTS:
            _unlink(path)
            database = _connected(path)
        self._file = os.stat(path)
        return database

    def ask(self, question: str, *values: object) -> Iterator[Row]:
        """Rows, as they lie there."""
        return self.database.execute(question, values)

    def one(self, question: str, *values: object) -> Row | None:
        """The first of them."""
        found: Row | None = self.database.execute(question, values).fetchone()
        return found

    def put(self, table: str, rows: Iterable[Row]) -> None:
        """Write marked rows; of what is there already, anew."""
        listed = list(rows)
        if listed:
            signs = ", ".join("?" * len(listed[0]))
            self.database.executemany(f"insert or replace into {table} values ({signs})", listed)  # noqa: S608 - ours

    @contextmanager
    def changing(self) -> Iterator[None]:
        """All that is written meanwhile is written, or nothing."""
        self.database.execute("begin immediate")
        try:
            yield
        except BaseException:
            with suppress(sqlite3.Error):
                self.database.execute("rollback")
            raise
        self.database.execute("commit")

    @contextmanager
    def reading(self) -> Iterator[None]:
        """All that is asked meanwhile is answered as of one moment."""
        self.database.execute("begin")
        try:
            yield
        finally:
            with suppress(sqlite3.Error):
                self.database.execute("rollback")

    @contextmanager
    def alone(self) -> Iterator[None]:
        """While nobody else brings the index up to date; who cannot have that goes on in memory."""
        if self.path is None:
            yield
            return
        import filelock

        lock = filelock.FileLock(f"{self.path}.lock", timeout=PATIENCE)
        try:
            lock.acquire()
        except (OSError, NotImplementedError):  # the former also when nobody let go in time
            self.close()
            self.path = None
            yield
            return
        try:
            yield
        finally:
            lock.release()

    def discard(self) -> None:
        """Throw it away; the next question finds an empty one, or what another has made anew since this was opened."""
        self.close()
        if self.path is None or self._file is None:
            return
        with suppress(OSError), _door(self.path):
            if os.path.samestat(os.stat(self.path), self._file):
                _unlink(self.path)
        self._file = None

    def close(self) -> None:
        """Give the file back."""
        if self._database is not None:
            with suppress(sqlite3.Error):
                self._database.close()
            self._database = None


@contextmanager
def _door(path: str) -> Iterator[None]:
    """While nobody else opens the database or throws it away: it is three files, of which one that is left would be taken for
    a part of the next. It is for a moment; `alone` may be for long.

    Raises:
        OSError: there can be no lock.
    """
    lock = os.open(f"{path}.door", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _unlink(path: str) -> None:
    for end in ("", "-wal", "-shm"):
        with suppress(FileNotFoundError):
            os.unlink(path + end)


def _connected(path: str) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
    try:
        database.executescript(
            "pragma journal_mode=wal; pragma synchronous=off; pragma temp_store=memory; pragma cache_size=-131072;"
        )
        if database.execute("pragma user_version").fetchone()[0] != FORM:
            database.executescript(f"begin immediate; {_TABLES} pragma user_version={FORM}; commit;")
    except BaseException:
        database.close()
        raise
    return database
