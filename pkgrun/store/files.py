"""Files outside the store, read once: hashed while they are read, never through a link, never waiting for a pipe.

It owns what reading a file can say: its digest, and whether it stayed the same meanwhile. It keeps nothing.
"""

from __future__ import annotations

import hashlib
import os
import stat as mode
from collections.abc import Callable
from typing import NamedTuple

from pkgrun.errors import DataInvalid, NotFound
from pkgrun.store.local import CHUNK, translate
from pkgrun.store.pieces import Pieces

_READING = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY

Watch = Callable[[], Callable[[bytes], bool]]
"""Makes a watcher for one file: it is fed the bytes in order and says True once they hold what must not be kept."""

Look = Callable[[], Callable[[memoryview], bool]]
"""The same for a large file, whose pieces are valid during the call only."""


class Taken(NamedTuple):
    """A file as it was read. `stable`: nothing changed it meanwhile. `flagged`: it was not kept, a watcher said so.

    `seen`: how a large one looked after it was read.
    """

    digest: str
    size: int
    stable: bool
    flagged: bool = False
    seen: os.stat_result | None = None


def open_regular(path: str) -> int:
    """A descriptor for reading a regular file, never a link, and never waiting for a pipe's other end.

    Raises:
        DataInvalid: it is none (any more).
        NotFound, PermissionDenied, Temporary: as the system says.
    """
    try:
        descriptor = os.open(path, _READING)
    except FileNotFoundError as error:
        raise vanished(path) from error
    except OSError as error:
        raise translate(error, shown(path)) from error
    if not mode.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise irregular(path)
    return descriptor


def irregular(path: str) -> DataInvalid:
    """What is said of something that is not, or no longer, a file."""
    return DataInvalid(f"{shown(path)} is not a regular file")


def read_small(name: str, size: int, folder: int) -> tuple[bytes, os.stat_result]:
    """All bytes of a regular file, and how it looked after they were read: if it is none any more, that tells.

    Args:
        name: in the folder, or a path of its own.
        size: what is expected; it may be more.
        folder: a descriptor of the folder.

    Raises:
        OSError: as the system says; the caller knows the path.
    """
    descriptor = os.open(name, _READING, dir_fd=folder)
    try:
        data = os.read(descriptor, size + 1)
        found = os.fstat(descriptor)
        if len(data) != size and mode.S_ISREG(found.st_mode):  # somebody writes there
            while more := os.read(descriptor, CHUNK):
                data += more
            found = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    return data, found


def vanished(path: str) -> NotFound:
    """What is said of something that was there a moment ago."""
    return NotFound(f"{shown(path)} vanished while it was read", hint="run again when nobody writes there")


def shown(path: str) -> str:
    """A path that can be printed, whatever bytes it is made of."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def take(path: str, consume: Callable[[memoryview], object], watch: Look | None = None) -> Taken:
    """Read a large file once: each piece is hashed while it is handed to `consume`, unless it is flagged."""
    descriptor = open_regular(path)
    try:
        before = os.fstat(descriptor)
        watcher = watch() if watch else None
        hasher, size, flagged = hashlib.sha256(), 0, False
        with Pieces(descriptor, consume) as pieces:
            for piece in pieces:
                flagged = (watcher is not None and watcher(piece)) or flagged
                if not flagged and consume is not nothing:
                    pieces.pass_on()
                hasher.update(piece)
                size += len(piece)
        after = os.fstat(descriptor)
    except OSError as error:
        raise translate(error, shown(path)) from error
    finally:
        os.close(descriptor)
    stable = (before.st_mtime_ns, before.st_size) == (after.st_mtime_ns, size)
    return Taken("sha256:" + hasher.hexdigest(), size, stable, flagged, after)


def nothing(chunk: memoryview) -> None:
    """What consumes a file that is only hashed."""
