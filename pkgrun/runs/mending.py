"""Mends a store: a plan from what an inspection found, and carrying it out as an operation like any other.

Records are put right first, for only they tell which contents are needed. What is replaced or taken out of use is kept
below `gc/quarantine/`. It is safe beside running writers: nothing is taken away before it is elsewhere, and the operation
keeps collections from what it writes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from pkgrun.errors import Damaged, NotFound
from pkgrun.observe import Observer, Phase, Progress, silent
from pkgrun.packages.contract import RESULTS_FILE
from pkgrun.records import Actor, Facts, Head, Intent, Outcome
from pkgrun.runs import recover
from pkgrun.runs.copying import check_apart
from pkgrun.runs.heart import working
from pkgrun.runs.here import sign_of_life
from pkgrun.runs.inspection import Inspection, inspect
from pkgrun.runs.proving import Proof
from pkgrun.store import condemned, operations
from pkgrun.store.fsck import restoring, salvage
from pkgrun.store.fsck.findings import Finding, Report
from pkgrun.store.fsck.ledger import CLAIM, DATASET, QUARANTINE, SENTENCE, TOMBSTONE, VERSION
from pkgrun.store.fsck.needs import name_of
from pkgrun.store.fsck.salvage import Source
from pkgrun.store.operations import key as key_of
from pkgrun.store.root import Store

Action = Literal["carry-out", "derive", "delete", "set-aside", "restore-record", "restore", "rewrite"]
"""Never renamed. `carry-out`: do what was decided. `derive`: write anew what follows from others. `set-aside`: take out of
use. `restore-record`, `restore`: write what is proven, or what another store has. `rewrite`: what is good of a damaged file
into a new one."""

_STAYING = frozenset({"unreferenced", "strange", "quarantined", "key-unused", "run-silent"})
_WRITING = 3600.0
"""Seconds after which nobody can be writing to a temporary file any more that did not change."""
_RECORDED = 100


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do, to one file."""

    action: Action
    key: str
    message: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be done about a report, and of what nothing can be done."""

    report: Report
    steps: tuple[Step, ...]
    hopeless: tuple[Finding, ...]


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
    planned = _Planning(store, seen, source).plan()
    if not execute or not planned.steps:
        return Repaired(planned)
    hasty, store = store.backend, store.apart().waiting(observer)
    intent = _intent(by)
    with recover.never_open(store, intent), working(hasty, intent) as check:
        operations.begin(store.backend, intent)
        store.objects.begun(intent.run)
        lost = _Execution(store, intent.run, source, observer, check).execute(seen, planned)
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


# ---------------------------------------------------------------------- the plan


@dataclass(slots=True)
class _Planning:
    """A plan in the making."""

    store: Store
    seen: Inspection
    source: Source
    steps: dict[tuple[str, str], Step] = field(default_factory=dict)
    hopeless: list[Finding] = field(default_factory=list)
    _proof: Proof = field(init=False)
    _rescued: set[bytes] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._proof = Proof(self.seen.ledger, self.source)

    def plan(self) -> Plan:
        """Go through all findings; numbers ascending, for each is proven by the one before."""
        self._rescued = set(self._rescue())
        for finding in sorted(self.seen.report.findings, key=lambda one: one.key):
            if finding.kind not in _STAYING and not self._plan(finding):
                self.hopeless.append(finding)
        return Plan(self.seen.report, tuple(self.steps.values()), tuple(self.hopeless))

    def _rescue(self) -> Iterator[bytes]:
        """What is good in packs whose indexes are damaged."""
        found = self.seen.contents
        for key in found.broken:
            with suppress(NotFound):
                yield from (one.raw for one in salvage.good_in(self.store.backend, key, None, found.missing))

    def _step(self, action: Action, key: str, message: str) -> bool:
        self.steps.setdefault((action, key), Step(action, key, message))
        return True

    def _plan(self, finding: Finding) -> bool:
        """What to do about one; False if nothing can be done, or not enough."""
        key = finding.key
        match finding.kind:
            case "pack-damaged" | "object-altered" | "object-missing" | "directory-missing":
                return self._content(finding)
            case "counts-wrong" | "directory-malformed":
                return False
            case "decision-pending" | "run-dead":
                return self._step(
                    "carry-out", key, f"carry out what is decided of the run {key.split('/')[1]}"
                )
            case "derived-wrong":
                return self._derived(key)
            case "leftover" | "run-without-intent":
                return self._leftover(finding)
            case _:
                return self._record(finding)

    def _content(self, finding: Finding) -> bool:
        """Bytes that are altered or gone."""
        found, needed = self.seen.contents, finding.digests & self.seen.contents.missing.keys()
        back = {raw for raw in needed if raw in self._rescued or self.source.has(raw)}
        if finding.kind in ("pack-damaged", "object-altered"):
            lost = len(needed - back)
            if finding.key.startswith("objects/") and back:
                return self._step("restore", finding.key, f"{finding.key} comes from the other store")
            message = f"what is good of {finding.key} is written anew, and the file is set aside"
            message += f"; {len(back)} come from elsewhere" if back else ""
            self._step("rewrite", finding.key, message + (f"; {lost} are lost" if lost else ""))
            unseen = found.missing if finding.key in found.broken else ()  # what it held is not known
            return not lost and all(raw in self._rescued or self.source.has(raw) for raw in unseen)
        if not needed or needed - back:
            return False
        where = "a pack whose index is damaged" if needed & self._rescued else "the other store"
        return self._step("restore", finding.key, f"{', '.join(map(name_of, needed))} comes from {where}")

    def _derived(self, key: str) -> bool:
        run, name = key.split("/", 2)[1:]
        if name == "heartbeat.json":
            return self._step("delete", key, f"{key} goes; the intent tells who began the run")
        if name not in ("run.json", RESULTS_FILE):
            return self._step("set-aside", key, f"{key} is set aside")
        if proven := self._proof.run(run):
            return self._records(proven)
        try:
            intent = operations.intent(self.store.backend, run)
            decided = operations.decided(self.store.backend, run)
        except (NotFound, Damaged):
            return False
        if decided is None:
            return self._step("set-aside", key, f"{key} is set aside: the run is not decided")
        if not self._proof.agree(intent, decided):  # then it is what tells that these are altered
            return False
        return self._step(
            "derive",
            key_of(run, "run.json"),
            f"what follows from the records of the run {run} is written anew",
        )

    def _records(self, proven: Iterable[str]) -> bool:
        for key in proven:
            self._step("restore-record", key, f"{key} is put back as it must have been")
        return True

    def _leftover(self, finding: Finding) -> bool:
        """Rubbish that has an owner who is gone."""
        key, backend = finding.key, self.store.backend
        if finding.kind == "run-without-intent":
            names = self.seen.ledger.runs.get(key.split("/")[1], frozenset())
            if "outcome.json" not in names:  # else a copy may just be bringing it
                for name in sorted(names):
                    self._step("delete", f"{key}/{name}", f"{key}/{name} goes")
            return True
        if "/events/" in key:
            folder = key.rpartition("/")[0]
            for name in sorted(backend.list(folder)):
                self._step("delete", f"{folder}/{name}", f"{folder}/{name} goes")
            return True
        stat = (
            None
            if key.startswith("gc/")
            else next((one for name, one in backend.leftovers() if name == key), None)
        )
        if stat is None or time.time() - stat.modified >= _WRITING:
            self._step("delete", key, f"{key} goes")
        return True

    def _record(self, finding: Finding) -> bool:
        """A record that was written once, and is missing or altered."""
        key = finding.key
        if key.startswith("runs/"):
            return self._records(proven) if (proven := self._proof.run(key.split("/")[1])) else False
        if any(form.fullmatch(key) for form in (VERSION, DATASET, CLAIM)):
            return self._records([key]) if self._proof.of(key) is not None else False
        if TOMBSTONE.fullmatch(key):
            about = key.replace(".removed.json", ".json") if finding.kind == "tombstone-unfounded" else key
            return self._records([about]) if self._proof.of(about) is not None else False
        if found := SENTENCE.fullmatch(key):
            return self._sentence(key, found[1], found[2])
        return False

    def _sentence(self, key: str, folder: str, sentence: str) -> bool:
        """What a collection has written, and no collection can read; not while one may be carrying it out."""
        backend = self.store.backend
        if folder == "open":
            return self._step("delete", key, f"{key} goes; the next collection writes it anew")
        begun = [
            backend.stat(condemned.key(sentence, one)) for one in (condemned.SWEEPING, condemned.VERDICT)
        ]
        if any(stat is not None and time.time() - stat.modified < _WRITING for stat in begun):
            return False
        return self._step("set-aside", key, f"{key} is set aside; the next collection decides anew")


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
        unread = {one[2] for one in found if one[1] == "condemned"}
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
            if self.store.backend.stat(condemned.key(sentence)) is not None:
                return
        self.store.backend.delete(key)

    def _set_aside(self, key: str) -> None:
        restoring.quarantine(self.store.backend, [key], self._aside)
        self.store.backend.delete(key)
