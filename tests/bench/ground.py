"""What every benchmark is given: pkgrun as a user has it, a folder to work in, and how thorough to be."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from .datasets import DATASETS, Dataset, kept
from .peers import Peer
from .scratch import Scratch, scratch
from .timing import Failed, Trial, call

QUICK = 0.002  # of a dataset: to see that it runs
REPOSITORY = Path(__file__).parents[2]


def environ(home: Path) -> dict[str, str]:
    """A plain environment, whatever this process was started with; an empty variable lets bytecode be written."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
    return kept | {"HOME": str(home), "PYTHONDONTWRITEBYTECODE": "", "TERM": "dumb"}


@dataclass(frozen=True, slots=True)
class Ground:
    """Where and how to measure. `rounds` as asked for, or None for each benchmark's own; `quick` only sees it run.

    `data` is where the datasets are kept, `scale` the share of them that is used, `without` the programs left out.
    """

    python: Path
    work: Path
    peers: Sequence[Peer] = ()
    rounds: int | None = None
    quick: bool = False
    data: Path | None = None
    scale: float = 1
    without: frozenset[str] = frozenset()

    @property
    def program(self) -> Path:
        """The console script, as an ordinary installation has it."""
        return self.python.parent / "pkgrun"

    def folder(self, name: str) -> Path:
        """A new folder to work in."""
        folder = self.work / name
        folder.mkdir(parents=True)
        return folder

    def counted(self, usual: int) -> int:
        """How many rounds to count."""
        return self.rounds or (2 if self.quick else usual)

    def dataset(self, name: str) -> Dataset:
        """One of the datasets, as large as it is to be."""
        return DATASETS[name].scaled(QUICK if self.quick else self.scale)

    def kept(self, name: str) -> Path:
        """Its files, made if they are not there; nobody may change them."""
        return kept(self.data or self.work / "datasets", self.dataset(name))

    def scratch(self, room: int) -> AbstractContextManager[Scratch]:
        """Fair ground for one group of measurements, with room for so many bytes."""
        return scratch(self.work, room, own=not self.quick)

    def env(self, store: Path) -> dict[str, str]:
        """The environment of pkgrun with a store."""
        return environ(self.work) | {"PKGRUN_STORE": str(store), "PKGRUN_CACHE": str(self.work / "cache")}

    def pkgrun(self, name: str, store: Path, *arguments: str) -> Trial:
        """A call of pkgrun, to be timed."""
        return Trial(name, (str(self.program), *arguments), self.work, self.env(store))

    def call(self, store: Path, *arguments: str) -> str:
        """A call of pkgrun that is not timed; its standard output."""
        return call((self.program, *arguments), cwd=self.work, env=self.env(store))

    def script(self, name: str, folder: Path, *arguments: str) -> Trial:
        """A bare Python, the one that pkgrun is installed for."""
        return Trial(name, (str(self.python), *arguments), folder, environ(self.work))


def installed(work: Path) -> Path:
    """The Python of a fresh virtual environment with this repository's pkgrun, its bytecode compiled."""
    folder, log = work / "venv", work / "install.txt"
    env = dict(os.environ) | {"PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    python = folder / "bin" / "python"
    call((sys.executable, "-m", "venv", folder), cwd=work, env=env)
    log.write_text(call((python, "-m", "pip", "install", REPOSITORY), cwd=work, env=env))
    return python


def check(python: Path) -> None:
    """See that pkgrun is there as a user has it.

    Raises:
        Failed: it is not.
    """
    if not (python.parent / "pkgrun").exists():
        raise Failed(f"there is no pkgrun beside {python}; leave --python out and one is installed")
