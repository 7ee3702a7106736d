"""Goes over all operations, and brings to its end what nobody carries on. It decides only `LOST`.

Anybody may do this at any time: what is decided stays so, and whoever was taken for dead can commit no more.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from pkgrun.errors import PermissionDenied, PkgrunError, Temporary, UsageError
from pkgrun.identity import RUN_ID_PATTERN
from pkgrun.records import RunRecord
from pkgrun.runs import recover
from pkgrun.runs.heart import BEAT
from pkgrun.runs.recover import SILENT
from pkgrun.store import clock, operations
from pkgrun.store.parallel import each
from pkgrun.store.root import Store

LEAST = 3 * BEAT
"""Seconds without a sign of life that are enough to take an operation for dead: who lives may miss two heartbeats."""

Done = Literal["carried-out", "given-up", "rewritten"]


@dataclass(frozen=True, slots=True)
class Recovered:
    """An operation about which something was done, and how it has ended.

    carried-out: it was decided, and nobody had done what follows. given-up: nobody works on it; it is lost.
    rewritten: what is written of it for reading was missing.
    """

    record: RunRecord
    done: Done


@dataclass(frozen=True, slots=True)
class Unrecovered:
    """An operation about which nothing could be done, and why."""

    run: str
    error: PkgrunError


@dataclass(frozen=True, slots=True)
class Recovery:
    """What was done about which operations; those that go on; those that could not be helped. The oldest first."""

    done: tuple[Recovered, ...]
    open: tuple[str, ...]
    failed: tuple[Unrecovered, ...]


def reap(store: Store, *, silent_for: float = SILENT) -> Recovery:
    """Carry out what is decided, give up what nobody works on, write again what is missing.

    Args:
        silent_for: seconds without a sign of life, by the store's clock, after which nobody works on an operation;
            `LEAST` or more.

    Raises:
        UsageError: `silent_for` is no number of seconds, or live operations may be silent for so long.
        PermissionDenied, Temporary: the store refuses.
    """
    if not silent_for >= LEAST:
        raise UsageError(
            f"{silent_for:g} s without a sign of life prove nothing: a live run gives one every {BEAT:g} s",
            hint=f"give {LEAST:g} s at least; what died on this machine is given up at once, whatever is given",
        )
    now = clock.now(store.backend)

    def look(item: tuple[str, set[str]]) -> Recovered | Unrecovered | str | None:
        run, there = item
        try:
            return _look(store, run, there, silent_for=silent_for, now=now)
        except (PermissionDenied, Temporary):
            raise
        except PkgrunError as error:
            return Unrecovered(run, error)

    found = each(look, sorted(_known(store).items()), run=1)
    return Recovery(
        done=tuple(one for one in found if isinstance(one, Recovered)),
        open=tuple(one for one in found if isinstance(one, str)),
        failed=tuple(one for one in found if isinstance(one, Unrecovered)),
    )


def _known(store: Store) -> dict[str, set[str]]:
    """All operations, each with the names of its records."""
    known: dict[str, set[str]] = {}
    for key, _ in store.backend.walk("runs"):
        _, run, *rest = key.split("/", 2)
        if re.fullmatch(RUN_ID_PATTERN, run) and rest:
            known.setdefault(run, set()).update(rest)
    # A folder without an intent is none: a crash left it.
    return {run: names for run, names in known.items() if "intent.json" in names}


def _look(
    store: Store, run: str, there: set[str], *, silent_for: float, now: float
) -> Recovered | str | None:
    """What was done about an operation; its id if it goes on, None if there was nothing to do."""
    if "outcome.json" not in there:
        record = recover.give_up(store, run, silent_for=silent_for, now=now)
        if not record.final:
            return run
        return Recovered(record, "given-up") if record.status == "lost" else None  # it has just ended
    if "run.json" not in there:
        return Recovered(recover.settle(store, run), "carried-out")
    if "_results.json" in there or recover.settle(store, run).request is None:
        return None
    return _rewritten(store, run)


def _rewritten(store: Store, run: str) -> Recovered | None:
    """Write once more what follows from the decision."""
    outcome = operations.decided(store.backend, run)
    if outcome is None:
        return None
    intent = operations.intent(store.backend, run)
    return Recovered(recover.carry_out(store, intent, outcome), "rewritten")
