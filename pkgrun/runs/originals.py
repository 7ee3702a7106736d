"""Which run is meant to be done again, and the version that it started from. It begins nothing."""

from __future__ import annotations

from pkgrun.errors import Damaged, NotFound, UsageError
from pkgrun.packages import contract
from pkgrun.records import RunRecord, TrainingRequest, VersionRecord
from pkgrun.runs import lookup, recover
from pkgrun.runs.results import run_record
from pkgrun.store import numbers, operations
from pkgrun.store.root import Store


def original(store: Store, name: str) -> RunRecord:
    """The run that is meant, which came to its end and whose outcome is there.

    Raises:
        NotFound, InvalidName, UsageError: there is none, or none such.
    """
    if lookup.means_run(store, name):
        record = _truth(store, lookup.run(store, name))
    else:
        record = _maker(store, lookup.version(store, name, removed=True))
    what = f"the run {record.run[:13]}"
    if record.kind == "reproduction":
        first = record.request.reproduces if record.request else None
        raise UsageError(
            f"{what} is a reproduction itself", hint=f"`pkgrun reproduce {first}` does the first one again"
        )
    if record.kind not in contract.PIPELINES:
        raise UsageError(
            f"{what} ran no pipeline, so there is nothing to do again: it is of the kind {record.kind}"
        )
    if not record.final:
        raise UsageError(f"{what} has not ended yet", hint="wait for its end, then reproduce it")
    if record.status != "successful":
        raise UsageError(
            f"{what} did not succeed ({record.status}), so there is no result to compare with",
            hint="reproduce one that succeeded",
        )
    if record.package is not None and record.version is not None:
        _there(store, what, "made", numbers.read(store.backend, record.package, record.version))
    return record


def _truth(store: Store, run: str) -> RunRecord:
    """The run as it was asked for and decided. What `run.json` says besides the number is derived, and not believed.

    Raises:
        NotFound: there is no such run.
        Damaged: that it succeeded is not in its outcome, or its version is not what was decided.
    """
    told, outcome = recover.settle(store, run), operations.decided(store.backend, run)
    if outcome is None:
        if told.status == "successful":
            raise Damaged(f"the run {run[:13]} is said to have succeeded, and its outcome is not there")
        return told
    made = None
    if outcome.decision == "COMMIT" and outcome.entry is not None:
        if told.version is None:
            raise Damaged(f"the run {run[:13]} made a version, and its record does not say which")
        made = numbers.read(store.backend, outcome.entry.package, told.version)
        if (made.run, made.tree) != (run, outcome.entry.tree):
            raise Damaged(f"{made.package}@{made.version} is not what the run {run[:13]} made")
    return run_record(operations.intent(store.backend, run), outcome, made)


def _maker(store: Store, version: VersionRecord) -> RunRecord:
    name = f"{version.package}@{version.version}"
    if version.kind == "import":
        raise UsageError(
            f"{name} was imported: no run made it, so there is none to do again",
            hint=f"`pkgrun package show {version.package}` shows which versions a run made",
        )
    try:
        return _truth(store, version.run)
    except NotFound as error:
        raise NotFound(
            f"the run {version.run}, which made {name}, is not in this store",
            hint="reproduce it in the store that it was made in, or copy that: `pkgrun store copy`",
        ) from error


def _there(store: Store, what: str, did: str, version: VersionRecord) -> VersionRecord:
    try:
        return lookup.there(store, version)
    except NotFound as error:
        raise NotFound(
            f"{what} cannot be done again: what it {did} is not there any more: {error.message}",
            hint="of a version that was removed nothing is left to compare with, and nothing to start from",
        ) from error


def base(store: Store, of: RunRecord, request: TrainingRequest) -> VersionRecord:
    """The version that a run started from.

    Raises:
        NotFound: it was removed.
        Damaged: its record is of other content than the run was asked for.
    """
    record = numbers.read(store.backend, of.package or "", request.base)
    if record.tree != request.tree:
        raise Damaged(
            f"{of.package}@{request.base} is not what the run {of.run[:13]} started from: its content is another",
            hint=f"`pkgrun audit {of.package}@{request.base}` says more",
        )
    return _there(store, f"the run {of.run[:13]}", "started from", record)
