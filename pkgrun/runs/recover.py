"""Carries out what was decided, whoever decided it, and gives up what can no longer decide.

Everything here may be done by anybody, at any time, any number of times.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

from pkgrun.errors import Bug, Killed, PermissionDenied, PkgrunError, RunLost
from pkgrun.packages.contract import RESULTS_FILE
from pkgrun.records import DatasetRecord, Heartbeat, Intent, Outcome, RunError, RunRecord, VersionRecord
from pkgrun.runs import decision
from pkgrun.runs.here import dead
from pkgrun.runs.results import results, run_error, run_record
from pkgrun.store import clock, numbers, operations, registry
from pkgrun.store.operations import key
from pkgrun.store.root import Store

SILENT = 900.0
"""Seconds without a sign of life after which a run is shown as silent, and may be given up: ninety times a heartbeat."""


def settle(store: Store, run: str) -> RunRecord:
    """The run as it stands. One that is decided gets its number and its results; one whose supervisor is dead on
    this machine is decided to be lost. One that has not been heard for long is silent, which proves nothing.

    Raises:
        NotFound: there is no such run.
    """
    if (record := _written(store, run)) is not None:
        return record
    intent = operations.intent(store.backend, run)
    outcome = operations.decided(store.backend, run)
    if outcome is None:
        beat = operations.heartbeat(store.backend, run) or intent.alive
        if beat is None or not dead(beat):
            return _open(store, intent, beat)
        outcome = _lost(intent, beat, "died")
        try:
            outcome = operations.decide(store.backend, outcome)
        except PermissionDenied:
            return run_record(intent, outcome, None)  # who may only read sees it so, and changes nothing
    return carry_out(store, intent, outcome)


def give_up(store: Store, run: str, *, silent_for: float = SILENT, now: float | None = None) -> RunRecord:
    """Decide that an open operation is lost if nobody works on it any more; the run as it then stands.

    That is so if its supervisor is dead on this machine, or was not heard for `silent_for` seconds. It may then still
    live, but not commit.

    Args:
        now: by the store's clock, if that was looked at already.

    Raises:
        NotFound: there is no such run.
        PermissionDenied: it may not be decided.
    """
    record = settle(store, run)
    if record.final:
        return record
    now = clock.now(store.backend) if now is None else now
    heard = heard_at(store, run)
    if now - heard < silent_for:
        return record
    intent = operations.intent(store.backend, run)
    beat = operations.heartbeat(store.backend, run) or intent.alive
    since = datetime.fromtimestamp(heard, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    lost = _lost(intent, beat, f"has not been heard since {since}")
    return carry_out(store, intent, operations.decide(store.backend, lost))


def _open(store: Store, intent: Intent, beat: Heartbeat | None) -> RunRecord:
    heard, now = beat.at if beat else intent.created, datetime.now(UTC)
    if abs((now - heard).total_seconds()) > SILENT:  # by the clock of its machine, which may be wrong
        heard = datetime.fromtimestamp(heard_at(store, intent.run), UTC)
    record = run_record(intent, None, None, beat)
    status = "silent" if (now - heard).total_seconds() > SILENT else record.status
    return record.model_copy(update={"status": status, "heard": heard})


def heard_at(store: Store, run: str) -> float:
    """When an open operation was last heard, by the store's clock."""
    found = store.backend.stat(key(run, "heartbeat.json")) or store.backend.stat(key(run, "intent.json"))
    return found.modified if found is not None else 0.0


def carry_out(store: Store, intent: Intent, outcome: Outcome) -> RunRecord:
    """Do what was decided: the number, then what is written for reading."""
    made: VersionRecord | DatasetRecord | None = None
    if outcome.decision == "COMMIT" and outcome.entry is not None:
        made = numbers.take(store.backend, outcome.entry, intent.head)
    elif outcome.decision == "COMMIT" and outcome.dataset is not None:
        made = registry.take(store.backend, outcome.dataset, intent.head)
    record = run_record(intent, outcome, made)
    if outcome.decision == "COMMIT" and outcome.copied is not None:
        record = _landed(store, record)
    try:
        if vendor := results(record, store.url):
            store.backend.write(key(record.run, RESULTS_FILE), vendor.to_bytes())
        store.backend.write(key(record.run, "run.json"), record.to_bytes())
        for name in list(store.backend.list(key(record.run, "events"))):
            if outcome.facts and outcome.facts.log:
                store.backend.delete(key(record.run, f"events/{name}"))
    except PermissionDenied:
        pass  # somebody who may only read looks at a store whose writer has not come so far
    return record


def _landed(store: Store, record: RunRecord) -> RunRecord:
    """A copy whose records were laid out; it has failed if somebody else's fact stood in the way."""
    from pkgrun.runs.landing import land
    from pkgrun.runs.twins import conflict

    copied, source = record.copied, record.source
    if copied is None or copied.records is None or not (found := land(store, copied.records)):
        return record
    error = conflict(found, source.source if source else "its source", store.url)
    return record.model_copy(update={"status": "failed", "error": run_error(error, "commit")})


def _written(store: Store, run: str) -> RunRecord | None:
    name = key(run, "run.json")
    if store.backend.stat(name) is None:
        return None
    return operations.of_run(run, RunRecord.from_bytes(store.backend.read(name), key=name), name)


def _lost(intent: Intent, beat: Heartbeat | None, why: str) -> Outcome:
    who = f"its supervisor, process {beat.pid} on {beat.host}," if beat else "its supervisor"
    return Outcome(
        run=intent.run,
        decision="LOST",
        created=datetime.now(UTC),
        error=RunError(
            kind=RunLost.kind,
            message=f"{who} {why}",
            hint="run it again; of this run only the record and what had been logged are kept",
            phase=beat.phase if beat else None,
        ),
    )


@contextmanager
def never_open(store: Store, intent: Intent) -> Iterator[None]:
    """Whatever goes wrong inside, the operation does not stay open; whoever decided first has decided.

    The operation may begin inside, so that a signal finds no gap. What is another's is left alone.
    """
    try:
        yield
    except BaseException as error:
        if store.patience is not None:
            store.patience.end()
        known = _known(error)
        failed = Outcome(
            run=intent.run,
            decision="KILLED" if isinstance(known, Killed) else "FAILED",
            created=datetime.now(UTC),
            error=run_error(known, None),
        )
        with suppress(PkgrunError):
            if store.backend.read(key(intent.run, "intent.json")) == intent.to_bytes():
                with suppress(PkgrunError):
                    decision.refusal(store, failed)
                carry_out(store, intent, operations.decide(store.backend, failed))
        raise


def _known(error: BaseException) -> PkgrunError:
    if isinstance(error, PkgrunError):
        return error
    if isinstance(error, Exception):
        return Bug(f"{type(error).__name__}: {error}")
    return Killed("it was stopped")
