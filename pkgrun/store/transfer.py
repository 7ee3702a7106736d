"""Trees and blobs from one store to another: what is lacking there, every byte verified while it is read.

It goes down the directories level by level, past those that the other store has with all below them; sends what files
they lack; and last the directories, children before parents. It decides nothing, and its caller flushes.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from pkgrun.records import Blob, Tree
from pkgrun.store import trees
from pkgrun.store.objects import SMALL, Objects
from pkgrun.store.parallel import each
from pkgrun.store.reach import folders_in
from pkgrun.store.stretches import Stretch, read_all, stretches

_NODES = 4 << 20
"""Bytes of directories that are in memory at once, and with them the names of what they hold."""
_BATCH = 20_000
"""Files that are looked for and sent at a time, so that memory does not grow with the tree."""
_LARGE = 4
"""Large blobs on their way at once."""

Progress = Callable[[int], object]
"""Told the bytes of files that are done, from several threads."""


@dataclass(slots=True)
class Sent:
    """How many files went over, and their bytes."""

    files: int = 0
    bytes: int = 0


def transfer(
    source: Objects,
    target: Objects,
    wanted: Sequence[Tree],
    blobs: Sequence[Blob] = (),
    listings: Sequence[Tree] = (),
    *,
    progress: Progress = lambda size: None,
) -> Sent:
    """Bring trees, and blobs that stand alone, from one store's objects into another's; not what either of them has erased.

    Args:
        listings: trees of which the directories are brought, and the files are not.
        progress: told bytes as they are sent or found to be there; in the end, those of all `wanted` and `blobs`.

    Raises:
        Damaged: the source lacks something, or its bytes are others.
        Erased: something was erased in the source meanwhile.
        PermissionDenied, Temporary: either store refuses.
    """
    work = _Transfer(source, target, progress)
    for tree in wanted:
        work.folder(tree.digest, tree.bytes)
    for blob in blobs:
        work.file(blob.digest, blob.bytes)
    work.descend()
    work.files()
    work.folders()
    work.listings(tree.digest for tree in listings)
    return work.sent


@dataclass(slots=True)
class _Transfer:
    """One transfer: what waits to be looked into, and to be sent."""

    source: Objects
    target: Objects
    progress: Progress
    sent: Sent = field(default_factory=Sent)
    _below: dict[str, list[str]] = field(default_factory=dict)
    """The directories that the target lacks, each with those in it. In the order of their coming."""
    _frontier: deque[str] = field(default_factory=deque)
    _files: dict[str, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def folder(self, digest: str, size: int) -> None:
        """Look into a directory later, unless that has been done or the target has it with all below."""
        if digest in self._below or self.target.holds_directory(digest):
            self.progress(size)
        else:
            self._below[digest] = []
            self._frontier.append(digest)

    def file(self, digest: str, size: int) -> None:
        """Send a file later, unless the target has it."""
        raw = bytes.fromhex(digest[7:])
        if raw in self.source.erased or raw in self.target.erased:  # it is nowhere, or comes no further
            self.progress(size)
            return
        if digest in self._files or (size < SMALL and self.target.holds(digest, size)):
            self.progress(size)
            return
        self._files[digest] = size
        if len(self._files) >= _BATCH:
            self.files()

    def _size(self, digest: str) -> int:
        """A node's size is written nowhere but where it lies; of one that is large it need not be known."""
        place = self.source.place(digest)
        return SMALL if place is None else place.length

    def descend(self) -> None:
        """Look into all directories that wait, and those that they hold."""
        while self._frontier:
            for digest, data in read_all(self.source, self._portion(self._frontier)).items():
                self._look(digest, trees.parse(data, digest))

    def _portion(self, waiting: deque[str]) -> list[str]:
        """The first of them, as many as may be in memory at once."""
        portion, room = [], _NODES
        while waiting and room > 0:
            portion.append(waiting.popleft())
            room -= self._size(portion[-1])
        return portion

    def _look(self, digest: str, node: trees.Node) -> None:
        folders = [(entry.digest, entry.bytes) for entry in node.entries if entry.kind == "dir"]
        folders += [(part.digest, part.bytes) for part in node.parts]
        self._below[digest] = [folder for folder, _ in folders]
        for folder, size in folders:
            self.folder(folder, size)
        for entry in node.entries:
            if entry.kind == "file":
                self.file(entry.digest, entry.bytes)

    # ------------------------------------------------------------------ sending

    def files(self) -> None:
        """Send the files that wait."""
        files, self._files = self._files, {}
        placed, alone = stretches(self.source, ((digest, size, digest) for digest, size in files.items()))
        each(self._send_stretch, placed, run=1)
        each(self._send_small, [digest for digest in alone if files[digest] < SMALL])
        each(self._send_large, [one for one in files.items() if one[1] >= SMALL], threads=_LARGE, run=1)

    def _send_stretch(self, stretch: Stretch[str]) -> None:
        found = [(bytes.fromhex(digest[7:]), bytes(data)) for digest, data in stretch.read(self.source)]
        self.target.keep(found)
        size = sum(len(data) for _, data in found)
        self._count(len(found), size)
        self.progress(size)

    def _send_small(self, digest: str) -> None:
        data = self.source.read(digest)
        self.target.keep([(bytes.fromhex(digest[7:]), data)])
        self._count(1, len(data))
        self.progress(len(data))

    def _send_large(self, blob: tuple[str, int]) -> None:
        digest, size = blob
        if self.target.holds(digest, size):
            self.progress(size)
            return
        self.target.receive(digest, size, self._told(self.source.stream(digest)))
        self._count(1, size)

    def _told(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """Each is progress: a large blob takes its time, and may have to be broken off."""
        for piece in pieces:
            self.progress(len(piece))
            yield piece

    def _count(self, files: int, size: int) -> None:
        with self._lock:
            self.sent.files += files
            self.sent.bytes += size

    def folders(self) -> None:
        """Send the directories, each after all that it holds."""
        waiting = deque(_children_first(self._below))
        while waiting:
            portion = self._portion(waiting)
            found = read_all(self.source, portion)
            for digest in portion:
                self.target.node(found[digest])

    def listings(self, digests: Iterable[str]) -> None:
        """Send directories as blobs like others. Also below those that are there: these say nothing of what is below them."""
        waiting = deque(dict.fromkeys(digests))
        seen = set(waiting)
        while waiting:
            self.progress(0)  # it may have to be broken off
            wanted = [digest for digest in self._portion(waiting) if not self.target.holds_directory(digest)]
            found = read_all(self.source, wanted)
            self.target.keep([(bytes.fromhex(digest[7:]), data) for digest, data in found.items()])
            for digest, data in found.items():
                below = [one for one in folders_in(trees.parse(data, digest)) if one not in seen]
                seen.update(below)
                waiting += dict.fromkeys(below)


def _children_first(below: dict[str, list[str]]) -> list[str]:
    """The keys, each after those of its values that are keys too."""
    ordered: dict[str, None] = {}
    for root in below:
        waiting = [(root, False)]
        while waiting:
            digest, seen = waiting.pop()
            if digest in ordered or digest not in below:
                continue
            if seen:
                ordered[digest] = None
            else:
                waiting.append((digest, True))
                waiting += [(child, False) for child in below[digest]]
    return list(ordered)
