"""A run whose data is mounted by overlay, as root and as an ordinary user, and a ground that both may use."""

from __future__ import annotations

import encodings.ascii  # noqa: F401  # before a process is a user, who may not read where this Python lives
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from pkgrun.worker.namespaces import Overlay, overlay, probe
from tests.processes import NOBODY, apart, open_folder, powerless
from tests.worker.trial import Trial, package, trained, tried

USERS = ("root", "user")
_PYTHONS = (sys.executable, "/usr/local/bin/python3", "/usr/bin/python3")


@dataclass(frozen=True)
class Ground:
    """Where one run takes place. `as_user` makes calls in a process of that user."""

    root: Path
    user: str
    python: str
    as_user: Callable[[Callable[[], Any]], Any] = field(repr=False)

    @property
    def source(self) -> Path:
        return self.root / "source"

    @property
    def upper(self) -> Path:
        return self.root / "scratch" / "upper"

    @property
    def data(self) -> Path:
        return self.root / "work" / "data"

    def fill(self, content: dict[str, str]) -> None:
        """Files of the source; a name that ends in a slash is an empty folder."""

        def write() -> None:
            for name, text in content.items():
                path = self.source / name
                (path if name.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
                if not name.endswith("/"):
                    path.write_text(text)

        self.as_user(write)

    def run(self, body: str, **options: Any) -> Trial:
        """What `train` does that has `body`, with the source at data/."""
        trial = self.as_user(lambda: self.run_here(body, **options))
        assert isinstance(trial, Trial), trial
        return trial

    def run_here(self, body: str, **options: Any) -> Trial:
        """The same, by this process, which has to be the user's."""
        workdir = package(self.root, trained(body))
        if "overlay" not in options:
            options["overlay"] = self.layers()
        return tried(workdir, python=self.python, **options)

    def layers(self) -> Overlay:
        return overlay(self.source, self.root / "scratch", self.data)


@contextmanager
def ground(user: str) -> Iterator[Ground | str]:
    """A fresh ground, or why there can be none for that user."""
    if user == "root" and os.geteuid() != 0:
        yield "only root is root"
        return
    with open_folder() as folder:
        root = Path(folder)
        for name in ("source", "scratch", "work/data", "cache", "store"):
            (root / name).mkdir(parents=True)
        if user == "user" and os.geteuid() == 0:
            for path in (root, *root.rglob("*")):
                os.chown(path, NOBODY, NOBODY)
        as_user = apart if user == "root" else powerless
        usable = [python for python in _PYTHONS if as_user(partial(_runs, python))]
        made = Ground(root, user, usable[0], as_user)
        reason = as_user(lambda: _probed(made))
        yield reason or made


def _runs(python: str) -> bool:
    try:
        return subprocess.run([python, "-c", ""], check=False, capture_output=True).returncode == 0
    except OSError:
        return False


def _probed(made: Ground) -> str | None:
    return probe(made.source, made.root / "scratch", cache=made.root / "cache", python=Path(made.python))


def seen(folder: Path) -> dict[str, tuple[object, ...]]:
    """All that can be known of a folder without changing it."""
    found: dict[str, tuple[object, ...]] = {}
    for path in (folder, *sorted(folder.rglob("*"))):
        status = path.lstat()
        content = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None
        kept = ("st_mode", "st_ino", "st_nlink", "st_uid", "st_gid", "st_size", "st_mtime_ns", "st_ctime_ns")
        found[str(path)] = (*(getattr(status, name) for name in kept), content)
    return found


def mounts(folder: Path) -> list[str]:
    """What is mounted in a folder, or from it, as this process sees it."""
    return [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(folder) in line]
