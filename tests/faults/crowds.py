"""Many processes on one store, killed and stopped at random, while collections delete."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pkgrun

from .actor import ROOT
from .operations import acknowledged, prepare
from .verdicts import Tally, collect

CROWD = 32
SHARE = 0.4
"""Of them that are killed, and as many that are stopped for a while."""


def _start(operation: str, place: Path) -> subprocess.Popen[str]:
    argv = [sys.executable, "-m", "tests.faults.actor", operation, str(place)]
    env = {**os.environ, "PKGRUN_CACHE": str(place / "cache")}
    return subprocess.Popen(
        argv,
        cwd=ROOT,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def _disturbed(process: subprocess.Popen[str], draw: random.Random) -> bool:
    """Kill it, stop it until later, or leave it alone."""
    fate = draw.random()
    if process.poll() is not None:
        return False
    with suppress(ProcessLookupError):
        if fate < SHARE:
            os.kill(process.pid, signal.SIGKILL)
        elif fate < 2 * SHARE:
            os.kill(process.pid, signal.SIGSTOP)
    return fate < 2 * SHARE


def crowd(place: Path, seed: int) -> Tally:
    """Start them all, disturb them, and look."""
    draw, tally = random.Random(seed), Tally()
    prepare(place)
    store = place / "store"
    begun = acknowledged(pkgrun.open(store))
    processes = [_start(draw.choice(("train", "train", "snapshot", "gc")), place) for _ in range(CROWD)]
    for process in draw.sample(processes, CROWD):
        time.sleep(draw.uniform(0, 0.3))
        tally.faults += _disturbed(process, draw)
    said = [line for lines in _woken(processes) for line in lines]
    tally.operations, tally.acknowledged = CROWD, len(said)
    tally.look(store, [*begun, *said], f"seed {seed}")
    collect(store)
    tally.look(store, [*begun, *said], f"after a collection, seed {seed}")
    return tally


def _woken(crowd: list[subprocess.Popen[str]]) -> list[list[str]]:
    """Wake who was stopped, once the others have ended or had their time; what each has said in the end."""
    until = time.monotonic() + 30
    while any(process.poll() is None for process in crowd) and time.monotonic() < until:
        time.sleep(0.1)
        if all(_stopped(process.pid) for process in crowd if process.poll() is None):
            break
    for process in crowd:
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGCONT)
    said = []
    for process in crowd:
        out, err = process.communicate(timeout=120)
        assert process.returncode in (0, -9, 1, 75), err
        said.append(out.splitlines() if process.returncode == 0 else [])
    return said


def _stopped(pid: int) -> bool:
    """Whether a process is stopped."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    return True
