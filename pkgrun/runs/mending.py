"""Mends a store: carries out a plan (`remedies`) from what an inspection found, as an operation like any other.

Records are put right first, for only they tell which contents are needed. What is replaced or taken out of use is kept
below `gc/quarantine/`. It is safe beside running writers: nothing is taken away before it is elsewhere, and the operation
keeps collections from what it writes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from pkgrun.errors import Damaged, NotFound
from pkgrun.observe import Observer, Phase, Progress, silent
from pkgrun.packages.contract import RESULTS_FILE
from pkgrun.records import Actor, Facts, Head, Intent, Outcome
from pkgrun.runs import recover
from pkgrun.runs.copying import check_apart
from pkgrun.runs.decision import still_open
from pkgrun.runs.heart import working
from pkgrun.runs.here import sign_of_life
from pkgrun.runs.inspection import Inspection, inspect
from pkgrun.runs.proving import Proof
from pkgrun.runs.remedies import Action, Plan, plan
from pkgrun.store import erased, erasing, marker, operations, sentences
from pkgrun.store.fsck import restoring
from pkgrun.store.fsck.findings import Report
from pkgrun.store.fsck.forms import QUARANTINE, SENTENCE
from pkgrun.store.fsck.needs import name_of
from pkgrun.store.fsck.salvage import Source
from pkgrun.store.operations import key as key_of
from pkgrun.store.root import KEY, Store

_RECORDED = 100


@dataclass(frozen=True, slots=True)
class Repaired:
    """What was done, by which run, and what a look finds afterwards; without a run, only what would be done."""

    plan: Plan
    run: str | None = None
    after: Report | None = None
    lost: tuple[str, ...] = ()

    @property
    def sound(self) -> bool:
        """Whether the store is whole now."""
        return (self.after or self.plan.report).sound


def repair(
    store: Store, other: Store | None, *, execute: bool, by: Actor, observer: Observer = silent
) -> Repaired:
    """Look at everything, every byte included, and mend what can be mended.

    Args:
        other: a store of the same content, to bring back what is lost here.
        execute: else nothing is changed.
        by: who does this.

    Raises:
        UsageError: both stores are the same.
        PermissionDenied, Temporary: a store refuses. What was done is right; the next repair goes on with it.
    """
    if other is not None:
        check_apart(other.backend.url, store.backend.url)
    source = Source(other.backend, other.objects) if other else Source(None, None)
    seen = inspect(store, read_data=True, observer=observer)
    planned = plan(store, seen, source)
    if not execute or not planned.steps:
        return Repaired(planned)
    hasty, store = store.backend, store.apart().waiting(observer)
    intent = _intent(by)
    with recover.never_open(store, intent), working(hasty, intent) as check:
        operations.begin(store.backend, intent)
        store.objects.begun(intent.run)
        lost = _Execution(store, intent.run, source, observer, check).execute(seen, planned)
        if erased.raws(store.backend):  # what was good of damaged packs may be among it
            erasing.sweep(store.backend, check=still_open(store, intent.run))
        done = Facts(started=intent.created, ended=datetime.now(UTC), warnings=_told(planned, lost))
        outcome = Outcome(run=intent.run, decision="COMMIT", created=done.ended, facts=done)
        recover.carry_out(store, intent, operations.decide(store.backend, outcome))
    return Repaired(planned, intent.run, inspect(store, observer=observer).report, lost)


def _intent(by: Actor) -> Intent:
    run = operations.new_run_id()
    return Intent(
        run=run,
        kind="repair",
        created=datetime.now(UTC),
        by=by,
        head=Head(major=0),
        alive=sign_of_life(run, "running", "repair"),
    )


def _told(planned: Plan, lost: tuple[str, ...]) -> tuple[str, ...]:
    """What the run's record says of it: the first of what was done, and of what is lost."""
    done = [f"{step.action} {step.key}" for step in planned.steps]
    gone = [f"lost: {name}" for name in lost]
    return (*_first(gone), *_first(done))


def _first(lines: list[str]) -> list[str]:
    more = len(lines) - _RECORDED
    return lines[:_RECORDED] + ([f"… and {more} more"] if more > 0 else [])


