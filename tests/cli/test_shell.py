"""What the shell offers for the names of datasets."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

SCRIPT = Path(sys.executable).parent / "pkgrun"


@pytest.fixture
def pkgrun(tmp_path: Path) -> Callable[..., str]:
    """The console script in a folder with three registered datasets; its standard output."""
    known = {name: value for name, value in os.environ.items() if not name.startswith("PKGRUN_")}

    def call(*arguments: str, **env: str) -> str:
        home = {"PKGRUN_CACHE": str(tmp_path / "cache")}
        ended = subprocess.run(
            [SCRIPT, *arguments],
            cwd=tmp_path,
            env=known | home | env,
            capture_output=True,
            text=True,
            check=False,
        )
        return ended.stdout

    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "a.csv").write_text("1\n")
    call("dataset", "add", "irises", "rows")
    call("dataset", "add", "iron", "rows/a.csv")
    (tmp_path / "rows" / "b.csv").write_text("2\n")
    call("dataset", "add", "irises", "rows")
    return call


def offered(pkgrun: Callable[..., str], line: str) -> list[str]:
    """What the program tells bash at the end of a line: kind and value."""
    words = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)}
    return pkgrun(_PKGRUN_COMPLETE="bash_complete", **words).split()


def test_names_and_numbers_of_datasets(pkgrun: Callable[..., str]) -> None:
    assert offered(pkgrun, "pkgrun dataset show ir") == ["plain,irises", "plain,iron"]
    assert offered(pkgrun, "pkgrun dataset diff irises@1 irises@") == ["plain,irises@1", "plain,irises@2"]
    assert offered(pkgrun, "pkgrun dataset export iro") == ["plain,iron"]


def test_data_is_a_name_or_a_path(pkgrun: Callable[..., str]) -> None:
    assert offered(pkgrun, "pkgrun train p --data ir") == ["file,ir", "plain,irises", "plain,iron"]
    assert offered(pkgrun, "pkgrun train p --data ./r") == ["file,./r"]


def test_without_a_store_there_are_paths_only(pkgrun: Callable[..., str]) -> None:
    assert offered(pkgrun, "pkgrun --store elsewhere train p --data ir") == ["file,ir"]
    assert offered(pkgrun, "pkgrun --store elsewhere dataset show ir") == []
