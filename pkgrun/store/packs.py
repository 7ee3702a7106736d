"""The form of a pack: many small blobs in one object, and behind them where each one lies.

A pack is `MAGIC`, the blobs, the index (one entry a blob, ordered by digest: 32 bytes of SHA-256, offset, length and whether it is a directory), and
a foot: the SHA-256 of the index, how many entries it has, `MAGIC`. The first is also the pack's name: the index
names every blob by content and place, so it names every byte of the pack.
"""

from __future__ import annotations

import bisect
import hashlib
import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from pkgrun.errors import Damaged, NotFound
from pkgrun.store.backend import Backend

MAGIC = b"pkgpack1"
SIZE = 32 << 20
"""Bytes of blobs after which a pack is full. Four are in memory at once where one thread fills them (three on their way), and where
processes do, two for each of these."""

HEAD = len(MAGIC)
"""Bytes before the first blob."""

ENTRY = 44
"""Bytes that a blob takes besides its own."""

FOOT = 48

FOLDER = "packs"
_ENTRY = struct.Struct(">32sQI")
DIRECTORY = 1 << 31
"""The bit of a length, as an index has it, that says: put there as a directory."""

LENGTH = DIRECTORY - 1
"""The other bits."""

_FOOT = struct.Struct(">32sQ8s")
_LIKELY = 1 << 19
_NEAR = 1 << 17
"""Bytes that are read from the end at once: the whole index of most packs; where asking twice costs little, fewer."""


class Part(NamedTuple):
    """Where a blob lies in its pack. `directory`: it was put there as one, when all below it was in the store."""

    digest: bytes
    offset: int
    length: int
    directory: bool = False

    @classmethod
    def parse(cls, digest: bytes, offset: int, length: int) -> Part:
        """What stands in the index."""
        return cls(digest, offset, length & LENGTH, bool(length & DIRECTORY))


def key_of(pack: str) -> str:
    """The key of a pack."""
    return f"{FOLDER}/{pack}.pack"


def name_in(name: str) -> str | None:
    """The pack that a file's name means, or None."""
    pack = name.removesuffix(".pack")
    return pack if len(pack) == 64 and pack != name and not pack.strip("0123456789abcdef") else None


class Filling:
    """A pack that is being filled, in memory, by one thread at a time; any may read."""

    def __init__(self) -> None:
        self._data = bytearray(MAGIC)  # its final form: nothing is in memory twice
        self._places: dict[bytes, tuple[int, int, bool]] = {}

    @property
    def size(self) -> int:
        """Bytes so far."""
        return len(self._data)

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, digest: object) -> bool:
        return digest in self._places

    def common(self, digests: Iterable[bytes]) -> set[bytes]:
        """Which of some blobs it has."""
        return set() if not self._places else self._places.keys() & digests

    def add(self, digest: bytes, data: bytes, *, directory: bool = False) -> None:
        """One more blob, unless it is there."""
        if digest not in self._places:
            self._places[digest] = len(self._data), len(data), directory
            self._data += data
        elif directory:
            self._places[digest] = *self._places[digest][:2], True

    def directory(self, digest: bytes) -> bool:
        """Whether a blob is there as a directory."""
        place = self._places.get(digest)
        return place is not None and place[2]

    def join(self, other: Filling) -> None:
        """All of another one's blobs."""
        for digest, (start, length, directory) in other._places.items():
            self.add(digest, bytes(other._data[start : start + length]), directory=directory)

    def get(self, digest: bytes) -> bytes | None:
        """A blob's bytes, or None."""
        place = self._places.get(digest)
        return None if place is None else bytes(self._data[place[0] : place[0] + place[1]])

    def close(self) -> Pack:
        """The whole pack; nothing can be added any more."""
        parts = [Part(digest, *place) for digest, place in self._places.items()]
        parts.sort()
        name, end = _end(parts)
        self._data += end
        return Pack(name, self._data, parts)


class Pack(NamedTuple):
    """A pack as it is written."""

    name: str
    data: bytearray | memoryview
    parts: list[Part]


