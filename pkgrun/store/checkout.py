"""A tree out of the store into a fresh folder, every byte verified on its way.

Links are made last and files are created, never opened, so nothing that the tree holds can lead a write elsewhere.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from typing import Any, NamedTuple

from pkgrun.errors import Damaged, Erased, PkgrunError
from pkgrun.store import fresh, hand, hands, names, trees
from pkgrun.store.files import shown
from pkgrun.store.index import Place
from pkgrun.store.local import translate, write_all
from pkgrun.store.objects import Objects
from pkgrun.store.parallel import FEW, each
from pkgrun.store.stretches import LONGEST as STRETCH
from pkgrun.store.stretches import Stretch, stretches
from pkgrun.store.trees import Entry

_WORTH = 4
_MANY = 300
"""So many files in so few stretches make it pay to start processes that write."""

_BATCH = 1_000
"""Entries that are looked up and written at a time, so that memory does not grow with the tree."""


def checkout(
    objects: Objects,
    digest: str,
    target: str,
    *,
    skip: Collection[str] = (),
    skip_erased: bool = False,
    progress: Callable[[int], object] = lambda size: None,
) -> list[str]:
    """Write a tree into `target`, which must exist and be empty; the paths of files that were left out because they are erased.

    Args:
        skip: paths that are left out, with all below them.
        skip_erased: leave out what was erased, too.
        progress: told the bytes that are written, from several threads.

    Raises:
        Damaged: an object is missing, its bytes are others, or a link leads out of the tree; what was written is
            then not to be used.
        Erased: one of its files was erased.
        PermissionDenied, Temporary: the system refuses a file.
    """
    links: list[_File] = []
    alone: list[_File] = []
    left_out: list[str] = []
    entries = without_erased(
        objects, _kept(objects, digest, frozenset(skip)), left_out if skip_erased else None
    )
    packed = _packed(objects, entries, target, links, alone)
    first = list(itertools.islice(packed, _WORTH))
    packed = itertools.chain(first, packed)
    if sum(len(stretch.blobs) for stretch in first) >= _MANY and hands.available():
        packed = _write_apart(objects, packed, target, progress)
    # One thread looks up and makes folders while another writes.
    each(lambda stretch: _unpack(objects, stretch, target, progress), packed, threads=FEW, run=1)
    each(
        lambda file: write_file(objects, file.entry, os.path.join(target, file.path), progress=progress),
        alone,
        run=1,
    )
    for path, entry in links:
        fresh.link(entry.target, os.path.join(target, path))
    return left_out


def without_erased(
    objects: Objects, entries: Iterable[tuple[str, Entry]], left_out: list[str] | None
) -> Iterator[tuple[str, Entry]]:
    """The entries of a tree but for files that were erased.

    Args:
        left_out: gets their paths; None: they are not left out.

    Raises:
        Erased: there is one that is not left out.
    """
    objects.erased.look()
    for path, entry in entries:
        if (
            not objects.erased
            or entry.kind != "file"
            or (raw := bytes.fromhex(entry.digest[7:])) not in objects.erased
        ):
            yield path, entry
        elif left_out is None:
            said = objects.erased.error(raw, shown(path))
            raise Erased(
                said.message,
                hint="the rest can be had without it: see --skip-erased of the commands that export",
            )
        else:
            left_out.append(path)


def _unpack(
    objects: Objects, stretch: Stretch[_File], target: str, progress: Callable[[int], object]
) -> None:
    for (path, entry), data in stretch.read(objects):
        fresh.written(os.path.join(target, path), data, executable=entry.executable)
    progress(sum(blob.length for blob in stretch.blobs))


def _write_apart(
    objects: Objects, packed: Iterator[Stretch[_File]], target: str, progress: Callable[[int], object]
) -> Iterator[Stretch[_File]]:
    """Have other processes write; what is left to be written here, because that did not work out."""
    begun: dict[int, Stretch[_File]] = {}

    def works() -> Iterator[_Writing]:
        for stretch in packed:
            begun[id(stretch)] = stretch
            yield _Writing(objects, stretch, target, progress, begun)

    try:
        hands.do(works(), room=STRETCH)
    except hands.Ended:
        for stretch in begun.values():
            for blob in stretch.blobs:
                with suppress(FileNotFoundError):
                    os.unlink(os.path.join(target, blob.item.path))
        return itertools.chain(list(begun.values()), packed)
    return iter(())


class _Writing(NamedTuple):
    """One stretch to be written by a hand; it leaves `begun` when that is done."""

    objects: Objects
    stretch: Stretch[_File]
    target: str
    progress: Callable[[int], object]
    begun: dict[int, Stretch[_File]]

    @property
    def behind(self) -> int:
        return 0

    @property
    def size(self) -> int:
        return self.stretch.end - self.stretch.start

    def order(self, place: memoryview) -> tuple[Any, ...]:
        stretch = self.stretch
        path = self.objects.path(stretch.pack)
        if path is None:
            place[:] = self._read()
        blobs = stretch.blobs
        names = os.fsencode("\0".join([blob.item.path for blob in blobs]))
        spans = [(blob.offset - stretch.start, blob.length) for blob in blobs]
        executable = bytes([blob.item.entry.executable for blob in blobs])
        digests = bytes.fromhex("".join([blob.digest[7:] for blob in blobs]))
        source = os.fsencode(path or ""), stretch.start
        return "write", self.size, source, os.fsencode(self.target), names, spans, executable, digests

    def _read(self) -> bytes:
        stretch = self.stretch
        return self.objects.part(Place(stretch.pack, stretch.start, self.size))

    def done(self, answer: tuple[Any, ...], area: hands.Area, at: int) -> None:
        (failed,) = answer
        if failed is not None:
            index, number = failed
            if index == hand.SOURCE:  # before it wrote any
                _unpack(self.objects, self.stretch, self.target, self.progress)
                del self.begun[id(self.stretch)]
                return
            blob = self.stretch.blobs[index]
            if number == hand.OTHER:
                start = at + blob.offset - self.stretch.start
                self.objects.verify(blob.digest, area.view[start : start + blob.length], self.stretch.pack)
            path = os.path.join(self.target, blob.item.path)
            raise translate(OSError(number, os.strerror(number)), shown(path))
        self.progress(sum(blob.length for blob in self.stretch.blobs))
        del self.begun[id(self.stretch)]


class _File(NamedTuple):
    path: str
    entry: Entry


def _packed(
    objects: Objects,
    entries: Iterator[tuple[str, Entry]],
    target: str,
    links: list[_File],
    alone: list[_File],
) -> Iterator[Stretch[_File]]:
    """Make the folders, note the links and the files that lie in no pack, and tell what is to be written in them."""
    while batch := list(itertools.islice(entries, _BATCH)):
        files: list[_File] = []
        for path, entry in batch:
            if entry.kind == "symlink" and names.leaves(path.count("/"), entry.target):
                raise Damaged(f"the tree holds a link that leads out of it: {shown(path)}")
            if entry.kind == "dir":
                fresh.folder(os.path.join(target, path))
            else:
                (files if entry.kind == "file" else links).append(_File(path, entry))
        placed, others = stretches(objects, ((file.entry.digest, file.entry.bytes, file) for file in files))
        yield from placed
        alone += others


def _kept(objects: Objects, digest: str, skip: frozenset[str]) -> Iterator[tuple[str, Entry]]:
    if not skip:
        yield from trees.walk(objects, digest)
        return
    left_out: set[str] = set()
    for path, entry in trees.walk(objects, digest):
        if path in skip or path.rpartition("/")[0] in left_out:
            left_out.add(path)
        else:
            yield path, entry


def write_file(
    objects: Objects, entry: Entry, path: str, *, progress: Callable[[int], object] = lambda size: None
) -> None:
    """Write one file of a tree to a path where nothing is yet. One that is damaged or does not fit is not left there."""
    with fresh.file(path, executable=entry.executable) as file:
        try:
            for chunk in objects.stream(entry.digest):
                write_all(file.fileno(), chunk)
                progress(len(chunk))
        except PkgrunError as error:
            os.unlink(path)
            error.add_note(f"while writing {shown(path)}")
            raise
        except OSError as error:
            os.unlink(path)
            raise translate(error, shown(path)) from error
