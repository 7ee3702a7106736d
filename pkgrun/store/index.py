"""Which pack holds which small blob. It is derived from the packs alone: whatever it forgets is read again from them.

What packs say is kept in memory; once there are many of them, in a database in the local cache, so that a store of
many packs costs one look at their names. It is never trusted beyond that: a blob is verified when it is read, and a
pack whose blob is to be re-used is looked for first.
"""

from __future__ import annotations

import os
import threading
import zlib
from collections.abc import Collection, Iterable, Iterator, Sequence
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
"""Packs that are held in memory; more of them go into the database, and so does each that is far away."""

_STEPS = 40
"""What looking into one pack costs, in entries that could have been noted instead."""

_OFFSET = (1 << 64) - 1
_FORM = 3
_TABLES = """
create table if not exists pack (number integer primary key, name text not null unique, size integer not null);
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
        self._ends: list[int] = []
        self._recent: dict[bytes, int] = {}
        self._unread: list[Contents] = []
        self._asked = 0
        self._sizes: dict[str, int] = {}
        self._listed: set[str] = set()
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

    def find_all(self, digests: Collection[bytes]) -> dict[bytes, Place]:
        """Where those of them lie that a pack holds."""
        with self._lock:
            if not self._looked:
                self.refresh()
            asked: Iterable[bytes] = digests
            if not self._unread and self._shelf.empty:
                asked = self._recent.keys() & digests
            found: dict[bytes, Place] = {}
            for digest in asked:
                packed = self._recent.get(digest)
                place = None if packed is None else self._place(packed)
                if place is None or place.pack not in self._there:  # once a pack
                    place = self._known(digest)
                if place is not None:
                    found[digest] = place
            return found

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
        if packed is not None and (packed & packs.DIRECTORY or not directory):
            place = self._place(packed)
            if place is not None and self._is_there(place.pack):
                return place
        places = (place for place in self._shelf.find(digest) if place.directory or not directory)
        return next((place for place in places if self._is_there(place.pack)), None)

    def _found(self, contents: Contents, digest: bytes) -> Part | None:
        try:
            return contents.find(digest)
        except Damaged as error:
            self.damaged = error
            return None

    def _place(self, packed: int) -> Place | None:
        number, at, length = packed >> 96, packed >> 32 & _OFFSET, packed & packs.LENGTH
        if at < packs.HEAD or at + length > self._ends[number]:
            self.damaged = packs.damaged(self._names[number])
            return None
        return Place(self._names[number], at, length, packed & packs.DIRECTORY != 0)

    def _absorb(self) -> None:
        """Note all that was only looked into: for many questions that is quicker."""
        unread, self._unread = self._unread, []
        for contents in unread:
            self._sizes[contents.pack] = contents.size
            self._note(contents.pack, contents.entries(), contents.end)

    def _note(self, pack: str, entries: Iterable[tuple[bytes, int, int]], end: int) -> None:
        """Where blobs lie; lengths have the bit of directories."""
        number = len(self._names) << 96
        self._names.append(pack)
        self._ends.append(end)
        found = {digest: number | at << 32 | length for digest, at, length in entries}
        for digest in self._recent.keys() & found.keys():
            # The same bytes may be a file's, too, and then nothing is said of what is below.
            if self._recent[digest] & packs.DIRECTORY:
                del found[digest]
        self._recent |= found

    def distrust(self) -> bool:
        """Something was not where the database says, or not in it: forget that, and read the packs. False if that is done."""
        with self._lock:
            if not self._shelf.discard():
                return False
            self._looked = False
            self.refresh()
            return True

    def look_again(self) -> None:
        """Whatever is known to be there may have been collected since."""
        with self._lock:
            self._looked = False
            self._there.clear()

    def _is_there(self, pack: str) -> bool:
        """Looked for once: what the cache remembers may have been merged into other packs since, or be cut off."""
        if pack not in self._there:
            if self._looked and pack not in self._listed:
                return False
            # A listing is enough where no file can be cut off.
            if not self._looked or self._backend.capabilities.paths:
                found = self._backend.stat(packs.key_of(pack))
                if found is None:
                    return False
                if found.size != self._size(pack):
                    self.damaged = packs.damaged(pack)
                    return False
            self._there.add(pack)
        return True

    def _size(self, pack: str) -> int | None:
        """What a pack that was read before had."""
        known = next((contents.size for contents in self._unread if contents.pack == pack), None)
        if known is None and pack in self._sizes:
            return self._sizes[pack]
        return known if known is not None else self._shelf.size(pack)

    def add(self, pack: str, parts: Sequence[Part]) -> None:
        """A pack that has just been published."""
        end = max((part.offset + part.length for part in parts), default=packs.HEAD)
        entries = [
            (digest, at, length | directory * packs.DIRECTORY) for digest, at, length, directory in parts
        ]
        with self._lock:
            self._there.add(pack)
            self._sizes[pack] = end + len(entries) * packs.ENTRY + packs.FOOT
            self._note(pack, entries, end)

    def refresh(self) -> None:
        """Look which packs there are, and read the indexes of new ones."""
        with self._lock:
            there = {pack for name in self._backend.list(packs.FOLDER) if (pack := packs.name_in(name))}
            if not there.issuperset(self._names):  # another may hold the same blob, but only one was noted
                self._names, self._ends, self._recent = [], [], {}
            self._unread = [contents for contents in self._unread if contents.pack in there]
            unread = (contents.pack for contents in self._unread)
            new = sorted(there.difference(self._names, unread, self._shelf.packs()))
            self._listed, self._looked, self.damaged = there, True, None
            self._there &= there
            many = len(new) > MANY or not self._backend.capabilities.paths
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


def _sound(digest: bytes, row: tuple[Any, ...]) -> bool:
    """Whether a row is as it was written, down to the kinds of its values."""
    name, *numbers, mark = row
    kinds = [type(value) for value in (name, *numbers)]
    return kinds == [str, int, int, int] and _mark(digest, name, *numbers) == mark


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
            except (
                OSError,
                sqlite3.Error,
                UnicodeDecodeError,
            ):  # the latter of what it says about a damaged table
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
        except (sqlite3.Error, UnicodeDecodeError):
            self.discard()
            return []

    def packs(self) -> Iterator[str]:
        """The packs that are in it."""
        return (name for (name,) in self._ask("select name from pack"))

    def size(self, pack: str) -> int | None:
        """How large a pack was when it was read."""
        found = self._ask("select size from pack where name = ?", pack)
        return found[0][0] if found else None

    def find(self, digest: bytes) -> Iterator[Place]:
        """Where a blob is said to lie."""
        question = "select name, offset, length, directory, mark from blob join pack on number = pack where digest = ?"
        found = self._ask(question, digest)
        if not all(_sound(digest, row) for row in found):  # SQLite does not check its pages
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
                        "insert into pack (name, size) values (?, ?) on conflict do update set size = excluded.size "
                        "returning number",
                        (contents.pack, contents.size),
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
        except (sqlite3.Error, UnicodeDecodeError):
            self.discard()
            return False
        return True
