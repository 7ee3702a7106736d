"""Labs: a fresh one a test, with a cache of its own or with the one that all tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .lab import Lab


@pytest.fixture
def lab(tmp_path: Path, shared_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    """A lab with the shared cache; this process's own pkgrun uses the same."""
    with _lab(tmp_path, shared_cache, monkeypatch) as made:
        yield made


@pytest.fixture
def lone_lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    """A lab with a cache of its own."""
    with _lab(tmp_path, tmp_path / "cache", monkeypatch) as made:
        yield made


def _lab(folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    monkeypatch.setenv("PKGRUN_CACHE", str(cache))
    monkeypatch.delenv("PKGRUN_STORE", raising=False)
    monkeypatch.chdir(folder)
    return Lab(folder, cache)
