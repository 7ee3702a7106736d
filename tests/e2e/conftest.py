"""Labs: a fresh one a test, with a cache of its own or with one that all tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

from .lab import Lab


@pytest.fixture(scope="session")
def warm_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache in which environments are built once for all tests."""
    return tmp_path_factory.mktemp("warm")


@pytest.fixture
def lab(tmp_path: Path, warm_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """A lab with the shared cache; this process's own pkgrun uses the same."""
    return _lab(tmp_path, warm_cache, monkeypatch)


@pytest.fixture
def lone_lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """A lab with a cache of its own."""
    return _lab(tmp_path, tmp_path / "cache", monkeypatch)


def _lab(folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.setenv("PKGRUN_CACHE", str(cache))
    monkeypatch.delenv("PKGRUN_STORE", raising=False)
    monkeypatch.chdir(folder)
    return Lab(folder, cache)
