"""Where a tree goes: into a store (`objects`), or only through the hash (here), or its directories alone (`listed`)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from pkgrun.records import Blob
from pkgrun.store.erased import NOTHING, Erasures
from pkgrun.store.files import Look, Taken, nothing, take
from pkgrun.store.objects import digest_of


class Sink(Protocol):
    """Where a tree goes: into a store, or only through the hash."""

    @property
    def room(self) -> int:
        """Bytes of small blobs that it takes at once."""

    @property
    def vouches(self) -> bool:
        """Whether a directory that is there is there with all below it; else each has to be asked for."""

    @property
    def erased(self) -> Erasures:
        """What was erased: whoever hashes a file for the sink refuses it if it is one of these."""

    def keep(self, blobs: Sequence[tuple[bytes, bytes]]) -> None:
        """Keep small blobs, each with its SHA-256."""

    def pack(self, place: memoryview, laid: Sequence[tuple[bytes, int, int]]) -> None:
        """Keep small blobs where they lie: the place becomes a pack.

        Args:
            place: has what `packs.laid` asks for; it is free again when this returns.
            laid: the SHA-256 of each, where it begins and how long it is, in the order in which they lie.
        """

    def take(self, path: str, watch: Look | None = None, *, known: bool = False) -> Taken:
        """Read a large file and keep it; `known`: it is probably there already."""

    def node(self, data: bytes) -> Blob:
        """Keep a directory; all that it refers to has been taken."""

    def holds(self, digest: str, size: int) -> bool:
        """Whether a blob is there."""

    def holds_directories(self, directories: Collection[bytes], split: Collection[bytes] = ()) -> set[bytes]:
        """Which of some directories are there, by their SHA-256.

        Args:
            split: those among them that consist of parts, which must be there too.
        """


class Hashing:
    """A sink that keeps nothing."""

    room = 0
    vouches = True

    def __init__(self, erased: Erasures = NOTHING) -> None:
        self._erased = erased

    @property
    def erased(self) -> Erasures:
        return self._erased

    def take(self, path: str, watch: Look | None = None, *, known: bool = False) -> Taken:
        return take(path, nothing, watch)

    def keep(self, blobs: Sequence[tuple[bytes, bytes]]) -> None:
        pass

    def pack(self, place: memoryview, laid: Sequence[tuple[bytes, int, int]]) -> None:
        pass

    def node(self, data: bytes) -> Blob:
        return Blob(digest=digest_of(data), bytes=len(data))

    def holds(self, digest: str, size: int) -> bool:
        return True

    def holds_directories(self, directories: Collection[bytes], split: Collection[bytes] = ()) -> set[bytes]:
        return set(directories)


class Made(Hashing):
    """Keeps the directories in memory, so that who has hashed a folder can look into it; each is made, none known before."""

    vouches = False

    def __init__(self) -> None:
        super().__init__()
        self.made: dict[str, bytes] = {}
        """By digest."""

    def node(self, data: bytes) -> Blob:
        blob = super().node(data)
        self.made[blob.digest] = data
        return blob

    def holds_directories(self, directories: Collection[bytes], split: Collection[bytes] = ()) -> set[bytes]:
        return set()
