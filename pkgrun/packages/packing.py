"""A stored version packed as a zip: the same tree gives the same bytes, on any day and for anybody.

Only what `archives` would take again is packed. Times and owners are not known and not made up; what is packed is as
long as zlib makes it, so another zlib may give other bytes with the same content.
"""

from __future__ import annotations

import stat as mode
import zipfile
from collections.abc import Callable
from typing import BinaryIO

from pkgrun.errors import PackageInvalid
from pkgrun.packages.archive_names import Names, complaint
from pkgrun.store import trees
from pkgrun.store.checkout import without_erased
from pkgrun.store.files import shown
from pkgrun.store.objects import Objects
from pkgrun.store.trees import Entry

_LONG_AGO = (1980, 1, 1, 0, 0, 0)
"""The first moment that a zip can tell."""

_LEVEL = 6
_MODES = {
    "dir": mode.S_IFDIR | 0o755,
    "file": mode.S_IFREG | 0o644,
    "program": mode.S_IFREG | 0o755,
}


def pack(
    objects: Objects,
    tree: str,
    root: str,
    out: BinaryIO,
    *,
    label: str,
    skip_erased: bool = False,
    progress: Callable[[int], object] = lambda size: None,
) -> list[str]:
    """Write a tree as a zip with the one root folder `root`; the paths of files that were left out.

    Args:
        out: empty, and can seek.
        label: what is packed, for errors.
        skip_erased: leave out what was erased.
        progress: told the bytes that are packed.

    Raises:
        PackageInvalid: it holds what a package's zip may not hold: a link, or a name that not every system has.
        Damaged: the store's bytes are not what they were.
        Erased: a file was erased.
        OSError: as the system says; the caller knows the place.
    """
    # By their parts, as `archives` unpacks it.
    left_out: list[str] = []
    whole = without_erased(objects, trees.walk(objects, tree), left_out if skip_erased else None)
    found = sorted(whole, key=lambda one: one[0].split("/"))
    _check(found, root, label)
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL) as file:
        file.writestr(_head(f"{root}/", "dir"), b"")
        for path, entry in found:
            if entry.kind == "dir":
                file.writestr(_head(f"{root}/{path}/", "dir"), b"")
                continue
            head = _head(f"{root}/{path}", "program" if entry.executable else "file")
            head.file_size = entry.bytes  # tells whether it needs room for large numbers
            with file.open(head, "w") as member:
                for piece in objects.stream(entry.digest):
                    member.write(piece)
                    progress(len(piece))
    return left_out


def _head(name: str, kind: str) -> zipfile.ZipInfo:
    head = zipfile.ZipInfo(name, _LONG_AGO)
    head.create_system = 3
    head.external_attr = _MODES[kind] << 16 | (0x10 if kind == "dir" else 0)
    head.compress_type = zipfile.ZIP_STORED if kind == "dir" else zipfile.ZIP_DEFLATED
    return head


def _check(found: list[tuple[str, Entry]], root: str, label: str) -> None:
    names = Names()
    for path, entry in [("", Entry(root, "dir")), *found]:
        whole = f"{root}/{path}" if path else root
        folder = entry.kind == "dir"
        why = complaint(whole) or names.clash(whole, folder=folder)
        if entry.kind == "symlink":
            why = "is a symbolic link"
        if why:
            raise PackageInvalid(
                f"{label} cannot be packed as a zip that every system reads: {shown(path or root)!r} {why}",
                hint="export it with --format folder",
            )
