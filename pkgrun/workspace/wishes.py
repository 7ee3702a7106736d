"""The options that every pipeline takes, and from them to what is asked. Composition only."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, TypedDict

from pkgrun import __version__
from pkgrun.errors import UsageError
from pkgrun.observe import Observer, silent
from pkgrun.runs.arguments import checked
from pkgrun.runs.here import actor
from pkgrun.settings import cache_folder, cache_limit
from pkgrun.store.root import Store

if TYPE_CHECKING:
    from pkgrun.runs.handle import Run


class Options(TypedDict, total=False):
    """What the environment and the process of a run may be told; `Workspace.train` says what each part means."""

    version: str | None
    env: Mapping[str, str] | None
    secrets: Mapping[str, str] | None
    gpu: bool
    timeout: float | None
    python: str | None
    environment: Literal["isolated", "current"]
    upgrade: bool
    override_requirements: str | os.PathLike[str] | None
    relax_pins: bool
    mount: Literal["auto", "overlay", "reflink", "copy"]
    require_stable_data: bool
    sandbox: Literal["none", "process", "no-network"]
    memory: int | str | None
    cpus: float | None
    storage: int | str | None
    description: str | None
    tags: Mapping[str, str] | None
    idempotency_key: str | None
    keep_workdir: bool
    observer: Observer


class Wishes:
    """Runs are started, of whatever pipeline."""

    _store: Store

    @checked
    def _begin(
        self,
        kind: Literal["training", "evaluation", "full"],
        *,
        package: str | os.PathLike[str],
        data: str | os.PathLike[str] | None = None,
        evaluation_data: str | os.PathLike[str] | None = None,
        save_training_data: bool | None = None,
        save_test_data: bool | None = None,
        baseline: bool = True,
        version: str | None = None,
        env: Mapping[str, str] | None = None,
        secrets: Mapping[str, str] | None = None,
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
        """Start a run of a pipeline and return at once.

        Raises:
            UsageError, NotFound, PackageInvalid, Conflict, PermissionDenied: before anything was begun.
        """
        from pkgrun.runs import confining, launch

        if evaluation_data is not None and kind != "full":
            raise UsageError(
                f"the {kind} pipeline takes no evaluation set beside its data",
                hint="what an evaluation is given is its data; Workspace.full takes both",
            )
        wish = launch.Wish(
            kind=kind,
            package=os.fspath(package),
            version=version,
            data=_path(data),
            evaluation_data=_path(evaluation_data),
            env=dict(env or {}),
            secrets=dict(secrets or {}),
            save_training_data=save_training_data,
            save_test_data=save_test_data,
            baseline=baseline,
            gpu=gpu,
            timeout=timeout,
            python=python,
            environment=environment,
            upgrade=upgrade,
            override_requirements=_overrides(override_requirements),
            relax_pins=relax_pins,
            description=description,
            tags=dict(tags or {}),
            mount=mount,
            require_stable_data=require_stable_data,
            keep_workdir=keep_workdir,
            limits=confining.wanted(sandbox, memory, cpus, storage),
        )
        return launch.begin(
            self._store,
            wish,
            by=actor(__version__),
            cache=cache_folder(),
            cache_limit=cache_limit(),
            observer=observer,
            idempotency_key=idempotency_key,
        )


def _overrides(file: str | os.PathLike[str] | None) -> str | None:
    """What is in a file of overrides, so that the same file with other lines is another call."""
    if file is None:
        return None
    from pkgrun.worker.overrides import read

    return read(file).text


def _path(place: str | os.PathLike[str] | None) -> str | None:
    return os.fspath(place) if place is not None else None
