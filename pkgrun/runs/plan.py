"""From the kind of a run to what will be done: which folders, which variables, which calls. Pure."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass

from pkgrun.errors import PackageInvalid, UsageError
from pkgrun.packages import contract
from pkgrun.packages.contract import Pipeline, Step
from pkgrun.records import VersionRecord
from pkgrun.worker.supervisor import Call


@dataclass(frozen=True, slots=True)
class Plan:
    """What one run does.

    `data` is where the dataset goes, `evaluation` where an evaluation set does that is given apart. `prepares`: the
    package's own code makes, out of the dataset, what is trained and evaluated on.
    """

    pipeline: Pipeline
    artifacts: str
    variables: Mapping[str, str]
    steps: tuple[Step, ...]
    data: str
    evaluation: str | None = None
    prepares: bool = False

    @property
    def folders(self) -> tuple[str, ...]:
        """The run's own folders, relative to the work directory; they hide the package's own."""
        default = contract.ARTIFACTS
        return tuple(
            self.artifacts if folder == default else folder
            for folder in self.pipeline.folders
            if folder not in self.inside
        )

    @property
    def inside(self) -> tuple[str, ...]:
        """Those that lie in the folder of the dataset, and are made once that is there."""
        return tuple(folder for folder in self.pipeline.folders if folder.startswith(f"{self.data}/"))

    @property
    def calls(self) -> tuple[Call, ...]:
        """What is called on the `Main` instance, in order; what it prepared itself is looked at before it is used."""
        return tuple(
            Call(
                step.method,
                () if step.argument is None else (step.argument,),
                label=step.label,
                tolerant=step.tolerant,
                looked_at=self.prepares and step.role is not None,
            )
            for step in self.steps
        )


def plan(
    kind: str,
    version: VersionRecord,
    parameters: Mapping[str, str],
    *,
    evaluation_set: bool = False,
    baseline: bool = True,
) -> Plan:
    """The plan of a run of `kind` on a version.

    Args:
        evaluation_set: one is given apart from the dataset.
        baseline: evaluate before the training, too.

    Raises:
        PackageInvalid: the version cannot run that pipeline.
        UsageError: `artifacts_directory` is no folder inside the work directory.
    """
    pipeline = contract.PIPELINES[kind]
    _check(pipeline, version, evaluation_set=evaluation_set)
    variables = {**pipeline.variables, **parameters}
    lacks = {name for name in pipeline.unless_evaluation_set if name not in version.contract.methods}
    return Plan(
        pipeline=pipeline,
        artifacts=_artifacts(variables[contract.ARTIFACTS_DIRECTORY], pipeline),
        variables=variables,
        steps=tuple(
            step
            for step in pipeline.steps
            if step.method not in lacks and (baseline or step.label != contract.BASELINE)
        ),
        data=(lacks and pipeline.prepared) or pipeline.data,
        evaluation=pipeline.evaluation if evaluation_set else None,
        prepares=bool(pipeline.unless_evaluation_set) and not lacks,
    )


def _check(pipeline: Pipeline, version: VersionRecord, *, evaluation_set: bool) -> None:
    needed = pipeline.methods + (() if evaluation_set else pipeline.unless_evaluation_set)
    missing = [name for name in needed if name not in version.contract.methods]
    if not missing and pipeline.kind in version.contract.pipelines:
        return
    lacks = f" (its Main has no {', no '.join(missing)})" if missing else ""
    hint = "`pkgrun package check FOLDER` says what is missing where"
    if missing and set(missing) <= set(pipeline.unless_evaluation_set):
        hint = f"with --evaluation-data it needs no {', no '.join(missing)}"
    raise PackageInvalid(
        f"{version.package}@{version.version} cannot run the {pipeline.kind} pipeline{lacks}", hint=hint
    )


def _artifacts(folder: str, pipeline: Pipeline) -> str:
    clean = posixpath.normpath(folder) if folder else "."
    taken = f"{clean}/".startswith(f"{pipeline.data}/")
    if clean.startswith("/") or clean.split("/")[0] == ".." or clean == "." or "\0" in clean or taken:
        raise UsageError(
            f"artifacts_directory={folder!r} is no folder of its own inside the work directory",
            hint="name a sub-folder, such as artifacts or out/artifacts",
        )
    return clean
