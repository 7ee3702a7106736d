"""The library's face for starting pipelines, and for trying what they made. Composition only; the work is done below."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, Unpack

from pkgrun.observe import Observer, silent
from pkgrun.runs.arguments import checked
from pkgrun.settings import cache_folder
from pkgrun.workspace.wishes import Options, Wishes

if TYPE_CHECKING:
    from pkgrun.runs.handle import Run
    from pkgrun.runs.predicting import Content, Prediction


class Pipelines(Wishes):
    """Runs are started, and what they made is tried."""

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
        override_requirements: str | os.PathLike[str] | None = None,
        relax_pins: bool = False,
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
            override_requirements: a file of requirements that replace those of the same names, whoever asks for them; a
                retraining of the result keeps them.
            relax_pins: let `==` pins that do not install as they are go up to below their next major version (0.x: below
                1, else below 2); the record says which became what.
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
        return self._begin(
            "training",
            package=package,
            data=data,
            save_training_data=save_training_data,
            version=version,
            env=env,
            secrets=secrets,
            gpu=gpu,
            timeout=timeout,
            python=python,
            environment=environment,
            upgrade=upgrade,
            override_requirements=override_requirements,
            relax_pins=relax_pins,
            mount=mount,
            require_stable_data=require_stable_data,
            sandbox=sandbox,
            memory=memory,
            cpus=cpus,
            storage=storage,
            description=description,
            tags=tags,
            idempotency_key=idempotency_key,
            keep_workdir=keep_workdir,
            observer=observer,
        )

    @checked
    def evaluate(
        self,
        package: str | os.PathLike[str],
        *,
        data: str | os.PathLike[str] | None = None,
        save_test_data: bool | None = None,
        **options: Unpack[Options],
    ) -> Run:
        """Start an evaluation and return at once; it makes a score and artifacts, and no version.

        Args:
            package: as in `train`.
            data: what appears at `evaluation_data/`.
            save_test_data: keep a snapshot of it.
            options: as in `train`.

        Raises:
            UsageError, NotFound, PackageInvalid, Conflict, PermissionDenied: before anything was begun.
        """
        return self._begin("evaluation", package=package, data=data, save_test_data=save_test_data, **options)

    @checked
    def full(
        self,
        package: str | os.PathLike[str],
        *,
        data: str | os.PathLike[str] | None = None,
        evaluation_data: str | os.PathLike[str] | None = None,
        baseline: bool = True,
        save_training_data: bool | None = None,
        save_test_data: bool | None = None,
        **options: Unpack[Options],
    ) -> Run:
        """Start a full pipeline and return at once: process the data, evaluate, train, save, evaluate again.

        Args:
            package: as in `train`.
            data: what appears at `dataset/`; `process_data` splits it into `training/` and `test/`. Where a package
                has no such method, it appears at `dataset/training/`.
            evaluation_data: what appears at `dataset/test/`.
            baseline: evaluate before the training, too; that this fails is no failure of the run.
            save_training_data: keep snapshots of the dataset and of what was trained on; by default they are kept.
            save_test_data: keep snapshots of the evaluation set and of what was evaluated; by default they are kept.
            options: as in `train`.

        Raises:
            UsageError, NotFound, PackageInvalid, Conflict, PermissionDenied: before anything was begun.
        """
        return self._begin(
            "full",
            package=package,
            data=data,
            evaluation_data=evaluation_data,
            baseline=baseline,
            save_training_data=save_training_data,
            save_test_data=save_test_data,
            **options,
        )

    @checked
    def predict(
        self,
        package: str,
        *,
        version: str | None = None,
        text: str | None = None,
        file: Content | None = None,
        files: Sequence[Content] | None = None,
        env: Mapping[str, str] | None = None,
        secrets: Mapping[str, str] | None = None,
        gpu: bool = False,
        timeout: float | None = None,
        python: str | None = None,
        environment: Literal["isolated", "current"] = "isolated",
        upgrade: bool = False,
        override_requirements: str | os.PathLike[str] | None = None,
        relax_pins: bool = False,
        sandbox: Literal["none", "process", "no-network"] = "none",
        memory: int | str | None = None,
        cpus: float | None = None,
        storage: int | str | None = None,
        keep_workdir: bool = False,
        observer: Observer = silent,
    ) -> Prediction:
        """Have a version's own `main.py` answer, and wait for it. Nothing is kept: no run, nothing in the store.

        It runs in an environment of the version's `requirements.txt`, on a copy of the version that is gone afterwards. One
        of `text`, `file` and `files` is given; the rest is as in `train`.

        Args:
            package: `name`, `name@major` or `name@major.minor`.
            version: the version, if `package` is a bare name; else its newest.
            text: what the code is given as a `str`, such as JSON.
            file: what it is given as `bytes`: a path, or the bytes themselves.
            files: what it is given as a list of `bytes`, in this order.

        Raises:
            UsageError, NotFound, PackageInvalid, PermissionDenied: before anything was begun.
            UserCodeFailed: the code raised (`traceback`), ended, or returned no string.
            TimedOut: it took longer than `timeout`.
        """
        from pkgrun.runs import confining, predicting
        from pkgrun.worker.overrides import NONE, read

        wish = predicting.Wish(
            package=package,
            version=version,
            text=text,
            file=file,
            files=files,
            env=dict(env or {}),
            secrets=dict(secrets or {}),
            gpu=gpu,
            timeout=timeout,
            python=python,
            environment=environment,
            upgrade=upgrade,
            override=read(override_requirements) if override_requirements is not None else NONE,
            relax_pins=relax_pins,
            keep_workdir=keep_workdir,
            limits=confining.wanted(sandbox, memory, cpus, storage),
        )
        return predicting.predict(self._store, wish, cache=cache_folder(), observer=observer)
