"""A folder into a tree: what was found is read, hashed and kept by a few threads, then the directories are made.

It reads each file once. It never decides what belongs to a tree, nor what becomes of it.
"""

from __future__ import annotations

import os
import stat as mode
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from pkgrun.records import Tree
from pkgrun.store import trees
from pkgrun.store.files import Look, Taken, Watch, irregular, read_small, shown, vanished
from pkgrun.store.local import translate
from pkgrun.store.objects import SMALL, digest_and_raw
from pkgrun.store.parallel import each
from pkgrun.store.scan import Folder, Keep, Listing, scan, unchanged
from pkgrun.store.sinks import Sink
from pkgrun.store.trees import Entry

_NOTHING = Taken("", 0, stable=False)
PORTION_BYTES = 4 << 20
PORTION_FILES = 200

Before = Mapping[str, Entry]
"""What a folder held when it was laid out, by path; a file of the same size is probably the same."""

Progress = Callable[[int], object]
"""Told the bytes of files that are done, from several threads."""


@dataclass(frozen=True, slots=True)
class Ingested:
    """A folder that was taken in.

    `unstable`: changed while it was read. `flagged`: left out, a watcher said so. `refused`: left out, with why.
    """

    tree: Tree
    unstable: tuple[str, ...] = ()
    flagged: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()


def ingest(
    root: str,
    sink: Sink,
    *,
    keep: Keep | None = None,
    watch: Watch | None = None,
    graft: Mapping[str, Entry] | None = None,
    before: Before | None = None,
    lenient: bool = False,
    progress: Progress = lambda size: None,
) -> Ingested:
    """Take a folder in.

    Args:
        keep: says what belongs to the tree.
        watch: looks at every file's bytes and name; what it flags is left out and named.
        graft: entries that the tree gets besides, by path, instead of what lies there.
        before: what is probably in the store already.
        lenient: leave out what a tree cannot hold, instead of raising.
        progress: what it raises ends the taking in.

    Raises:
        DataInvalid, NotFound, PermissionDenied, Temporary: something under `root` cannot be kept or read.
    """
    listing = scan(root, keep, lenient=lenient)
    taken = take_all(listing, sink, watch=watch, before=before, progress=progress)
    return seal(listing, taken, sink, watch=watch, graft=graft)


class Portion(NamedTuple):
    """Some files of one folder, as many as one thread takes in at a time.

    `directory` is where they lie; `files` are their indexes in the folder and the fields of their stamps.
    """

    folder: Folder
    directory: str
    files: Sequence[tuple[int, tuple[int, ...]]]

    @property
    def large(self) -> bool:
        """Whether it is one large file."""
        return self.files[0][1][0] >= SMALL


def portions(listing: Listing, wanted: Callable[[Folder], Sequence[int]] | None = None) -> Iterator[Portion]:
    """All files of a listing, or of each folder those that are wanted; a large one alone."""
    for folder in listing.content:
        indexes = range(len(folder.names)) if wanted is None else wanted(folder)
        if not indexes:
            continue
        directory = listing.place(folder)
        stamps = folder.every_stamp()
        sizes = folder.sizes()
        if len(indexes) == len(sizes) <= PORTION_FILES and sum(sizes) <= PORTION_BYTES and max(sizes) < SMALL:
            yield Portion(folder, directory, list(enumerate(stamps)))
            continue
        some: list[tuple[int, tuple[int, ...]]] = []
        size = 0
        for index in indexes:
            stamp = stamps[index]
            if stamp[0] >= SMALL:
                yield Portion(folder, directory, [(index, stamp)])
                continue
            if some and (len(some) == PORTION_FILES or size + stamp[0] > PORTION_BYTES):
                yield Portion(folder, directory, some)
                some, size = [], 0
            some.append((index, stamp))
            size += stamp[0]
        if some:
            yield Portion(folder, directory, some)


class Laying(Protocol):
    """Lays files out somewhere while they are taken in; `path` is relative, `/` between."""

    def small(self, path: str, data: bytes, mode: int) -> None:
        """One whose bytes are at hand."""

    def large(self, path: str, source: str, mode: int, watch: Look) -> Taken:
        """One that has to be read in pieces, each of which `watch` is shown."""

    def folder(self, path: str) -> str:
        """Where the files of a folder come to lie, for whoever writes the small ones there: modes as the umask allows."""


def take_all(
    listing: Listing,
    sink: Sink,
    *,
    watch: Watch | None = None,
    before: Before | None = None,
    progress: Progress = lambda size: None,
) -> list[Taken]:
    """Read, hash and keep all files of a listing, by several threads; what was read, in its order."""
    found: dict[str, list[Taken]] = {
        folder.path: [_NOTHING] * len(folder.names) for folder in listing.content
    }

    def take(portion: Portion) -> None:
        taken = take_portion(portion, sink, watch=watch, before=before, progress=progress)
        for (index, _), one in zip(portion.files, taken, strict=True):
            found[portion.folder.path][index] = one

    each(take, portions(listing), run=1)
    return [one for taken in found.values() for one in taken]


