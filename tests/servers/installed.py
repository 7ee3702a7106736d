"""Programs from PyPI that the tests start, each in a virtual environment of its own, installed once by uv.

Not in the `test` extra: ministack pins botocore to one release, which is its business and nobody else's.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import platformdirs
from filelock import FileLock
from uv import find_uv_bin

from pkgrun.worker import indexes

SECONDS = 300


def programs(name: str, requirements: Sequence[str]) -> Path:
    """The folder with the console scripts of these requirements.

    Raises:
        subprocess.CalledProcessError, subprocess.TimeoutExpired: they cannot be installed; uv has said why.
    """
    cache = platformdirs.user_cache_path("pkgrun-tests")
    told = "\n".join((sys.executable, platform.python_version(), *requirements))
    folder = cache / f"{name}-{hashlib.sha256(told.encode()).hexdigest()[:16]}"
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock", timeout=SECONDS):
        if not (folder / "complete").exists():
            _install(folder, requirements)
    return folder / "bin"


def _install(folder: Path, requirements: Sequence[str]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    setting = indexes.configured(os.environ)
    env = {**os.environ, **setting.variables}
    python = folder / "bin" / "python"
    for command in (
        ["venv", "--python", sys.executable, str(folder)],
        ["pip", "install", "--python", str(python), *setting.arguments, *requirements],
    ):
        subprocess.run(
            [find_uv_bin(), *command, "--quiet"],
            env=env,
            check=True,
            timeout=SECONDS,
            stdin=subprocess.DEVNULL,
        )
    (folder / "complete").touch()
