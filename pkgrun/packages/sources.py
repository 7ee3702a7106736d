"""Packages from a folder: what belongs to them, and what they are called."""

from __future__ import annotations

import os
import re
from collections.abc import Callable

from pkgrun.errors import (
    DataInvalid,
    InvalidName,
    NotFound,
    PackageInvalid,
    PermissionDenied,
    Temporary,
    UsageError,
)
from pkgrun.identity import check_name
from pkgrun.packages.contract import BYTECODE_FOLDER, BYTECODE_SUFFIX
from pkgrun.store.files import open_regular, shown
from pkgrun.store.scan import Keep

IGNORE_FILE = ".pkgrunignore"

_IGNORE_LIMIT = 1 << 20
_LEFT_OUT = {".git", BYTECODE_FOLDER, ".hg", ".svn"}
_MARKS_FOREIGN = ("pyvenv.cfg", "conda-meta", "pkgrun-store.json")
"""A folder that holds one of these is a virtual environment or a store, not part of a package."""


def locate(path: str) -> str:
    """The real path of a package's folder.

    Raises:
        NotFound: there is nothing.
        PackageInvalid: it is no folder.
        UsageError: it is no path at all.
    """
    if not path or "\0" in path:
        raise UsageError(f"{path!r} is no path of a package", hint="a package is a folder with a train.py")
    try:
        real = os.path.realpath(os.path.expanduser(path))
    except FileNotFoundError as error:  # the current directory
        raise NotFound(f"there is no folder {shown(path)}: the current directory is gone") from error
    if not os.path.lexists(real):
        raise NotFound(f"there is no folder {shown(path)}", hint="a package is a folder with a train.py")
    if not os.path.isdir(real):
        raise PackageInvalid(f"{shown(path)} is no folder", hint="a package is a folder with a train.py")
    return real


def name_of(folder: str, name: str | None) -> str:
    """The package's name: the one given, else the folder's.

    Raises:
        InvalidName: it cannot be one.
    """
    if name is not None:
        return check_name(name)
    try:
        return check_name(os.path.basename(folder))
    except InvalidName as error:
        raise InvalidName(error.message, hint="give it another with --name") from error


def kept(folder: str) -> Keep:
    """Says which paths of a folder belong to the package.

    `.git`, caches, `*.pyc`, virtual environments, stores and what `.pkgrunignore` names (as git would read it)
    stay out.
    """
    ignored = _ignored(folder)

    def keep(path: str, is_folder: bool) -> bool:
        name = path.rpartition("/")[2]
        if name in _LEFT_OUT or ignored(path + "/" if is_folder else path):
            return False
        if is_folder:
            return not any(os.path.lexists(os.path.join(folder, path, mark)) for mark in _MARKS_FOREIGN)
        return not name.endswith(BYTECODE_SUFFIX)

    return keep


def produced(path: str, is_folder: bool) -> bool:
    """Says which paths of a work directory belong to the version that a run makes: all but compiled code."""
    name = path.rpartition("/")[2]
    return name != BYTECODE_FOLDER and (is_folder or not name.endswith(BYTECODE_SUFFIX))


def _ignored(folder: str) -> Callable[[str], bool]:
    try:
        with open(open_regular(os.path.join(folder, IGNORE_FILE)), encoding="utf-8") as file:
            lines = file.read(_IGNORE_LIMIT).splitlines()
    except NotFound:
        return lambda path: False
    except (DataInvalid, PermissionDenied, Temporary) as error:
        raise PackageInvalid(error.message, hint="it has to be a text file of its own") from error
    except (OSError, UnicodeDecodeError) as error:
        raise PackageInvalid(f"{IGNORE_FILE} cannot be read: {error}") from error
    import pathspec

    try:
        spec = pathspec.GitIgnoreSpec.from_lines(lines)
    except (ValueError, re.error) as error:  # such as [z-a]
        raise PackageInvalid(f"{IGNORE_FILE}: {error}", hint="its lines are those of a .gitignore") from error
    return spec.match_file
