"""Breaks everything in every way, and prints what became of it; ends with 1 if anything was lost, doubled or missing."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from . import crowds, full, images, kernel, power, server
from .matrix import Scene, run, sample
from .operations import OPERATIONS
from .verdicts import Tally

_CUTS = 50


def _added(tallies: list[Tally]) -> Tally:
    """Several rows as one."""
    total = Tally()
    for tally in tallies:
        for name in ("faults", "operations", "acknowledged", "lost", "doubled", "holes", "wrong"):
            setattr(total, name, getattr(total, name) + getattr(tally, name))
    return total


def _fresh(folder: Path) -> Path:
    return Path(tempfile.mkdtemp(dir=folder))


def _full(folder: Path, seed: int) -> Tally:
    return _added(
        [full.attempts(_fresh(folder), operation, what) for operation in OPERATIONS for what in full.ROOM]
    )


REAL: Mapping[str, Callable[[Path, int], Tally]] = {
    "power cut": lambda folder, seed: power.cuts(_fresh(folder), _CUTS, seed),
    "system calls": lambda folder, seed: _added(
        [kernel.deaths(_fresh(folder), call) for call in kernel.CALLS]
    ),
    "full disk": _full,
    "crowd": lambda folder, seed: _added([crowds.crowd(_fresh(folder), seed + turn) for turn in range(5)]),
}
"""What is done to real processes and file systems, besides the faults at calls."""


def _calls(folder: Path, operations: list[str], count: int | None, seed: int) -> dict[str, Tally]:
    scene = Scene.made(folder, operations)
    every = [case for operation in scene.calls for case in scene.cases(operation)]
    chosen = sample(every, count, seed)

    tallies = run(scene.meet, chosen, scene.folder, told=_counting(len(chosen), "calls"))
    return {f"calls of {name}": tallies[name] for name in operations if name in tallies}


def _requests(folder: Path, count: int | None, seed: int) -> dict[str, Tally]:
    with server.serving(folder) as service:
        chosen = sample(service.cases(), count, seed)
        tallies = run(service.meet, chosen, folder, told=_counting(len(chosen), "requests"))
    return {f"requests of {name}": tallies[name] for name in server.OPERATED if name in tallies}


def _counting(total: int, what: str) -> Callable[[int], None]:
    """Says how far it is."""

    def told(done: int) -> None:
        if sys.stderr.isatty() or done % 200 == 0:
            print(f"\r{done} of {total} {what}", end="", file=sys.stderr, flush=True)

    return told


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    names = (*OPERATIONS, "server", *REAL)
    parser.add_argument("what", nargs="*", metavar="WHAT", help=", ".join(names))
    parser.add_argument(
        "--sample",
        type=int,
        help="so many faults at calls, and at requests of a server, drawn by the seed; else all",
    )
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    asked = parser.parse_args()
    wanted = asked.what or list(names)
    if unknown := set(wanted) - set(names):
        parser.error(f"there is no {', '.join(unknown)}")
    print(f"seed {asked.seed}", file=sys.stderr)
    tallies: dict[str, Tally] = {}
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        operations = [name for name in OPERATIONS if name in wanted]
        if operations:
            tallies |= _calls(_fresh(Path(folder)), operations, asked.sample, asked.seed)
        if "server" in wanted:
            tallies |= _requests(_fresh(Path(folder)), asked.sample, asked.seed)
        for name, work in REAL.items():
            if name in wanted and _possible(name):
                print(f"\r{name}", file=sys.stderr)
                tallies[name] = work(Path(folder), asked.seed)
    return _shown(tallies)


def _possible(name: str) -> bool:
    able = {"power cut": images.possible, "full disk": images.possible, "system calls": kernel.possible}
    if name not in able or able[name]():
        return True
    print(f"{name}: not possible here", file=sys.stderr)
    return False


def _shown(tallies: dict[str, Tally]) -> int:
    print("| what was broken | faults injected | operations | acknowledged | lost | doubled | holes |")
    print("|---|---|---|---|---|---|---|")
    for name, one in {**tallies, "all": _added(list(tallies.values()))}.items():
        cells = (one.faults, one.operations, one.acknowledged, one.lost, one.doubled, one.holes)
        print(f"| {name} |", " | ".join(f"{cell:,}" for cell in cells), "|")
    wrong = [line for one in tallies.values() for line in one.wrong]
    print(*wrong, sep="\n", end="", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
