"""A tree given out as a folder that is there only when it is whole: written under another name, then put in place.

A new folder appears at once, by a rename. One that was there, empty, stays the folder that it is, with its mode and also
where something is mounted or somebody stands in it: the tree is written into a folder in it, and its top entries then
move up; the folder that they come from goes last, so while it is there all can see that something is missing. What a
kill leaves is removed by the next export to the same place, if a mark in it says that it is an export's: never what
only has such a name, nor a copy of what an export left. Files that belong together are put into a folder likewise.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from pkgrun.errors import Conflict, PkgrunError, UsageError
from pkgrun.store.checkout import checkout
from pkgrun.store.files import shown
from pkgrun.store.local import translate, write_all
from pkgrun.store.objects import Objects

_BESIDE, _INSIDE = "unfinished", "incomplete"
_MARK, _TREE = "made-by-pkgrun", "tree"
"""What lies in a folder that an export writes into: who made it, and what is going to be the user's."""

_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
_TAKEN = {errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR, errno.EISDIR}


def export_tree(
    objects: Objects,
    digest: str | None,
    out: str,
    *,
    skip_erased: bool = False,
    progress: Callable[[int], object] = lambda size: None,
) -> list[str]:
    """Write a tree into a folder, which must be new or empty, every byte verified; the paths of files that were left out.

    Args:
        digest: the tree's; None leaves the folder empty.
        skip_erased: leave out what was erased.
        progress: told the bytes that are written, from several threads.

    Raises:
        Conflict: the folder holds something, is none, or somebody else is exporting into it.
        UsageError: that is no path.
        Damaged: the store's bytes are not what they were.
        Erased: a file was erased.
        PermissionDenied, Temporary: the system refuses.
    """
    if not out or "\0" in out:
        raise UsageError(f"{out!r} is no path of a folder", hint="name a new folder")
    left_out: list[str] = []
    place = out.rstrip("/") or "/"

    def write(folder: str) -> None:
        if digest is not None:
            with _said_of(place, folder):
                left_out.extend(checkout(objects, digest, folder, skip_erased=skip_erased, progress=progress))

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
    return left_out


def export_files(folder: str, names: Sequence[str], write: Callable[[str], None]) -> None:
    """Have files written, and put them into a folder: all of them or none, each whole, none over what is there.

    Args:
        folder: made if it is not there; what else is in it stays.
        names: in the order in which they appear there.
        write: writes them into the folder that it is given.

    Raises:
        Conflict: one of the names is taken, or the folder is none.
        UsageError: that is no path.
        PermissionDenied, Temporary: the system refuses.
    """
    if not folder or "\0" in folder:
        raise UsageError(f"{folder!r} is no path of a folder", hint="name a new folder")
    try:
        os.makedirs(folder, exist_ok=True)
        _check_free(folder, names)
        _sweep(folder, _BESIDE)
        with _staged(folder, _BESIDE) as staged:
            with _said_of(folder, staged):
                write(staged)
            _put_all(staged, folder, names)
    except (FileExistsError, NotADirectoryError) as error:
        raise _no_folder(folder) from error
    except OSError as error:
        raise translate(error, shown(folder)) from error


def _check_free(folder: str, names: Sequence[str]) -> None:
    for name in names:
        if os.path.lexists(place := os.path.normpath(os.path.join(folder, name))):
            raise Conflict(f"{shown(place)} is there already", hint="name another place, or take it away")


def _put_all(staged: str, folder: str, names: Sequence[str]) -> None:
    there: list[str] = []
    try:
        for name in names:
            _put(os.path.join(staged, name), os.path.join(folder, name))
            there.append(name)
    except BaseException:
        for name in there:
            with suppress(OSError):
                os.unlink(os.path.join(folder, name))
        raise


def _put(source: str, place: str) -> None:
    """Give a file its name: by a link, which takes no other's."""
    try:
        os.link(source, place)
    except FileExistsError as error:
        raise Conflict(f"{shown(place)} came to be there", hint="name another place") from error
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        # Where there are no links, somebody who puts a file there at this very moment loses it.
        _check_free(os.path.dirname(place), [os.path.basename(place)])
        os.rename(source, place)


