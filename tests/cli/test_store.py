"""`pkgrun store copy` as a person and a program see it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import pkgrun

SCRIPT = Path(sys.executable).parent / "pkgrun"
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a store `a` that holds a package and a dataset."""
    monkeypatch.setenv("PKGRUN_CACHE", str(tmp_path / "cache"))
    workspace = pkgrun.open(tmp_path / "a")
    workspace.add(EXAMPLES / "iris")
    workspace.datasets.add("rows", EXAMPLES / "data" / "iris")
    return tmp_path


def said(folder: Path, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    """What the console script says in that folder."""
    ended = subprocess.run([SCRIPT, *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert ended.returncode == code, ended.stderr
    return ended


def test_what_was_copied_is_told_in_a_table(folder: Path) -> None:
    first = said(folder, "store", "copy", "a", "b")
    assert [line.split() for line in first.stdout.splitlines()] == [
        ["copied", "there", "already"],
        ["versions", "1", "0"],
        ["datasets", "1", "0"],
        ["runs", "2", "0"],
    ]
    assert "all verified" in first.stderr
    again = said(folder, "store", "copy", "a", "b")
    assert ["versions", "0", "1"] in [line.split() for line in again.stdout.splitlines()]
    assert "nothing to copy" in again.stderr
    assert said(folder, "store", "copy", "a", "b", "-q").stdout == ""


def test_programs_get_one_document(folder: Path) -> None:
    document = json.loads(said(folder, "store", "copy", "a", "b", "--package", "iris", "--json").stdout)
    run = document.pop("run_id")
    sent = document.pop("files"), document.pop("bytes")
    assert document == {
        "versions": {"copied": 1, "there": 0},
        "datasets": {"copied": 0, "there": 0},
        "runs": {"copied": 1, "there": 0},
        "removals": 0,
        "receipts": 0,
        "open": 0,
    }
    assert min(sent) > 0
    page = said(folder, "run", "show", run, "--store", "b").stdout
    assert f"copied from   {folder / 'a'}" in page
    assert "1 version, 0 datasets, 1 run" in page
    assert "copy" in said(folder, "run", "list", "--all", "--store", "b").stdout


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (("a",), 2, "DST"),
        (("a", "a"), 2, "cannot be a copy of the other"),
        (("a", "a/b"), 2, "cannot be a copy of the other"),
        (("nowhere", "b"), 6, "no store at nowhere"),
        (("a", "b", "--package", "none"), 6, "no package none"),
        (("a", "b", "--package", "../x"), 2, "cannot name a package"),
        (("a", "cache"), 7, "is not empty and no store"),
    ],
)
def test_calls_that_cannot_be_meant_are_refused(
    folder: Path, arguments: tuple[str, ...], code: int, word: str
) -> None:
    (folder / "cache").mkdir(exist_ok=True)
    (folder / "cache" / "mine").touch()
    assert word in said(folder, "store", "copy", *arguments, code=code).stderr
    assert "nowhere" not in os.listdir(folder)
