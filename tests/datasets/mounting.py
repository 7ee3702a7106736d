"""Mounting into a folder, for tests of what lies there then."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pkgrun.datasets import sources
from pkgrun.datasets.mount import Mounted, Report, Wanted, mount
from pkgrun.store.intake import Ingested
from pkgrun.store.sinks import Hashing, Sink


def no_report(done: int, total: int) -> None:
    """Nobody listens."""


def no_overlay(folder: str) -> str:
    """Why there is none."""
    return "this test wants none"


def mounted(
    source: Path,
    target: Path,
    keep: Sink | None = None,
    *,
    wanted: Wanted = "auto",
    report: Report = no_report,
    why_no_overlay: Callable[[str], str | None] = no_overlay,
) -> Mounted:
    """Mount into a folder, but not by overlay."""
    target.mkdir(exist_ok=True)
    found = sources.find(str(source))
    sink = keep or Hashing()
    return mount(found, str(target), wanted=wanted, no_overlay=why_no_overlay, sink=sink, report=report)


def content(got: Mounted) -> Ingested:
    """What a copy is found to be."""
    assert got.content is not None
    return got.content
