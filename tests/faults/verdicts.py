"""What must be true of a store after whatever happened to it, and how often it was."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pkgrun
from pkgrun import Workspace
from pkgrun.errors import Erased, PkgrunError
from pkgrun.store import roots, sweeping, trees
from pkgrun.store.objects import digest_of
from pkgrun.store.operations import new_run_id
from pkgrun.store.root import Store, open_store
from pkgrun.workspace.stores import fsck

from .operations import ELSEWHERE, NOBODY, OPERATIONS, Acknowledged, acknowledged

Place = Path | str
"""A store: a directory, or a URL."""


@dataclass(slots=True)
class Tally:
    """One row of the table: faults that were injected, operations begun, names acknowledged; of these lost and doubled;
    holes; and in words what was wrong."""

    faults: int = 0
    operations: int = 0
    acknowledged: int = 0
    lost: int = 0
    doubled: int = 0
    holes: int = 0
    wrong: list[str] = field(default_factory=list)

    def look(self, store: Place, said: Iterable[str], when: str) -> None:
        """Recover a store as any reader does, and see whether all that was said is true."""
        workspace = pkgrun.open(store, create=False)
        still = [f"{run.run} is still open" for run in workspace.runs(everything=True) if not run.final]
        found = acknowledged(workspace)
        lost = [f"{one} is lost" for one in set(said) - set(found)]
        twice, missing = list(doubled(workspace)), list(holes(store))
        self.lost += len(lost)
        self.doubled += len(twice)
        self.holes += len(missing)
        self.wrong += [f"{when}: {one}" for one in (*still, *lost, *twice, *missing, *unchained(workspace))]


def after(
    store: Place, place: Path, operation: str, *, before: Acknowledged, said: Acknowledged
) -> dict[str, Any]:
    """Somebody else recovers the store, checks it, does the operation once more, collects, and checks again.

    Args:
        store: what the operation wrote to.
        place: where the operation finds what it is given.
        operation: its name.
        before: what was acknowledged of the prepared store.
        said: what the operation acknowledged.

    Returns:
        The fields of a `Verdict`.
    """
    workspace = pkgrun.open(store)
    known = said + ([] if operation in ELSEWHERE else before + acknowledged(workspace))
    workspace.recover()
    still = [run.run for run in workspace.runs(everything=True) if not run.final]
    wrong = [f"{run} is still open" for run in still]
    wrong += unsound(store)
    missing = list(holes(store))
    wrong += list(unchained(workspace))
    twice = list(doubled(workspace))
    again = OPERATIONS[operation](place, pkgrun.open(store))
    collect(store)
    missing += list(holes(store))
    wrong += unsound(store)
    wrong += back(store)
    found = acknowledged(pkgrun.open(store))
    lost = [one for one in {*known, *again} if one not in found]
    return {
        "acknowledged": len(said),
        "lost": lost,
        "doubled": twice,
        "holes": missing,
        "wrong": wrong,
    }


def unsound(store: Place) -> list[str]:
    """Holes and damage that `fsck` finds when it reads every byte."""
    report = fsck(store, read_data=True)
    return [f"fsck: {one}" for one in report.findings if one.severity in ("hole", "damage")]


def back(store: Place) -> list[str]:
    """What is there against a receipt."""
    return [f"fsck: {one}" for one in fsck(store).findings if one.kind == "erased-present"]


def collect(path: Place) -> None:
    """Delete all that nothing refers to."""
    store = open_store(str(path), create=False)
    sweeping.collect(store.backend, store.objects, by=NOBODY, new_id=new_run_id, grace=0.0)


def holes(path: Place) -> Iterator[str]:
    """What a record refers to and cannot be read, every byte of it."""
    store = open_store(str(path), create=False)
    for root in roots.load(store.backend).kept:
        for blob in root.blobs:
            yield from _unread(store, root.key, blob.digest)
        for tree in root.trees:
            try:
                for _, entry in trees.walk(store.objects, tree.digest):
                    if entry.kind == "file":
                        yield from _unread(store, root.key, entry.digest)
            except PkgrunError as error:
                yield f"{root.key}: {error}"


def _unread(store: Store, key: str, digest: str) -> Iterator[str]:
    try:
        for _ in store.objects.stream(digest):
            pass
    except Erased:  # which is no hole
        pass
    except PkgrunError as error:
        yield f"{key}: {error}"


def unchained(workspace: Workspace) -> Iterator[str]:
    """Versions that do not name the record before them."""
    backend = workspace._store.backend
    for name in workspace.packages():
        before: str | None = None
        for record in workspace.versions(name):
            data = backend.read(f"packages/{name}/{record.version.major:08}/{record.version.minor:08}.json")
            if record.version.minor and record.previous != before:
                yield f"{name}@{record.version} does not name the record before it"
            before = digest_of(data)


def doubled(workspace: Workspace) -> Iterator[str]:
    """Runs that got two numbers."""
    made: dict[str, str] = {}
    for name in workspace.packages():
        for record in workspace.versions(name):
            label = f"{name}@{record.version}"
            if record.run in made:
                yield f"{made[record.run]} and {label} are of one run"
            made[record.run] = label
