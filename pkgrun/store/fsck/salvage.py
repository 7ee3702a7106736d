"""What is still good in damaged packs, each blob verified, and what of them another store can bring back.

It only reads. A pack whose index is damaged is read by what can be guessed of it: a blob counts only if its bytes have the
digest that they are wanted under.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Collection, Iterator
from typing import NamedTuple

from pkgrun.errors import Damaged, NotFound
from pkgrun.store import packs, trees
from pkgrun.store.backend import Backend
from pkgrun.store.fsck.needs import name_of, raw_of
from pkgrun.store.fsck.reading import blobs_of
from pkgrun.store.objects import SMALL, Objects, key_of
from pkgrun.store.packs import Contents, Part

_ENTRY = struct.Struct(">32sQI")
_FOOT = struct.Struct(">32sQ8s")
_TAIL = 1 << 23
"""Bytes at a pack's end in which its index is looked for."""
_EMPTY = hashlib.sha256(b"").digest()
_LARGEST = 256 << 20
"""Bytes that a pack may have to be looked through."""


class Blob(NamedTuple):
    """A good blob; `directory`: it was put there as one."""

    raw: bytes
    data: bytes
    directory: bool


def good_in(
    backend: Backend, key: str, contents: Contents | None, wanted: Collection[bytes]
) -> Iterator[Blob]:
    """The good blobs of a pack, in the order in which they lie.

    Args:
        contents: what its index says, if that can be believed.
        wanted: what is missing, by which a blob is known whose entry is damaged.
    """
    if contents is None:
        yield from _guessed(backend, key, wanted)
        return
    for part, data in blobs_of(backend, contents, lambda size: None):
        if hashlib.sha256(data).digest() == part.digest:
            yield Blob(part.digest, bytes(data), part.directory)


def _guessed(backend: Backend, key: str, wanted: Collection[bytes]) -> Iterator[Blob]:
    """What is good by an index that may be wrong: where each blob is said to be, then between those that are good."""
    believed = guess(backend, key)
    if believed is None or believed.end > _LARGEST:
        return
    data = memoryview(backend.read(key, 0, believed.end))
    parts = {part.digest: part for part in (Part.parse(*entry) for entry in believed.entries())}
    good = [part for part in parts.values() if _at(data, part.offset, part.length) == part.digest]
    known = {*wanted, *parts}
    for part in good:
        if part.directory:  # and what it refers to may be what has lost its entry
            folders, files = below(part.digest, bytes(data[part.offset :][: part.length]))
            known.update(folders, files)
    if _EMPTY in known:  # which is nowhere to be seen
        yield Blob(_EMPTY, b"", directory=False)
    at = packs.HEAD
    for part in [*sorted(good, key=lambda part: part.offset), Part(b"", believed.end, 0)]:
        raw = _at(data, at, part.offset - at) if part.offset > at else b""
        if raw in known:
            yield Blob(raw, bytes(data[at : part.offset]), raw in parts and parts[raw].directory)
        if part.length:
            yield Blob(part.digest, bytes(data[part.offset :][: part.length]), part.directory)
        at = max(at, part.offset + part.length)


def _at(data: memoryview, start: int, length: int) -> bytes:
    """The digest of what lies at a place; of no place, none."""
    return hashlib.sha256(data[start : start + length]).digest() if start + length <= len(data) else b""


def guess(backend: Backend, key: str) -> Contents | None:
    """The index of a pack that has lost its sum or its foot: what stands there, for the blobs to confirm."""
    stat = backend.stat(key)
    if stat is None or stat.size < packs.HEAD + _FOOT.size:
        return None
    start = max(0, stat.size - _TAIL)
    tail = backend.read(key, start, stat.size - start)
    count = _counted(tail, stat.size) or _told(tail, stat.size)  # either may have been hit
    if count is None:
        return None
    length = count * _ENTRY.size
    index = tail[len(tail) - _FOOT.size - length : len(tail) - _FOOT.size]
    name = packs.name_in(key.rpartition("/")[2]) or ""
    return Contents(name, index, stat.size - _FOOT.size - length)


def _told(tail: bytes, size: int) -> int | None:
    """How many entries the foot says there are, if that can be."""
    _, count, magic = _FOOT.unpack(tail[-_FOOT.size :])
    fits = count * _ENTRY.size + _FOOT.size <= min(len(tail), size - packs.HEAD)
    return int(count) if magic == packs.MAGIC and fits else None


def _counted(tail: bytes, size: int) -> int | None:
    """As many as make the lengths of the blobs fill what is left of the pack."""
    total, at = 0, len(tail) - _FOOT.size
    for count in range(1, at // _ENTRY.size + 1):
        _, _, length = _ENTRY.unpack_from(tail, at - count * _ENTRY.size)
        total += length & packs.LENGTH
        if total == size - _FOOT.size - count * _ENTRY.size - packs.HEAD:
            return count
    return None


class Source:
    """Another store of the same content, if there is one: what it can bring back."""

    def __init__(self, backend: Backend | None, objects: Objects | None) -> None:
        self.backend, self._objects = backend, objects

    def has(self, raw: bytes) -> bool:
        """Whether it seems to have something."""
        if self._objects is None or self.backend is None:
            return False
        name = name_of(raw)
        return self._objects.place(name) is not None or self.backend.stat(key_of(name)) is not None

    def size(self, raw: bytes) -> int:
        """How large it is there."""
        if self._objects is None or self.backend is None:
            return 0
        place = self._objects.place(name_of(raw))
        stat = self.backend.stat(key_of(name_of(raw))) if place is None else None
        return place.length if place else stat.size if stat else 0

    def is_large(self, raw: bytes) -> bool:
        """Whether it is an object of its own there, not to be held in memory."""
        return (
            self._objects is not None
            and self._objects.place(name_of(raw)) is None
            and self.size(raw) >= SMALL
        )

    def read(self, raw: bytes) -> bytes | None:
        """A small one, verified; None if it is not good there."""
        try:
            return self._objects.read(name_of(raw)) if self._objects is not None else None
        except Damaged:
            return None

    def stream(self, raw: bytes) -> Iterator[bytes]:
        """A large one.

        Raises:
            Damaged: it is not good there.
        """
        if self._objects is None:
            raise Damaged(f"there is no other store that has {name_of(raw)}")
        yield from self._objects.stream(name_of(raw))

    def record(self, key: str) -> bytes | None:
        """What it has under a key."""
        try:
            return self.backend.read(key) if self.backend is not None else None
        except (NotFound, Damaged):
            return None


def below(raw: bytes, data: bytes) -> tuple[list[bytes], list[bytes]]:
    """The directories and the files in a directory; none of one that is malformed."""
    try:
        node = trees.parse(data, name_of(raw))
    except Damaged:
        return [], []
    folders = [raw_of(part.digest) for part in node.parts]
    folders += [raw_of(entry.digest) for entry in node.entries if entry.kind == "dir"]
    return folders, [raw_of(entry.digest) for entry in node.entries if entry.kind == "file"]


Progress = Callable[[str, int, int], object]
"""Told what is being done, how much of it is, and of how much."""
