"""Reads small pieces of packs by way of larger blocks, where each request takes a while: neighbours are wanted next.

It keeps some blocks in memory. What it returns is not verified.
"""

from __future__ import annotations

import threading
from collections import OrderedDict

from pkgrun.store.backend import Backend
from pkgrun.store.index import Place
from pkgrun.store.packs import key_of

SIZE = 1 << 20
KEPT = 16


class Blocks:
    """The blocks of one store's packs. For several threads."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._kept: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, place: Place) -> bytes:
        """The bytes at a place.

        Raises:
            NotFound: there is no such pack.
        """
        key = key_of(place.pack)
        if self._backend.capabilities.paths or place.length > SIZE >> 1:
            return self._backend.read(key, place.offset, place.length)
        end = place.offset + place.length
        blocks = range(place.offset // SIZE, (end - 1) // SIZE + 1 if place.length else 0)
        data = b"".join(self._block(place.pack, number) for number in blocks)
        start = place.offset % SIZE
        return data[start : start + place.length]

    def _block(self, pack: str, number: int) -> bytes:
        with self._lock:
            found = self._kept.get((pack, number))
            if found is not None:
                self._kept.move_to_end((pack, number))
                return found
        data = self._backend.read(key_of(pack), number * SIZE, SIZE)
        with self._lock:
            self._kept[pack, number] = data
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return data
