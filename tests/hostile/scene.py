"""A place where things go wrong: a package written as text, the console script, and what is left afterwards."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import pkgrun
from pkgrun.cli.main import main
from pkgrun.errors import PkgrunError
from pkgrun.observe import Event, silent
from pkgrun.records import RunRecord

SCRIPT = str(Path(sys.executable).parent / "pkgrun")


@dataclass(frozen=True)
class Said:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True)
class Ended:
    """How a training ended: its record, and the error that waiting for it raised."""

    record: RunRecord
    error: PkgrunError | None
    events: tuple[Event, ...]


@dataclass
class Scene:
    """A store, a cache and a package in one folder."""

    root: Path
    _workspace: list[pkgrun.Workspace] = field(default_factory=list)

    @property
    def store(self) -> Path:
        return self.root / "store"

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    @property
    def workspace(self) -> pkgrun.Workspace:
        if not self._workspace:
            self._workspace.append(pkgrun.open(self.store))
        return self._workspace[0]

    def package(self, body: str = "pass", *, name: str = "pack", save: str = "mark('model.txt')") -> Path:
        """A package whose `train` is `body`."""
        folder = self.root / name
        folder.mkdir(exist_ok=True)
        (folder / "train.py").write_text(source(body, save))
        (folder / "main.py").write_text("class Main:\n    def predict(self, text):\n        return text\n")
        return folder

    def added(self, body: str = "pass", *, name: str = "pack", save: str = "mark('model.txt')") -> str:
        """The name of such a package in the store."""
        return self.workspace.add(self.package(body, name=name, save=save)).record.package

    def train(self, package: str | Path = "pack", **more: Any) -> Ended:
        """Train in the Python at hand and wait."""
        events: list[Event] = []
        more.setdefault("environment", "current")
        more.setdefault("timeout", 60)
        run = self.workspace.train(package, observer=more.pop("observer", events.append), **more)
        try:
            run.wait()
        except PkgrunError as error:
            return Ended(run.record(), error, tuple(events))
        return Ended(run.record(), None, tuple(events))

    def lines(self, run: str) -> list[str]:
        """What the package's code wrote."""
        return [event.text for event in self.workspace.run(run).events() if isinstance(event, pkgrun.Log)]

    def call(
        self,
        *words: str | bytes | Path,
        env: Mapping[str, str | None] | None = None,
        stdin: bytes = b"",
        cwd: Path | None = None,
        store: bool = True,
        timeout: float = 30,
    ) -> Said:
        """The console script: what it calls, in a copy of this process; with odd variables a process of its own."""
        where: list[str | bytes | Path] = ["--store", self.store] if store else []
        line = [os.fsencode(word) for word in [*where, *words]]
        if env is None:
            return forked(line, cwd, stdin, timeout)
        variables: dict[str, str] = {**os.environ, "TERM": "dumb"}
        for key, value in env.items():
            variables.pop(key, None)
            if value is not None:
                variables[key] = value
        ended = subprocess.run(
            [SCRIPT, *line],
            env=variables,
            input=stdin,
            cwd=cwd,
            capture_output=True,
            check=False,
            timeout=timeout,
        )
        return Said(
            ended.returncode, ended.stdout.decode(errors="replace"), ended.stderr.decode(errors="replace")
        )

    def shell(self, line: str, *, timeout: float = 30, **env: str) -> Said:
        """A line of bash in which `$P` is the console script with this store."""
        variables = {**os.environ, **env, "P": f"{SCRIPT} --store {self.store}", "TERM": "dumb"}
        ended = subprocess.run(
            ["bash", "-c", line], env=variables, capture_output=True, check=False, timeout=timeout
        )
        return Said(
            ended.returncode, ended.stdout.decode(errors="replace"), ended.stderr.decode(errors="replace")
        )

    def outside(self) -> dict[str, str]:
        """All that lies in the scene but in store and cache: no hostile name may change it."""
        return {
            path: what
            for path, what in tree(self.root).items()
            if path.partition("/")[0] not in ("store", "cache")
        }

    def left(self) -> list[str]:
        """Work directories and their locks that are still there."""
        work = self.cache / "work"
        return sorted(os.listdir(work)) if work.is_dir() else []

    def goes_on(self) -> None:
        """Nothing is left over, and the next run works."""
        assert self.left() == []
        (self.root / "next").mkdir(exist_ok=True)
        name = self.added(name="next")
        assert self.train(name).error is None
        assert self.left() == []


def forked(words: list[bytes], cwd: Path | None, stdin: bytes, timeout: float) -> Said:
    """The console script's function in a copy of this process: what takes a quarter of a second takes none."""
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        given.write(stdin)
        given.seek(0)
        pid = os.fork()
        if pid == 0:
            _become(words, cwd, [given.fileno(), out.fileno(), err.fileno()], timeout)
        status = os.waitpid(pid, 0)[1]
        out.seek(0)
        err.seek(0)
        return Said(
            os.waitstatus_to_exitcode(status),
            out.read().decode(errors="replace"),
            err.read().decode(errors="replace"),
        )


def _become(words: list[bytes], cwd: Path | None, streams: list[int], timeout: float) -> NoReturn:
    code = 99
    try:
        signal.alarm(max(1, round(timeout)))
        for number, descriptor in enumerate(streams):
            os.dup2(descriptor, number)
        sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")  # noqa: SIM115
        sys.argv = ["pkgrun", *map(os.fsdecode, words)]
        os.environ["TERM"] = "dumb"
        if cwd is not None:
            os.chdir(cwd)
        main()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 98
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def source(body: str, save: str = "mark('model.txt')") -> str:
    """`train.py` with a `train` and a `save`; `mark(path)` adds to a file."""
    return (
        "import os, signal, subprocess, sys, threading, time\n"
        "def mark(path):\n    with open(path, 'a') as file: file.write('x')\n"
        f"class Main:\n    def train(self, folder):\n{_indented(body)}\n    def save(self):\n{_indented(save)}\n"
    )


def _indented(code: str) -> str:
    return textwrap.indent(textwrap.dedent(code).strip("\n"), " " * 8)


def tree(root: Path) -> dict[str, str]:
    """Everything below a folder: its path, and what it is."""
    found = {}
    for folder, names, files in os.walk(root):
        for name in names + files:
            path = os.path.join(folder, name)
            what = os.readlink(path) if os.path.islink(path) else ""
            if os.path.isfile(path) and not what:
                with open(path, "rb") as file:
                    what = file.read().hex()[:200]
            found[os.path.relpath(path, root)] = what
    return found


def holders(root: Path, needles: list[bytes]) -> Iterator[str]:
    """The paths below a folder that hold one of the needles, in their content, name or target."""
    for folder, names, files in os.walk(root):
        for name in names + files:
            path = os.path.join(folder, name)
            data = os.fsencode(path)
            if os.path.islink(path):
                data += os.fsencode(os.readlink(path))
            elif os.path.isfile(path):
                with open(path, "rb") as file:
                    data += file.read()
            if any(needle in data for needle in needles):
                yield path


__all__ = ["SCRIPT", "Ended", "Said", "Scene", "holders", "silent", "source", "tree"]