@contextmanager
def _said_of(place: str, folder: str) -> Iterator[None]:
    """What is said of files in a folder names the place where they would have appeared."""
    try:
        yield
    except PkgrunError as error:
        message = error.message
        for inner, outer in ((os.path.join(folder, ""), os.path.join(place, "")), (folder, place)):
            message = message.replace(shown(inner), shown(outer))
        raise type(error)(message, hint=error.hint, run_id=error.run_id) from error


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
        if os.listdir(place) != [os.path.basename(os.path.dirname(folder))]:
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
    called_so = [name for name in names if _is_called_so(name, _INSIDE)]
    left = [name for name in called_so if _is_ours(os.path.join(place, name))]
    if len(left) < len(names):
        hint = "name a new folder"
        if left:
            hint = f"an export into it was broken off: empty it, or {hint}"
        elif called_so:
            hint = f"{called_so[0]} in it is not known to be an export's: take it away, or {hint}"
        raise Conflict(f"{shown(place)} is not empty", hint=hint)
    _sweep(place, _INSIDE)
    if os.listdir(place):
        raise Conflict(f"another process is exporting into {shown(place)}", hint="name a new folder")


def _no_folder(place: str) -> Conflict:
    return Conflict(f"{shown(place)} is no folder", hint="name a new folder")


# ---------------------------------------------------------------------- the folder that is written into


@contextmanager
def _staged(above: str, kind: str) -> Iterator[str]:
    """A new folder to write into, in one that is marked, and locked, so that nobody sweeps it; both go in the end."""
    outer = os.path.join(above, f"pkgrun-export-{os.urandom(8).hex()}.{kind}")
    os.mkdir(outer)
    lock = None
    try:
        lock = _opened(outer)
        with suppress(OSError):  # where folders cannot be locked, nothing is ever swept
            fcntl.flock(lock, fcntl.LOCK_EX)
        _mark(lock)  # not before: what is marked and free may go
        inner = os.path.join(outer, _TREE)
        os.mkdir(inner)
        yield inner
    finally:
        _discard(outer)
        if lock is not None:
            os.close(lock)


def _opened(folder: str) -> int:
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)


def _mark(folder: int) -> None:
    descriptor = os.open(_MARK, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666, dir_fd=folder)
    try:
        write_all(descriptor, _words(folder, descriptor))
    finally:
        os.close(descriptor)


def _words(folder: int, mark: int) -> bytes:
    """What a mark says. With the numbers that only this folder and this mark have, it says nothing of a copy."""
    numbers = f"{os.fstat(folder).st_ino} {os.fstat(mark).st_ino}"
    return f"An export that was not finished; the next one to this place removes it.\n{numbers}\n".encode()


def _is_called_so(name: str, kind: str) -> bool:
    return re.fullmatch(rf"pkgrun-export-[0-9a-f]{{16}}\.{kind}", name) is not None


def _is_ours(path: str) -> bool:
    """Whether an export made this folder, and nobody has put anything into it since."""
    try:
        folder = _opened(path)
    except OSError:
        return False
    try:
        mark = os.open(_MARK, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
        try:
            words = _words(folder, mark)
            return os.read(mark, len(words) + 1) == words and {*os.listdir(folder)} <= {_MARK, _TREE}
        finally:
            os.close(mark)
    except OSError:
        return False
    finally:
        os.close(folder)


def _sweep(above: str, kind: str) -> None:
    """Remove what exports left that were killed: marked, and nobody holds its lock."""
    with suppress(OSError):  # who may write here need not be allowed to look
        for name in filter(lambda name: _is_called_so(name, kind), os.listdir(above)):
            _remove(os.path.join(above, name))


def _remove(folder: str) -> None:
    with suppress(OSError):
        lock = _opened(folder)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_ours(folder):
                _discard(folder)
        finally:
            os.close(lock)


def _discard(folder: str) -> None:
    """The mark stays as long as anything else does, so that the next export knows what it is."""
    with suppress(OSError):
        inner = os.path.join(folder, _TREE)
        shutil.rmtree(inner, ignore_errors=True)
        if not os.path.lexists(inner):
            with suppress(FileNotFoundError):
                os.unlink(os.path.join(folder, _MARK))
            os.rmdir(folder)
