"""What lies under a folder, looked at but not read: the first step of every way in.

It says no to what a tree cannot hold (sockets, pipes, devices, links that leave the folder), naming each.
"""

from __future__ import annotations

import os
import stat as mode
import time
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import compress
from typing import Any, NamedTuple

from pkgrun.errors import DataInvalid
from pkgrun.store import hand, hands, names
from pkgrun.store.files import shown, vanished
from pkgrun.store.local import translate

WORTH = 3_000
"""Files seen, and folders still to be looked at, from which on it pays to start processes that look."""

_BREADTH = 4

Keep = Callable[[str, bool], bool]
"""Says of a path (relative, `/` between) and whether it is a folder if it belongs to the tree."""


class Stamp(NamedTuple):
    """What tells a file from its later self without reading it; times in nanoseconds since the epoch."""

    size: int
    modified: int
    changed: int
    inode: int
    mode: int

    @property
    def executable(self) -> bool:
        return bool(self.mode & 0o100)


def stamp_of(found: os.stat_result) -> Stamp:
    """Of what `stat` says."""
    return Stamp._make(number & _BITS for number in _numbers(found))


def unchanged(stamp: Sequence[int], found: os.stat_result) -> bool:
    """Whether a file looks as it did."""
    return same(stamp, _numbers(found))


def same(stamp: Sequence[int], numbers: tuple[int, ...]) -> bool:
    """Whether what `stat` said of a file, number by number, is a stamp."""
    return numbers == stamp or tuple(number & _BITS for number in numbers) == stamp


def _numbers(found: os.stat_result) -> tuple[int, ...]:
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_mode


_FIELDS = len(Stamp._fields)
_BITS = (1 << 63) - 1
"""Times after 2262, before 1970 and large inode numbers do not fit; what is cut off tells nothing apart in practice."""


class Found(NamedTuple):
    """A file. `path` is relative to the folder that was scanned."""

    path: str
    stamp: Stamp

    @property
    def executable(self) -> bool:
        return self.stamp.executable

    @property
    def size(self) -> int:
        return self.stamp.size


class Link(NamedTuple):
    """A symbolic link; `path` as above."""

    path: str
    target: str


@dataclass(slots=True)
class Folder:
    """One folder at one moment, in few objects, for there may be a million files.

    `names` are those of its files, in the system's order; `stamps` holds the fields of a `Stamp` for each;
    `links` are names and targets, `folders` the names of its folders. `places`: where the files really lie, if not
    under their names. `touched`: when something in it was last made, removed or renamed, in nanoseconds.
    """

    path: str
    names: list[str] = field(default_factory=list)
    stamps: array[int] = field(default_factory=lambda: array("q"))
    links: list[tuple[str, str]] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    places: list[str] | None = None
    touched: int = 0

    def place(self, index: int) -> str:
        """Where one of its files lies: in the folder, or a path of its own."""
        return self.names[index] if self.places is None else self.places[index]

    def below(self, name: str) -> str:
        """The path of what is in it."""
        return f"{self.path}/{name}" if self.path else name

    def every_stamp(self) -> list[tuple[int, ...]]:
        """The fields of the stamps of its files, in the order of `names`."""
        return list(zip(*[iter(self.stamps)] * _FIELDS, strict=True))

    def modes(self) -> array[int]:
        """The modes of its files, likewise."""
        return self.stamps[_FIELDS - 1 :: _FIELDS]

    def files(self) -> Iterator[Found]:
        """Its files, likewise."""
        for name, stamp in zip(self.names, self.every_stamp(), strict=True):
            yield Found(self.below(name), Stamp._make(stamp))

    def sizes(self) -> array[int]:
        """The sizes of its files, likewise."""
        return self.stamps[::_FIELDS]

    def changed(self) -> array[int]:
        """When its files or what is known of them last changed, likewise."""
        return self.stamps[2::_FIELDS]

    def looks(self) -> bytes:
        """All that was seen of it, as one value: equal looks, equal content, as far as `stat` tells."""
        links = [text for link in self.links for text in link]
        words = ["\0".join(part) for part in (self.names, links, self.folders)]
        return os.fsencode("\0\0".join(words)) + b"\0\0" + self.stamps.tobytes()

    @staticmethod
    def files_of(looks: bytes) -> Iterator[tuple[str, tuple[int, ...]]]:
        """The names and stamps of the files that a folder's looks tell of."""
        names, _, _, stamps = looks.split(b"\0\0", 3)
        files = Folder("", os.fsdecode(names).split("\0") if names else [], array("q", stamps))
        return zip(files.names, files.every_stamp(), strict=True)


@dataclass(slots=True)
class Listing:
    """What was found: every folder, one before those in it, the root with the path ''.

    `at`: nanoseconds since the epoch, before the look began.
    """

    root: str
    content: list[Folder] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    at: int = field(default_factory=time.time_ns)

    def place(self, folder: Folder) -> str:
        """Where a folder lies."""
        return f"{self.root}/{folder.path}" if folder.path else self.root

    @property
    def folders(self) -> list[str]:
        """The paths of all folders."""
        return [folder.path for folder in self.content]

    @property
    def files(self) -> list[Found]:
        """All files."""
        return [found for folder in self.content for found in folder.files()]

    @property
    def links(self) -> list[Link]:
        """All symbolic links."""
        return [Link(folder.below(name), target) for folder in self.content for name, target in folder.links]


