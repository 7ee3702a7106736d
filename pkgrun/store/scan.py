"""What lies under a folder, looked at but not read: the first step of every way in.

It says no to what a tree cannot hold (sockets, pipes, devices, links that leave the folder), naming each.
"""

from __future__ import annotations

import os
import stat as mode
from collections.abc import Callable
from dataclasses import dataclass, field

from pkgrun.errors import DataInvalid
from pkgrun.store import names
from pkgrun.store.local import translate
from pkgrun.store.objects import shown, vanished

Keep = Callable[[str, bool], bool]
"""Says of a path (relative, `/` between) and whether it is a folder if it belongs to the tree."""


@dataclass(frozen=True, slots=True)
class Found:
    """A file, or a link and its target. `path` is relative to the folder that was scanned."""

    path: str
    executable: bool
    size: int
    target: str | None = None


@dataclass(slots=True)
class Listing:
    """A folder at one moment. `folders` has every folder, a parent before its children, the root as ''."""

    root: str
    folders: list[str] = field(default_factory=list)
    files: list[Found] = field(default_factory=list)
    links: list[Found] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


def scan(root: str, keep: Keep = lambda path, folder: True, *, lenient: bool = False) -> Listing:
    """Look at everything under `root`.

    Args:
        root: an existing folder.
        keep: says what belongs to the tree.
        lenient: leave out what cannot be kept, and note each with the reason, instead of raising.

    Raises:
        DataInvalid: something there cannot be kept; up to ten such things are named.
        NotFound, PermissionDenied, Temporary: the system refuses a folder.
    """
    listing = Listing(root)
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        listing.folders.append(folder)
        for entry in _entries(root, folder):
            path = f"{folder}/{entry.name}" if folder else entry.name
            if entry.is_dir(follow_symlinks=False):
                if keep(path, True):
                    waiting.append(path)
            elif keep(path, False) and (reason := _file(listing, entry, path)):
                listing.refused.append(f"{shown(path)}: {reason}")
    if listing.refused and not lenient:
        count = len(listing.refused)
        more = f"\n  … and {count - 10} more" if count > 10 else ""
        raise DataInvalid(
            f"{shown(root)} holds what cannot be kept:\n  " + "\n  ".join(listing.refused[:10]) + more,
            hint="remove it there, or replace links by what they point to (cp -rL)",
        )
    return listing


def _entries(root: str, folder: str) -> list[os.DirEntry[str]]:
    path = os.path.join(root, folder) if folder else root
    try:
        with os.scandir(path) as entries:
            return list(entries)
    except FileNotFoundError as error:
        raise vanished(path) from error
    except OSError as error:
        raise translate(error, shown(path)) from error


def _file(listing: Listing, entry: os.DirEntry[str], path: str) -> str | None:
    """Note a file or link; the reason if it is neither or leads out."""
    try:
        found = entry.stat(follow_symlinks=False)
        if mode.S_ISREG(found.st_mode):
            listing.files.append(Found(path, bool(found.st_mode & 0o100), found.st_size))
            return None
        if not mode.S_ISLNK(found.st_mode):
            return _SPECIAL.get(mode.S_IFMT(found.st_mode), "not a file") + " cannot be kept"
        target = os.readlink(entry.path)
    except FileNotFoundError as error:
        raise vanished(entry.path) from error
    except OSError as error:
        raise translate(error, shown(entry.path)) from error
    if names.leaves(path.count("/"), target):
        return f"a symbolic link that leads out of the folder, to {shown(target)}"
    listing.links.append(Found(path, False, len(target), target))
    return None


_SPECIAL = {
    mode.S_IFIFO: "a named pipe",
    mode.S_IFSOCK: "a socket",
    mode.S_IFBLK: "a device",
    mode.S_IFCHR: "a device",
}
