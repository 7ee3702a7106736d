"""How pages are laid out, on a terminal of some width and where nobody looks."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from rich.console import Console

import pkgrun
from pkgrun.cli import pages

SCRIPT = Path(sys.executable).parent / "pkgrun"
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
DIGEST = "sha256:" + "0f" * 32


def terminal(width: int) -> tuple[Console, Callable[[], list[str]]]:
    """A terminal, and what stands on it."""
    out = io.StringIO()
    page = Console(file=out, width=width, force_terminal=True, color_system=None, highlight=False)
    return page, lambda: out.getvalue().splitlines()


def laid_out(width: int, rows: Iterable[tuple[str, str]]) -> list[str]:
    page, shown = terminal(width)
    pages.table(page, rows)
    return shown()


def test_long_words_go_on_below_themselves() -> None:
    assert laid_out(30, [("made by", "run 1"), ("description", "What was measured in spring")]) == [
        "made by      run 1",
        "description  What was measured",
        "             in spring",
    ]


def test_a_digest_or_a_path_stays_one_word() -> None:
    assert laid_out(40, [("content", DIGEST), ("", "2 files")]) == [f"content  {DIGEST}", "         2 files"]


def test_a_description_keeps_its_lines() -> None:
    assert laid_out(40, [("description", "one\n\ntwo"), ("tags", "")]) == [
        "description  one",
        "",
        "             two",
        "tags",
    ]


def test_a_table_keeps_its_first_columns_and_is_cut_at_its_end() -> None:
    heads = ("number", "files", "source")
    rows = [("1", "2", "/a"), ("2", "10,000", "/home/ada/" + "very " * 40)]
    page, shown = terminal(40)
    pages.columns(page, heads, rows, right=("files",))

    assert shown() == [
        "number  files source",
        "1           2 /a",
        "2      10,000 /home/ada/very very very …",
    ]


def test_columns_stand_below_each_other_in_any_script() -> None:
    page, shown = terminal(100)
    pages.columns(page, ("name", "size"), [("東京", "1 B"), ("größe", "12 B")], right=("size",))

    assert shown() == ["name   size", "東京    1 B", "größe  12 B"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose store has a dataset with two numbers."""
    folder = tmp_path_factory.mktemp("pages")
    called(folder, "dataset", "add", "rows", str(EXAMPLES / "data" / "iris"), "--description", "long " * 60)
    called(folder, "dataset", "add", "rows", str(EXAMPLES / "data" / "routing"))
    return folder


def called(folder: Path, *arguments: str, redirect: str = "") -> subprocess.CompletedProcess[str]:
    """The console script in that folder, by way of a shell."""
    known = {name: value for name, value in os.environ.items() if not name.startswith("PKGRUN_")}
    return subprocess.run(
        ["bash", "-c", f'"$0" "$@" {redirect}', SCRIPT, *arguments],
        cwd=folder,
        env=known | {"PKGRUN_CACHE": str(folder / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    "words",
    ["dataset list", "dataset show rows", "dataset show rows@1", "run list --all", "dataset files rows@2"],
)
def test_no_line_ends_in_spaces_and_none_is_cut_where_nobody_looks(folder: Path, words: str) -> None:
    lines = called(folder, *words.split()).stdout.splitlines()

    assert len(lines) > 1
    assert lines == [line.rstrip() for line in lines]
    assert "…" not in "".join(lines)


def test_a_page_for_which_there_is_no_output_is_a_failure(folder: Path) -> None:
    for words in ("run list --all", "dataset show rows --json", "--version"):
        ended = called(folder, *words.split(), redirect=">&-")
        assert ended.returncode == 75
        assert ended.stderr == "error: the output cannot be written: standard output is closed\n"


def test_what_is_done_is_no_failure_because_nobody_can_be_told(folder: Path) -> None:
    for words in ("dataset add rows rows", "dataset export rows@1 out --json", "store copy .pkgrun other"):
        (folder / "rows").mkdir(exist_ok=True)
        ended = called(folder, *words.split(), redirect=">&-")
        assert ended.returncode == 0, ended.stderr
    assert (folder / "out" / "iris.csv").exists()
    assert pkgrun.open(folder / "other").datasets.get("rows").number == 3


def test_the_way_to_a_first_run_names_what_there_is(tmp_path: Path) -> None:
    def said(*options: str) -> str:
        return called(tmp_path, "run", "list", *options).stderr.partition("; ")[2].strip()

    elsewhere = "; `pkgrun run list --all` shows what else was done here"
    called(tmp_path, "dataset", "add", "rows", str(EXAMPLES / "data" / "iris"))
    assert said() == "`pkgrun train FOLDER --data rows` makes one" + elsewhere
    called(tmp_path, "package", "add", str(EXAMPLES / "iris"))
    assert said() == "`pkgrun train iris --data rows` makes one" + elsewhere
    called(tmp_path, "dataset", "add", "others", str(EXAMPLES / "data" / "routing"))
    assert said() == "`pkgrun train iris --data DATASET` makes one" + elsewhere
    pkgrun.open(tmp_path / "empty")
    assert said("--store", "empty") == "`pkgrun train FOLDER --data PATH` makes one"
