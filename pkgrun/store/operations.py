"""The life of everything that writes: an intent, then one decision. Whoever creates the outcome has decided.

A reaper may only decide LOST; anyone may carry out a COMMIT (`numbers.take`). So a supervisor that was thought
dead can never commit after it was given up.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from typing import TypeVar

from pkgrun.errors import Bug, Damaged, NotFound
from pkgrun.identity import RUN_ID_PATTERN, check_run_id
from pkgrun.records import Heartbeat, Intent, Outcome, RunRecord
from pkgrun.store.backend import Backend

_Record = TypeVar("_Record", Intent, Outcome, Heartbeat, RunRecord)


def new_run_id() -> str:
    """A UUIDv7 (RFC 9562): 48 bits of milliseconds, then 74 random bits, so that ids sort by time."""
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) & ~(0x3 << 62) | 0x7 << 76 | 0x2 << 62
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def key(run: str, name: str) -> str:
    """The key of one of a run's records."""
    return f"runs/{run}/{name}"


def begin(backend: Backend, intent: Intent) -> bool:
    """Create the intent: the operation exists from here on. False: it exists already, and is another's to carry out."""
    name, data = key(intent.run, "intent.json"), intent.to_bytes()
    # Refused, it may still be ours: over a network the answer to a first try may have been lost.
    return backend.create(name, data) or backend.read(name) == data


def of_run(run: str, record: _Record, name: str) -> _Record:
    """The record, if it is that run's.

    Raises:
        Damaged: it is another's.
    """
    if record.run != run:
        raise Damaged(f"{name} is the record of the run {record.run}")
    return record


def exists(backend: Backend, run: str) -> bool:
    """Whether an operation has begun."""
    return backend.stat(key(run, "intent.json")) is not None


def decide(backend: Backend, outcome: Outcome) -> Outcome:
    """Create the outcome, or learn that somebody has decided otherwise; the one that stands."""
    if backend.create(key(outcome.run, "outcome.json"), outcome.to_bytes()):
        return outcome
    standing = decided(backend, outcome.run)
    if standing is None:
        raise Bug(f"the outcome of {outcome.run} was refused, and yet there is none")
    return standing


def intent(backend: Backend, run: str) -> Intent:
    """What was asked.

    Raises:
        InvalidName: that is no run id.
        NotFound: there is no such run.
    """
    name = key(check_run_id(run), "intent.json")
    try:
        return of_run(run, Intent.from_bytes(backend.read(name), key=name), name)
    except NotFound as error:
        raise NotFound(f"there is no run {run}", hint="`pkgrun run list` shows the runs") from error


def decided(backend: Backend, run: str) -> Outcome | None:
    """The outcome, or None while the operation is open."""
    name = key(run, "outcome.json")
    try:
        return of_run(run, Outcome.from_bytes(backend.read(name), key=name), name)
    except NotFound:
        return None


def heartbeat(backend: Backend, run: str) -> Heartbeat | None:
    """The supervisor's last sign of life, or None if it never gave one."""
    name = key(run, "heartbeat.json")
    try:
        return of_run(run, Heartbeat.from_bytes(backend.read(name), key=name), name)
    except NotFound:
        return None


def runs(backend: Backend) -> Iterator[str]:
    """The ids of all operations, the newest first; a folder without an intent is none, a crash left it."""
    found = (name for name in backend.list("runs") if re.fullmatch(RUN_ID_PATTERN, name))
    yield from (name for name in sorted(found, reverse=True) if exists(backend, name))


def decided_already(backend: Backend, run: str) -> bool:
    """Whether an operation has been decided, by whomever."""
    return backend.stat(key(run, "outcome.json")) is not None


def undecided(backend: Backend) -> Iterator[str]:
    """The ids of the operations that go on, as far as anybody knows."""
    for run in runs(backend):
        if not decided_already(backend, run):
            yield run
