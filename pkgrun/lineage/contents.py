"""From what a caller writes to the content that is meant: a file, a folder, something registered, or a digest."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pkgrun.errors import Temporary, UsageError
from pkgrun.identity import DIGEST_PATTERN
from pkgrun.observe import Observer, Progress, silent
from pkgrun.records import Blob, Tree
from pkgrun.runs import lookup
from pkgrun.settings import cache_folder, cache_limit
from pkgrun.store import trees
from pkgrun.store.files import nothing, shown, take
from pkgrun.store.root import Store
from pkgrun.store.sinks import Hashing
from pkgrun.store.stretches import read_all
from pkgrun.store.trees import Entry

if TYPE_CHECKING:
    from pkgrun.datasets.sources import Source

Kind = Literal["file", "directory", "digest"]

_AT_ONCE = 500
"""Directories that are read at a time."""


@dataclass(frozen=True, slots=True)
class Content:
    """What is asked about. `label`: as whoever asked calls it; of a mere digest nobody knows the kind, or how large it is."""

    digest: str
    kind: Kind
    label: str
    bytes: int | None = None
    files: int | None = None


Read = Callable[[Sequence[str]], dict[str, bytes]]
"""Directories by their digests; those that are not there are left out."""


@dataclass(frozen=True, slots=True)
class Machine:
    """Where this machine keeps copies of datasets, and how large they may get."""

    cache: str
    limit: int


def this_machine() -> Machine:
    """As it is configured."""
    return Machine(cache_folder(), cache_limit())


def find(
    store: Store,
    text: str,
    *,
    machine: Machine,
    observer: Observer = silent,
    made: dict[str, bytes] | None = None,
) -> Content:
    """What `text` means: `sha256:…`, a path, a URL, or `name[@n][/path]` of a registered dataset, which goes before a path.

    A file or a folder is read and hashed, where the stat cache does not know it.

    Args:
        made: is given the directories of a folder that was hashed, by their digests.

    Raises:
        UsageError: that is no digest, or the text means nothing.
        NotFound, DataInvalid, PermissionDenied: there is nothing there, or something else.
        Temporary: it changed while it was read.
    """
    if text.startswith("sha256:"):
        return Content(check_digest(text), "digest", text)
    from pkgrun.datasets.arrival import here  # only what has to be read needs it
    from pkgrun.datasets.cache import Copies
    from pkgrun.datasets.sources import Stored

    dataset = lookup.dataset(store, text, observer)
    if isinstance(dataset, Stored):
        kind: Kind = "file" if dataset.entry.kind == "file" else "directory"
        return Content(dataset.entry.digest, kind, dataset.label, dataset.entry.bytes, dataset.entry.files)
    copies = Copies(os.path.join(machine.cache, "datasets"), machine.limit, observer=observer)
    with here(dataset, copies=copies, objects=store.objects) as source:
        if not source.folder:
            taken = take(source.path, nothing)
            if not taken.stable:
                raise _changed(source.path)
            return Content(taken.digest, "file", source.label, taken.size, 1)
        tree = _hashed(source, machine, observer, {} if made is None else made)
        return Content(tree.digest, "directory", source.label, tree.bytes, tree.files)


class _Made(Hashing):
    """Hands over the directories that are made, each of them: none is known beforehand."""

    vouches = False

    def __init__(self, made: dict[str, bytes]) -> None:
        super().__init__()
        self._made = made

    def node(self, data: bytes) -> Blob:
        blob = super().node(data)
        self._made[blob.digest] = data
        return blob

    def holds_directories(self, directories: Collection[bytes], split: Collection[bytes] = ()) -> set[bytes]:
        return set()


def files(read: Read, roots: Sequence[str], known: set[str]) -> Iterator[tuple[str, Entry | None]]:
    """The files below some directories, each with its path, by as few reads as there are levels; None of a directory that
    is not there.

    Args:
        known: directories that are passed over; those that were gone into are added.

    Raises:
        Damaged: a directory is not what it should be.
    """
    waiting = [("", digest) for digest in roots]
    while waiting:
        some, waiting = waiting[:_AT_ONCE], waiting[_AT_ONCE:]
        nodes = read(list(dict.fromkeys(digest for _, digest in some if digest not in known)))
        for path, digest in some:
            if digest in known:
                continue
            data = nodes.get(digest)
            if data is None:
                yield path, None
                continue
            known.add(digest)
            node = trees.parse(data, digest)
            waiting += [(path, part.digest) for part in node.parts]
            for entry in node.entries:
                below = _below(path, entry.name)
                if entry.kind == "dir":
                    waiting.append((below, entry.digest))
                elif entry.kind == "file":
                    yield below, entry


def entries(read: Read, digest: str, path: str) -> Iterator[tuple[str, Entry | None]]:
    """What one directory holds, each with its path; None if it is not there, or not all of it.

    Raises:
        Damaged: it is not what it should be.
    """
    data = read([digest]).get(digest)
    if data is None:
        yield path, None
        return
    node = trees.parse(data, digest)
    for part in node.parts:
        yield from entries(read, part.digest, path)
    for entry in node.entries:
        yield _below(path, entry.name), entry


def _below(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def of(made: dict[str, bytes]) -> Read:
    """Directories that were made just now."""
    return lambda digests: {digest: made[digest] for digest in digests if digest in made}


def kept(store: Store) -> Read:
    """Directories as the store has them."""

    def read(digests: Sequence[str]) -> dict[str, bytes]:
        there = store.objects.places([bytes.fromhex(digest[7:]) for digest in digests])
        return read_all(store.objects, [digest for digest in digests if bytes.fromhex(digest[7:]) in there])

    return read


def check_digest(text: str) -> str:
    """Return `text` if it is a digest.

    Raises:
        UsageError: it is not.
    """
    if not re.fullmatch(DIGEST_PATTERN, text) or text.endswith("\n"):
        raise UsageError(
            f"{text!r} is no digest",
            hint="sha256: and 64 hexadecimal digits, in lower case; `sha256sum FILE` tells them",
        )
    return text


def _hashed(source: Source, machine: Machine, observer: Observer, made: dict[str, bytes]) -> Tree:
    from pkgrun.datasets import snapshot, sources
    from pkgrun.datasets.stat_cache import for_dataset

    listing = sources.listing(source)
    total = sum(sum(folder.sizes()) for folder in listing.content)
    done = 0

    def told(size: int) -> None:
        nonlocal done
        done += size
        observer(Progress("data", done, total, "bytes"))

    looks = for_dataset(machine.cache, source.path)
    try:
        found = snapshot.take(listing, _Made(made), looks, progress=told)
    finally:
        looks.close()
    if found.unstable:
        raise _changed(found.unstable[0])
    return found.tree


def _changed(path: str) -> Temporary:
    return Temporary(f"{shown(path)} changed while it was read", hint="ask again when nobody writes there")
