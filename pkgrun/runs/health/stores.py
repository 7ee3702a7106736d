"""A store as a whole, as anybody may look at it: which, where, what goes on in it, what waits to be carried out."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from pkgrun.errors import NotFound, PkgrunError
from pkgrun.records import FORMAT
from pkgrun.runs.health import system
from pkgrun.runs.health.cache import nearest, room
from pkgrun.runs.health.check import Check, failed
from pkgrun.runs.recover import SILENT, heard_at
from pkgrun.store import operations, skew
from pkgrun.store.root import Store, open_store

_SKEWED = 30.0


def look(location: str, until: float) -> Iterator[Check]:
    """The store, its file system or server, and the runs in it, as many as there is time for."""
    try:
        store = open_store(location, create=False)
    except NotFound as error:
        yield Check("store", "store", "note", error.message, error.hint)
        yield from _before(location)
        return
    except PkgrunError as error:
        yield failed("store", "store", error)
        return
    numbers = {"id": store.id, "url": store.url}
    yield Check("store", "store", "ok", f"{store.url}, format {FORMAT}, id {store.id}", numbers=numbers)
    yield from _place(store)
    yield from _runs(store, until)


def _before(location: str) -> list[Check]:
    """Of where a store will be made."""
    if "://" in location:
        return []
    return [room("store", "room for the store", nearest(os.path.abspath(os.path.expanduser(location))))]


def _place(store: Store) -> list[Check]:
    if store.backend.capabilities.paths:
        folder = store.backend.url
        return [room("store", "room for the store", folder), *system.file_system("store", folder)]
    return [_clock()]


def _clock() -> Check:
    try:
        seconds = skew.seconds()
    except PkgrunError as error:
        return Check(
            "store", "clock", "note", f"the server's clock is not known: {error.message}", error.hint
        )
    if seconds is None:
        return Check("store", "clock", "note", "the server does not tell the time")
    numbers = {"seconds": round(seconds, 1)}
    if abs(seconds) < _SKEWED:
        return Check("store", "clock", "ok", "this clock and the server's agree", None, numbers)
    how = "ahead of" if seconds > 0 else "behind"
    text = f"this clock is {abs(seconds):.0f} s {how} the server's; from 15 min on it refuses every request"
    return Check("store", "clock", "note", text, "set the clock (NTP)", numbers)


@dataclass(slots=True)
class _Count:
    runs: int = 0
    whole: bool = True
    going: int = 0
    silent: list[str] = field(default_factory=list)
    pending: list[str] = field(default_factory=list)


def _runs(store: Store, until: float) -> list[Check]:
    try:
        count = _counted(store, until)
    except PkgrunError as error:
        return [failed("store", "runs", error)]
    seen = "" if count.whole else f" of the newest {count.runs:,}; there was no time for more"
    numbers = {
        "seen": count.runs,
        "open": count.going,
        "silent": len(count.silent),
        "pending": len(count.pending),
    }
    checks = [
        Check(
            "store",
            "open runs",
            "ok",
            f"{count.going} not ended, heard within a quarter of an hour{seen}",
            numbers=numbers,
        )
    ]
    for name, found, what in (
        ("silent runs", count.silent, "not heard for a quarter of an hour"),
        ("pending decisions", count.pending, "decided and not carried out"),
    ):
        if found:
            text = f"{len(found)} {what}: {', '.join(run[:13] for run in found[:3])}" + (
                " …" if len(found) > 3 else ""
            )
            checks.append(Check("store", name, "note", text, "`pkgrun run recover` brings them to their end"))
        else:
            checks.append(Check("store", name, "ok", f"none{seen}"))
    return checks


def _counted(store: Store, until: float) -> _Count:
    count = _Count()
    for run in operations.runs(store.backend):
        if time.monotonic() > until:
            count.whole = False
            break
        count.runs += 1
        if store.backend.stat(operations.key(run, "run.json")) is not None:
            continue
        if operations.decided_already(store.backend, run):
            count.pending.append(run)
        elif (
            time.time() - heard_at(store, run) > SILENT
        ):  # by this clock: nothing is written to ask the store's
            count.silent.append(run)
        else:
            count.going += 1
    return count
