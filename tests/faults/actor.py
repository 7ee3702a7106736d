"""One operation in a process of its own, as a user's: `python -m tests.faults.actor OPERATION FOLDER`.

It prints what it has done, a line each; a failure is said on standard error, and its exit code is the process's.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pkgrun
from pkgrun.errors import PkgrunError

from .operations import OPERATIONS, Acknowledged, target

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Ended:
    """How it ended: by a signal, -9 and the like."""

    code: int
    said: Acknowledged
    error: str


def act(operation: str, place: Path, cache: Path, *before: str) -> Ended:
    """Start it, behind another program if one is named, and wait for its end."""
    argv = [*before, sys.executable, "-m", "tests.faults.actor", operation, str(place)]
    env = {**os.environ, "PKGRUN_CACHE": str(cache)}
    done = subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=120)
    return Ended(done.returncode, done.stdout.splitlines(), done.stderr)


def main() -> int:
    """The process."""
    operation, place = sys.argv[1], Path(sys.argv[2])
    try:
        said = OPERATIONS[operation](place, pkgrun.open(target(place, operation)))
    except PkgrunError as error:
        print(f"{error.kind}: {error}", error.hint or "", sep="\n", file=sys.stderr)
        return error.exit_code
    for line in said:
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
