"""The lines that differ in small text files, as a unified diff. It reads files; which ones differ is known already."""

from __future__ import annotations

import difflib
import os

from pkgrun.errors import PkgrunError
from pkgrun.lineage.sides import Meant
from pkgrun.store.files import open_regular, shown
from pkgrun.store.objects import Objects, digest_of
from pkgrun.store.trees import Difference, Entry

SMALL = 1 << 16
"""Bytes up to which a text file's lines are compared."""


class Patches:
    """The lines of files of two sides, each in the store or in a folder of this machine."""

    def __init__(self, objects: Objects, one: Meant, other: Meant) -> None:
        self._objects, self._folders = objects, (one.folder, other.folder)

    def of(self, found: Difference) -> str | None:
        """The lines that differ; None of what is large, no text, or not there."""
        was, now = found.was, found.now
        before = self._lines(self._folders[0], found.path, was)
        after = self._lines(self._folders[1], found.path, now)
        if before is None or after is None:
            return None
        old = _quoted(f"a/{shown(found.path)}") if was else "/dev/null"
        new = _quoted(f"b/{shown(found.path)}") if now else "/dev/null"
        return "\n".join(difflib.unified_diff(before, after, old, new, lineterm=""))

    def _lines(self, folder: str | None, path: str, entry: Entry | None) -> list[str] | None:
        if entry is None:
            return []
        if entry.kind == "symlink":
            return shown(entry.target).split("\n")
        if entry.bytes > SMALL:
            return None
        try:
            data = self._objects.read(entry.digest) if folder is None else _read(folder, path, entry)
            lines = data.decode().split("\n")
        except (PkgrunError, OSError, UnicodeDecodeError):
            return None
        if b"\0" in data:
            return None
        if lines[-1]:
            lines[-1] += "\n\\ No newline at end of file"
        return lines if lines[-1] else lines[:-1]


def _read(folder: str, path: str, entry: Entry) -> bytes:
    """A file of a folder, if it is still what was hashed."""
    with open(open_regular(os.path.join(folder, path)), "rb") as file:
        data = file.read(entry.bytes + 1)
    if digest_of(data) != entry.digest:
        raise OSError(path)
    return data


def _quoted(name: str) -> str:
    """A name that holds what ends a line, or what a quoted one is told by, as git quotes it."""
    if name.isprintable() and not {'"', "\\"} & {*name}:
        return name
    told = name.replace("\\", "\\\\").replace('"', '\\"')
    escaped = "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in told)
    return f'"{escaped}"'
