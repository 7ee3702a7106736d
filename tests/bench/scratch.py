"""Fair ground: ext4 walks past every inode that was freed in the last minute, or six, before it takes a new one, so
that files created soon after many were deleted come up to ten times slower.

So no tree is deleted before something is timed that creates files: it is renamed out of the way. And each group of
measurements has a file system of its own, in an image that is mounted for it and thrown away after it, where that is
allowed (root, loop devices); elsewhere what a group leaves stays until the room is needed. The image passes the page
cache by: its bytes would else be cached twice, and whoever syncs would pay for copying them once more.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .timing import Failed

FEW = 500
SETTLED = 65  # seconds until freed inodes are taken as any other
_LARGEST = 64 << 30
_SPARE = 4 << 30


@dataclass(frozen=True, slots=True)
class Scratch:
    """A folder to measure in; `own` tells whether it is a file system of its own."""

    folder: Path
    own: bool

    def park(self, path: Path) -> None:
        """Free a path: many files are renamed out of the way, few are removed."""
        if not path.is_symlink() and not path.exists():
            return
        if _many(path):
            parked = self.folder / "parked"
            parked.mkdir(exist_ok=True)
            path.rename(Path(tempfile.mkdtemp(dir=parked)) / path.name)
        elif path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _many(path: Path) -> bool:
    left = FEW
    for _, _, names in os.walk(path):
        left -= len(names)
        if left <= 0:
            return True
    return False


@contextmanager
def scratch(work: Path, room: int, *, own: bool = True) -> Iterator[Scratch]:
    """A new folder below `work` for one group, with room for so many bytes; if possible a file system of its `own`.

    Raises:
        Failed: there is no such room.
    """
    folder = Path(tempfile.mkdtemp(prefix="scratch-", dir=work))
    image = folder.with_suffix(".img")
    _make_room(work, room)
    if not own or not _mounted(image, folder):
        yield Scratch(folder, own=False)
        return
    try:
        yield Scratch(folder, own=True)
    finally:
        _unmounted(folder)
        image.unlink()
        folder.rmdir()


def _make_room(work: Path, room: int) -> None:
    if shutil.disk_usage(work).free > room + _SPARE:
        return
    left = [folder for folder in work.glob("scratch-*") if any(folder.iterdir())]
    for folder in left:
        shutil.rmtree(folder)
    if left:
        time.sleep(SETTLED)
    if (free := shutil.disk_usage(work).free) < room + _SPARE:
        raise Failed(f"{work} has {free / 1e9:.0f} GB left; this needs {(room + _SPARE) / 1e9:.0f}")


def _mounted(image: Path, folder: Path) -> bool:
    """Whether the folder is a file system of its own now, in a file that only has the room it uses."""
    if os.geteuid() or not shutil.which("mkfs.ext4"):
        return False
    with image.open("wb") as file:
        file.truncate(min(_LARGEST, shutil.disk_usage(image).free - _SPARE // 2))
    # Many inodes; the kernel would else fill their tables in the background, while something is timed.
    made = _worked(("mkfs.ext4", "-q", "-i", "4096", "-E", "nodiscard,lazy_itable_init=1", str(image)))
    if made and _attached(image, folder):
        (folder / "lost+found").rmdir()
        return True
    image.unlink()
    return False


def _attached(image: Path, folder: Path) -> bool:
    argv = ("losetup", "--find", "--show", "--direct-io=on", str(image))
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    device = done.stdout.strip()
    if done.returncode or not device:
        return _worked(("mount", "-o", "loop,noinit_itable", str(image), str(folder)))
    mounted = _worked(("mount", "-o", "noinit_itable", device, str(folder)))
    _worked(("losetup", "--detach", device))  # when it is no longer mounted
    return mounted


def _unmounted(folder: Path) -> None:
    """Let go of it; what still runs in there may keep it until that ends."""
    if not _worked(("umount", str(folder))):
        _worked(("umount", "--lazy", str(folder)))


def _worked(argv: Sequence[str]) -> bool:
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return done.returncode == 0
