"""The library's face for registered datasets. Composition only; the work is done below."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from pkgrun import __version__
from pkgrun.observe import Notice, Observer, Progress, silent
from pkgrun.records import DatasetRecord
from pkgrun.runs import lookup
from pkgrun.runs.arguments import checked
from pkgrun.runs.here import actor
from pkgrun.settings import cache_folder, cache_limit
from pkgrun.store import registry, trees
from pkgrun.store.export import export_tree
from pkgrun.store.files import shown
from pkgrun.store.root import Store
from pkgrun.store.trees import Difference, Entry

if TYPE_CHECKING:
    from pkgrun.runs.registering import Registered

_NAMED = 5


class Datasets:
    """Snapshots of datasets under a name and a number."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @checked
    def add(
        self,
        name: str,
        source: str | os.PathLike[str],
        *,
        description: str | None = None,
        tags: Mapping[str, str] | None = None,
        observer: Observer = silent,
    ) -> Registered:
        """Keep what is at a path or URL as the next number of `name`, unless its newest has that content already.

        A path that is there is meant though a registered dataset has its name: the folder `irises` is likely to be
        added as `irises`, and again when it has changed. With an `@` it is the dataset, as everywhere.

        Raises:
            InvalidName: `name` is none.
            DataInvalid, NotFound, PermissionDenied, Temporary, UsageError: the message names the thing.
        """
        from pkgrun.runs.registering import register

        return register(
            self._store,
            name,
            _path_first(os.fspath(source)),
            description=description,
            tags=tags or {},
            by=actor(__version__),
            cache=cache_folder(),
            cache_limit=cache_limit(),
            observer=observer,
        )

    def all(self) -> list[DatasetRecord]:
        """The newest record of every dataset, by name."""
        backend = self._store.backend
        return [registry.newest(backend, name) for name in registry.names(backend)]

    @checked
    def numbers(self, name: str) -> list[DatasetRecord]:
        """All records of a dataset, ascending.

        Raises:
            NotFound: there is no such dataset.
        """
        registry.newest(self._store.backend, name)
        return list(registry.records(self._store.backend, name))

    @checked
    def get(self, name: str) -> DatasetRecord:
        """The record that `name` or `name@n` means; without a number the newest.

        Raises:
            NotFound: there is none.
        """
        return lookup.registered(self._store, name)

    @checked
    def files(self, name: str) -> Iterator[tuple[str, Entry]]:
        """The files, folders and links of `name[@n]` by path, in order."""
        yield from sorted(trees.walk(self._store.objects, self.get(name).tree.digest))

    @checked
    def diff(self, old: str, new: str) -> list[Difference]:
        """What leads from one dataset, or one number of it, to another, by path."""
        digests = self.get(old).tree.digest, self.get(new).tree.digest
        return sorted(trees.diff(self._store.objects, *digests), key=lambda one: one.path)

    @checked
    def export(
        self,
        name: str,
        out: str | os.PathLike[str],
        *,
        skip_erased: bool = False,
        observer: Observer = silent,
    ) -> DatasetRecord:
        """Write the files of `name[@n]` into a folder, which must be new or empty, every byte verified.

        A new folder appears when it is whole (`store/export.py` tells of one that is there).

        Args:
            skip_erased: leave out files that were erased; the observer is told of them.

        Raises:
            Erased: a file was erased.
            NotFound: there is no such dataset.
            Conflict: the folder holds something.
            Damaged: the store's bytes are not what they were.
            PermissionDenied, Temporary: it cannot be written.
        """
        record = self.get(name)
        done = 0

        def told(size: int) -> None:
            nonlocal done
            done += size
            observer(Progress(record.label, done, record.tree.bytes, "bytes"))

        left = export_tree(
            self._store.objects, record.tree.digest, os.fspath(out), skip_erased=skip_erased, progress=told
        )
        if left:
            named = ", ".join(map(shown, left[:_NAMED])) + (
                f" and {len(left) - _NAMED:,} more" if len(left) > _NAMED else ""
            )
            observer(Notice(f"left out, because they were erased: {named}"))
        return record


def _path_first(text: str) -> str:
    is_path = "@" not in text and os.path.exists(text)
    return os.path.join(os.curdir, text) if is_path else text
