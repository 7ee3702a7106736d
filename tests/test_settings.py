"""Configuration: which of several places wins, and what is no setting."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pkgrun.errors import UsageError
from pkgrun.settings import cache_folder, cache_limit, store_location
from tests.processes import apart


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder as the current one, and nothing in the environment."""
    monkeypatch.delenv("PKGRUN_STORE", raising=False)
    monkeypatch.delenv("PKGRUN_CACHE", raising=False)
    monkeypatch.delenv("PKGRUN_CACHE_SIZE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home" / "cache"))
    folder = tmp_path / "project" / "below"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    return folder


def test_the_defaults(tmp_path: Path) -> None:
    assert store_location() == ".pkgrun"
    assert cache_folder().startswith(str(tmp_path / "home"))
    assert os.path.basename(cache_folder()) == "pkgrun"


def test_what_is_given_wins(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "pkgrun.toml").write_text('store = "from-file"\ncache = "cache-from-file"\n')
    assert store_location() == str(here / "from-file")
    assert cache_folder() == str(here / "cache-from-file")
    monkeypatch.setenv("PKGRUN_STORE", "from-environment")
    monkeypatch.setenv("PKGRUN_CACHE", "cache-from-environment")
    assert store_location() == "from-environment"
    assert cache_folder() == str(here / "cache-from-environment")
    assert store_location("given") == "given"
    assert cache_folder("given") == str(here / "given")


def test_an_empty_variable_is_none(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PKGRUN_STORE", "")
    assert store_location() == ".pkgrun"


def test_the_nearest_file_counts(here: Path) -> None:
    (here.parent / "pkgrun.toml").write_text('store = "above"\ncache = "above"\n')
    assert store_location() == str(here.parent / "above")
    (here / "pyproject.toml").write_text('[project]\nname = "x"\n[tool.other]\nx = 1\n')
    assert store_location() == str(here.parent / "above")
    (here / "pyproject.toml").write_text('[tool.pkgrun]\nstore = "nearer"\n')
    assert store_location() == str(here / "nearer")
    assert cache_folder() != str(here.parent / "above")  # the nearest file speaks for all
    (here / "pkgrun.toml").write_text('store = "own"\n')
    assert store_location() == str(here / "own")


def test_paths_in_a_file(here: Path, tmp_path: Path) -> None:
    for written, meant in (
        ("/abs/store", "/abs/store"),
        ("~/store", str(tmp_path / "home" / "store")),
        ("s3://bucket/store", "s3://bucket/store"),
        ("", ".pkgrun"),
    ):
        (here / "pkgrun.toml").write_text(f'store = "{written}"\n')
        assert store_location() == meant


@pytest.mark.parametrize(
    "text",
    ["store = 5", 'stor = "x"', "store", "[store]\nx = 1", 'store = "x"\nstore = "y"', "\0", 'store = ["x"]'],
)
def test_what_is_no_setting_is_named(here: Path, text: str) -> None:
    (here / "pkgrun.toml").write_text(text)
    with pytest.raises(UsageError, match=r"pkgrun\.toml"):
        store_location()


@pytest.mark.parametrize(
    "text", ["tool.pkgrun = 3", 'tool = "tool.pkgrun"', "[tool.pkgrun]\nx = 1", "tool.pkgrun = [1]"]
)
def test_the_same_of_the_table(here: Path, text: str) -> None:
    (here / "pyproject.toml").write_text(text)
    with pytest.raises(UsageError, match=r"pyproject\.toml"):
        store_location()


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("20GB", 20 * 10**9),
        ("500 mb", 500 * 10**6),
        ("1.5TB", 1_500_000_000_000),
        ("64MiB", 64 << 20),
        ("2g", 2 * 10**9),
        ("1000", 1000),
        ("7B", 7),
        ("0", 0),
    ],
)
def test_a_size_of_the_cache(here: Path, monkeypatch: pytest.MonkeyPatch, text: str, size: int) -> None:
    assert cache_limit() == 20 * 10**9
    (here / "pkgrun.toml").write_text(f'cache_size = "{text}"')
    assert cache_limit() == size
    (here / "pkgrun.toml").write_text("cache_size = 5")
    assert cache_limit() == 5
    monkeypatch.setenv("PKGRUN_CACHE_SIZE", text)
    assert cache_limit() == size


@pytest.mark.parametrize("text", ["much", "-1", "1e9", "GB", "1 0", "1GBB", "1,5GB", "inf", "٣GB", "9" * 400])
def test_what_is_no_size_is_named(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("PKGRUN_CACHE_SIZE", text)
    with pytest.raises(UsageError, match="cache_size"):
        cache_limit()


def test_a_file_that_is_not_text(here: Path) -> None:
    (here / "pkgrun.toml").write_bytes(b'store = "\xff"')
    with pytest.raises(UsageError, match="is not TOML"):
        store_location()


def test_somebody_elses_broken_file_does_not_matter(here: Path) -> None:
    (here / "pyproject.toml").write_text("[project\n")
    assert store_location() == ".pkgrun"


def test_a_folder_and_a_pipe_of_that_name(here: Path) -> None:
    (here / "pkgrun.toml").mkdir()
    os.mkfifo(here.parent / "pkgrun.toml")
    assert store_location() == ".pkgrun"


def test_a_folder_that_is_gone(here: Path) -> None:
    def gone() -> str:
        here.rmdir()
        return store_location()

    assert apart(gone) == ".pkgrun"
