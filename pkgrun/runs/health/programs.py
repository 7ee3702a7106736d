"""The programs that environments are made by and of: uv, and the Pythons here. Only uv is started."""

from __future__ import annotations

import os
import platform
import subprocess

from pkgrun.errors import PkgrunError
from pkgrun.runs.health.check import Check, failed

_SECONDS = 1.5


def look() -> list[Check]:
    """uv and the Pythons."""
    return [_uv(), _pythons()]


def _uv() -> Check:
    from pkgrun.worker import installer

    try:
        program = installer.program()
        done = subprocess.run(
            [program, "--version"],
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=True,
            stdin=subprocess.DEVNULL,
        )
    except PkgrunError as error:
        return failed("programs", "uv", error)
    except (OSError, subprocess.SubprocessError) as error:
        return Check(
            "programs",
            "uv",
            "problem",
            f"uv does not run: {error}",
            "pip install --force-reinstall uv",
            exit_code=4,
        )
    return Check("programs", "uv", "ok", f"{done.stdout.split('(')[0].strip()}, {program}")


def _pythons() -> Check:
    from pkgrun.worker import interpreters

    found = interpreters.lying_here(os.environ)
    message = f"{', '.join(found)} for --python; this one is {platform.python_version()}"
    return Check("programs", "Python", "ok", message, numbers={"versions": " ".join(found)})
