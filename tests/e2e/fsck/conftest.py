"""A store that has some of everything, and a copy of it, to be damaged."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from pkgrun.workspace.stores import copy_store
from tests.e2e.copies import prepared
from tests.e2e.lab import Lab


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a store that has some of everything, and a copy of it that a copy made. Nobody changes them."""
    folder = tmp_path_factory.mktemp("fsck")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PKGRUN_CACHE", str(folder / "cache"))
        patch.delenv("PKGRUN_STORE", raising=False)
        patch.chdir(folder)
        lab = prepared(Lab(folder, folder / "cache"))
        copy_store(lab.store, folder / "copy")
        yield folder


@pytest.fixture(name="cache", autouse=True)
def _cache(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PKGRUN_CACHE", str(whole / "cache"))


@pytest.fixture
def store(whole: Path, tmp_path: Path) -> Path:
    """The same store, to be damaged."""
    return Path(shutil.copytree(whole / "store", tmp_path / "store"))


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    """The copy, to be damaged."""
    return Path(shutil.copytree(whole / "copy", tmp_path / "copy"))
