"""Row 9: whatever call of the store fails, and however, nothing that was acknowledged is lost, doubled or has a hole.

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
SAMPLE = 200


@pytest.mark.slow
def test_whatever_fails_nothing_is_lost(tmp_path: Path) -> None:
    seed = random.randrange(1 << 30)
    command = [
        sys.executable,
        "-m",
        "tests.faults",
        *OPERATIONS,
        "--sample",
        str(SAMPLE),
        "--seed",
        str(seed),
    ]
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
    rows = [line.split(" | ") for line in done.stdout.splitlines() if line.startswith("| ")][1:]
    assert int(rows[-1][1]) == SAMPLE


def environment(folder: Path) -> dict[str, str]:
    """What its processes see."""
    return {**os.environ, "TMPDIR": str(folder), "PKGRUN_CACHE": str(folder / "cache")}
