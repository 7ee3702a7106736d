"""A folder of its own with a store and a cache, and pkgrun in it: as a console script and as a library."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pkgrun import Workspace
from pkgrun import open as open_store

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
SCRIPT = Path(sys.executable).parent / "pkgrun"

_UNWANTED = ("PKGRUN_", "NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "TTY_")

MAIN = "class Main:\n    def __init__(self): pass\n    def predict(self, mlskill_input): return ''\n"

TRAIN = """
import os

class Main:
    def train(self, training_directory):
        print("learning")
        self.model = str(sorted(os.listdir(training_directory)))

    def save(self):
        with open("model.txt", "a") as file:
            file.write(self.model + "\\n")
"""


def waiting(save: str) -> str:
    """The code of a package that draws a plot, waits for the file `go` where there is one to wait for, and saves so."""
    return _WAITING + textwrap.indent(textwrap.dedent(save), " " * 8)


_WAITING = """
import os, random, time

class Main:
    def train(self, training_directory):
        open(os.path.join(os.environ["artifacts_directory"], "plot.svg"), "w").write("<svg/>")
        while "go" in os.environ and not os.path.exists(os.environ["go"]):
            time.sleep(0.005)

    def save(self):
"""


@dataclass(frozen=True)
class Ended:
    """A process that has ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """Standard output, which must be one JSON document."""
        return json.loads(self.out)


@dataclass
class Lab:
    """Where a test works. `env` are variables for the console script besides those that every test needs."""

    folder: Path
    cache: Path
    env: dict[str, str] = field(default_factory=dict)
    started: list[subprocess.Popen[str]] = field(default_factory=list)
    before: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        self.before = self._work_folders()

    def __enter__(self) -> Lab:
        return self

    def __exit__(self, *end: object) -> None:
        """No process outlives its test."""
        for process in self.started:
            process.kill()
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()
            process.wait()
        for pid in self.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    @property
    def store(self) -> Path:
        return self.folder / "store"

    def variables(self, **more: str) -> dict[str, str]:
        """The whole environment of a process."""
        known = {name: value for name, value in os.environ.items() if not name.startswith(_UNWANTED)}
        mine = {"PKGRUN_STORE": str(self.store), "PKGRUN_CACHE": str(self.cache), "TZ": "UTC"}
        return {**known, **mine, **self.env, **more}

    def start(self, *arguments: str | Path, **more: Any) -> subprocess.Popen[str]:
        """The console script, not waited for; standard output and error are pipes."""
        more.setdefault("stdout", subprocess.PIPE)
        more.setdefault("stderr", subprocess.PIPE)
        env = self.variables(**more.pop("env", {}))
        return self._started(
            subprocess.Popen([SCRIPT, *arguments], cwd=self.folder, env=env, text=True, **more)
        )

    def _started(self, process: subprocess.Popen[str]) -> subprocess.Popen[str]:
        self.started.append(process)
        return process

    def pkgrun(self, *arguments: str | Path, code: int = 0, **env: str) -> Ended:
        """Run the console script, which must end with `code`."""
        process = self.start(*arguments, env=env, stdin=subprocess.DEVNULL)
        out, err = process.communicate(timeout=300)
        assert process.returncode == code, f"{arguments} ended with {process.returncode}:\n{out}\n{err}"
        return Ended(process.returncode, out, err)

    def document(self, *arguments: str | Path, code: int = 0, **env: str) -> Any:
        """Run it with --json."""
        return self.pkgrun(*arguments, "--json", code=code, **env).document

    def python(self, source: str, *arguments: str | Path, **more: Any) -> subprocess.Popen[str]:
        """A process that runs `source` with the library."""
        more.setdefault("stdout", subprocess.PIPE)
        command = [sys.executable, "-c", textwrap.dedent(source), *map(str, arguments)]
        process = subprocess.Popen(command, cwd=self.folder, env=self.variables(), text=True, **more)
        return self._started(process)

    def workspace(self) -> Workspace:
        return open_store(self.store)

    def package(self, name: str = "p", train: str = TRAIN, files: Mapping[str, str] | None = None) -> Path:
        """A package folder; `files` are written besides train.py, main.py and an empty requirements.txt."""
        folder = self.folder / "packages" / name
        all_files = {"train.py": train, "main.py": MAIN, "requirements.txt": "", **(files or {})}
        for path, content in all_files.items():
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(textwrap.dedent(content))
        return folder

    def mark(self, name: str) -> Path:
        """A file by which processes wait for each other."""
        folder = self.folder / "marks"
        folder.mkdir(exist_ok=True)
        return folder / name

    def version_files(self, name: str) -> dict[str, str]:
        """The paths of a version and their kinds; a `*` marks an executable file."""
        return {
            path: entry.kind + ("*" if entry.executable else "")
            for path, entry in self.workspace().files(name)
        }

    def leftovers(self) -> list[str]:
        """What lies among the work directories, and lay not there before: another test's dead may still do so."""
        return sorted(self._work_folders() - self.before)

    def _work_folders(self) -> frozenset[str]:
        work = self.cache / "work"
        return frozenset(os.listdir(work) if work.exists() else ())

    def processes(self) -> list[int]:
        """The living processes that have to do with this lab, by command line, environment or current folder."""
        return processes(str(self.folder))


def chain_is_intact(store: Path, package: str, major: int) -> bool:
    """Whether each minor's record names the digest of the record before it."""
    records = sorted((store / "packages" / package / f"{major:08}").glob("*[0-9].json"))
    digests = ["sha256:" + hashlib.sha256(record.read_bytes()).hexdigest() for record in records]
    named = [json.loads(record.read_bytes())["previous"] for record in records]
    return named[1:] == digests[:-1]


def minors(store: Path, package: str, major: int = 1) -> list[int]:
    """The minors that have a record."""
    return sorted(
        int(file.stem) for file in (store / "packages" / package / f"{major:08}").glob("*[0-9].json")
    )


def until(holds: Callable[[], object], seconds: float = 30, what: str = "it") -> None:
    """Wait for a condition."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"{what} did not come to hold within {seconds} s"
        time.sleep(0.01)


def processes(canary: str) -> list[int]:
    """The processes but this one that carry `canary` in their command line, environment or current folder."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        try:
            seen = (folder / "environ").read_bytes() + (folder / "cmdline").read_bytes()
            seen += os.fsencode(os.readlink(folder / "cwd"))
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if canary.encode() in seen and state not in "ZX":
            found.append(int(folder.name))
    return found
