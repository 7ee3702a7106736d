"""Which pack holds which small blob. It is derived from the packs alone: whatever it forgets is read again from them.

What packs say is kept in memory; once there are many of them, in a database in the local cache, so that a store of
many packs costs one look at their names. It is never trusted beyond that: a blob is verified when it is read, and a
pack whose blob is to be re-used is looked for first.
"""

from __future__ import annotations

import os
import threading
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from pkgrun.errors import Damaged, NotFound
from pkgrun.store import packs
from pkgrun.store.backend import Backend
from pkgrun.store.packs import Contents, Part
from pkgrun.store.parallel import each

if TYPE_CHECKING:
    import sqlite3

MANY = 48
"""Packs that are held in memory; more of them go into the database."""

_STEPS = 3
"""What looking into one pack costs, in entries that could have been read instead."""

_DIRECTORY = 1 << 31
_FORM = 2
_TABLES = """
create table if not exists pack (number integer primary key, name text not null unique);
create table if not exists blob (
    digest blob not null, pack integer not null, offset integer not null, length integer not null, directory integer not null,
    mark integer not null,
    primary key (digest, pack)
) without rowid;
"""


class Place(NamedTuple):
    """Where a small blob lies."""

    pack: str
    offset: int
    length: int
    directory: bool = False


class Index:
    """The small blobs of one store. For several threads."""

    def __init__(self, backend: Backend, folder: str | None) -> None:
        self._backend = backend
        self._lock = threading.RLock()
        self._shelf = _Shelf(folder)
        self._names: list[str] = []
        self._recent: dict[bytes, int] = {}
        self._unread: list[Contents] = []
        self._asked = 0
        self._there: set[str] = set()
        self._looked = False
        self.damaged: Damaged | None = None
        """A pack that is there and cannot be read; what it holds is not found."""

    def find(self, digest: bytes, *, directory: bool = False) -> Place | None:
        """Where a blob lies; None if no pack that is there holds it, or holds it as a directory if that is asked."""
        with self._lock:
            place = self._known(digest, directory=directory)
            if place is None and not self._looked:
                self.refresh()
                place = self._known(digest, directory=directory)
            return place

    def find_all(self, digests: Sequence[bytes]) -> dict[bytes, Place]:
        """Where those of them lie that a pack holds."""
        with self._lock:
            if not self._looked:
                self.refresh()
            if not self._recent and not self._unread and self._shelf.empty:
                return {}
            return {digest: place for digest in digests if (place := self._known(digest)) is not None}

    def _known(self, digest: bytes, *, directory: bool = False) -> Place | None:
        if self._unread:
            self._asked += len(self._unread) * _STEPS
            if self._asked > sum(map(len, self._unread)):
                self._absorb()
        for contents in self._unread:
            part = self._found(contents, digest)
            if part is not None and (part.directory or not directory) and self._is_there(contents.pack):
                return Place(contents.pack, part.offset, part.length, part.directory)
        packed = self._recent.get(digest)
        if packed is not None and (packed & _DIRECTORY or not directory):
            at, length = packed >> 32 & 0xFFFFFFFF, packed & _DIRECTORY - 1
            place = Place(self._names[packed >> 64], at, length, bool(packed & _DIRECTORY))
            if self._is_there(place.pack):
                return place
        places = (place for place in self._shelf.find(digest) if place.directory or not directory)
        return next((place for place in places if self._is_there(place.pack)), None)

    def _found(self, contents: Contents, digest: bytes) -> Part | None:
        try:
            return contents.find(digest)
        except Damaged as error:
            self.damaged = error
            return None

    def _absorb(self) -> None:
        """Read all that was only looked into: for many questions that is quicker."""
        unread, self._unread = self._unread, []
        for contents in unread:
            try:
                self.add(contents.pack, list(contents))
            except Damaged as error:
                self.damaged = error

    def distrust(self) -> bool:
        """Something was not where the database says, or not in it: forget that, and read the packs. False if that is done."""
        with self._lock:
            if not self._shelf.discard():
                return False
            self._looked = False
            self.refresh()
            return True

    def _is_there(self, pack: str) -> bool:
        """Looked for once: what the cache remembers may have been merged into other packs since."""
        if pack not in self._there:
            if self._looked or self._backend.stat(packs.key_of(pack)) is None:
                return False
            self._there.add(pack)
        return True

    def add(self, pack: str, parts: Iterable[Part]) -> None:
        """A pack that has just been published."""
        with self._lock:
            number = len(self._names)
            self._names.append(pack)
            self._there.add(pack)
            for digest, at, length, directory in parts:
                # The same bytes may be a file's, too, and then nothing is said of what is below.
                if directory or not self._recent.get(digest, 0) & _DIRECTORY:
                    self._recent[digest] = number << 64 | at << 32 | directory << 31 | length

    def refresh(self) -> None:
        """Look which packs there are, and read the indexes of new ones."""
        with self._lock:
            there = {pack for name in self._backend.list(packs.FOLDER) if (pack := packs.name_in(name))}
            if not there.issuperset(self._names):  # another may hold the same blob, but only one was noted
                self._names, self._recent = [], {}
            self._unread = [contents for contents in self._unread if contents.pack in there]
            unread = (contents.pack for contents in self._unread)
            new = sorted(there.difference(self._names, unread, self._shelf.packs()))
            self._there, self._looked, self.damaged = there, True, None
            many = len(new) > MANY
            for start in range(0, len(new), MANY):
                some = new[start : start + MANY]
                found = [one for one in each(self._contents, some, run=1) if one is not None]
                if not (many and self._shelf.add(found)):
                    self._unread += found

    def _contents(self, pack: str) -> Contents | None:
        try:
            return packs.contents_of(self._backend, pack)
        except NotFound:  # merged into another one meanwhile
            return None
        except Damaged as error:  # no reason not to read the others
            self.damaged = error
            return None


