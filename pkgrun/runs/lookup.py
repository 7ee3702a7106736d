"""From what a caller writes to the thing that is meant: a version, a dataset, a run."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from pkgrun.errors import InvalidName, NotFound, UsageError
from pkgrun.identity import NAME_PATTERN, RUN_ID_PATTERN, Version, check_name
from pkgrun.observe import Notice, Observer, silent
from pkgrun.packages.git_addresses import is_address
from pkgrun.records import DatasetRecord, VersionRecord
from pkgrun.records.collecting import Removal
from pkgrun.store import numbers, operations, registry, trees
from pkgrun.store.files import shown
from pkgrun.store.root import Store
from pkgrun.store.trees import Entry

if TYPE_CHECKING:
    from pkgrun.datasets.sources import Dataset, Source, Stored

_DATASET = NAME_PATTERN.rstrip("$") + r"@[1-9][0-9]{0,7}"


def is_folder(store: Store, text: str) -> bool:
    """Whether `text` means a folder: it has no `@`, and no package has that name; `./` forces it. Or one in a git repository."""
    if re.match(r"(\.{1,2}|~|)/|\.{1,2}$", text):
        return True
    if is_address(text):
        return True
    if "@" in text:
        return False
    return not re.fullmatch(NAME_PATTERN, text) or not numbers.majors(store.backend, text)


def version(store: Store, text: str, given: str | None = None, *, removed: bool = False) -> VersionRecord:
    """The version that `name`, `name@major` or `name@major.minor` means; without a number the newest that is there.

    Args:
        removed: also the record of one that was removed, if its number is given in full.

    Raises:
        NotFound: there is none, or it was removed.
        InvalidName, UsageError: that is not how a version is written.
    """
    name, _, number = text.partition("@")
    check_name(name)
    if given is not None and number:
        raise UsageError(f"{text} and the version {given} are both given", hint="give the version once")
    number = given or number
    if not number and "@" in text:
        raise UsageError(f"{text!r} lacks the version after @", hint=f"such as {name}@1.0, or {name} alone")
    if re.fullmatch(r"[1-9][0-9]{0,7}", number):
        return numbers.newest(store.backend, name, int(number))
    if number:
        record = numbers.read(store.backend, name, Version.parse(number))
        return record if removed else there(store, record)
    return numbers.newest(store.backend, name)


def there(store: Store, record: VersionRecord) -> VersionRecord:
    """The version, whose content is there.

    Raises:
        NotFound: it was removed.
    """
    removal = numbers.removed(store.backend, record.package, record.version)
    if removal is None:
        return record
    try:
        newest = numbers.newest(store.backend, record.package)
        hint = f"the newest that is there is {newest.package}@{newest.version}"
    except NotFound:
        hint = f"`pkgrun package show {record.package}` shows what there was"
    raise NotFound(f"{record.package}@{record.version} {was_removed(removal)}", hint=hint)


def was_removed(removal: Removal) -> str:
    """When and by whom."""
    return f"was removed on {removal.created:%Y-%m-%d} by {removal.by.user}"


def dataset(store: Store, text: str, observer: Observer = silent) -> Dataset:
    """What `--data` means: a URL, `name[@n][/folder]` of a registered dataset, or a path.

    With an `@` it is a name; without one, a registered dataset wins over a path of that name, and that is told. `./`
    forces the path.

    Raises:
        NotFound, DataInvalid, PermissionDenied, UsageError: it means nothing that there is.
    """
    from pkgrun.datasets import sources  # only a dataset needs it

    if "://" in text:
        from pkgrun.datasets.remote import fetching, urls

        path = fetching.local_path(text)
        if path is not None:
            return sources.find(path)
        fetching.check(text)
        return sources.Remote(text, urls.label(text))
    if re.match(r"(\.{1,2}|~[^/]*|)/|\.{1,2}$", text):
        return sources.find(text)
    name, _, below = text.partition("/")
    if "@" in name:
        if os.path.exists(text) and not re.fullmatch(_DATASET, name):
            return sources.find(text)
        return _stored(store, _registered_not_path(store, name, text), below)
    if not re.fullmatch(NAME_PATTERN, name) or not registry.exists(store.backend, name, 1):
        return sources.find(text)
    if os.path.exists(text):
        observer(
            Notice(
                f"{shown(name)} is a registered dataset and also a path here; the dataset is meant",
                hint=f"./{shown(text)} means the path",
            )
        )
    return _stored(store, registered(store, name), below)


def _registered_not_path(store: Store, name: str, text: str) -> DatasetRecord:
    try:
        return registered(store, name)
    except NotFound as error:
        if os.path.exists(text):
            raise NotFound(error.message, hint=f"./{shown(text)} means the path") from error
        raise


def registered(store: Store, text: str) -> DatasetRecord:
    """The record that `name` or `name@n` of a registered dataset means; without a number the newest.

    Raises:
        NotFound: there is none.
        InvalidName: that is not how one is written.
    """
    name, at, number = text.partition("@")
    check_name(name, "dataset")
    if not at:
        return registry.newest(store.backend, name)
    if not re.fullmatch(r"[1-9][0-9]{0,7}", number):
        raise InvalidName(f"{text!r} is no dataset", hint=f"such as {name}@1, or {name} for the newest")
    return registry.read(store.backend, name, int(number))


def _stored(store: Store, record: DatasetRecord, below: str) -> Stored:
    """The whole of a dataset, or what lies at a path in it."""
    from pkgrun.datasets.sources import Stored

    path = below.strip("/")
    if not path:
        tree = record.tree
        return Stored(record.label, Entry("", "dir", tree.digest, tree.files, tree.bytes))
    try:
        entry = trees.find(store.objects, record.tree.digest, path)
    except NotFound as error:
        raise NotFound(
            f"there is no {shown(path)} in the dataset {record.label}",
            hint=f"`pkgrun dataset files {record.label}` shows what is in it",
        ) from error
    if entry.kind == "symlink":
        raise UsageError(
            f"{shown(path)} in the dataset {record.label} is a link", hint="name what it points to"
        )
    return Stored(f"{record.label}/{shown(path)}", entry)


def apart(store: Store, source: Source, cache: str) -> None:
    """A dataset that holds the store, or where runs work, would grow with every run, and change while it is read.

    Raises:
        UsageError: this one does.
    """
    homes = {"the cache": (cache, "PKGRUN_CACHE")}
    if store.backend.capabilities.paths:
        homes[f"the store {store.url}"] = store.backend.url, "--store"
    for what, (home, option) in homes.items():
        if source.folder and _holds(source.path, os.path.realpath(home)):
            raise UsageError(
                f"the dataset {source.label} holds {what} itself",
                hint=f"name a folder beside it, or put it elsewhere with {option}",
            )


def _holds(folder: str, path: str) -> bool:
    return os.path.commonpath([folder, path]) == folder


_RUN = r"[0-9a-f][0-9a-f-]{3,35}"
"""The id of a run, or the beginning of one."""


def means_run(store: Store, text: str) -> bool:
    """Whether `text` means a run: it looks like the beginning of an id, and no package has that name."""
    return bool(re.fullmatch(_RUN, text)) and not numbers.majors(store.backend, text)


def run(store: Store, text: str) -> str:
    """The id of the run that an id, or the beginning of one, means.

    Raises:
        NotFound: there is none.
        InvalidName: that cannot be an id.
        UsageError: several ids begin so.
    """
    if re.fullmatch(RUN_ID_PATTERN, text):
        operations.intent(store.backend, text)
        return text
    if not re.fullmatch(_RUN, text):
        raise InvalidName(f"{text!r} is no run id", hint="`pkgrun run list` shows the runs and their ids")
    found = [name for name in operations.runs(store.backend) if name.startswith(text)]
    if len(found) > 1:
        raise UsageError(
            f"{len(found)} runs' ids begin with {text}", hint="give more of it: " + ", ".join(found[:3])
        )
    if not found:
        raise NotFound(f"there is no run {text}", hint="`pkgrun run list` shows the runs")
    return found[0]
