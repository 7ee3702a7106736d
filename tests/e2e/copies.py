"""A store worth copying, and all that can be seen of one."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

import pkgrun
from pkgrun.errors import PkgrunError
from pkgrun.observe import silent
from pkgrun.runs import copying
from pkgrun.runs.copying import Copy
from pkgrun.runs.here import actor
from pkgrun.store.root import Store
from pkgrun.workspace.stores import copy_store

from .lab import Lab

LEARNS = """
import os

class Main:
    def __init__(self):
        self.artifacts = os.environ["artifacts_directory"]

    def train(self, training_directory):
        print("learning", os.environ.get("mark", ""))
        if "fail" in os.environ:
            raise ValueError("no good")
        self.model = str(sorted(os.listdir(training_directory)))
        with open(os.path.join(self.artifacts, "plot.svg"), "w") as file:
            file.write("<svg/>" + os.environ.get("mark", ""))

    def save(self):
        with open("model.txt", "a") as file:
            file.write(self.model + os.environ.get("mark", "") + "\\n")
"""


def prepared(lab: Lab) -> Lab:
    """A lab whose store holds two packages, three versions of one, two numbers of a dataset, a snapshot, a failure, a key."""
    data = lab.folder / "rows"
    data.mkdir()
    (data / "rows.csv").write_text("a,b\n")
    (data / "large.bin").write_bytes(b"\x07" * (3 << 20))
    workspace = lab.workspace()
    workspace.datasets.add("rows", data)
    (data / "rows.csv").write_text("a,b\n1,2\n")
    workspace.datasets.add("rows", data)
    package = lab.package("p", LEARNS)
    train(workspace, package, data="rows@2", idempotency_key="nightly", env={"mark": "one"})
    train(workspace, "p@1.0", data=data, save_training_data=True, env={"mark": "two"})
    with pytest.raises(PkgrunError, match="no good"):
        train(workspace, "p", env={"fail": "1"})
    workspace.add(lab.package("other"))
    return lab


def train(workspace: pkgrun.Workspace, package: str | Path, **more: Any) -> str:
    """The version that a training makes."""
    return str(workspace.train(package, environment="current", **more).wait(60).version)


def everything(workspace: pkgrun.Workspace, out: Path) -> dict[str, Any]:
    """All that a user can see of a store, but for where it is and what copied it."""
    seen: dict[str, Any] = {}
    for package in workspace.packages():
        seen[package] = workspace.versions(package)
        for record in workspace.versions(package):
            seen[f"{package}@{record.version}"] = exported(
                lambda folder, name=f"{package}@{record.version}": workspace.export(name, folder), out
            )
    for newest in workspace.datasets.all():
        for one in workspace.datasets.numbers(newest.dataset):
            seen[one.label] = (
                one,
                exported(lambda folder, one=one: workspace.datasets.export(one.label, folder), out),
            )
    for run in workspace.runs(everything=True):
        if run.kind == "copy":
            continue
        handle = workspace.run(run.run)
        seen[run.run] = run, list(handle.log()), exported(handle.export_artifacts, out)
        if run.facts and run.facts.snapshot:
            seen[f"data of {run.run}"] = exported(handle.export_snapshot, out)
    return seen


def exported(export: Any, out: Path) -> dict[str, bytes]:
    """The files that something exports."""
    export(out)
    found = {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    shutil.rmtree(out)
    return found


def records(store: Path) -> dict[str, bytes]:
    """Everything that was written once, but for what belongs to copies."""
    copies = {
        file.parent.name for file in store.glob("runs/*/intent.json") if b'"kind":"copy"' in file.read_bytes()
    }
    return {
        str(path.relative_to(store)): path.read_bytes()
        for kind in ("packages", "datasets", "keys", "runs")
        for path in (store / kind).rglob("*.json")
        if path.name != "_results.json" and not path.name.startswith(".") and path.parent.name not in copies
    }


def copied(lab: Lab, name: str = "copy", **more: Any) -> Copy:
    """Copy the lab's store into one beside it."""
    return copy_store(lab.store, lab.folder / name, **more)


def copied_into(source: Store, target: Store) -> Copy:
    """Copy everything from one open store into another."""
    return copying.copy(source, target, package=None, by=actor("0"), observer=silent)


def state(folder: Path) -> dict[str, bytes]:
    """Every file, but for derived ones."""
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