def _mark(digest: bytes, pack: str, offset: int, length: int, directory: int) -> int:
    return zlib.crc32(b"%b %b %d %d %d" % (digest, pack.encode(), offset, length, directory))


class _Shelf:
    """The database of an index; without a folder, or where none can be written, it is always empty."""

    def __init__(self, folder: str | None) -> None:
        self._path = os.path.join(folder or "", f"packs-{_FORM}.sqlite")
        self._database: sqlite3.Connection | None = None
        self._usable = folder is not None

    @property
    def empty(self) -> bool:
        """Whether there is surely nothing in it."""
        return self._open(create=False) is None

    def _open(self, *, create: bool) -> sqlite3.Connection | None:
        if self._database is None and self._usable and (create or os.path.exists(self._path)):
            import sqlite3

            try:
                os.makedirs(os.path.dirname(self._path), mode=0o700, exist_ok=True)
                self._database = sqlite3.connect(self._path, timeout=30, check_same_thread=False)
                self._database.executescript("pragma journal_mode=wal; pragma synchronous=off;" + _TABLES)
            except (OSError, sqlite3.Error):
                self.discard()
        return self._database

    def discard(self) -> bool:
        """What cannot be read is not worth anything: go on without, and let the next one begin anew. Whether there was any."""
        there = self._usable and os.path.exists(self._path)
        if self._database is not None:
            self._database.close()
        self._usable, self._database = False, None
        for end in ("", "-wal", "-shm"):
            with suppress(OSError):
                os.unlink(self._path + end)
        return there

    def _ask(self, question: str, *values: object) -> list[tuple[Any, ...]]:
        database = self._open(create=False)
        if database is None:
            return []
        import sqlite3

        try:
            return database.execute(question, values).fetchall()
        except sqlite3.Error:
            self.discard()
            return []

    def packs(self) -> Iterator[str]:
        """The packs that are in it."""
        return (name for (name,) in self._ask("select name from pack"))

    def find(self, digest: bytes) -> Iterator[Place]:
        """Where a blob is said to lie."""
        question = "select name, offset, length, directory, mark from blob join pack on number = pack where digest = ?"
        found = self._ask(question, digest)
        if any(_mark(digest, *row[:4]) != row[4] for row in found):  # SQLite does not check its pages
            self.discard()
            return iter(())
        return (Place(name, at, length, bool(directory)) for name, at, length, directory, _ in found)

    def add(self, found: Sequence[Contents]) -> bool:
        """Keep what packs hold; False if it cannot be kept."""
        database = self._open(create=True)
        if database is None:
            return False
        import sqlite3

        try:
            with database:
                for contents in found:
                    number = database.execute(
                        "insert into pack (name) values (?) on conflict do update set name = name returning number",
                        (contents.pack,),
                    ).fetchone()[0]
                    database.executemany(
                        "insert or replace into blob values (?, ?, ?, ?, ?, ?)",
                        (
                            (one.digest, number, *one[1:], _mark(one.digest, contents.pack, *one[1:]))
                            for one in contents
                        ),
                    )
        except Damaged:  # which the reader of each will find out
            return False
        except sqlite3.Error:
            self.discard()
            return False
        return True
