"""What members of a zip may be called, for whoever reads one and for whoever writes one. Pure; it repairs nothing.

A name that two systems would read differently is refused: what is checked here must be what is unpacked anywhere else.
"""

from __future__ import annotations

import re
import unicodedata

PART_LIMIT = 255
"""Bytes of a file's or a folder's name: what file systems take."""
PATH_LIMIT = 2_048
DEPTH_LIMIT = 100

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_DRIVE = re.compile(r"[A-Za-z]:")


def complaint(path: str) -> str | None:
    """Why a path, without the slash that ends a folder's, may not be in a zip; None if it may."""
    if "\0" in path or _CONTROL.search(path):
        return "has control characters in its name"
    if "\\" in path:
        return "has a backslash in its name, which separates folders on some systems and not on others"
    if path.startswith("/") or _DRIVE.match(path):
        return "has an absolute path"
    parts = path.split("/")
    if ".." in parts or "." in parts or "" in parts:
        return "has a path that leads elsewhere or can be written otherwise ('..', '.', '//')"
    try:
        sizes = [len(part.encode()) for part in parts]
    except UnicodeEncodeError:
        return "has a name that is not UTF-8"
    if max(sizes) > PART_LIMIT or sum(sizes) > PATH_LIMIT or len(parts) > DEPTH_LIMIT:
        return f"has too long a path: names may have {PART_LIMIT} bytes, paths {PATH_LIMIT:,}, in {DEPTH_LIMIT} folders"
    return None


class Names:
    """The paths that a zip has so far: no two of them are one on any system."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, bool]] = {}
        self._named: set[str] = set()

    def clash(self, path: str, *, folder: bool) -> str | None:
        """Take one more; what it cannot be beside, said in a sentence, or None."""
        if path in self._named:
            return "is there twice"
        self._named.add(path)
        parts = path.split("/")
        for depth in range(len(parts), 0, -1):
            one = "/".join(parts[:depth])
            is_folder = folder or depth < len(parts)
            known = self._known.setdefault(_folded(one), (one, is_folder))
            if known[0] != one:
                return (
                    f"and {known[0]!r} are one name on systems that do not tell letters or their forms apart"
                )
            if known[1] != is_folder:
                return f"cannot be there: {one!r} is a file and a folder"
        return None


def _folded(path: str) -> str:
    if path.isascii():
        return path.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())