# ---------------------------------------------------------------------- carrying it out


@dataclass(frozen=True, slots=True)
class _Execution:
    """One repair. `run`: its operation, by which what it sets aside is called. `check` raises once it was given up: then no
    collection waits for it any more, and nothing may be taken away."""

    store: Store
    run: str
    source: Source
    observer: Observer
    check: Callable[[], None]

    def execute(self, seen: Inspection, planned: Plan) -> tuple[str, ...]:
        """Records first; then contents, by what the records say now. What is lost."""
        self.observer(Phase("repair", time.time()))
        proof = Proof(seen.ledger, self.source)
        doing: dict[Action, Callable[[str], object]] = {
            "restore-record": lambda key: self._restore(proof, key),
            "carry-out": self._carry_out,
            "derive": self._derive,
            "delete": self._delete,
            "set-aside": self._set_aside,
            "sweep": lambda key: None,  # all at once, in the end
        }
        last = [step for step in planned.steps if step.action == "set-aside" and SENTENCE.fullmatch(step.key)]
        for action, do in doing.items():
            for step in planned.steps:
                if step.action == action and step not in last:
                    self.check()
                    do(step.key)
        contents = seen.contents
        if any(step.action in ("restore-record", "carry-out") for step in planned.steps):
            contents = inspect(self.store, read_data=True, observer=self.observer).contents
        if not restoring.damaged(contents) and not contents.missing and not last:
            return ()
        found = [one for step in last if (one := SENTENCE.fullmatch(step.key))]
        unread = {one[2] for one in found}
        mended = restoring.mend(
            self.store.backend, self.store.objects, contents, self.source, self._told, self._aside, unread
        )
        for (
            step
        ) in last:  # only now: part of what such a sentence named may be gone, and directories vouched for it
            self.check()
            self._set_aside(step.key)
        return tuple(sorted(name_of(raw) for raw in mended.lost if contents.needs(raw)))

    def _told(self, what: str, done: int, total: int) -> None:
        self.check()
        self.observer(Progress(what, done, total, "files"))

    @property
    def _aside(self) -> str:
        return f"{QUARANTINE}/{self.run}"

    def _restore(self, proof: Proof, key: str) -> None:
        """Write what is proven: over what is altered, at once, so that nobody ever finds the number free."""
        backend = self.store.backend
        if key == KEY:
            data: bytes | None = marker.again(backend, self.store.id)
        else:
            data = proof.run(key.split("/")[1]).get(key) if key.startswith("runs/") else proof.of(key)
        if data is None:  # somebody was quicker
            return
        if backend.stat(key) is None:
            backend.create(key, data)
        else:
            restoring.quarantine(backend, [key], self._aside)
            backend.write(key, data)
        backend.flush([key])
        if key.startswith("runs/"):
            self._derive(key)

    def _carry_out(self, key: str) -> None:
        with suppress(NotFound, Damaged):  # another record of it is damaged, which is told for itself
            recover.settle(self.store, key.split("/")[1])

    def _derive(self, key: str) -> None:
        """Write anew what is for reading; what was there may know better, so it is kept."""
        run, backend = key.split("/")[1], self.store.backend
        with suppress(NotFound, Damaged):
            outcome, intent = operations.decided(backend, run), operations.intent(backend, run)
            if outcome is not None:
                written = [key_of(run, "run.json"), key_of(run, RESULTS_FILE)]
                restoring.quarantine(backend, written, self._aside)
                recover.carry_out(self.store, intent, outcome)

    def _delete(self, key: str) -> None:
        """Take rubbish away; not what belongs to a sentence that was written since, or while it was looked."""
        if key.startswith(("gc/sweeping/", "gc/spared/", "gc/verdict/")):
            sentence = key.split("/")[2].removesuffix(".json")
            if self.store.backend.stat(sentences.key(sentence)) is not None:
                return
        self.store.backend.delete(key)

    def _set_aside(self, key: str) -> None:
        restoring.quarantine(self.store.backend, [key], self._aside)
        self.store.backend.delete(key)
