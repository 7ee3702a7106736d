"""Real file systems in files: as small as one wants, and with a plug that can be pulled."""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SHUTDOWN = 0x8004587D
"""EXT4_IOC_SHUTDOWN."""
_AT_ONCE = 2
"""Without writing the journal: all that nobody has synced is gone."""


def possible() -> bool:
    """Whether this user may mount them."""
    return os.geteuid() == 0 and all(map(shutil.which, ("mkfs.ext4", "mount", "umount", "losetup")))


def _run(*argv: str | Path) -> None:
    subprocess.run(argv, check=True, capture_output=True, text=True)


def _check_time(until: float, what: str) -> None:
    if time.monotonic() > until:
        raise AssertionError(f"the file system {what}")
    time.sleep(0.02)


class Image:
    """An ext4 of its own, mounted at `folder`."""

    def __init__(self, place: Path, size: int, *options: str) -> None:
        self.folder, self._image = place / "mounted", place / "image"
        self.folder.mkdir()
        with self._image.open("wb") as file:
            file.truncate(size)
        _run("mkfs.ext4", "-q", *options, self._image)
        self._mount()

    def _mount(self) -> None:
        _run("mount", "-o", "loop", self._image, self.folder)

    def cut(self) -> None:
        """Pull the plug: from now on nothing can be written, and what was not synced never was."""
        descriptor = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, _SHUTDOWN, struct.pack("I", _AT_ONCE))
        finally:
            os.close(descriptor)

    def power_up(self) -> None:
        """Mount what is on the disk; the journal is replayed."""
        self.close()
        self._mount()

    def close(self) -> None:
        """Unmount it, and wait until no process sees it any more: one that has a view of its own keeps it mounted."""
        until = time.monotonic() + 30
        while subprocess.run(("umount", self.folder), capture_output=True, check=False).returncode:
            _check_time(until, "is in use")
        while subprocess.run(("losetup", "-j", self._image), capture_output=True, check=True).stdout:
            _check_time(until, "is mounted in some other namespace")


@contextmanager
def image(place: Path, size: int, *options: str) -> Iterator[Image]:
    """A file system for as long as the context."""
    made = Image(place, size, *options)
    try:
        yield made
    finally:
        made.close()
