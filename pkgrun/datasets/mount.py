"""Puts a dataset at `data/`, writable, so that writing there never reaches the source.

By an overlay, which the child lays over the source in a namespace of its own and which takes no time; else each file
is cloned where the file system can (reflink), else copied. Never linked.

That files belong to others is no reason against an overlay, though an ordinary user cannot write to them there: only a
walk would tell, which an overlay is there to save, and most code only reads. Who does write is told to use a copy.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable
from dataclasses import dataclass
from io import FileIO
from typing import Literal

from pkgrun.datasets import sources
from pkgrun.datasets.sources import Source
from pkgrun.errors import UsageError
from pkgrun.store import bulk, fresh, intake
from pkgrun.store.files import Look, Taken, open_regular, shown, take
from pkgrun.store.intake import Ingested, Portion, portions
from pkgrun.store.local import translate, write_all
from pkgrun.store.parallel import each
from pkgrun.store.scan import Listing, scan, unchanged
from pkgrun.store.sinks import Sink

_FICLONE = 0x40049409
"""`ioctl` of Linux: share the blocks of another file, copied when either is written to (linux/fs.h)."""

_CANNOT_CLONE = {
    errno.EOPNOTSUPP,
    errno.ENOTTY,
    errno.EXDEV,
    errno.EINVAL,
    errno.ENOSYS,
    errno.EPERM,
    errno.EBADF,
}

Method = Literal["overlay", "reflink", "copy"]
Wanted = Literal["auto", "overlay", "reflink", "copy"]

Report = Callable[[int, int], None]
"""Told how many bytes are done and how many there are, from several threads; what it raises ends the work."""


@dataclass(frozen=True, slots=True)
class Mounted:
    """How a dataset got to `data/`.

    Of an overlay nothing has been looked at yet. A clone or a copy: `source` is the dataset as it was seen and
    `laid` what lies at `data/` now; `content` of a copy, which is hashed while it is made; `unstable`: files of
    the source that changed meanwhile.
    """

    method: Method
    source: Listing | None = None
    laid: Listing | None = None
    content: Ingested | None = None
    unstable: tuple[str, ...] = ()


def mount(
    source: Source,
    target: str,
    *,
    wanted: Wanted,
    no_overlay: Callable[[str], str | None],
    sink: Sink,
    report: Report,
) -> Mounted:
    """Put a dataset into the empty folder `target`, or find that an overlay can be laid over it.

    Args:
        source: the dataset.
        target: an existing, empty folder.
        wanted: how; `auto` is the first way that works.
        no_overlay: says why a folder cannot be under an overlay, None if it can.
        sink: where the bytes go besides, if it is by copy.
        report: told of each few files, and of each piece of a large one; raises to have it ended.

    Raises:
        Whatever `report` raises.
        DataInvalid, NotFound, PermissionDenied, Temporary: a file cannot be kept, read or written; it is named.
        UsageError: it cannot be done in the way that is wanted.
    """
    if wanted in {"auto", "overlay"}:
        reason = no_overlay(source.path) if source.folder else "the dataset is a single file"
        if reason is None:
            return Mounted("overlay")
        if wanted == "overlay":
            raise UsageError(
                f"{source.label} cannot be mounted by overlay: {reason}",
                hint="--mount auto takes another way",
            )
    listing = sources.listing(source)
    for folder in listing.folders[1:]:
        fresh.folder(os.path.join(target, folder))
    meter = _Meter(report, sum(sum(folder.sizes()) for folder in listing.content))
    changed = _clone_all(listing, target, meter) if wanted != "copy" else None
    if changed is None and wanted == "reflink" and any(folder.names for folder in listing.content):
        raise UsageError(
            f"{source.label} cannot be mounted by reflink: the file system of the cache does not share blocks with it",
            hint="--mount auto takes another way",
        )
    content = _copy_all(listing, target, sink, meter) if changed is None else None
    for link in listing.links:
        fresh.link(link.target, os.path.join(target, link.path))
    laid = scan(target)
    if content is not None:
        return Mounted("copy", listing, laid, content, content.unstable)
    return Mounted("reflink", listing, laid, unstable=tuple(changed or ()))


class _Meter:
    """Adds up bytes from several threads."""

    def __init__(self, report: Report, total: int) -> None:
        self._report, self._total, self._done = report, total, 0

    def add(self, size: int) -> None:
        self._done += size
        self._report(self._done, self._total)


def _clone_all(listing: Listing, target: str, meter: _Meter) -> list[str] | None:
    """Clone every file; those that had changed. None if that cannot be done here, which the first file tells."""

    def clone(portion: Portion) -> list[str]:
        changed = []
        for index, stamp in portion.files:
            folder = portion.folder
            path = folder.below(folder.names[index])
            source = os.path.join(portion.directory, folder.place(index))
            try:
                if not _clone(source, os.path.join(target, path), stamp):
                    changed.append(path)
            except OSError as error:
                raise translate(error, shown(source)) from error
            meter.add(stamp[0])
        return changed

    first = next(portions(listing), None)
    if first is None or not _can_clone(first, target):
        return None
    return [path for changed in each(clone, portions(listing), run=1) for path in changed]


def _can_clone(portion: Portion, target: str) -> bool:
    """Tried with one file, which is removed again."""
    index, stamp = portion.files[0]
    there = os.path.join(target, portion.folder.below(portion.folder.names[index]))
    try:
        _clone(os.path.join(portion.directory, portion.folder.place(index)), there, stamp)
    except OSError as error:
        if error.errno in _CANNOT_CLONE:
            return False
        raise translate(error, shown(there)) from error
    finally:
        os.unlink(there)
    return True


def _clone(path: str, there: str, stamp: tuple[int, ...]) -> bool:
    """Whether the source is still what was seen."""
    with fresh.file(there, executable=bool(stamp[4] & 0o100)) as out:
        source = open_regular(path)
        try:
            fcntl.ioctl(out.fileno(), _FICLONE, source)
            return unchanged(stamp, os.fstat(source))
        finally:
            os.close(source)


class _Copying:
    """Lays out copies while they are hashed."""

    def __init__(self, target: str, sink: Sink) -> None:
        self._target, self._sink = target, sink

    def small(self, path: str, data: bytes, mode: int) -> None:
        fresh.written(os.path.join(self._target, path), memoryview(data), executable=bool(mode & 0o100))

    def large(self, path: str, source: str, mode: int, watch: Look) -> Taken:
        there = os.path.join(self._target, path)
        with fresh.file(there, executable=bool(mode & 0o100)) as out:
            taken = take(source, _writer(out, there), watch)
        if (raw := bytes.fromhex(taken.digest[7:])) in self._sink.erased:
            raise self._sink.erased.error(raw, shown(path))
        if not self._sink.holds(taken.digest, taken.size):
            self._sink.take(there)
        return taken

    def folder(self, path: str) -> str:
        return os.path.join(self._target, path)


def _copy_all(listing: Listing, target: str, sink: Sink, meter: _Meter) -> Ingested:
    taken: dict[tuple[str, int], Taken] = {}

    def got(portion: Portion, digests: bytes, changed: dict[int, int]) -> None:
        path, hexes = portion.folder.path, digests.hex()
        for at, (index, stamp) in enumerate(portion.files):
            size = changed.get(index, stamp[0])
            taken[path, index] = Taken(f"sha256:{hexes[at * 64 : at * 64 + 64]}", size, index not in changed)

    bulk.take(portions(listing), sink, got, progress=meter.add, laying=_Copying(target, sink))
    in_order = [taken[folder.path, index] for folder in listing.content for index in range(len(folder.names))]
    return intake.seal(listing, in_order, sink)


def _writer(out: FileIO, path: str) -> Callable[[memoryview], None]:
    def write(chunk: memoryview) -> None:
        try:
            write_all(out.fileno(), chunk)
        except OSError as error:
            raise translate(error, shown(path)) from error

    return write
