"""Puts a dataset at `data/`, writable, so that writing there never reaches the source.

Each file is cloned where the file system can (reflink), else copied; never linked. What is hashed is the bytes
that were put there, so the digest is of what the code was given, whatever happens to the source meanwhile.
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
from pkgrun.store import fresh, trees
from pkgrun.store.local import translate, write_all
from pkgrun.store.objects import Hashing, Sink, Taken, open_regular, shown, take
from pkgrun.store.parallel import each
from pkgrun.store.scan import Found
from pkgrun.store.trees import Ingested

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


@dataclass(frozen=True, slots=True)
class Mounted:
    """How the dataset got there, and what it is."""

    method: Literal["reflink", "copy"]
    content: Ingested


Report = Callable[[int, int], None]
"""Told how many bytes are done and how many there are, from several threads."""


def mount(source: Source | None, target: str, *, keep: Sink | None = None, report: Report) -> Mounted:
    """Put a dataset into the empty folder `target`; no dataset leaves it empty.

    Args:
        source: the dataset.
        target: an existing, empty folder.
        keep: where a snapshot goes besides, if one is asked for.

    Raises:
        DataInvalid, NotFound, PermissionDenied, Temporary: a file cannot be kept, read or written; it is named.
    """
    if source is None:
        return Mounted("copy", Ingested(trees.write_node([], keep or Hashing())))
    listing, paths = sources.listing(source)
    for folder in listing.folders[1:]:
        fresh.folder(os.path.join(target, folder))
    placed = _place(listing.files, paths, target, keep, report)
    for link in listing.links:
        fresh.link(link.target or "", os.path.join(target, link.path))
    content = trees.seal(listing, [taken for taken, _ in placed], keep or Hashing())
    cloned = bool(placed) and all(clone for _, clone in placed)
    return Mounted("reflink" if cloned else "copy", content)


def _place(
    files: list[Found], paths: list[str], target: str, keep: Sink | None, report: Report
) -> list[tuple[Taken, bool]]:
    total, done = sum(file.size for file in files), 0
    cloning = True

    def place(item: tuple[str, Found]) -> tuple[Taken, bool]:
        nonlocal done, cloning
        path, file = item
        there = os.path.join(target, file.path)
        with fresh.file(there, executable=file.executable) as out:
            cloning = cloning and _clone(path, out.fileno())
            cloned = cloning
            taken = take(there, _nothing) if cloned else take(path, _writer(out, there))
        if keep is not None:
            keep.take(there)
        done += taken.size
        report(done, total)
        return taken, cloned

    return each(place, list(zip(paths, files, strict=True)))


def _nothing(chunk: bytes) -> None:
    pass


def _writer(out: FileIO, path: str) -> Callable[[bytes], None]:
    def write(chunk: bytes) -> None:
        try:
            write_all(out.fileno(), chunk)
        except OSError as error:
            raise translate(error, shown(path)) from error

    return write


def _clone(path: str, out: int) -> bool:
    source = open_regular(path)
    try:
        fcntl.ioctl(out, _FICLONE, source)
    except OSError as error:
        if error.errno in _CANNOT_CLONE:
            return False
        raise translate(error, shown(path)) from error
    finally:
        os.close(source)
    return True
