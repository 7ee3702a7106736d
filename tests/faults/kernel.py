"""SIGKILL at the system calls that change files, whichever thread or process of a training makes them."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pkgrun

from .actor import act
from .operations import acknowledged, prepare
from .verdicts import Tally, collect

CALLS = (
    "openat",
    "write",
    "pwrite64",
    "mkdir",
    "link",
    "rename",
    "unlink",
    "fsync",
    "ftruncate",
    "symlink",
    "close",
)
RARE = frozenset({"symlink", "ftruncate", "pwrite64", "unlink", "rename"})
"""Those that a training need not make."""


def possible() -> bool:
    """Whether there is strace, and the right to trace."""
    found = shutil.which("strace")
    if found is None:
        return False
    argv = (found, "-qq", "-o", "/dev/null", "true")
    return subprocess.run(argv, capture_output=True, check=False).returncode == 0


def deaths(place: Path, call: str) -> Tally:
    """Die at the first calls of a kind, then at fewer and fewer, until a training ends well."""
    tally, cache = Tally(), place / "cache"
    prepare(place)
    store = place / "store"
    for at in _moments():
        before = acknowledged(pkgrun.open(store, create=False))
        inject = ("-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={at}")
        ended = act("train", place, cache, "strace", "-f", "-qq", "-o", "/dev/null", *inject)
        tally.operations += 1
        tally.acknowledged += len(ended.said)
        tally.look(store, [*before, *ended.said], f"the {at}. {call}")
        if ended.code == 0:
            break
        tally.faults += ended.code in (-signal.SIGKILL, 128 + signal.SIGKILL, 1)
    collect(store)
    tally.look(store, [*before, *ended.said], f"{call}, after a collection")
    return tally


def _moments() -> Iterator[int]:
    at = 1
    while True:
        yield at
        at += max(1, at // 3)
