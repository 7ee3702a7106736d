"""The library's face: a store opened, and what one can do with it, by noun. Composition only; the work is done below."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pkgrun.runs.arguments import checked
from pkgrun.settings import cache_folder, store_location
from pkgrun.store.root import Store, open_store
from pkgrun.workspace.lineage import Lineage
from pkgrun.workspace.packages import Packages
from pkgrun.workspace.pipelines import Pipelines
from pkgrun.workspace.runs import Runs

if TYPE_CHECKING:
    from pkgrun.workspace.datasets import Datasets
    from pkgrun.workspace.retention import Retention


@checked
def open(store: str | os.PathLike[str] | None = None, *, create: bool = True) -> Workspace:
    """Open a store.

    Args:
        store: a directory or `s3://bucket/prefix`; by default `PKGRUN_STORE`, the configuration file's, or `./.pkgrun`.
        create: make it if it is not there yet.

    Raises:
        NotFound: it is not there and is not to be made, or its bucket is not there.
        Conflict: something else is there, or a store of a newer release.
        UsageError: that is no store's place, or its server lacks what a store needs.
        PermissionDenied, Temporary: the system or the server refuses.
    """
    location = store_location(os.fspath(store) if store is not None else None)
    return Workspace(open_store(location, create=create, cache=cache_folder()))


class Workspace(Packages, Pipelines, Runs, Lineage):
    """A store and this machine: packages go in, runs are started, results come out."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @property
    def url(self) -> str:
        """Where the store is."""
        return self._store.url

    @property
    def datasets(self) -> Datasets:
        """The datasets that are registered by name."""
        from pkgrun.workspace.datasets import Datasets

        return Datasets(self._store)

    @property
    def retention(self) -> Retention:
        """Which versions are kept and which are given up."""
        from pkgrun.workspace.retention import Retention

        return Retention(self._store)
