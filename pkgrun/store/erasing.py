"""Takes what has a receipt (`erased`) out of a store: objects, blobs out of packs, what a repair has set aside.

Whoever calls it has an operation that goes on. Nothing else is lost wherever it is broken off: a pack goes when what was left
of it is durable in another one. It writes no receipt and decides nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field

from pkgrun.errors import Damaged, NotFound
from pkgrun.records import Swept
from pkgrun.store import collecting, erased, packs
from pkgrun.store.backend import Backend
from pkgrun.store.condemned import Condemned
from pkgrun.store.fsck.forms import QUARANTINE
from pkgrun.store.fsck.reading import blobs_of
from pkgrun.store.objects import key_of
from pkgrun.store.packs import Contents, Filling, Pack
from pkgrun.store.parallel import each
from pkgrun.store.sending import send

Told = Callable[[str, int, int], object]
"""Told what is being done, how much of it is, and of how much."""


def _nothing(what: str, done: int, total: int) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Found:
    """Where contents lie: the keys of objects, packs with what they hold, and in quarantine, with the size of each file.

    `unread`: packs whose indexes cannot be read, so that nobody knows; a repair brings out what is in them.
    """

    objects: dict[str, int] = field(default_factory=dict)
    packs: list[Contents] = field(default_factory=list)
    aside: dict[str, int] = field(default_factory=dict)
    unread: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.objects or self.packs or self.aside)

    def size(self, raw: bytes) -> int | None:
        """How many bytes a content has, if it is there."""
        for contents in self.packs:
            if (part := contents.find(raw)) is not None:
                return part.length
        return self.objects.get(key_of("sha256:" + raw.hex()))

    def directory(self, raw: bytes) -> bool:
        """Whether it was put somewhere as a directory."""
        found = (contents.find(raw) for contents in self.packs)
        return any(part is not None and part.directory for part in found)


def find(backend: Backend, raws: Collection[bytes]) -> Found:
    """Look where contents lie; the index of every pack is read.

    Raises:
        PermissionDenied, Temporary: the store cannot be read.
    """
    objects = {}
    for raw in sorted(raws):
        key = key_of("sha256:" + raw.hex())
        if (stat := backend.stat(key)) is not None:
            objects[key] = stat.size
    names = sorted(name for one in backend.list(packs.FOLDER) if (name := packs.name_in(one)))
    looked = each(lambda name: _look(backend, name, packs.key_of(name)), names, run=1)
    held = [one for one in looked if isinstance(one, Contents) and _holds(one, raws)]
    unread = [packs.key_of(name) for name, one in zip(names, looked, strict=True) if isinstance(one, Damaged)]
    return Found(objects, held, dict(_aside(backend, raws)), tuple(unread))


def _look(backend: Backend, pack: str, key: str) -> Contents | Damaged | None:
    """What a pack holds, or why that cannot be known; None if it is gone."""
    try:
        return packs.contents_of(backend, pack, key=key)
    except NotFound:
        return None
    except Damaged as error:
        return error


def _holds(contents: Contents, raws: Collection[bytes]) -> bool:
    if len(raws) > len(contents):
        return any(raw in raws for raw, _, _ in contents.entries())
    try:
        return any(contents.find(raw) is not None for raw in raws)
    except (
        Damaged
    ):  # it says to lie where nothing is: the pack is read, and looked at, by whoever writes it anew
        return True


def _aside(backend: Backend, raws: Collection[bytes]) -> Iterator[tuple[str, int]]:
    """What a repair has set aside that holds one of them, or cannot be read."""
    own = {raw.hex() for raw in raws}
    for key, stat in backend.walk(QUARANTINE) if raws else ():
        name = key.rpartition("/")[2]
        pack = packs.name_in(name)
        if pack is None:
            if "/objects/" in key and name in own:
                yield key, stat.size
            continue
        contents = _look(backend, pack, key)
        if isinstance(contents, Damaged) or (isinstance(contents, Contents) and _holds(contents, raws)):
            yield key, stat.size


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
                if part.digest in self.raws:
                    continue
                if len(data) != part.length:
                    raise packs.damaged(contents.pack)
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
