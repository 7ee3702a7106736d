"""A tree given out as a folder that is there only when it is whole: written under another name, then put in place.

A new folder appears at once, by a rename. One that was there, empty, stays the folder that it is, with its mode and also
where something is mounted or somebody stands in it: the tree is written into a folder in it, and its top entries then
move up; the folder that they come from goes last, so while it is there all can see that something is missing. What a
kill leaves is removed by the next export to the same place.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from pkgrun.errors import Conflict, UsageError
from pkgrun.store.checkout import checkout
from pkgrun.store.files import shown
from pkgrun.store.local import translate
from pkgrun.store.objects import Objects

_BESIDE, _INSIDE = "unfinished", "incomplete"
_TAKEN = {errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR, errno.EISDIR}


def export_tree(
    objects: Objects,
    digest: str | None,
    out: str,
    *,
    progress: Callable[[int], object] = lambda size: None,
) -> None:
    """Write a tree into a folder, which must be new or empty, every byte verified.

    Args:
        digest: the tree's; None leaves the folder empty.
        progress: told the bytes that are written, from several threads.

    Raises:
        Conflict: the folder holds something, is none, or somebody else is exporting into it.
        UsageError: that is no path.
        Damaged: the store's bytes are not what they were.
        PermissionDenied, Temporary: the system refuses.
    """
    if not out or "\0" in out:
        raise UsageError(f"{out!r} is no path of a folder", hint="name a new folder")
    place = out.rstrip("/") or "/"

    def write(folder: str) -> None:
        if digest is not None:
            checkout(objects, digest, folder, progress=progress)

    try:
        os.makedirs(os.path.dirname(place) or ".", exist_ok=True)
        if os.path.isdir(place):
            _fill(place, write)
        elif os.path.lexists(place):
            raise _no_folder(place)
        else:
            _appear(place, write)
    except (FileExistsError, NotADirectoryError) as error:
        raise _no_folder(place) from error
    except OSError as error:
        raise translate(error, shown(place)) from error


def _appear(place: str, write: Callable[[str], None]) -> None:
    above = os.path.dirname(place) or "."
    _sweep(above, _BESIDE)
    with _staged(above, _BESIDE) as folder:
        write(folder)
        try:
            os.rename(folder, place)
        except OSError as error:
            if error.errno in _TAKEN:
                raise Conflict(
                    f"{shown(place)} came to hold something else", hint="name a new folder"
                ) from error
            raise


def _fill(place: str, write: Callable[[str], None]) -> None:
    _check_empty(place)
    with _staged(place, _INSIDE) as folder:
        write(folder)
        if os.listdir(place) != [os.path.basename(folder)]:
            raise Conflict(f"{shown(place)} came to hold something else", hint="name a new folder")
        _move_up(folder, place)


def _move_up(folder: str, place: str) -> None:
    names = os.listdir(folder)
    try:
        for name in names:
            os.rename(os.path.join(folder, name), os.path.join(place, name))
    except BaseException:
        for name in names:
            with suppress(OSError):
                os.rename(os.path.join(place, name), os.path.join(folder, name))
        raise


def _check_empty(place: str) -> None:
    """Remove what an export into it left that was killed, unless some of it is in place already."""
    names = os.listdir(place)
    left = [name for name in names if _is_staging(name, _INSIDE)]
    if len(left) < len(names):
        broken = "an export into it was broken off: empty it, or " if left else ""
        raise Conflict(f"{shown(place)} is not empty", hint=broken + "name a new folder")
    _sweep(place, _INSIDE)
    if os.listdir(place):
        raise Conflict(f"another process is exporting into {shown(place)}", hint="name a new folder")


def _no_folder(place: str) -> Conflict:
    return Conflict(f"{shown(place)} is no folder", hint="name a new folder")


# ---------------------------------------------------------------------- the folder that is written into


@contextmanager
def _staged(above: str, kind: str) -> Iterator[str]:
    """A new folder, locked, so that nobody sweeps it; gone in the end, if it was not given another name."""
    folder, lock = _made(above, kind)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _made(above: str, kind: str) -> tuple[str, int]:
    while True:
        folder = os.path.join(above, f"pkgrun-export-{os.urandom(8).hex()}.{kind}")
        os.mkdir(folder)
        with suppress(FileNotFoundError):  # a sweeper was quicker
            lock = _opened(folder)
            with suppress(OSError):  # where folders cannot be locked, nothing is ever swept
                fcntl.flock(lock, fcntl.LOCK_EX)
            if os.path.exists(folder):
                return folder, lock
            os.close(lock)


def _opened(folder: str) -> int:
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)


def _is_staging(name: str, kind: str) -> bool:
    return re.fullmatch(rf"pkgrun-export-[0-9a-f]{{16}}\.{kind}", name) is not None


def _sweep(above: str, kind: str) -> None:
    """Remove what exports left that were killed: nobody holds its lock."""
    with suppress(OSError):  # who may write here need not be allowed to look
        for name in filter(lambda name: _is_staging(name, kind), os.listdir(above)):
            _remove(os.path.join(above, name))


def _remove(folder: str) -> None:
    with suppress(OSError):
        lock = _opened(folder)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(lock)