def laid(place: memoryview, blobs: Iterable[tuple[bytes, int, int]]) -> Pack:
    """A pack in the place where its blobs lie already.

    Args:
        place: has room for `HEAD` bytes before them, and for `ENTRY` bytes each and `FOOT` behind.
        blobs: the digest of each, where it begins and how long it is, in the order in which they lie; what lies
            between them is left out, and so is one that is there twice.
    """
    place[:HEAD] = MAGIC
    at = HEAD
    placed: dict[bytes, Part] = {}
    for digest, start, length in blobs:
        if digest in placed:
            continue
        if start != at:
            place[at : at + length] = place[start : start + length]
        placed[digest] = Part(digest, at, length)
        at += length
    parts = sorted(placed.values())
    name, end = _end(parts)
    place[at : at + len(end)] = end
    return Pack(name, place[: at + len(end)], parts)


def _end(parts: list[Part]) -> tuple[str, bytes]:
    """A pack's name, and what stands behind its blobs."""
    pack = _ENTRY.pack
    index = b"".join(
        [pack(digest, at, length | directory * DIRECTORY) for digest, at, length, directory in parts]
    )
    hasher = hashlib.sha256(index)
    return hasher.hexdigest(), index + _FOOT.pack(hasher.digest(), len(parts), MAGIC)


class Contents:
    """What a pack holds, as its index says: checked as a whole, and looked into where it is asked."""

    def __init__(self, pack: str, index: bytes, end: int) -> None:
        self.pack, self.end, self._index = pack, end, index

    def __len__(self) -> int:
        return len(self._index) // _ENTRY.size

    @property
    def size(self) -> int:
        """Bytes of the pack."""
        return self.end + len(self._index) + _FOOT.size

    def __iter__(self) -> Iterator[Part]:
        """All of it.

        Raises:
            Damaged: a blob is said to lie where the pack has none.
        """
        return (self._checked(Part.parse(*entry)) for entry in _ENTRY.iter_unpack(self._index))

    def entries(self) -> Iterator[tuple[bytes, int, int]]:
        """All of it as it stands there, not checked: digest, offset, and length with the bit of a directory."""
        return _ENTRY.iter_unpack(self._index)

    def find(self, digest: bytes) -> Part | None:
        """One blob, if it is there; in as many steps as the number of blobs has bits.

        Raises:
            Damaged: it is said to lie where the pack has none.
        """
        at = bisect.bisect_left(range(len(self)), digest, key=self._digest)
        if at == len(self) or self._digest(at) != digest:
            return None
        return self._checked(Part.parse(*_ENTRY.unpack_from(self._index, at * _ENTRY.size)))

    def _digest(self, at: int) -> bytes:
        start = at * _ENTRY.size
        return self._index[start : start + 32]

    def _checked(self, part: Part) -> Part:
        if part.offset < len(MAGIC) or part.offset + part.length > self.end:
            raise damaged(self.pack)
        return part


def contents_of(backend: Backend, pack: str, *, key: str | None = None) -> Contents:
    """What a pack holds, from its index, which is checked against the pack's name.

    Args:
        key: where it lies, if not where packs do.

    Raises:
        NotFound: there is no such pack (any more).
        Damaged: it is cut off, or its index is not what its name says.
    """
    key = key or key_of(pack)
    found = backend.stat(key)
    if found is None:
        raise NotFound(f"there is no {key}")
    likely = _NEAR if backend.capabilities.paths else _LIKELY
    start = max(0, found.size - likely)
    end = backend.read(key, start, found.size - start)
    count = _count(end, key)
    length = count * _ENTRY.size
    if length + _FOOT.size > found.size:
        raise _damaged(key)
    if length + _FOOT.size > len(end):
        start = found.size - length - _FOOT.size
        end = backend.read(key, start, found.size - start)
    index = end[len(end) - length - _FOOT.size : len(end) - _FOOT.size]
    if hashlib.sha256(index).hexdigest() != pack:
        raise _damaged(key)
    return Contents(pack, index, found.size - length - _FOOT.size)


def _count(end: bytes, key: str) -> int:
    if len(end) < _FOOT.size:
        raise _damaged(key)
    _, count, magic = _FOOT.unpack(end[-_FOOT.size :])
    if magic != MAGIC:
        raise _damaged(key)
    return int(count)


def damaged(pack: str) -> Damaged:
    """What is said of a pack whose index is not to be believed."""
    return _damaged(key_of(pack))


def _damaged(key: str) -> Damaged:
    return Damaged(
        f"{key} is damaged: its index is not what its name says",
        hint="restore the file from a copy of the store",
    )
