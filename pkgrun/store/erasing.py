"""Takes what has a receipt (`erased`) out of a store: objects, blobs out of packs, what a repair has set aside. Never a directory: what
is one, or could be by its bytes, stays, whatever a receipt says.

Whoever calls it has an operation that goes on. Nothing else is lost wherever it is broken off: a pack goes when what was left
of it is durable in another one. It writes no receipt and decides nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field

from pkgrun.errors import Damaged, NotFound
from pkgrun.records import Swept
from pkgrun.store import collecting, erased, packs, trees
from pkgrun.store.backend import Backend
from pkgrun.store.condemned import Condemned
from pkgrun.store.fsck.forms import QUARANTINE
from pkgrun.store.fsck.reading import blobs_of
from pkgrun.store.objects import key_of
from pkgrun.store.packs import Contents, Filling, Pack, Part
from pkgrun.store.parallel import each
from pkgrun.store.sending import send

_NODE = 64 << 20
"""Bytes that a directory has at most, of those that are looked at: ten thousand entries whose names are as long as can be."""

Told = Callable[[str, int, int], object]
"""Told what is being done, how much of it is, and of how much."""


def _nothing(what: str, done: int, total: int) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Found:
    """Where contents lie: the keys of objects, packs with what they hold, and in quarantine, with the size of each file.

    `unread`: packs whose indexes cannot be read, so that nobody knows; a repair brings out what is in them. `directories`: those of
    the contents that are directories, which stay; where they lie is not said.
    """

    objects: dict[str, int] = field(default_factory=dict)
    packs: list[Contents] = field(default_factory=list)
    aside: dict[str, int] = field(default_factory=dict)
    unread: tuple[str, ...] = ()
    directories: frozenset[bytes] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.objects or self.packs or self.aside)

    def size(self, raw: bytes) -> int | None:
        """How many bytes a content has, if it is there."""
        for contents in self.packs:
            if (part := contents.find(raw)) is not None:
                return part.length
        return self.objects.get(key_of("sha256:" + raw.hex()))


def find(backend: Backend, raws: Collection[bytes]) -> Found:
    """Look where contents lie; the index of every pack is read.

    Raises:
        PermissionDenied, Temporary: the store cannot be read.
    """
    looked = _surveyed(backend)
    search = _Search(backend, frozenset(raws))
    held = [one for one in looked.values() if isinstance(one, Contents) and search.holds(one)]
    aside = dict(search.aside())
    unread = tuple(packs.key_of(name) for name, one in looked.items() if isinstance(one, Damaged))
    return Found(search.objects(), held, aside, unread, frozenset(search.directories))


def _surveyed(backend: Backend) -> dict[str, Contents | Damaged]:
    """What every pack holds. One that is listed and gone may have been written anew: then it is listed again."""
    looked: dict[str, Contents | Damaged] = {}
    gone: set[str] = set()
    while True:
        names = {name for one in backend.list(packs.FOLDER) if (name := packs.name_in(one))}
        new = sorted(names - looked.keys() - gone)
        found = each(lambda name: _look(backend, name, packs.key_of(name)), new, run=1)
        looked |= {name: one for name, one in zip(new, found, strict=True) if one is not None}
        missed = {name for name, one in zip(new, found, strict=True) if one is None}
        gone |= missed
        if not missed:
            return dict(sorted(looked.items()))


def _look(backend: Backend, pack: str, key: str) -> Contents | Damaged | None:
    """What a pack holds, or why that cannot be known; None if it is gone."""
    try:
        return packs.contents_of(backend, pack, key=key)
    except NotFound:
        return None
    except Damaged as error:
        return error


@dataclass(frozen=True, slots=True)
class _Search:
    """Where some contents lie that are no directories; those that are found to be."""

    backend: Backend
    raws: frozenset[bytes]
    directories: set[bytes] = field(default_factory=set)

    def objects(self) -> dict[str, int]:
        """Those that are objects of their own, with their sizes."""
        found = {}
        for raw in sorted(self.raws):
            key = key_of("sha256:" + raw.hex())
            stat = self.backend.stat(key)
            if stat is not None and not self._object_is_directory(raw, key, stat.size):
                found[key] = stat.size
        return found

    def aside(self) -> Iterator[tuple[str, int]]:
        """What a repair has set aside that holds one of them, or cannot be read."""
        own = {raw.hex(): raw for raw in self.raws}
        for key, stat in self.backend.walk(QUARANTINE) if own else ():
            name = key.rpartition("/")[2]
            pack = packs.name_in(name)
            if pack is not None:
                if self._may_hold(pack, key):
                    yield key, stat.size
            elif (
                "/objects/" in key
                and name in own
                and not self._object_is_directory(own[name], key, stat.size)
            ):
                yield key, stat.size

    def _may_hold(self, pack: str, key: str) -> bool:
        contents = _look(self.backend, pack, key)
        return isinstance(contents, Damaged) or (contents is not None and self.holds(contents, key))

    def holds(self, contents: Contents, key: str | None = None) -> bool:
        """Whether a pack holds one of them.

        Args:
            key: where it lies, if not where packs do.
        """
        key = key or packs.key_of(contents.pack)
        try:
            parts = [part for raw in self._in(contents) if (part := contents.find(raw)) is not None]
        except (
            Damaged
        ):  # it says to lie where nothing is: the pack is read, and looked at, by whoever writes it anew
            return True
        directories = {part.digest for part in parts if self._is_directory(part, key)}
        self.directories.update(directories)
        return any(part.digest not in directories for part in parts)

    def _in(self, contents: Contents) -> Collection[bytes]:
        """Those that the index of a pack may name."""
        if len(self.raws) <= len(contents):
            return self.raws
        return [raw for raw, _, _ in contents.entries() if raw in self.raws]

    def _is_directory(self, part: Part, key: str) -> bool:
        if part.directory:
            return True
        try:
            return trees.is_node(self.backend.read(key, part.offset, part.length))
        except NotFound:
            return False

    def _object_is_directory(self, raw: bytes, key: str, size: int) -> bool:
        """Whether the bytes of an object are a directory's; a large one may be held as a file, too."""
        try:
            is_directory = size <= _NODE and trees.is_node(_peeked(self.backend.stream(key)))
        except NotFound:
            return False
        if is_directory:
            self.directories.add(raw)
        return is_directory


