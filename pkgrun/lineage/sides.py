"""From what a caller writes to the thing that is meant, for whatever takes versions, runs and datasets alike."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from pkgrun.datasets.arrival import here
from pkgrun.datasets.cache import Copies
from pkgrun.datasets.sources import Source, Stored
from pkgrun.errors import NotFound, UsageError
from pkgrun.identity import NAME_PATTERN
from pkgrun.lineage.contents import Machine, hashed
from pkgrun.lineage.difference import Side
from pkgrun.observe import Observer, silent
from pkgrun.records import Tree
from pkgrun.runs import comparing, lookup
from pkgrun.runs.comparison import Subject
from pkgrun.store import numbers, registry
from pkgrun.store.files import shown
from pkgrun.store.objects import Objects
from pkgrun.store.root import Store
from pkgrun.store.sinks import Made

DATASET = "dataset:"
"""Before a name: that of a dataset, also where a package has it, too."""

_PATH = re.compile(r"(\.{1,2}|~[^/]*|)/|\.{1,2}$")


class Directories(Made):
    """The directories of folders that were hashed, and those of a store."""

    def __init__(self, objects: Objects) -> None:
        super().__init__()
        self._objects = objects

    def read(self, digest: str) -> bytes:
        """A directory, of a folder or of the store."""
        return self.made[digest] if digest in self.made else self._objects.read(digest)


@dataclass(frozen=True, slots=True)
class Meant:
    """What a name means; of a version or a run all that is known, of a folder of this machine where it is.

    `removed`: its content was given up.
    """

    side: Side
    subject: Subject | None = None
    folder: str | None = None

    @property
    def removed(self) -> bool:
        return self.subject is not None and self.subject.column.removed


def find(
    store: Store, text: str, directories: Directories, *, machine: Machine, observer: Observer = silent
) -> Meant:
    """A version, a run, a registered dataset or what lies in one, or a path; in this order, where several have the name.

    Args:
        directories: get those of a folder, which is read and hashed.

    Raises:
        UsageError, InvalidName: it can mean nothing.
        NotFound, DataInvalid, PermissionDenied: it means nothing that there is.
        Temporary: a folder changed while it was read.
        Damaged: what the store holds of it cannot be read.
    """
    if text.startswith(DATASET):
        name = text.removeprefix(DATASET)
        lookup.registered(store, name.partition("/")[0])
        return _data(store, name, directories, machine, observer)
    if _PATH.match(text) or "://" in text:
        return _data(store, text, directories, machine, observer)
    if (_is_registered(store, text) and not _is_version(store, text)) or _names_dataset(store, text):
        return _data(store, text, directories, machine, observer)
    known = "@" in text or lookup.means_run(store, text)
    if not known and not _names_package(store, text):
        try:
            return _data(store, text, directories, machine, observer)
        except NotFound as error:
            raise NotFound(
                f"there is no package, run, dataset or path {shown(text)}",
                hint="`pkgrun package list`, `run list` and `dataset list` show what there is",
            ) from error
    subject = comparing.subject(store, text)
    if subject.column.version is not None:
        return Meant(Side(subject.column.name, "version", subject.tree), subject)
    again = subject.record.reproduced if subject.record else None
    own = again is not None and again.tree is not None
    return Meant(Side(subject.column.name, "run", subject.tree, "own" if own else "started-from"), subject)


def _names_package(store: Store, text: str) -> bool:
    name = text.partition("@")[0]
    return bool(re.fullmatch(NAME_PATTERN, name)) and bool(numbers.majors(store.backend, name))


def _names_dataset(store: Store, text: str) -> bool:
    """Whether only a dataset has that name, be it that it has not that number."""
    return not _names_package(store, text) and _is_registered(store, text.partition("/")[0].partition("@")[0])


def _is_version(store: Store, text: str) -> bool:
    """Whether a package has it, be it that its content was given up."""
    if not _names_package(store, text):
        return False
    try:
        lookup.version(store, text, removed=True)
    except (NotFound, UsageError):
        return False
    return True


def _is_registered(store: Store, text: str) -> bool:
    name, _, number = text.partition("/")[0].partition("@")
    if not re.fullmatch(NAME_PATTERN, name) or not re.fullmatch(r"([1-9][0-9]{0,7})?", number):
        return False
    return registry.exists(store.backend, name, int(number or 1))


def _data(store: Store, text: str, directories: Directories, machine: Machine, observer: Observer) -> Meant:
    """A dataset, or what lies at a path or a URL."""
    dataset = lookup.dataset(store, text, observer)
    if isinstance(dataset, Stored):
        if dataset.entry.kind != "dir":
            raise UsageError(f"{dataset.label} is a single file", hint="name the folder that it is in")
        entry = dataset.entry
        return Meant(
            Side(dataset.label, "dataset", Tree(digest=entry.digest, files=entry.files, bytes=entry.bytes))
        )
    copies = Copies(os.path.join(machine.cache, "datasets"), machine.limit, observer=observer)
    with here(dataset, copies=copies, objects=store.objects) as source:
        side = Side(dataset.label, "folder", hashed(source, directories, machine, observer))
    local = dataset.path if isinstance(dataset, Source) and dataset.folder else None
    return Meant(side, folder=local)
