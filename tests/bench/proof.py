"""The proof beside a figure: what was restored is what was kept, byte by byte. It reads, and changes nothing."""

from __future__ import annotations

import os
import stat
from pathlib import Path

_CHUNK = 1 << 20


def difference(one: Path, other: Path) -> str | None:
    """The first thing in which two folders differ, or None: names, kinds, bytes, executable bits, links' targets."""
    ours, theirs = _entries(one), _entries(other)
    if names := sorted(ours.keys() ^ theirs.keys()):
        return f"{names[0]} is only in {one if names[0] in ours else other}"
    for name in sorted(ours):
        if found := _entry(ours[name], theirs[name]):
            return found
    return None


def _entries(folder: Path) -> dict[str, os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return {entry.name: entry for entry in entries}


def _entry(one: os.DirEntry[str], other: os.DirEntry[str]) -> str | None:
    ours, theirs = one.stat(follow_symlinks=False), other.stat(follow_symlinks=False)
    if stat.S_IFMT(ours.st_mode) != stat.S_IFMT(theirs.st_mode):
        return f"{one.path} and {other.path} are of different kinds"
    if one.is_symlink():
        same = os.readlink(one.path) == os.readlink(other.path)
        return None if same else f"{one.path} and {other.path} point to different places"
    if one.is_dir():
        return difference(Path(one.path), Path(other.path))
    if (ours.st_mode ^ theirs.st_mode) & stat.S_IXUSR:
        return f"{one.path} and {other.path}: only one is executable"
    if ours.st_size != theirs.st_size or not _same_bytes(one.path, other.path):
        return f"{one.path} and {other.path} hold different bytes"
    return None


def _same_bytes(one: str, other: str) -> bool:
    with open(one, "rb", buffering=0) as ours, open(other, "rb", buffering=0) as theirs:
        while True:
            these, those = ours.read(_CHUNK), theirs.read(_CHUNK)
            if these != those:
                return False
            if not these:
                return True
