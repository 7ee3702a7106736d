"""What is done in a store that is to be kept: of each kind of record one at least, and of each kind of file."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson

import pkgrun
from pkgrun.errors import UserCodeFailed
from pkgrun.workspace.stores import copy_store, gc
from tests.data import LARGE
from tests.data.seen import object_of, seen

PLACE = "/srv"
"""The folder in which everything is done: no other one is named in what is written."""

TRAIN = """
import json
import os


class Main:
    def train(self, training_directory):
        print("learning from", sorted(os.listdir(training_directory)))
        if os.environ.get("rate") == "0":
            raise ValueError("a rate of 0 learns nothing")
        with open(os.path.join(training_directory, "scribble"), "w") as file:
            file.write("of the code")
        with open("artifacts/metrics.json", "w") as file:
            json.dump({"accuracy": 0.5, "loss": {"last": 0.25}}, file)
        with open("artifacts/plot.svg", "w") as file:
            file.write("<svg/>")

    def save(self):
        with open("model.txt", "a") as file:
            file.write(os.environ.get("rate", "none") + "\\n")
"""
MAIN = "class Main:\n    def predict(self, mlskill_input):\n        return ''\n"


def make(target: Path) -> None:
    """Fill a store, keep a copy of it at `target`, and beside it what is seen in it."""
    place = Path(PLACE)
    os.environ["PKGRUN_CACHE"] = str(place / "cache")
    os.chdir(place)
    store = place / "store"
    fill(place, pkgrun.open(store))
    found = orjson.dumps(seen(store, place), option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS)
    large = object_of(store, LARGE)
    shutil.copytree(store, target, ignore=shutil.ignore_patterns(large.name))
    target.with_suffix(".json").write_bytes(found + b"\n")


def fill(place: Path, workspace: pkgrun.Workspace) -> None:
    """Packages, versions, datasets, runs, a copy, a removal and half a collection."""
    rows = data(place / "rows")
    workspace.datasets.add("rows", rows, description="as collected", tags={"season": "winter"})
    (rows / "rows.csv").write_text("a,b\n1,2\n3,4\n")
    workspace.datasets.add("rows", rows)
    workspace.add(committed(package(place / "churn")), description="the first", tags={"team": "a"})
    train(workspace, "churn", data="rows@1", env={"rate": "0.1"}, idempotency_key="nightly")
    train(
        workspace,
        "churn",
        data=str(rows),
        env={"rate": "0.2"},
        save_training_data=True,
        secrets={"T": "hidden-word"},
    )
    with suppress(UserCodeFailed):
        train(workspace, "churn@1.0", env={"rate": "0"})
    (place / "churn" / "main.py").write_text(MAIN + "# second\n")
    workspace.add(place / "churn")
    other = pkgrun.open(place / "other")
    other.add(package(place / "guest"))
    train(other, "guest", data=str(rows))
    copy_store(place / "other", workspace.url)
    train(workspace, "churn", env={"rate": "0.3"})
    workspace.remove("churn@2.1", reason="a rate that nobody wanted")
    gc(workspace.url)  # what was removed is condemned, and deleted by a later one


def data(folder: Path) -> Path:
    """Files of every kind that a dataset may hold."""
    (folder / "empty").mkdir(parents=True)
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "deep" / "er" / "ä%.txt").write_text("ä")
    (folder / "rows.csv").write_text("a,b\n1,2\n")
    (folder / "large.bin").write_bytes(LARGE)
    (folder / "nothing").write_bytes(b"")
    (folder / "run.sh").write_text("#!/bin/sh\n")
    (folder / "run.sh").chmod(0o755)
    (folder / "link").symlink_to("deep/er")
    (folder / os.fsdecode(b"not-utf-8-\xff")).write_text("x")
    return folder


def package(folder: Path) -> Path:
    """A package of two pipelines' worth of files."""
    folder.mkdir(parents=True)
    (folder / "train.py").write_text(TRAIN)
    (folder / "main.py").write_text(MAIN)
    (folder / "requirements.txt").write_text("# nothing\n")
    return folder


def committed(folder: Path) -> Path:
    """The folder, in a git repository, with one change since."""
    who = ("-c", "user.name=somebody", "-c", "user.email=somebody@example.com")
    for words in (
        ("init", "-q", "-b", "main"),
        ("remote", "add", "origin", "https://somebody:hidden-word@example.com/churn.git"),
        ("add", "-A"),
        (*who, "commit", "-q", "-m", "first"),
    ):
        subprocess.run(["git", *words], cwd=folder, check=True)
    (folder / "notes.txt").write_text("not committed\n")
    return folder


def train(workspace: pkgrun.Workspace, what: str, **more: Any) -> None:
    """One training, waited for."""
    workspace.train(what, **more).wait()
