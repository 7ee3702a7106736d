"""The library's face: a store opened, and what one can do with it. Composition only; the work is done below."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Literal

from pkgrun import __version__
from pkgrun.errors import NotFound
from pkgrun.identity import Version
from pkgrun.observe import Observer, silent
from pkgrun.records import RunRecord, VersionRecord
from pkgrun.records.collecting import Removal
from pkgrun.runs import lookup, recover
from pkgrun.runs.here import actor
from pkgrun.settings import cache_folder, cache_limit, store_location
from pkgrun.store import numbers, operations, trees
from pkgrun.store.root import Store, open_store
from pkgrun.store.trees import Entry

if TYPE_CHECKING:
    from pkgrun.runs.handle import Run
    from pkgrun.runs.importing import Imported
    from pkgrun.runs.reaper import Recovery
    from pkgrun.runs.removing import Removed
    from pkgrun.workspace.datasets import Datasets
    from pkgrun.workspace.retention import Retention


_PIPELINES = {"training", "evaluation", "full"}


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


class Workspace:
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

    def add(
        self,
        folder: str | os.PathLike[str],
        *,
        name: str | None = None,
        description: str | None = None,
        tags: Mapping[str, str] | None = None,
        observer: Observer = silent,
    ) -> Imported:
        """Import a package folder as the next major, unless the package has a version of that content already.

        Raises:
            PackageInvalid: it can neither run a pipeline nor serve.
            InvalidName, NotFound, PermissionDenied, Temporary: as their names say; the message names the thing.
        """
        from pkgrun.runs.importing import bring_in

        return bring_in(
            self._store,
            os.fspath(folder),
            name=name,
            description=description,
            tags=tags or {},
            by=actor(__version__),
            observer=observer,
        )

    def train(
        self,
        package: str | os.PathLike[str],
        *,
        version: str | None = None,
        data: str | os.PathLike[str] | None = None,
        env: Mapping[str, str] | None = None,
        secrets: Mapping[str, str] | None = None,
        save_training_data: bool = False,
        gpu: bool = False,
        timeout: float | None = None,
        python: str | None = None,
        environment: Literal["isolated", "current"] = "isolated",
        upgrade: bool = False,
        mount: Literal["auto", "overlay", "reflink", "copy"] = "auto",
        require_stable_data: bool = False,
        sandbox: Literal["none", "process", "no-network"] = "none",
        memory: int | str | None = None,
        cpus: float | None = None,
        storage: int | str | None = None,
        description: str | None = None,
        tags: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
        keep_workdir: bool = False,
        observer: Observer = silent,
    ) -> Run:
        """Start a training and return at once; `Run.wait` waits for its version.

        Args:
            package: `name`, `name@major`, `name@major.minor`, or a folder, which is imported first.
            version: the version to start from, if `package` is a bare name; else its newest.
            data: what appears at `data/`: a file, a folder, a URL, or `name[@n][/folder]` of a registered dataset;
                without it `data/` is empty.
            env: parameters; the package's code finds them in its environment, the record keeps them.
            secrets: variables whose values are never recorded and are masked in the log.
            save_training_data: keep a snapshot of the dataset; a parameter of that name does the same.
            gpu: let the code see the machine's accelerators; without it they are hidden.
            timeout: seconds that the package's code may take.
            python: the version of Python for its environment, such as "3.12", or an interpreter's path.
            environment: an environment of its own, made from its requirements, or the Python at hand.
            upgrade: resolve the requirements anew instead of re-using the parent's lock.
            mount: how the dataset is put there; `auto` takes the first way that works.
            require_stable_data: fail if the dataset changed while the code ran on it.
            sandbox: `process` gives the code a home and a temporary folder of its own and no core dumps; `no-network`
                takes the network away too. Neither keeps it from what its user may read or write.
            memory: bytes, or `2GB`, that it may take; by a control group where one may be made, else the address
                space of each process. The record says which.
            cpus: processors that it may use; by a control group, else by how many it runs on.
            storage: bytes, or `2GB`, that it may add to its work directory, looked at again and again.
            idempotency_key: calling again with the same key and arguments gives the same run while it goes on or if it
                succeeded; a new one if it did not, or was not heard for 15 minutes.
            keep_workdir: leave the work directory; `observer` is told where.
            observer: told what happens, from several threads.

        Raises:
            UsageError, NotFound, PackageInvalid, Conflict, PermissionDenied: before anything was begun.
        """
        from pkgrun.runs import confining, launch

        wish = launch.Wish(
            package=os.fspath(package),
            version=version,
            data=os.fspath(data) if data is not None else None,
            env=dict(env or {}),
            secrets=dict(secrets or {}),
            save_training_data=save_training_data,
            gpu=gpu,
            timeout=timeout,
            python=python,
            environment=environment,
            upgrade=upgrade,
            mount=mount,
            require_stable_data=require_stable_data,
            description=description,
            tags=dict(tags or {}),
            keep_workdir=keep_workdir,
            limits=confining.wanted(sandbox, memory, cpus, storage),
        )
        return launch.train(
            self._store,
            wish,
            by=actor(__version__),
            cache=cache_folder(),
            cache_limit=cache_limit(),
            observer=observer,
            idempotency_key=idempotency_key,
        )

    def packages(self) -> dict[str, int]:
        """The names of all packages, ascending, with how many versions each has; those that were removed count too."""
        backend = self._store.backend
        return {name: numbers.count(backend, name) for name in numbers.packages(backend)}

    def versions(self, package: str) -> list[VersionRecord]:
        """All versions of a package, ascending, also those that were removed (`removals`).

        Raises:
            NotFound: there is no such package.
        """
        found = list(numbers.versions(self._store.backend, package))
        if not found:
            raise NotFound(f"there is no package {package}", hint="`pkgrun package list` shows what there is")
        return found

    def version(self, name: str, *, removed: bool = False) -> VersionRecord:
        """The version that `name`, `name@major` or `name@major.minor` means; without a number the newest.

        Args:
            removed: also the record of one that was removed, if it is named by its number.

        Raises:
            NotFound: there is none, or it was removed.
        """
        return lookup.version(self._store, name, removed=removed)

    def removals(self, package: str) -> dict[Version, Removal]:
        """The versions of a package that were removed: when, by whom and why."""
        return numbers.removals(self._store.backend, package)

    def remove(self, name: str, *, reason: str | None = None, force: bool = False) -> Removed:
        """Give up the content of a version, with the artifacts and the snapshot of the run that made it.

        Its record, its log and its number stay; the number is never given again. The space is freed by the next
        collection (`pkgrun.workspace.stores.gc`). One that was removed already stays as it is.

        Args:
            name: `name@major.minor`, in full.
            reason: kept with it.
            force: also if other versions came from it.

        Raises:
            UsageError: the name has not the version in full.
            NotFound: there is no such version.
            Conflict: other versions came from it, or an operation that goes on starts from it.
            PermissionDenied, Temporary: the store refuses.
        """
        from pkgrun.runs.removing import remove

        return remove(self._store, name, reason=reason, force=force, by=actor(__version__))

    def files(self, name: str) -> Iterator[tuple[str, Entry]]:
        """The files, folders and links of a version by path, in order."""
        yield from sorted(trees.walk(self._store.objects, self.version(name).tree.digest))

    def export(self, name: str, out: str | os.PathLike[str]) -> int:
        """Write the files of a version into a folder, which must be new or empty; how many they are.

        Raises:
            NotFound: there is no such version.
            Conflict: the folder holds something.
            PermissionDenied, Temporary: it cannot be written.
        """
        from pkgrun.store.export import export_tree

        tree = self.version(name).tree
        export_tree(self._store.objects, tree.digest, os.fspath(out))
        return tree.files

    def run(self, run: str) -> Run:
        """A handle on a run, by its id or the beginning of it, from whatever process.

        Raises:
            NotFound: there is no such run.
        """
        from pkgrun.runs.handle import Run

        return Run(self._store, lookup.run(self._store, run))

    def runs(self, *, limit: int | None = None, everything: bool = False) -> Iterator[RunRecord]:
        """Runs, the newest first.

        Args:
            limit: so many at most.
            everything: also those that ran no pipeline: imports, registered datasets, copies.
        """
        records = (recover.settle(self._store, run) for run in operations.runs(self._store.backend))
        yield from islice((record for record in records if everything or record.kind in _PIPELINES), limit)

    def recover(self, *, silent_for: float = recover.SILENT) -> Recovery:
        """Bring to its end what nobody carries on: decided operations are carried out, dead and silent ones are lost.

        What is given up here can commit no more, also if it lives.

        Args:
            silent_for: seconds without a sign of life, by the store's clock, after which nobody works on an operation.

        Raises:
            UsageError: `silent_for` is no number of seconds.
            PermissionDenied, Temporary: the store refuses.
        """
        from pkgrun.runs.reaper import reap

        return reap(self._store, silent_for=silent_for)
