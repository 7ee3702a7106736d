"""From what a caller writes to the content that is meant: a file, a folder, something registered, or a digest."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Literal

from pkgrun.datasets import snapshot, sources
from pkgrun.datasets.arrival import here
from pkgrun.datasets.cache import Copies
from pkgrun.datasets.sources import Source, Stored
from pkgrun.datasets.stat_cache import for_dataset
from pkgrun.errors import Temporary, UsageError
from pkgrun.identity import DIGEST_PATTERN
from pkgrun.observe import Observer, Progress, silent
from pkgrun.records import Tree
from pkgrun.runs import lookup
from pkgrun.store.files import nothing, shown, take
from pkgrun.store.root import Store
from pkgrun.store.sinks import Hashing

Kind = Literal["file", "directory", "digest"]


@dataclass(frozen=True, slots=True)
class Content:
    """What is asked about. `label`: as whoever asked calls it; of a mere digest nobody knows the kind, or how large it is."""

    digest: str
    kind: Kind
    label: str
    bytes: int | None = None
    files: int | None = None


@dataclass(frozen=True, slots=True)
class Machine:
    """Where this machine keeps copies of datasets, and how large they may get."""

    cache: str
    limit: int


def find(store: Store, text: str, *, machine: Machine, observer: Observer = silent) -> Content:
    """What `text` means: `sha256:…`, a path, a URL, or `name[@n][/path]` of a registered dataset, which goes before a path.

    A file or a folder is read and hashed, where the stat cache does not know it.

    Raises:
        UsageError: that is no digest, or the text means nothing.
        NotFound, DataInvalid, PermissionDenied: there is nothing there, or something else.
        Temporary: it changed while it was read.
    """
    if text.startswith("sha256:"):
        return Content(check_digest(text), "digest", text)
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
        tree = _hashed(source, machine, observer)
        return Content(tree.digest, "directory", source.label, tree.bytes, tree.files)


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


def _hashed(source: Source, machine: Machine, observer: Observer) -> Tree:
    listing = sources.listing(source)
    total = sum(sum(folder.sizes()) for folder in listing.content)
    done = 0

    def told(size: int) -> None:
        nonlocal done
        done += size
        observer(Progress("data", done, total, "bytes"))

    looks = for_dataset(machine.cache, source.path)
    try:
        found = snapshot.take(listing, Hashing(), looks, progress=told)
    finally:
        looks.close()
    if found.unstable:
        raise _changed(found.unstable[0])
    return found.tree


def _changed(path: str) -> Temporary:
    return Temporary(f"{shown(path)} changed while it was read", hint="ask again when nobody writes there")
