"""Damages files of a store, and says what is told of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

from pkgrun import open as open_workspace
from pkgrun.store.fsck.findings import Finding, Report
from tests.e2e.copies import everything

VERSION = "packages/p/00000001/00000001.json"
NEWEST = "packages/p/00000001/00000002.json"


def keys(store: Path, form: str = "**/*") -> list[str]:
    return sorted(str(path.relative_to(store)) for path in store.glob(form) if path.is_file())


def one(store: Path, form: str) -> Path:
    """The first file of a form."""
    return store / keys(store, form)[0]


def flip(path: Path, at: int, bit: int = 1) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= bit
    path.write_bytes(data)


def flip_code(store: Path) -> None:
    """Damage a file of a version, which only reading it shows."""
    for key in keys(store, "packs/*"):
        at = (store / key).read_bytes().find(b"class Main")
        if at > 0:
            flip(store / key, at)


def change(path: Path, **fields: Any) -> None:
    """Another record in its place, as canonical as it was."""
    document = orjson.loads(path.read_bytes()) | fields
    path.write_bytes(orjson.dumps(document, option=orjson.OPT_SORT_KEYS))


def spoil(path: Path, damage: str, at: int, **fields: Any) -> None:
    """Remove a record, flip a bit of the byte at `at` so that it is no text any more, or put another in its place."""
    if damage == "gone":
        path.unlink()
    elif damage == "not legible":
        flip(path, at, 0x80)
    else:
        change(path, **fields)


def named(report: Report, key: str) -> list[Finding]:
    """What is said of a file."""
    return [found for found in report.findings if key in found.key or key in found.message]


def kinds(report: Report, severity: str | None = None) -> set[str]:
    return {found.kind for found in report.findings if severity in (None, found.severity)}


def seen(store: Path | str, out: Path) -> dict[str, Any]:
    """All that a user sees of a store, but for repairs."""
    workspace = open_workspace(store, create=False)
    repairs = {run.run for run in workspace.runs(everything=True) if run.kind == "repair"}
    return {name: value for name, value in everything(workspace, out).items() if name not in repairs}
