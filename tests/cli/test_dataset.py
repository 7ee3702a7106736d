"""Differences between datasets as a person sees them on a terminal."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

import pkgrun

SCRIPT = Path(sys.executable).parent / "pkgrun"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose store has two numbers of the dataset `rows`."""
    monkeypatch.setenv("PKGRUN_CACHE", str(tmp_path / "cache"))
    rows = tmp_path / "rows"
    rows.mkdir()
    (rows / "same").write_text("1")
    (rows / "gone").write_text("2")
    (rows / "other").write_text("3")
    datasets = pkgrun.open(tmp_path / ".pkgrun").datasets
    datasets.add("rows", rows)
    (rows / "gone").unlink()
    (rows / "other").write_text("4")
    (rows / "new\x1b[31m").write_text("5")
    datasets.add("rows", rows)
    return tmp_path


def on_terminal(folder: Path, *arguments: str, **env: str) -> str:
    """Standard output of the console script, which is a terminal."""
    master, slave = pty.openpty()
    variables = {"PATH": os.environ["PATH"], "TERM": "xterm", **env}
    try:
        subprocess.run([SCRIPT, "-q", *arguments], cwd=folder, env=variables, stdout=slave, check=True)
        return os.read(master, 4096).decode()
    finally:
        os.close(slave)
        os.close(master)


def test_differences_have_signs_and_colours(folder: Path) -> None:
    shown = on_terminal(folder, "dataset", "diff", "rows@1", "rows@2")

    assert shown.splitlines() == [
        "\x1b[31m-\x1b[0m gone",
        "\x1b[32m+\x1b[0m new\\x1b[31m",
        "\x1b[33m~\x1b[0m other",
    ]


def test_colours_can_be_refused(folder: Path) -> None:
    shown = on_terminal(folder, "dataset", "diff", "rows@1", "rows@2", NO_COLOR="1")

    assert shown.splitlines() == ["- gone", "+ new\\x1b[31m", "~ other"]


def test_an_export_tells_how_far_it_is(folder: Path) -> None:
    seen: list[pkgrun.Event] = []
    pkgrun.open(folder / ".pkgrun").datasets.export("rows@1", folder / "out", observer=seen.append)

    assert seen[-1] == pkgrun.Progress("rows@1", 3, 3, "bytes")


def test_a_folder_is_added_again_under_its_own_name(folder: Path) -> None:
    """A registered dataset of that name is not meant: it would be compared with itself."""
    (folder / "rows" / "more").write_text("6")
    added = subprocess.run(
        [SCRIPT, "dataset", "add", "rows", "rows"], cwd=folder, capture_output=True, text=True, check=True
    )

    assert added.stdout == "rows 3\n"
    assert added.stderr.splitlines()[-1] == "added (4 files, 4 B)"
