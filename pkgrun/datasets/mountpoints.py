"""Which file systems have ctimes that nobody can choose: those that this machine's kernel stamps by its own clock."""

from __future__ import annotations

import os

_LOCAL = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "tmpfs", "zfs", "bcachefs"})
"""Not those whose times are what an image or a server says (squashfs, iso9660, vfat, FUSE, NFS), nor overlays of them."""


def on_this_machine(path: str) -> bool:
    """Whether all that is at a path, and below it, is stamped by this machine's clock; False where nobody tells."""
    real = os.path.realpath(path)
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
            mounts = [_parsed(line) for line in file]
    except OSError:
        return False
    above = [(place, kind) for place, kind in mounts if _holds(place, real)]
    kinds = {kind for place, kind in mounts if _holds(real, place)}
    if above:
        kinds.add(max(above, key=lambda mount: len(mount[0]))[1])
    return bool(above) and kinds <= _LOCAL


def _holds(folder: str, path: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _parsed(line: str) -> tuple[str, str]:
    """Where something is mounted, and its kind."""
    before, _, after = line.partition(" - ")
    place = before.split()[4]
    for escaped in (" ", "\t", "\n", "\\"):
        place = place.replace(f"\\{ord(escaped):03o}", escaped)
    return place, after.split()[0]