def take_portion(
    portion: Portion,
    sink: Sink,
    *,
    watch: Watch | None = None,
    before: Before | None = None,
    laying: Laying | None = None,
    progress: Progress = lambda size: None,
) -> list[Taken]:
    """Read, hash and keep some files; `laying` lays them out somewhere besides.

    Raises:
        Erased: one holds what was erased.
    """
    taken, kept, erased = [], [], sink.erased
    folder, directory, name = portion.folder, portion.directory, ""
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for index, stamp in portion.files:
                name, size = folder.place(index), stamp[0]
                path = folder.below(folder.names[index])
                if size >= SMALL:
                    told = _telling(watch, progress)
                    taken.append(
                        _large(os.path.join(directory, name), path, stamp, sink, told, before or {}, laying)
                    )
                    continue
                data, found = read_small(name, size, descriptor)
                if not mode.S_ISREG(found.st_mode):
                    raise irregular(os.path.join(directory, name))
                digest, raw = digest_and_raw(data)
                if raw in erased:
                    raise erased.error(raw, shown(path))
                flagged = watch is not None and watch()(data)
                taken.append(Taken(digest, len(data), unchanged(stamp, found), flagged))
                if laying is not None:
                    laying.small(path, data, stamp[4])
                if not flagged:
                    kept.append((raw, data))
        finally:
            os.close(descriptor)
    except FileNotFoundError as error:
        raise vanished(os.path.join(directory, name)) from error
    except OSError as error:
        raise translate(error, shown(os.path.join(directory, name))) from error
    sink.keep(kept)
    progress(sum(one.size for one in taken if one.size < SMALL))
    return taken


def _telling(watch: Watch | None, progress: Progress) -> Look:
    """The same watch, and each piece of the file is progress: a large one takes its time."""

    def begin() -> Callable[[memoryview], bool]:
        feed = watch() if watch else None

        def seen(piece: memoryview) -> bool:
            progress(len(piece))
            return feed is not None and feed(bytes(piece))

        return seen

    return begin


def _large(
    place: str,
    path: str,
    stamp: tuple[int, ...],
    sink: Sink,
    watch: Look,
    before: Before,
    laying: Laying | None,
) -> Taken:
    if laying is not None:
        taken = laying.large(path, place, stamp[4], watch)
    else:
        was = before.get(path)
        taken = sink.take(place, watch, known=was is not None and was.bytes == stamp[0])
    if (raw := bytes.fromhex(taken.digest[7:])) in sink.erased:
        raise sink.erased.error(raw, shown(path))
    seen = taken.seen
    return taken._replace(stable=taken.stable and seen is not None and unchanged(stamp, seen), seen=None)


@dataclass(slots=True)
class _Sealing:
    """The directories being made, children before parents."""

    sink: Sink
    watch: Watch | None
    grafted: Mapping[str, Sequence[Entry]]
    trees: dict[str, Tree] = field(default_factory=dict)
    unstable: list[str] = field(default_factory=list)
    flagged: list[str] = field(default_factory=list)

    def folder(self, folder: Folder, taken: Sequence[Taken]) -> None:
        """One of them."""
        files = list(zip(folder.names, folder.modes(), taken, strict=True))
        entries = [
            Entry(name, "file", file.digest, 1, file.size, bool(mode & 0o100)) for name, mode, file in files
        ]
        self.unstable += [folder.below(name) for name, _, file in files if not file.stable]
        entries += [Entry(name, "symlink", target=target) for name, target in folder.links]
        if self.watch is not None:
            secret = {name for name, _, file in files if file.flagged}
            entries = [entry for entry in entries if not self._flag(folder, entry, entry.name in secret)]
        entries += self._below(folder)
        entries += self.grafted.get(folder.path, ())
        self.trees[folder.path] = trees.write_node(entries, self.sink)

    def _flag(self, folder: Folder, entry: Entry, secret: bool) -> bool:
        path = folder.below(entry.name)
        secret = secret or _named(path, self.watch) or _named(entry.target, self.watch)
        if secret:
            self.flagged.append(path)
        return secret

    def _below(self, folder: Folder) -> Iterator[Entry]:
        grafted = {entry.name for entry in self.grafted.get(folder.path, ())}
        for name in folder.folders:
            tree = self.trees.pop(folder.below(name))
            if _named(folder.below(name), self.watch):
                self.flagged.append(folder.below(name))
            elif name not in grafted:
                yield Entry(name, "dir", tree.digest, tree.files, tree.bytes)


def seal(
    listing: Listing,
    taken: Sequence[Taken],
    sink: Sink,
    *,
    watch: Watch | None = None,
    graft: Mapping[str, Entry] | None = None,
) -> Ingested:
    """Make the directories over files that were taken, in the order of the listing."""
    grafted: dict[str, list[Entry]] = defaultdict(list)
    for path, entry in (graft or {}).items():
        grafted[path.rpartition("/")[0]].append(entry)
    _make_room(listing, grafted)
    sealing = _Sealing(sink, watch, grafted)
    end = len(taken)
    for folder in reversed(listing.content):
        start = end - len(folder.names)
        sealing.folder(folder, taken[start:end])
        end = start
    return Ingested(
        sealing.trees[""], tuple(sealing.unstable), tuple(sealing.flagged), tuple(listing.refused)
    )


def _make_room(listing: Listing, grafted: Iterable[str]) -> None:
    """Folders for what is grafted where there are none."""
    known = {folder.path: folder for folder in listing.content}
    for path in grafted:
        above = known[""]
        for part in path.split("/") if path else ():
            below = above.below(part)
            if below not in known:
                above.folders.append(part)
                known[below] = Folder(below)
                listing.content.append(known[below])
            above = known[below]


def _named(path: str, watch: Watch | None) -> bool:
    return watch is not None and watch()(os.fsencode(path))
