"""Brings a dataset to this machine if it is not here yet, and keeps it here while it is used."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from pkgrun.datasets.cache import Copies, Filled, Room
from pkgrun.datasets.sources import Dataset, Remote, Source, Stored
from pkgrun.store import trees
from pkgrun.store.checkout import checkout, write_file
from pkgrun.store.objects import Objects


@contextmanager
def here(dataset: Dataset, *, copies: Copies, objects: Objects) -> Iterator[Source]:
    """The dataset as files of this machine, which stay as they are until the context ends, unless they are the user's.

    Raises:
        PkgrunError: it cannot be fetched, or the store's copy of it is damaged.
    """
    if isinstance(dataset, Source):
        yield dataset
    elif isinstance(dataset, Remote):
        from pkgrun.datasets.remote.fetching import fetch  # and with it fsspec

        with fetch(dataset.url, copies) as fetched:
            yield _source(fetched.path, dataset.label)
    else:
        with _checked_out(dataset, copies, objects) as source:
            yield source


@contextmanager
def _checked_out(dataset: Stored, copies: Copies, objects: Objects) -> Iterator[Source]:
    entry = dataset.entry

    def fill(room: Room) -> Filled:
        room.require(entry.bytes)
        done = 0

        def told(size: int) -> None:
            nonlocal done
            done += size
            room.report(done, entry.bytes)

        if entry.kind == "file":
            write_file(objects, entry, os.path.join(room.content, entry.name), progress=told)
            digests = {entry.name: entry.digest[7:]}
        else:
            checkout(objects, entry.digest, room.content, progress=told)
            found = trees.walk(objects, entry.digest)
            digests = {path: one.digest[7:] for path, one in found if one.kind == "file"}
        return Filled(entry.digest, digests)

    key = f"{entry.kind}-{entry.digest[7:]}"
    with copies.hold(key, fill, label=dataset.label, state=entry.digest, resumable=False) as folder:
        path = os.path.join(folder, entry.name) if entry.kind == "file" else folder
        yield _source(path, dataset.label)


def _source(path: str, label: str) -> Source:
    real = os.path.realpath(path)
    return Source(real, os.path.basename(real), os.path.isdir(real), label)
