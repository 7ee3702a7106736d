"""The library's face for starting pipelines. Composition only; the work is done below."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from pkgrun import __version__
from pkgrun.observe import Observer, silent
from pkgrun.runs.arguments import checked
from pkgrun.runs.here import actor
from pkgrun.settings import cache_folder, cache_limit
from pkgrun.store.root import Store

if TYPE_CHECKING:
    from pkgrun.runs.handle import Run


class Pipelines:
    """Runs are started."""

    _store: Store

    @checked
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
