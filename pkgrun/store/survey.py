"""What lies in a store, and which of it is needed: every object and every pack, as their names and indexes say."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import NamedTuple

from pkgrun.errors import Damaged, NotFound
from pkgrun.store import packs
from pkgrun.store.backend import Backend, Stat
from pkgrun.store.objects import Objects, key_of
from pkgrun.store.packs import Contents
from pkgrun.store.parallel import each
from pkgrun.store.reach import Reached

_OBJECT = re.compile(r"objects/([0-9a-f]{2})/(\1[0-9a-f]{62})")


class Survey(NamedTuple):
    """Objects by SHA-256, packs by their names; packs whose index cannot be read, and what is nothing of the format.

    `written`: when each pack was, in seconds since the epoch, by the store's clock.
    """

    objects: dict[bytes, Stat]
    packs: dict[str, Contents]
    written: dict[str, float]
    damaged: dict[str, Damaged]
    strange: dict[str, Stat]

    @property
    def bytes(self) -> int:
        """Of all that is there."""
        return sum(found.size for found in self.objects.values()) + sum(
            contents.size for contents in self.packs.values()
        )


def survey(backend: Backend) -> Survey:
    """Look what there is.

    Raises:
        PermissionDenied, Temporary: the store cannot be read.
    """
    found = Survey({}, {}, {}, {}, {})
    for key, stat in backend.walk("objects"):
        if match := _OBJECT.fullmatch(key):
            found.objects[bytes.fromhex(match[2])] = stat
        else:
            found.strange[key] = stat
    _look_at_packs(backend, found)
    return found


def _look_at_packs(backend: Backend, found: Survey) -> None:
    """One that is gone when it is read may have been written anew without what was erased: so they are listed again."""
    seen = set[str]()
    while True:
        names = []
        for key, stat in backend.walk(packs.FOLDER):
            name = packs.name_in(key.rpartition("/")[2])
            if not name or key != packs.key_of(name):
                found.strange[key] = stat
            elif name not in seen:
                names.append(name)
                found.written[name] = stat.modified
        seen.update(names)
        _read(backend, found, names)
        if all(name in found.packs or name in found.damaged for name in names):
            return


def survey_of(backend: Backend, objects: Objects, reached: Reached) -> Survey:
    """The same of what was reached only: the objects, and the packs that hold some of it.

    Raises:
        PermissionDenied, Temporary: the store cannot be read.
    """
    found = Survey({}, {}, {}, {}, {})
    small = [*reached.files, *reached.directories, *reached.listings]
    places = objects.places(small)
    alone = [*reached.large, *(raw for raw in small if raw not in places)]
    stats = each(lambda raw: backend.stat(key_of("sha256:" + raw.hex())), alone, run=1)
    found.objects.update((raw, stat) for raw, stat in zip(alone, stats, strict=True) if stat is not None)
    places |= objects.places([raw for raw in reached.large if raw not in found.objects])
    _read(backend, found, sorted({place.pack for place in places.values()}))
    return found


def _read(backend: Backend, found: Survey, names: list[str]) -> None:
    """What packs hold, as their indexes say."""
    for name, contents in zip(names, each(lambda name: _contents(backend, name), names, run=1), strict=True):
        if isinstance(contents, Damaged):
            found.damaged[name] = contents
        elif contents is not None:
            found.packs[name] = contents


def _contents(backend: Backend, pack: str) -> Contents | Damaged | None:
    try:
        return packs.contents_of(backend, pack)
    except NotFound:  # collected meanwhile
        return None
    except Damaged as error:
        return error


class Share(NamedTuple):
    """What of a pack is needed and is to be found here: entries of its index. `stale`: it has directories besides that
    nobody needs, so that nothing says what became of all below them."""

    live: list[tuple[bytes, int, int]]
    live_bytes: int
    stale: bool


def shares(found: Survey, reached: Reached, barred: Collection[str] = ()) -> dict[str, Share]:
    """Which pack each needed blob is to be found in: in one that is not `barred`, if there is any, and in a large one."""
    order = sorted(found.packs.values(), key=lambda one: (one.pack in barred, -one.size, one.pack))
    wanted = needs(reached, found)
    return {contents.pack: _share(contents, reached, wanted) for contents in order}


def needs(reached: Reached, found: Survey) -> set[bytes]:
    """What is needed and has to lie in a pack, for it is no object of its own."""
    every = {*reached.files, *reached.directories, *reached.large, *reached.listings}
    return every.difference(found.objects)


def _share(contents: Contents, reached: Reached, wanted: set[bytes]) -> Share:
    """A pack's share; what it has is wanted no longer."""
    live: list[tuple[bytes, int, int]] = []
    size, stale = 0, False
    for entry in contents.entries():
        raw, _, length = entry
        is_directory = bool(length & packs.DIRECTORY)
        if raw in wanted:
            wanted.discard(raw)
            live.append(entry)
            size += length & packs.LENGTH
        stale = stale or (is_directory and raw not in reached.directories)
    return Share(live, size, stale)
