"""The library's face for looking at this machine and a store. Composition only; the looking is done below."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from pkgrun.errors import PkgrunError
from pkgrun.runs.arguments import checked
from pkgrun.runs.health import cache, leftovers, programs, stores, system
from pkgrun.runs.health.check import Check, Look, failed
from pkgrun.settings import cache_folder, cache_limit, store_location

PATIENCE = 1.5
"""Seconds after which what has not been found out is said to be unknown; removing may take longer."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """All that was found, by topic."""

    checks: tuple[Check, ...]

    @property
    def exit_code(self) -> int:
        """That of the first problem; 0 if nothing makes training impossible."""
        return next((check.exit_code for check in self.checks if check.state == "problem"), 0)


@checked
def examine(store: str | os.PathLike[str] | None = None, *, clean: bool = False) -> Diagnosis:
    """Look at this machine and a store, in less than two seconds. Nothing is changed, and nothing that is found raises.

    Args:
        store: which one; by default as for `pkgrun.open`.
        clean: remove what died runs and builds have left on this machine.
    """
    until = time.monotonic() + PATIENCE
    try:
        folder, limit = cache_folder(), cache_limit()
        location = store_location(os.fspath(store) if store is not None else None)
    except PkgrunError as error:
        return Diagnosis((failed("settings", "settings", error),))
    looks: dict[str, Look] = {
        "store": lambda: stores.look(location, until - 0.2),
        "programs": programs.look,
        "system": lambda: system.look(folder),
        "cache": lambda: cache.look(folder, limit, until - 0.2),
        "left over": lambda: leftovers.look(folder, until - 0.2, clean=clean),
    }
    return Diagnosis(tuple(_together(looks, until, forever="left over" if clean else None)))


def _together(looks: dict[str, Look], until: float, *, forever: str | None) -> list[Check]:
    """All at once, since most of it is waiting; what takes too long, but for `forever`, is not waited for."""
    found: dict[str, list[Check]] = {topic: [] for topic in looks}

    def work(topic: str, look: Look) -> None:
        try:
            for check in look():
                found[topic].append(check)
        except Exception as error:  # a border: what is strange here is what one wants to be told
            text = f"it cannot be looked at: {type(error).__name__}: {error}"
            found[topic].append(Check(topic, topic, "note", text, "tell us; it is a bug in pkgrun"))

    threads = {
        topic: threading.Thread(target=work, args=(topic, look), daemon=True) for topic, look in looks.items()
    }
    for thread in threads.values():
        thread.start()
    for topic, thread in threads.items():
        thread.join(None if topic == forever else max(0.0, until - time.monotonic()))
    return [
        check
        for topic, thread in threads.items()
        for check in (*found[topic], *([_late(topic, found[topic])] if thread.is_alive() else []))
    ]


def _late(topic: str, known: Sequence[Check]) -> Check:
    """A store of which nothing is heard makes training impossible; of the rest it only is not known."""
    if topic != "store" or known:
        text = f"the rest is not known within {PATIENCE:g} s"
        return Check(topic, "patience", "note", text, "look again when less goes on")
    text = f"the store does not answer within {PATIENCE:g} s"
    return Check("store", "store", "problem", text, "look at the network, and at AWS_ENDPOINT_URL")
