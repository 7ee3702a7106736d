"""What is broken: each operation on a store, and what it says it has done. What was said must stay true."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pkgrun
from pkgrun import Workspace
from pkgrun.records import Actor
from pkgrun.runs.copying import copy
from pkgrun.store import sweeping
from pkgrun.store.objects import digest_of
from pkgrun.store.operations import new_run_id
from pkgrun.store.root import Store, open_store

NOBODY = Actor(user="nobody", host="nowhere", pkgrun="0")
LEARNS = """
import os

class Main:
    def train(self, training_directory):
        self.seen = sorted(os.listdir(training_directory))

    def save(self):
        with open("model.bin", "ab") as file:
            file.write(repr(self.seen).encode() + bytes(1 << 20))
        with open(os.path.join(os.environ["artifacts_directory"], "seen.txt"), "w") as file:
            file.write(repr(self.seen))
"""
MAIN = "class Main:\n    def predict(self, mlskill_input): return ''\n"

Acknowledged = list[str]
"""`NAME@V` of versions and `NAME@n` of datasets that a caller was told of, each with its tree's digest behind a blank."""


def prepare(folder: Path) -> Acknowledged:
    """A store to begin with, and what the operations are given; what was acknowledged of it."""
    _package(folder / "p", LEARNS)
    _package(folder / "q", LEARNS + "# q\n")
    data = folder / "rows"
    (data / "sub").mkdir(parents=True)
    (data / "a.csv").write_bytes(ERASED)
    (data / "sub" / "b.csv").write_text("a,b\n3,4\n")
    (data / "large.bin").write_bytes(b"\x07" * (1 << 20))
    workspace = pkgrun.open(folder / "store")
    workspace.add(folder / "p")
    workspace.datasets.add("rows", data)
    train(folder, workspace)
    (data / "a.csv").write_text("a,b\n1,2\n5,6\n")
    _leave(folder)
    return acknowledged(workspace)


def _package(folder: Path, train: str) -> None:
    folder.mkdir()
    (folder / "train.py").write_text(train)
    (folder / "main.py").write_text(MAIN)


def _leave(folder: Path) -> None:
    """What a dead writer would leave: blobs that nothing refers to."""
    from pkgrun.store import intake

    store = open_store(str(folder / "store"), create=False).apart()
    rubbish = folder / "rubbish"
    (rubbish / "sub").mkdir(parents=True)
    (rubbish / "sub" / "x").write_bytes(b"rubbish")
    (rubbish / "large").write_bytes(b"\x08" * (1 << 20))
    intake.ingest(str(rubbish), store.objects)
    store.objects.flush()
    shutil.rmtree(rubbish)


def train(folder: Path, workspace: Workspace) -> Acknowledged:
    """A training with a snapshot."""
    made = workspace.train("p", data=folder / "rows", environment="current", save_training_data=True).wait()
    output = made.record.output
    return [f"p@{made.version} {output.digest if output else None}"]


def imports(folder: Path, workspace: Workspace) -> Acknowledged:
    """A package that comes in."""
    record = workspace.add(folder / "q").record
    return [f"q@{record.version} {record.tree.digest}"]


def snapshot(folder: Path, workspace: Workspace) -> Acknowledged:
    """A dataset that gets its next number."""
    record = workspace.datasets.add("rows", folder / "rows").record
    return [f"rows@{record.number} {record.tree.digest}"]


def remove(folder: Path, workspace: Workspace) -> Acknowledged:
    """Versions whose content is given up."""
    for name in ("p@1.1", "p@1.0"):
        workspace.remove(name, reason="it is to be broken", force=True)
    return []


def gc(folder: Path, workspace: Workspace) -> Acknowledged:
    """A collection that deletes."""
    store = workspace._store
    sweeping.collect(store.backend, store.objects, by=NOBODY, new_id=new_run_id, grace=0.0)
    return []


ERASED = b"a,b\n1,2\n"
"""What the first number of the dataset held, and the training's snapshot; nothing that comes later does."""


def erase(folder: Path, workspace: Workspace) -> Acknowledged:
    """A content goes, wherever it lies."""
    workspace.erase(digest_of(ERASED), reason="it is to be broken")
    return []


def copies(folder: Path, workspace: Workspace) -> Acknowledged:
    """All of another store into a new one; it is the new one that fails."""
    source = pkgrun.open(folder / "store", create=False)
    copy(source._store, workspace._store, package=None, by=NOBODY, observer=lambda event: None)
    return acknowledged(source)


OPERATIONS: Mapping[str, Callable[[Path, Workspace], Acknowledged]] = {
    "train": train,
    "import": imports,
    "snapshot": snapshot,
    "remove": remove,
    "gc": gc,
    "erase": erase,
    "copy": copies,
}
ELSEWHERE = frozenset({"copy"})
"""Operations on another store than the one that was prepared."""


def target(folder: Path, operation: str) -> Path:
    """The store that an operation writes to."""
    return folder / ("other" if operation in ELSEWHERE else "store")


def acknowledged(workspace: Workspace) -> Acknowledged:
    """All that a store says it has."""
    found = [
        f"{name}@{record.version} {record.tree.digest}"
        for name in workspace.packages()
        for record in workspace.versions(name)
    ]
    for newest in workspace.datasets.all():
        found += [f"{one.label} {one.tree.digest}" for one in workspace.datasets.numbers(newest.dataset)]
    return found


def opened(path: Path) -> Store:
    """A store, made if need be."""
    return open_store(str(path), create=True)
