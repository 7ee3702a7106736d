"""A caller's words for what is to hold a run, checked; and what did hold it, for the record."""

from __future__ import annotations

import math
import os

from pkgrun.errors import UsageError
from pkgrun.records import Confined
from pkgrun.runs.place import Place
from pkgrun.settings import size_of
from pkgrun.worker.limits import (
    LEAST_MEMORY,
    SANDBOXES,
    Confines,
    Limits,
    Sandbox,
    home_variables,
    refused,
)

_LARGEST = 1 << 60
_MOST_CPUS = 1e5
_LEAST_CPUS = 0.01


def wanted(
    sandbox: Sandbox, memory: int | str | None, cpus: float | None, storage: int | str | None
) -> Limits:
    """What is asked, if this machine can do it.

    Raises:
        UsageError: it means nothing, or the system does not allow it. Nothing weaker is taken instead.
    """
    if sandbox not in SANDBOXES:
        raise UsageError(f"{sandbox!r} is no sandbox", hint=", ".join(SANDBOXES))
    if cpus is not None and not (math.isfinite(cpus) and _LEAST_CPUS <= cpus <= _MOST_CPUS):
        raise UsageError(f"{cpus!r} is no number of processors", hint="such as 2 or 0.5")
    limits = Limits(sandbox, _bytes(memory, "memory"), cpus, _bytes(storage, "storage"))
    if limits.memory is not None and limits.memory < LEAST_MEMORY:
        raise UsageError(
            f"{memory!r} is too little memory for Python itself",
            hint=f"give {LEAST_MEMORY // 10**6}MB at least, and what the package's code takes",
        )
    if reason := refused(limits):
        raise UsageError(
            f"this system does not allow what is to hold the run: {reason}",
            hint="`pkgrun doctor` tells what it allows; --sandbox process asks nothing of the kernel",
        )
    return limits


def _bytes(given: int | str | None, what: str) -> int | None:
    if given is None:
        return None
    size = size_of(given) if isinstance(given, str) else given
    if size is None or not 0 < size < _LARGEST:
        raise UsageError(f"{given!r} is no size of {what}", hint="write 2GB, 500MB, 1.5GiB or bytes")
    return size


def own_places(limits: Limits, at: Place, host: dict[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """The host's variables that may pass, and those of the run's own home and temporary folder in a sandbox."""
    if limits.sandbox == "none":
        return host, {}
    return home_variables(host, at.private("home"), at.private("tmp"))


def folders(at: Place) -> list[str]:
    """Where the run writes: what its storage is counted from."""
    return [at.package, at.scratch, *(path for path in at.privates if os.path.isdir(path))]


def recorded(confines: Confines) -> Confined | None:
    """What held the run, and by what means."""
    limits = confines.limits
    if confines.spelt() is None:
        return None
    return Confined(
        sandbox=limits.sandbox,
        memory=confines.memory,
        cpus=confines.cpus,
        storage="watch" if limits.storage is not None else None,
    )
