"""From what a caller writes to the content that is meant: a file, a folder, something registered, or a digest."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pkgrun.errors import Temporary, UsageError
from pkgrun.identity import DIGEST_PATTERN
from pkgrun.observe import Observer, Progress, silent
from pkgrun.records import Tree
from pkgrun.runs import lookup
from pkgrun.settings import cache_folder, cache_limit
from pkgrun.store import trees
from pkgrun.store.files import nothing, shown, take
from pkgrun.store.root import Store
from pkgrun.store.sinks import Hashing, Made, Sink
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
    made: Made | None = None,
) -> Content:
    """What `text` means: `sha256:…`, a path, a URL, or `name[@n][/path]` of a registered dataset, which goes before a path.

    A file or a folder is read and hashed, where the stat cache does not know it.

    Args:
        made: keeps the directories of a folder that was hashed.

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
        tree = hashed(source, Hashing() if made is None else made, machine, observer)
        return Content(tree.digest, "directory", source.label, tree.bytes, tree.files)


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


def hashed(source: Source, sink: Sink, machine: Machine, observer: Observer) -> Tree:
    """The digest of what is at a source now.

    Raises:
        Temporary: it changed while it was read.
        NotFound, DataInvalid, PermissionDenied: it cannot be read.
    """
    from pkgrun.datasets import snapshot

    def told(done: int, total: int) -> None:
        observer(Progress("data", done, total, "bytes"))

    found = snapshot.of(source, sink, machine.cache, told)
    if found.unstable:
        raise _changed(found.unstable[0])
    return found.tree


def _changed(path: str) -> Temporary:
    return Temporary(f"{shown(path)} changed while it was read", hint="ask again when nobody writes there")
