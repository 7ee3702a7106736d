"""All that a user can see in a store, as JSON: what versions, datasets and runs say, and the digest of each file that
comes out of them.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import orjson

import pkgrun
from pkgrun.errors import NotFound
from pkgrun.observe import Log
from pkgrun.records import Record


def seen(store: Path, scratch: Path) -> dict[str, Any]:
    """Everything, by what it is called."""
    workspace = pkgrun.open(store, create=False)
    return {
        "versions": _versions(workspace, scratch / "out"),
        "datasets": _datasets(workspace, scratch / "out"),
        "runs": _runs(workspace, scratch / "out"),
    }


def object_of(store: Path, data: bytes) -> Path:
    """Where a store keeps bytes that are too many for a pack."""
    digest = hashlib.sha256(data).hexdigest()
    return store / "objects" / digest[:2] / digest


def contains(now: Any, then: Any, where: str = "") -> None:
    """All that was said then is said now; that more is said is no fault."""
    if isinstance(then, dict):
        assert isinstance(now, dict), where
        for name, value in then.items():
            assert name in now, f"{where}/{name} is not told any more"
            contains(now[name], value, f"{where}/{name}")
    else:
        assert now == then, where


def _versions(workspace: pkgrun.Workspace, out: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for package in workspace.packages():
        removals = workspace.removals(package)
        for record in workspace.versions(package):
            name = f"{package}@{record.version}"
            found[name] = {"record": _said(record)}
            if record.version in removals:
                found[name]["removal"] = _said(removals[record.version])
            else:
                export = partial(workspace.export, name)
                found[name]["files"] = exported(export, out)
    return found


def _datasets(workspace: pkgrun.Workspace, out: Path) -> dict[str, Any]:
    found = {}
    for newest in workspace.datasets.all():
        for record in workspace.datasets.numbers(newest.dataset):
            files = exported(partial(workspace.datasets.export, record.label), out)
            found[record.label] = {"record": _said(record), "files": files}
    return found


def _runs(workspace: pkgrun.Workspace, out: Path) -> dict[str, Any]:
    found = {}
    for record in workspace.runs(everything=True):
        run = workspace.run(record.run)
        about: dict[str, Any] = {"record": _said(record)}
        about["lines"] = [event.text for event in run.log() if isinstance(event, Log)]
        with suppress(NotFound):  # of a version that was removed
            about["artifacts"] = exported(run.export_artifacts, out)
        with suppress(NotFound):
            about["snapshot"] = exported(run.export_snapshot, out)
        found[record.run] = about
    return found


def _said(record: Record) -> Any:
    return orjson.loads(record.to_bytes())


def exported(export: Callable[[Path], object], out: Path) -> dict[str, str]:
    """What an export writes: of each path its digest and mode, its target, or that it is a folder."""
    export(out)
    found = {}
    for folder, names, files in os.walk(out):
        for name in names + files:
            path = os.path.join(folder, name)
            found[os.fsencode(os.path.relpath(path, out)).decode("utf-8", "backslashreplace")] = _what(path)
    shutil.rmtree(out)
    return found


def _what(path: str) -> str:
    if os.path.islink(path):
        return "-> " + os.readlink(path)
    if os.path.isdir(path):
        return "folder"
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return digest + (" executable" if os.access(path, os.X_OK) else "")
