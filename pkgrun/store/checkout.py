"""A tree out of the store into a fresh folder, every byte verified on its way.

Links are made last and files are created, never opened, so nothing that the tree holds can lead a write elsewhere.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Collection, Iterator
from typing import NamedTuple

from pkgrun.errors import Conflict, Damaged, PkgrunError, UsageError
from pkgrun.store import fresh, names, trees
from pkgrun.store.files import shown
from pkgrun.store.local import translate, write_all
from pkgrun.store.objects import Objects
from pkgrun.store.parallel import FEW, each
from pkgrun.store.stretches import Stretch, stretches
from pkgrun.store.trees import Entry

_BATCH = 5_000
"""Entries that are looked up and written at a time, so that memory does not grow with the tree."""


def checkout(
    objects: Objects,
    digest: str,
    target: str,
    *,
    skip: Collection[str] = (),
    progress: Callable[[int], object] = lambda size: None,
) -> None:
    """Write a tree into `target`, which must exist and be empty.

    Args:
        skip: paths that are left out, with all below them.
        progress: told the bytes that are written, from several threads.

    Raises:
        Damaged: an object is missing, its bytes are others, or a link leads out of the tree; what was written is
            then not to be used.
        PermissionDenied, Temporary: the system refuses a file.
    """
    links: list[_File] = []

    def write(job: Stretch[_File] | _File) -> None:
        if isinstance(job, Stretch):
            for (path, entry), data in job.read(objects):
                fresh.written(os.path.join(target, path), data, executable=entry.executable)
            progress(sum(blob.length for blob in job.blobs))
        else:
            write_file(objects, job.entry, os.path.join(target, job.path), progress=progress)

    # One thread looks up and makes folders while others write: whoever is free takes the next job.
    each(
        write,
        _jobs(objects, _kept(objects, digest, frozenset(skip)), target, links),
        threads=FEW,
        run=1,
    )
    for path, entry in links:
        fresh.link(entry.target, os.path.join(target, path))


class _File(NamedTuple):
    path: str
    entry: Entry


def _jobs(
    objects: Objects, entries: Iterator[tuple[str, Entry]], target: str, links: list[_File]
) -> Iterator[Stretch[_File] | _File]:
    """Make the folders, note the links, and tell what is to be written in them."""
    while batch := list(itertools.islice(entries, _BATCH)):
        files: list[_File] = []
        for path, entry in batch:
            if entry.kind == "symlink" and names.leaves(path.count("/"), entry.target):
                raise Damaged(f"the tree holds a link that leads out of it: {shown(path)}")
            if entry.kind == "dir":
                fresh.folder(os.path.join(target, path))
            else:
                (files if entry.kind == "file" else links).append(_File(path, entry))
        placed, alone = stretches(objects, ((file.entry.digest, file.entry.bytes, file) for file in files))
        yield from placed
        yield from alone


def new_folder(path: str) -> None:
    """Make a folder to write into; one that is there already must be empty.

    Raises:
        Conflict: it holds something, or is none.
        UsageError: that is no path.
        PermissionDenied, Temporary: the system refuses.
    """
    if not path or "\0" in path:
        raise UsageError(f"{path!r} is no path of a folder", hint="name a new folder")
    try:
        os.makedirs(path, exist_ok=True)
        full = bool(os.listdir(path))
    except (FileExistsError, NotADirectoryError) as error:
        raise Conflict(f"{shown(path)} is no folder", hint="name a new folder") from error
    except OSError as error:
        raise translate(error, shown(path)) from error
    if full:
        raise Conflict(f"{shown(path)} is not empty", hint="name a new folder")


def _kept(objects: Objects, digest: str, skip: frozenset[str]) -> Iterator[tuple[str, Entry]]:
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
