"""From the kind of a run to what will be done: which folders, which variables, which calls. Pure."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass

from pkgrun.errors import PackageInvalid, UsageError
from pkgrun.packages import contract
from pkgrun.packages.contract import Pipeline
from pkgrun.records import VersionRecord
from pkgrun.worker.supervisor import Call


@dataclass(frozen=True, slots=True)
class Plan:
    """What one run does. `folders` are made, empty, before the package's code starts; they hide the package's own."""

    pipeline: Pipeline
    artifacts: str
    variables: Mapping[str, str]

    @property
    def folders(self) -> tuple[str, ...]:
        """The run's own folders, relative to the work directory."""
        default = contract.ARTIFACTS
        return tuple(self.artifacts if folder == default else folder for folder in self.pipeline.folders)

    @property
    def calls(self) -> tuple[Call, ...]:
        """What is called on the `Main` instance, in order."""
        return tuple(
            Call(step.method, () if step.argument is None else (step.argument,))
            for step in self.pipeline.steps
        )


def plan(kind: str, version: VersionRecord, parameters: Mapping[str, str]) -> Plan:
    """The plan of a run of `kind` on a version.

    Raises:
        PackageInvalid: the version cannot run that pipeline.
        UsageError: `artifacts_directory` is no folder inside the work directory.
    """
    pipeline = contract.PIPELINES[kind]
    if kind not in version.contract.pipelines:
        missing = [name for name in pipeline.methods if name not in version.contract.methods]
        lacks = f" (its Main has no {', no '.join(missing)})" if missing else ""
        raise PackageInvalid(
            f"{version.package}@{version.version} cannot run the {kind} pipeline{lacks}",
            hint="`pkgrun package check FOLDER` says what is missing where",
        )
    variables = {**pipeline.variables, **parameters}
    return Plan(pipeline, _artifacts(variables[contract.ARTIFACTS_DIRECTORY], pipeline), variables)


def _artifacts(folder: str, pipeline: Pipeline) -> str:
    clean = posixpath.normpath(folder) if folder else "."
    taken = any(f"{clean}/".startswith(f"{data}/") for data in (pipeline.data,))
    if clean.startswith("/") or clean.split("/")[0] == ".." or clean == "." or "\0" in clean or taken:
        raise UsageError(
            f"artifacts_directory={folder!r} is no folder of its own inside the work directory",
            hint="name a sub-folder, such as artifacts or out/artifacts",
        )
    return clean
