"""The cache folder: whether it can be written to, what lies in it and what it may grow to, and its file system."""

from __future__ import annotations

import os

from pkgrun.runs.health.check import Check, measured, names, refused, words

_TIGHT = 10**9
_FEW = 10_000

_PARTS = (
    ("environments", "environment", "environments of requirements"),
    ("datasets", "copy", "copies of remote datasets"),
    ("stores", "store's index", "stores' indexes of packs"),
)


def look(cache: str, limit: int, until: float) -> list[Check]:
    """The folder and what is in it."""
    usable = _usable(cache)
    if usable.state == "problem":
        return [usable]
    return [usable, room("cache", "room for the cache", nearest(cache)), *_parts(cache, limit, until)]


def nearest(path: str) -> str:
    """The folder itself, or the nearest one above that is there."""
    while not os.path.isdir(path) and path != os.path.dirname(path):
        path = os.path.dirname(path)
    return path


def _usable(cache: str) -> Check:
    there = nearest(cache)
    if os.path.lexists(cache) and not os.path.isdir(cache):
        return Check(
            "cache",
            "folder",
            "problem",
            f"{cache} is no folder",
            "PKGRUN_CACHE names another one",
            exit_code=9,
        )
    if not os.access(there, os.W_OK | os.X_OK):
        hint = "PKGRUN_CACHE names another one"
        return Check("cache", "folder", "problem", f"{there} cannot be written to", hint, exit_code=9)
    state = "" if there == cache else " (made when it is needed)"
    return Check("cache", "folder", "ok", f"{cache}{state}", numbers={"path": cache})


def room(topic: str, name: str, folder: str) -> Check:
    """Free bytes and inodes of a folder's file system, as this user may have them."""
    try:
        found = os.statvfs(folder)
    except OSError as error:
        return refused(topic, name, folder, error)
    free, inodes = found.f_bavail * found.f_frsize, found.f_favail
    # A file system without a fixed number of inodes says 0 of 0.
    counted = found.f_files > 0
    numbers = {
        "free_bytes": free,
        "free_inodes": inodes if counted else None,
        "total_bytes": found.f_blocks * found.f_frsize,
    }
    message = f"{words(free)} free of {words(found.f_blocks * found.f_frsize)}"
    message += f", {inodes:,} inodes" if counted else ""
    if free == 0 or (counted and inodes == 0):
        return Check(topic, name, "problem", f"{folder} is full: {message}", "free some space", numbers)
    tight = free < _TIGHT or (counted and inodes < _FEW)
    return Check(
        topic, name, "note" if tight else "ok", message, "it is getting full" if tight else None, numbers
    )


def _parts(cache: str, limit: int, until: float) -> list[Check]:
    return [_part(cache, name, one, many, limit, until) for name, one, many in _PARTS]


def _part(cache: str, name: str, one: str, many: str, limit: int, until: float) -> Check:
    """How many there are and what they take; only copies of datasets have a limit, and are removed by age."""
    folder = os.path.join(cache, name)
    size = measured(folder, until)
    count = sum(os.path.isdir(os.path.join(folder, entry)) for entry in names(folder))
    numbers = {"count": count, **size.numbers()}
    message = f"{count} {one if count == 1 else many}, {'' if size.whole else 'at least '}{words(size.bytes)}"
    message = message if count else f"no {many}"
    if name != "datasets":
        return Check("cache", name, "ok", message, numbers=numbers)
    numbers["limit"], message = limit, f"{message}; at most {words(limit)} are kept"
    if size.bytes > limit:
        return Check("cache", name, "note", message, "the next use of one removes what is over", numbers)
    return Check("cache", name, "ok", message, None, numbers)