def _peeked(pieces: Iterator[bytes]) -> bytes:
    """All of them, or the first alone if these cannot be a directory's."""
    first = next(pieces, b"")
    return first + b"".join(pieces) if first.startswith(trees.BEGINS) else first


def sweep(
    backend: Backend,
    *,
    check: Callable[[], object],
    told: Told = _nothing,
) -> tuple[Swept, tuple[str, ...]]:
    """Take out everything that has a receipt, until a look finds neither any of it nor a receipt that is new.

    Args:
        check: raises if the operation was given up; called before anything is published or deleted.

    Returns:
        What was taken out, and the packs that cannot be read.

    Raises:
        PermissionDenied, Temporary: the store refuses. What was done is right; the next one goes on with it.
    """
    condemned = Condemned(backend, check=check)
    condemned.look()
    done, raws = Swept(), erased.raws(backend)
    while True:
        found = find(backend, raws)
        if found:
            done = _added(done, _Sweeping(backend, condemned, check, told, raws).take_out(found))
        now = erased.raws(backend)
        if not found and now == raws:
            _leftovers(backend)
            return done, found.unread
        raws = now


def _added(one: Swept, other: Swept) -> Swept:
    return Swept(**{name: getattr(one, name) + getattr(other, name) for name in Swept.model_fields})


@dataclass(frozen=True, slots=True)
class _Sweeping:
    """One pass over what was found."""

    backend: Backend
    condemned: Condemned
    check: Callable[[], object]
    told: Told
    raws: Collection[bytes]

    def take_out(self, found: Found) -> Swept:
        """Packs anew, all durable; then the old ones, and all else."""
        written: dict[str, Pack | None] = {}
        for number, contents in enumerate(found.packs):
            self.told("rewrite", number, len(found.packs))
            self._spare(contents)
            if (pack := self._without(contents)) is not None:
                if pack.name == contents.pack:  # nothing was taken out: it must not be deleted
                    raise packs.damaged(contents.pack)
                written[packs.key_of(contents.pack)] = pack if self._publish(contents, pack) else None
        self.backend.flush()
        freed = self._retire(found, written)
        for key, size in (found.objects | found.aside).items():
            self.check()
            self.backend.delete(key)
            freed += size
        self.backend.flush([*found.objects, *found.aside])
        return Swept(
            objects=len(found.objects), packs=len(found.packs), aside=len(found.aside), bytes=max(0, freed)
        )

    def _spare(self, contents: Contents) -> None:
        """A pack that a sentence names must stand while the new one comes, or it is gone already."""
        key = packs.key_of(contents.pack)
        if key in self.condemned:
            self.condemned.spare(key)

    def _without(self, contents: Contents) -> Pack | None:
        """A pack's other blobs in their order, directories as they were; None if it is gone or there are none.

        Raises:
            Damaged: it is cut off.
        """
        filling = Filling()
        try:
            for part, data in blobs_of(self.backend, contents, lambda size: None):
                if len(data) != part.length:
                    raise packs.damaged(contents.pack)
                if part.digest in self.raws and not part.directory and not trees.is_node(data):
                    continue
                filling.add(part.digest, bytes(data), directory=part.directory)
        except NotFound:
            return None
        return filling.close() if filling else Pack("", bytearray(), [])

    def _publish(self, contents: Contents, pack: Pack) -> bool:
        """Publish what is left of a pack while the pack is there; whether it was. Directories vouch for what they vouched for
        there, and that may go once it is gone."""
        if not pack.name:
            return True
        try:
            send(self.backend, pack, self.condemned, check=lambda: self._check_there(contents))
        except _Gone:
            return False
        return True

    def _check_there(self, contents: Contents) -> None:
        self.check()
        if self.backend.stat(packs.key_of(contents.pack)) is None:
            raise _Gone

    def _retire(self, found: Found, written: dict[str, Pack | None]) -> int:
        """Delete the packs whose other blobs are in new ones; by how many bytes the store is smaller."""
        freed, gone = 0, []
        for number, contents in enumerate(found.packs):
            self.told("delete", number, len(found.packs))
            key = packs.key_of(contents.pack)
            pack = written.get(key)
            if pack is None or (pack.name and self.backend.stat(packs.key_of(pack.name)) is None):
                continue  # somebody else was quicker: the next look tells
            self.check()
            self.backend.delete(key)
            gone.append(key)
            freed += contents.size - len(pack.data)
        self.backend.flush(gone)
        return freed


class _Gone(Exception):
    """A pack is gone that was to be written anew."""


def _leftovers(backend: Backend) -> None:
    """Temporary files of writers that died: nobody knows what they hold."""
    for one in list(collecting.leftovers(backend, time.time())):
        backend.delete(one.key)
