"""Row 9: whatever call of the store fails, and however, nothing that was acknowledged is lost, doubled or has a hole; nor
whatever a server answers to one of the requests.

A sample of all cases, another one each time; `python -m tests.faults --seed N --sample M` repeats it.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.operations import OPERATIONS

pytestmark = pytest.mark.row(9)

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = {"calls": (tuple(OPERATIONS), 200), "server": (("server",), 50)}


@pytest.mark.slow
@pytest.mark.parametrize("what", list(SAMPLES))
def test_whatever_fails_nothing_is_lost(tmp_path: Path, what: str) -> None:
    names, count = SAMPLES[what]
    seed = random.randrange(1 << 30)
    drawn = ("--sample", str(count), "--seed", str(seed))
    command = [sys.executable, "-m", "tests.faults", *names, *drawn]
    # A process of its own, with one thread: it forks.
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=False,
        timeout=1200,
    )
    print(done.stdout)
    assert done.returncode == 0, f"{' '.join(command[1:])}\n{done.stdout}\n{done.stderr}"
    last = next(line for line in done.stdout.splitlines() if line.startswith("| all "))
    met, tried = map(int, last.split(" | ")[1:3])
    assert tried == count
    assert met > 0.9 * count  # threads do not always make the same requests


def environment(folder: Path) -> dict[str, str]:
    """What its processes see."""
    return {**os.environ, "TMPDIR": str(folder), "PKGRUN_CACHE": str(folder / "cache")}
