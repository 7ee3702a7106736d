"""A file that is erased, where it must be found no more, and what may happen meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pkgrun
from pkgrun.store.backend import Backend
from pkgrun.store.objects import digest_of
from pkgrun.store.wrappers import Call, Wrapper
from pkgrun.workspace.stores import fsck

from .lab import Lab

T = TypeVar("T")

SECRET = b"name,born\nAda Lovelace,1815\n"
RAW = bytes.fromhex(digest_of(SECRET)[7:])
OTHERS = {"sub/b.csv": b"1,2\n" * 30, "c.csv": b"3"}

MEMORISES = """
import os, shutil

class Main:
    def train(self, training_directory):
        self.seen = os.path.join(training_directory, "a.csv")

    def save(self):
        shutil.copy(self.seen, os.environ.get("where", "model.csv"))
"""


def dataset(lab: Lab, name: str = "data", **more: bytes) -> Path:
    folder = lab.folder / name
    for path, data in {"a.csv": SECRET, **OTHERS, **more}.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return folder


def anywhere(*places: Path) -> list[Path]:
    """The files that hold the content, whatever they are."""
    found = (
        path for place in places for path in place.rglob("*") if path.is_file() and not path.is_symlink()
    )
    return [path for path in found if SECRET in path.read_bytes()]


def sound(lab: Lab) -> None:
    """Every byte of the store is what it should be, and nothing is missing that was not erased."""
    found = fsck(lab.store, read_data=True)
    assert found.sound, found.findings
    assert {one.kind for one in found.findings} <= {"erased", "unreferenced", "run-dead"}, found.findings


def train(
    workspace: pkgrun.Workspace, package: str | Path, data: Path | str, **more: Any
) -> pkgrun.RunResult:
    return workspace.train(package, data=data, environment="current", **more).wait(60)


def put_regardless(backend: Backend, data: bytes) -> None:
    from pkgrun.store.packs import Filling
    from pkgrun.store.sending import send

    filling = Filling()
    filling.add(bytes.fromhex(digest_of(data)[7:]), data)
    send(backend, filling.close())
    backend.flush()


class Meanwhile(Wrapper):
    """Something else happens, once, before the call that `when` says, whichever part of the store makes it."""

    def __init__(self, backend: Backend, when: Callable[[Call], bool], happens: Callable[[], object]) -> None:
        super().__init__(backend)
        self._when, self._happens = when, happens
        self._happened: list[Call] = []

    def around_apart(self, backend: Backend) -> Meanwhile:
        other = Meanwhile(backend, self._when, self._happens)
        other._happened = self._happened
        return other

    @property
    def happened(self) -> bool:
        return bool(self._happened)

    def around(self, call: Call, work: Callable[[], T]) -> T:
        if not self._happened and self._when(call):
            self._happened.append(call)
            self._happens()
        return work()
