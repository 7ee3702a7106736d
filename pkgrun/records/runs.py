"""What is written of a run for reading: all that is known of it, and the same under the vendor's names."""

from typing import Annotated, ClassVar, Literal

from pydantic import AwareDatetime, Field

from pkgrun.records.intents import Actor, CopyRequest, ErasureRequest, RunKind, Status, TrainingRequest
from pkgrun.records.numbered import Git, VersionEntry
from pkgrun.records.outcomes import (
    Changes,
    Confined,
    Copied,
    Device,
    Exit,
    Facts,
    Outcome,
    PhaseTime,
    Reproduction,
    RunError,
    Swept,
    Usage,
)
from pkgrun.records.record import FORMAT, Name, Record, RunId, Tree, VersionNumber, Whole

FINAL: frozenset[Status] = frozenset({"successful", "failed", "killed", "timed-out", "lost"})


class RunRecord(Record):
    """`runs/<id>/run.json`: all that is known of a run, for reading; follows from the other records."""

    LATER: ClassVar[frozenset[str]] = frozenset({"erasure", "erased"})

    format: Literal[1] = FORMAT
    run: RunId
    kind: RunKind
    status: Status
    package: Name | None = None
    version: VersionNumber | None = None
    dataset: Name | None = None
    number: Annotated[Whole | None, Field(description="Of the dataset.")] = None
    parent: VersionNumber | None = None
    created: AwareDatetime
    by: Actor
    phase: str | None = None
    heard: Annotated[
        AwareDatetime | None,
        Field(description="Of an open run: its last sign of life, by the store's clock."),
    ] = None
    request: TrainingRequest | None = None
    input: Annotated[Tree | None, Field(description="Of the version it started from.")] = None
    output: Annotated[Tree | None, Field(description="Of the version it made.")] = None
    git: Git | None = None
    source: Annotated[CopyRequest | None, Field(description="Of a copy.")] = None
    copied: Copied | None = None
    erasure: ErasureRequest | None = None
    erased: Annotated[Swept | None, Field(description="Of an erasure: what it took out of the store.")] = None
    error: RunError | None = None
    facts: Facts | None = None

    @property
    def subject(self) -> str:
        """The package or dataset that it is about."""
        return self.package or self.dataset or ""

    @property
    def pipeline(self) -> str:
        """What its code was called for: of a reproduction the kind of the run that it does again."""
        return (self.request and self.request.pipeline) or self.kind

    @property
    def reproduced(self) -> Reproduction | None:
        """Of a reproduction that ran to its end: what came of it."""
        return self.facts.reproduced if self.facts else None

    @property
    def final(self) -> bool:
        """Whether nothing of this will change any more."""
        return self.status in FINAL


class ResultsParameters(Record):
    """What went in, under the vendor's names."""

    pipeline: str
    inputs: dict[str, str | None]
    env: dict[str, str]


class ResultsSummary(Record):
    """What came out, under the vendor's names; times in seconds since the epoch."""

    execution_time: float
    start_at: float
    end_at: float
    outputs: dict[str, str | float | None]


class Results(Record):
    """`runs/<id>/_results.json`, as existing readers expect it."""

    parameters: ResultsParameters
    run_summary: ResultsSummary


def make_ready() -> None:
    """Build what checks and writes the end of a run: 5 ms of work, else done at the first use of each model."""
    for model in (
        PhaseTime,
        Changes,
        Exit,
        Confined,
        Device,
        Usage,
        Facts,
        VersionEntry,
        Outcome,
        RunRecord,
        Results,
    ):
        model.model_rebuild()
