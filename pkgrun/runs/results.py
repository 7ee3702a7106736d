"""What is written of a run for reading: pure functions of its intent, its outcome and its version.

Whoever carries out the decision writes them, and gets the same bytes.
"""

from __future__ import annotations

from typing import Literal

from pkgrun.errors import PkgrunError
from pkgrun.packages import contract
from pkgrun.records import (
    DatasetRecord,
    Decision,
    Facts,
    Heartbeat,
    Intent,
    Outcome,
    Results,
    ResultsParameters,
    ResultsSummary,
    RunError,
    RunRecord,
    Status,
    TrainingRequest,
    Tree,
    VersionRecord,
)

Role = Literal["input", "trained", "evaluated"]

STATUS: dict[Decision, Status] = {
    "COMMIT": "successful",
    "FAILED": "failed",
    "KILLED": "killed",
    "TIMED-OUT": "timed-out",
    "LOST": "lost",
}


def run_record(
    intent: Intent,
    outcome: Outcome | None,
    made: VersionRecord | DatasetRecord | None,
    heartbeat: Heartbeat | None = None,
) -> RunRecord:
    """All that is known of a run; of one that is still open, as its last sign of life tells."""
    entry = outcome.entry if outcome else None
    request = intent.training
    return RunRecord(
        run=intent.run,
        kind=intent.kind,
        status=STATUS[outcome.decision] if outcome else heartbeat.status if heartbeat else "scheduled",
        package=intent.package,
        version=made.version if isinstance(made, VersionRecord) else None,
        dataset=intent.dataset,
        number=made.number if isinstance(made, DatasetRecord) else None,
        parent=request.base if request else None,
        created=intent.created,
        by=intent.by,
        phase=None if outcome or not heartbeat else heartbeat.phase,
        request=request,
        input=request.tree if request else None,
        output=entry.tree if entry else outcome.dataset.tree if outcome and outcome.dataset else None,
        git=entry.git if entry else None,
        source=intent.copy_,
        copied=outcome.copied if outcome else None,
        erasure=intent.erasure,
        erased=outcome.erased if outcome else None,
        error=outcome.error if outcome else None,
        facts=outcome.facts if outcome else None,
    )


def results(record: RunRecord, store: str) -> Results | None:
    """The results of a run that has ended, under the vendor's names; None of an import or of an open run."""
    if record.request is None or record.package is None or not record.final:
        return None
    request, facts = record.request, record.facts or _no_facts(record)
    return Results(
        parameters=ResultsParameters(
            pipeline=record.kind,
            inputs={
                "package": record.package,
                "version": str(request.base),
                **_data_given(record.pipeline, request),
                "gpu": str(request.gpu),
            },
            env=request.parameters,
        ),
        run_summary=ResultsSummary(
            execution_time=round((facts.ended - facts.started).total_seconds(), 6),
            start_at=facts.started.timestamp(),
            end_at=facts.ended.timestamp(),
            outputs=_outputs(record, facts, f"{store}/runs/{record.run}"),
        ),
    )


def _data_given(kind: str, request: TrainingRequest) -> dict[str, str | None]:
    if kind == contract.EVALUATION:
        return {"evaluation_data": request.data}
    if kind == contract.FULL:
        return {"train_data": request.data, "evaluation_data": str(request.evaluation_data)}
    return {"train_data": request.data}


def _outputs(record: RunRecord, facts: Facts, place: str) -> dict[str, str | float | None]:
    """What came out; locations are logical, `pkgrun run artifacts --out`, with `--snapshot` and `--role`, writes them out."""
    train_data = f"{place}/data" if kept(facts, "input") else None
    evaluation_data = f"{place}/evaluation_data" if kept(facts, "evaluated") else None
    artifacts_data = f"{place}/artifacts"
    if record.pipeline == contract.EVALUATION:
        return {
            "score": facts.score,
            "evaluation_data": evaluation_data,
            "artifacts_data": artifacts_data,
        }
    made = {"package": record.package, "version": str(record.version) if record.version else None}
    if record.pipeline == contract.FULL:
        return {
            "train_data": train_data,
            "evaluation_data": evaluation_data,
            "artifacts_data": artifacts_data,
            "score": facts.score,
            **made,
        }
    return {"train_data": train_data, "artifacts_data": artifacts_data, **made}


def kept(facts: Facts, role: Role) -> Tree | None:
    """What the store keeps of the data of a run: the dataset as it was put there, or what a call was given.

    What was evaluated is what the last evaluation was given.
    """
    if role == "input" or (facts.data is not None and facts.data.role == role):
        return facts.snapshot
    passed = [one.tree for one in facts.passed if one.role == role and one.kept]
    if passed:
        return passed[-1]
    if role == "evaluated":
        return facts.evaluation_snapshot
    phases = {phase.name for phase in facts.phases}
    as_it_was = contract.TRAIN in phases and contract.PROCESS_DATA not in phases
    return facts.snapshot if as_it_was else None


def _no_facts(record: RunRecord) -> Facts:
    """Of a run whose supervisor died nothing is known but when it began."""
    return Facts(started=record.created, ended=record.created)


def run_error(error: PkgrunError, phase: str | None) -> RunError:
    """An error as the record holds it."""
    return RunError(kind=error.kind, message=error.message, hint=error.hint, phase=phase)
