"""A file system that really is full, of bytes or of inodes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pkgrun
from pkgrun.errors import Temporary

from . import images
from .actor import act
from .operations import acknowledged, prepare, target
from .verdicts import Tally


def _fill_bytes(folder: Path, left: int) -> None:
    """Use up the room but for so many bytes."""
    with (folder / "ballast").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(1, shutil.disk_usage(folder).free - left))


def _fill_inodes(folder: Path, left: int) -> None:
    """Use up the inodes but for so many."""
    ballast = folder / "ballast"
    ballast.mkdir()
    for number in range(os.statvfs(folder).f_favail - left):
        (ballast / str(number)).touch()


def _make_room(folder: Path) -> None:
    ballast = folder / "ballast"
    if ballast.is_dir():
        shutil.rmtree(ballast)
    else:
        ballast.unlink()


ROOM: Mapping[str, tuple[tuple[str, ...], Callable[[Path, int], None], Sequence[int]]] = {
    "bytes": (("-m", "0"), _fill_bytes, (0, 20_000, 100_000, 600_000, 1_500_000)),
    "inodes": (("-N", "400"), _fill_inodes, (0, 1, 3, 6, 10, 15, 25)),
}
"""How the file system is made, what fills it, and how much is left each time."""


def attempts(place: Path, operation: str, what: str) -> Tally:
    """Try an operation where so little is left, again and again, then with room."""
    tally, cache = Tally(), place / "cache"
    (place / "place").mkdir()
    prepare(place / "place")
    options, fill, steps = ROOM[what]
    with images.image(place, 24 << 20, *options) as disk:
        lab = disk.folder / "lab"
        shutil.copytree(place / "place", lab)
        for left in steps:
            fill(disk.folder, left)
            _attempt(tally, lab, operation, cache, disk.folder)
        shutil.rmtree(disk.folder / "ballast", ignore_errors=True)
        ended = act(operation, lab, cache)
        tally.wrong += [] if ended.code == 0 else [f"it fails where there is room: {ended.error}"]
        tally.look(target(lab, operation), ended.said, operation)
    return tally


def _attempt(tally: Tally, lab: Path, operation: str, cache: Path, disk: Path) -> None:
    before = acknowledged(pkgrun.open(lab / "store", create=False))
    ended = act(operation, lab, cache)
    if set(before) - set(acknowledged(pkgrun.open(lab / "store", create=False))):
        tally.wrong.append("what was there cannot be read on a full disk")
    _make_room(disk)
    tally.operations += 1
    tally.acknowledged += len(ended.said)
    if ended.code:
        tally.faults += 1
        if ended.code != Temporary.exit_code or "space" not in ended.error:
            tally.wrong.append(f"it ended with {ended.code}: {ended.error}")
    store = target(lab, operation)
    if (store / "pkgrun-store.json").exists():
        known = before if store == lab / "store" else []
        tally.look(store, [*known, *ended.said], operation)
