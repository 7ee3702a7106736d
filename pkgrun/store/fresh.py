"""New files, folders and links, only where nothing is yet: nothing is overwritten, no link is followed."""

from __future__ import annotations

import os
from io import FileIO

from pkgrun.store.files import shown
from pkgrun.store.local import translate, write_all

_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def file(path: str, *, executable: bool) -> FileIO:
    """A new file, open for writing; its mode is as the umask allows.

    Raises:
        PermissionDenied, Temporary: the system refuses; so do the others.
    """
    try:
        return FileIO(os.open(path, _NEW, 0o777 if executable else 0o666), "wb")
    except OSError as error:
        raise translate(error, shown(path)) from error


def written(path: str, data: memoryview, *, executable: bool) -> None:
    """A new file with its content. One that does not fit is not left there."""
    try:
        descriptor = os.open(path, _NEW, 0o777 if executable else 0o666)
    except OSError as error:
        raise translate(error, shown(path)) from error
    try:
        write_all(descriptor, data)
    except OSError as error:
        os.unlink(path)
        raise translate(error, shown(path)) from error
    finally:
        os.close(descriptor)


def folder(path: str) -> None:
    """A new folder."""
    try:
        os.mkdir(path)
    except OSError as error:
        raise translate(error, shown(path)) from error


def link(target: str, path: str) -> None:
    """A new symbolic link."""
    try:
        os.symlink(target, path)
    except OSError as error:
        raise translate(error, shown(path)) from error
