"""The one command that checks everything: `python -m tests`. With `--fast`, without the tests that take over ten
seconds. With `--install`, or where `CI=true`, the servers that only Debian packages are installed first.

Every step is run, also after one has failed; pytest comes last, so that its closing line closes the output.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = Path(sys.executable).parent


def steps(*, fast: bool, install: bool) -> dict[str, list[str]]:
    """What is run, by name and in order."""
    python = [sys.executable, "-m"]
    servers = {"servers": [*python, "tests.servers.debian"]} if install and not fast else {}
    return servers | {
        "format": [*python, "ruff", "format", "--check", "."],
        "lint": [*python, "ruff", "check", "."],
        "types": [*python, "mypy"],
        "layers": [str(SCRIPTS / "lint-imports")],
        # Two processes: most tests wait for what they started. A file's tests share what they set up.
        "tests": [*python, "pytest", "-n", "2", "--dist", "loadfile", *(["-m", "not slow"] if fast else [])],
    }


def carry_out(name: str, command: list[str], *, last: bool) -> bool:
    """Run one step and say how it ended; the last one has the last word itself."""
    print(f"── {name}: {' '.join([Path(command[0]).name, *command[1:]])}", flush=True)
    began = time.monotonic()
    try:
        code = subprocess.run(command, cwd=ROOT, check=False).returncode
    except OSError as error:
        code = 127
        print(f"{command[0]}: {error.strerror}", flush=True)
    if not last:
        ended = "ok" if code == 0 else f"FAILED (exit code {code})"
        print(f"── {name}: {ended}, {time.monotonic() - began:.1f} s\n", flush=True)
    return code == 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests", description=__doc__)
    parser.add_argument("--fast", action="store_true", help="leave out the tests marked as slow")
    parser.add_argument(
        "--install", action="store_true", help="install missing Debian packages first, as root"
    )
    options = parser.parse_args()
    wanted = steps(fast=options.fast, install=options.install or os.environ.get("CI") == "true")
    failed: list[str] = []
    for number, (name, command) in enumerate(wanted.items(), 1):
        if number == len(wanted) and failed:
            print(f"── FAILED so far: {', '.join(failed)}\n", flush=True)
        if not carry_out(name, command, last=number == len(wanted)):
            failed.append(name)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