def scan(root: str, keep: Keep | None = None, *, lenient: bool = False) -> Listing:
    """Look at everything under `root`.

    Args:
        root: an existing folder.
        keep: says what belongs to the tree; everything, if it is not given.
        lenient: leave out what cannot be kept, and note each with the reason, instead of raising.

    Raises:
        DataInvalid: something there cannot be kept; up to ten such things are named.
        NotFound, PermissionDenied, Temporary: the system refuses a folder.
    """
    listing = Listing(root)
    waiting = [""]
    seen, alone = 0, keep is not None
    while waiting:
        if not alone and seen >= WORTH and len(waiting) >= _BREADTH and hands.available():
            alone, waiting = True, _look_apart(listing, waiting)
            continue
        folder = _looked(listing, waiting.pop(), keep)
        listing.content.append(folder)
        waiting += map(folder.below, folder.folders)
        seen += len(folder.names)
    if listing.refused and not lenient:
        count = len(listing.refused)
        more = f"\n  … and {count - 10} more" if count > 10 else ""
        raise DataInvalid(
            f"{shown(root)} holds what cannot be kept:\n  " + "\n  ".join(listing.refused[:10]) + more,
            hint="remove it there, or replace links by what they point to (cp -rL)",
        )
    return listing


def _looked(listing: Listing, path: str, keep: Keep | None) -> Folder:
    """A folder with all that is in it."""
    folder = Folder(path)
    place = listing.place(folder)
    try:
        files, numbers, others, folders, touched = hand.look(place)
    except FileNotFoundError as error:
        raise vanished(_where(place, error)) from error
    except OSError as error:
        raise translate(error, shown(_where(place, error))) from error
    if keep is not None:
        kept = [keep(folder.below(name), False) for name in files]
        files = list(compress(files, kept))
        numbers = list(compress(numbers, [one for one in kept for _ in range(_FIELDS)]))
        others = [one for one in others if keep(folder.below(one[0]), False)]
        folders = [name for name in folders if keep(folder.below(name), True)]
    folder.names, folder.folders, folder.touched = files, folders, touched
    folder.stamps = hand.packed(numbers)
    _note(folder, others, listing.refused)
    return folder


def _where(place: str, error: OSError) -> str:
    return os.path.join(place, error.filename) if isinstance(error.filename, str) else place


def _note(folder: Folder, others: Iterable[tuple[str, int, str]], refused: list[str]) -> None:
    """The links; and what cannot be kept, with the reason: it leads out, or is no link."""
    for name, kind, target in others:
        if not mode.S_ISLNK(kind):
            reason = _SPECIAL.get(mode.S_IFMT(kind), "what is no file") + " cannot be kept"
        elif names.leaves(folder.below(name).count("/"), target):
            reason = f"a symbolic link that leads out of the folder, to {shown(target)}"
        else:
            folder.links.append((name, target))
            continue
        refused.append(f"{shown(folder.below(name))}: {reason}")


def _look_apart(listing: Listing, waiting: list[str]) -> list[str]:
    """Have other processes look at folders and all below them; those that are left, because that did not work out."""
    left = dict.fromkeys(waiting)
    with suppress(hands.Ended):
        hands.do((_Looking(listing, path, left) for path in waiting), room=1)
    return list(left)


class _Looking(NamedTuple):
    """A folder that a hand looks at, with all below it; it leaves `left` when that is noted."""

    listing: Listing
    path: str
    left: dict[str, None]

    @property
    def size(self) -> int:
        return 0

    @property
    def behind(self) -> int:
        return 0

    def order(self, place: memoryview) -> tuple[Any, ...]:
        return "look", os.fsencode(self.listing.place(Folder(self.path)))

    def done(self, answer: tuple[Any, ...], area: hands.Area, at: int) -> None:
        (found,) = answer
        if found is None:  # whoever looks again will tell why
            return
        folders: list[Folder] = []
        refused: list[str] = []
        for below, files, inner, stamps, others, touched in found:
            folder = Folder(self.path + os.fsdecode(below), _split(files), array("q", stamps))
            folder.folders, folder.touched = _split(inner), touched
            odd = [(os.fsdecode(name), kind, os.fsdecode(link)) for name, kind, link in others]
            _note(folder, odd, refused)
            folders.append(folder)
        self.listing.content += folders
        self.listing.refused += refused
        del self.left[self.path]


def _split(joined: bytes) -> list[str]:
    return os.fsdecode(joined).split("\0") if joined else []


_SPECIAL = {
    mode.S_IFIFO: "a named pipe",
    mode.S_IFSOCK: "a socket",
    mode.S_IFBLK: "a device",
    mode.S_IFCHR: "a device",
}
