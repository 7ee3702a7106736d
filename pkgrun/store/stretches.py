"""Many blobs out of packs by few reads: neighbours in a pack are read at once, and each is verified.

It owns no bytes. What lies in no pack it only names: that is for its caller to stream.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Generic, NamedTuple, TypeVar

from pkgrun.errors import Damaged
from pkgrun.store.index import Place
from pkgrun.store.objects import SMALL, Objects
from pkgrun.store.parallel import each

T = TypeVar("T")

LONGEST = 2 << 20
_GAP = 1 << 16
"""Bytes of a pack that are read at once, and that may be read in vain between two blobs."""


class Placed(NamedTuple, Generic[T]):
    """A blob in a pack, and what it is wanted for."""

    offset: int
    length: int
    digest: str
    item: T


@dataclass(slots=True)
class Stretch(Generic[T]):
    """Neighbours in one pack, read at once."""

    pack: str
    start: int
    end: int
    blobs: list[Placed[T]]

    def read(self, objects: Objects) -> Iterator[tuple[T, memoryview]]:
        """The bytes of each of them, verified.

        Raises:
            Damaged: they are gone, or others.
        """
        data = self._data(objects)
        for blob in self.blobs:
            if data is None:
                yield blob.item, memoryview(objects.read(blob.digest))
                continue
            part = data[blob.offset - self.start :][: blob.length]
            objects.verify(blob.digest, part, self.pack)
            yield blob.item, part

    def _data(self, objects: Objects) -> memoryview | None:
        """Its bytes, not verified; None if the pack is gone: a collection may have put what it held into others."""
        try:
            return memoryview(objects.part(Place(self.pack, self.start, self.end - self.start)))
        except Damaged:
            return None


def stretches(
    objects: Objects, wanted: Iterable[tuple[str, int | None, T]]
) -> tuple[list[Stretch[T]], list[T]]:
    """How to read blobs, each given by its digest, its size if that is known, and what it is wanted for.

    Returns:
        The stretches, and what lies in no pack.
    """
    placed: list[tuple[Place, str, T]] = []
    alone: list[T] = []
    blobs = [(bytes.fromhex(digest[7:]), digest, size, item) for digest, size, item in wanted]
    places = objects.places([raw for raw, _, size, _ in blobs if size is None or size < SMALL])
    for raw, digest, size, item in blobs:
        place = places.get(raw)
        if place is None or size not in (None, place.length):
            alone.append(item)
        else:
            placed.append((place, digest, item))
    return list(_joined(placed)), alone


def read_all(objects: Objects, digests: Sequence[str]) -> dict[str, bytes]:
    """The bytes of several small blobs by their digests, verified.

    Raises:
        Damaged: one is missing, or its bytes are others.
    """
    placed, alone = stretches(objects, ((digest, None, digest) for digest in digests))

    def read(stretch: Stretch[str]) -> list[tuple[str, bytes]]:
        return [(digest, bytes(data)) for digest, data in stretch.read(objects)]

    found = dict(zip(alone, each(objects.read, alone, run=1), strict=True))
    found.update(one for some in each(read, placed, run=1) for one in some)
    return found


def _joined(placed: list[tuple[Place, str, T]]) -> Iterator[Stretch[T]]:
    placed.sort(key=_PLACE)
    current: Stretch[T] | None = None
    first = last = 0
    for (pack, offset, length, _), digest, item in placed:
        end = offset + length
        if current is None or pack != current.pack or offset > last + _GAP or end - first > LONGEST:
            if current is not None:
                yield current
            current, first, last = Stretch(pack, offset, end, []), offset, end
        elif end > last:
            current.end = last = end
        current.blobs.append(Placed(offset, length, digest, item))
    if current is not None:
        yield current


_PLACE = itemgetter(0)
