"""What every test here may use: a scene with a store and a package of its own, and a value that must not leak."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from pkgrun.runs.place import remove
from tests.hostile.scene import Scene


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    """A fresh folder that is the current one, with a store, a cache and nothing else in it."""
    monkeypatch.setenv("PKGRUN_CACHE", str(tmp_path / "cache"))
    for name in ("PKGRUN_STORE", "PIP_INDEX_URL", "UV_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.chdir(home)
    yield Scene(tmp_path)
    # Some are deeper than what pytest can remove.
    monkeypatch.undo()
    remove(str(tmp_path))


@pytest.fixture
def canary() -> str:
    """A value that nobody else has."""
    return f"canary/{uuid.uuid4().hex}+="
