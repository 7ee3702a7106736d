"""A collection from end to end: what nobody works on any more is given up, what a rule does not keep is removed, and
what then nothing refers to is condemned and deleted (`store/collecting.py`, `store/sweeping.py`)."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass

from pkgrun.errors import PkgrunError, UsageError
from pkgrun.observe import Counted, Observer, Phase
from pkgrun.records import Actor
from pkgrun.runs import erasing, reaper, recover, retention
from pkgrun.runs.removing import Removed
from pkgrun.runs.retention import Rule, Verdict
from pkgrun.store import collecting, operations, sweeping
from pkgrun.store.collecting import Plan
from pkgrun.store.root import Store
from pkgrun.store.sweeping import Collected


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a collection would do. `verdicts` are the rule's, if there is one; what its removals leave is not in the plan yet."""

    verdicts: tuple[Verdict, ...]
    plan: Plan

    @property
    def going(self) -> tuple[Verdict, ...]:
        """The versions that would be removed first."""
        return tuple(verdict for verdict in self.verdicts if verdict.kept is None)


@dataclass(frozen=True, slots=True)
class Collection:
    """What a collection did: operations that were given up, versions that were removed, and what became of the objects."""

    lost: tuple[str, ...]
    removed: tuple[Removed, ...]
    collected: Collected


def plan(store: Store, *, grace: float, rule: Rule | None, force: bool) -> Outlook:
    """Say what a collection would do.

    Raises:
        UsageError: the grace is no number of seconds.
        Damaged: a record or a directory cannot be read, so that nobody knows what is needed.
        PermissionDenied, Temporary: the store cannot be read.
    """
    _check(grace)
    verdicts = retention.plan(store, None, rule, force=force) if rule else []
    return Outlook(tuple(verdicts), collecting.plan(store.backend, store.objects, grace=grace))


def collect(
    store: Store, *, grace: float, rule: Rule | None, force: bool, by: Actor, observer: Observer
) -> Collection:
    """Give up, remove, condemn and delete.

    Raises:
        UsageError: the grace is no number of seconds.
        Damaged: a record or a directory cannot be read; nothing was deleted.
        PermissionDenied, Temporary: the store refuses. What was done is right; the next collection goes on with it.
    """
    _check(grace)
    store = store.apart().waiting(observer)
    observer(Phase("recover", time.time()))
    # What goes on holds up all that is condemned; what cannot be read is told of when it is looked for what is needed.
    found = reaper.reap(store, silent_for=max(grace, recover.SILENT))
    lost = tuple(one.record.run for one in found.done if one.done == "given-up")
    removed: tuple[Removed, ...] = ()
    if rule is not None:
        observer(Phase("prune", time.time()))
        removed = retention.prune(store, None, rule, force=force, by=by).removed
    erasing.sweep_again(store, by=by, observer=observer)
    observer(Phase("look", time.time()))
    try:
        collected = sweeping.collect(
            store.backend,
            store.objects,
            by=by,
            new_id=operations.new_run_id,
            grace=grace,
            told=Counted(observer),
        )
    except BaseException:
        with suppress(PkgrunError):  # what stopped the collection is what is told
            erasing.sweep_again(store, by=by, observer=observer)
        raise
    erasing.sweep_again(store, by=by, observer=observer)  # what was moved may have been erased meanwhile
    return Collection(lost, removed, collected)


def _check(grace: float) -> None:
    if not 0 <= grace < 1e11:
        raise UsageError(f"a grace of {grace:g} s is none", hint="give seconds, 0 at least")
