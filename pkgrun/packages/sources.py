"""Where packages come from, a folder or a zip: each becomes a folder here; what belongs to it, and what it is called."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

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
from pkgrun.observe import Observer, silent
from pkgrun.packages import archives
from pkgrun.packages.contract import BYTECODE_FOLDER, BYTECODE_SUFFIX
from pkgrun.packages.git import Provenance, Unknown, provenance
from pkgrun.packages.git_addresses import is_address, parse
from pkgrun.store.files import open_regular, shown
from pkgrun.store.local import translate
from pkgrun.store.scan import Keep

IGNORE_FILE = ".pkgrunignore"

_A_PACKAGE = "a package is a folder with a train.py, or a zip that holds one"
_IGNORE_LIMIT = 1 << 20
_LEFT_OUT = {".git", BYTECODE_FOLDER, ".hg", ".svn"}
_MARKS_FOREIGN = ("pyvenv.cfg", "conda-meta", "pkgrun-store.json")
"""A folder that holds one of these is a virtual environment or a store, not part of a package."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A package on this machine, wherever it came from.

    `folder` is a real path; `name` is what the package is called unless somebody says otherwise (it need not be one yet);
    `source` is what a record says of where it came from, without credentials; `keep` says which of its paths belong to
    the package; `way_out` is what to do about one that cannot be kept. `provenance` looks for its git repository.
    `label` is how the caller put it, for what is said to him. `archive` is the zip that it was unpacked from, if it was.
    """

    folder: str
    name: str
    label: str
    source: str
    keep: Keep
    way_out: str
    provenance: Callable[[], Provenance | Unknown | None] = lambda: None
    archive: str | None = None


Room = Callable[[], AbstractContextManager[str]]
"""Makes a fresh folder that only we may look into, and removes it in the end."""


@contextmanager
def fetched(text: str, *, room: Room | None = None, observer: Observer = silent) -> Iterator[Fetched]:
    """The package that `text` means: a folder as it lies there, a zip unpacked for as long as this lasts.

    Args:
        room: where what has to be brought here goes; else the system's temporary folder.
        observer: told what was left out.

    Raises:
        NotFound: there is nothing.
        PackageInvalid: it is neither a folder nor a sound zip.
        UsageError: it is no path at all.
        PermissionDenied, Temporary: the system refuses.
    """
    if is_address(text):
        with (room or temporary)() as fresh:
            yield _of_git(text, fresh, observer)
        return
    place = located(text)
    if os.path.isdir(place):
        yield _of_folder(place, shown(text))
        return
    with (room or temporary)() as fresh:
        unpacked = archives.unpack(place, fresh, label=shown(text), observer=observer)
        yield Fetched(
            folder=unpacked,
            name=os.path.basename(unpacked),
            label=shown(text),
            source=shown(place),
            keep=produced,
            way_out="pack it without that",
            archive=os.path.expanduser(text),
        )


def _of_git(address: str, fresh: str, observer: Observer) -> Fetched:
    from pkgrun.packages import git_sources  # only an address needs it

    meant = parse(address)
    folder, known = git_sources.fetch(meant, Path(fresh), observer)
    return Fetched(
        folder=folder,
        name=meant.name,
        label=meant.text,
        source=meant.text,
        keep=kept(folder),
        way_out=f"name it in {IGNORE_FILE}, in the repository",
        provenance=lambda: known,
    )


def _of_folder(folder: str, label: str) -> Fetched:
    return Fetched(
        folder=folder,
        name=os.path.basename(folder),
        label=label,
        source=shown(folder),
        keep=kept(folder),
        way_out=f"remove it, or name it in {IGNORE_FILE}",
        provenance=lambda: provenance(Path(folder)),
    )


@contextmanager
def temporary() -> Iterator[str]:
    """A fresh folder for a while, where the system keeps such."""
    try:
        folder = tempfile.TemporaryDirectory(prefix="pkgrun-", ignore_cleanup_errors=True)
    except OSError as error:
        raise translate(error, "the temporary folder") from error
    with folder as path:
        yield path


def located(text: str) -> str:
    """The real path of a package's folder or zip.

    Raises:
        NotFound: there is nothing.
        UsageError: it is no path at all.
    """
    if not text or "\0" in text:
        raise UsageError(f"{text!r} is no path of a package", hint=_A_PACKAGE)
    try:
        real = os.path.realpath(os.path.expanduser(text))
    except FileNotFoundError as error:  # the current directory
        raise NotFound(f"there is no folder {shown(text)}: the current directory is gone") from error
    if not os.path.lexists(real):
        raise NotFound(f"there is no folder or zip {shown(text)}", hint=_A_PACKAGE)
    return real


def name_of(package: Fetched, name: str | None) -> str:
    """The package's name: the one given, else the one that it brings.

    Raises:
        InvalidName: it cannot be one.
    """
    if name is not None:
        return check_name(name)
    try:
        return check_name(package.name)
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


def watched(keep: Keep, left: list[str]) -> Keep:
    """The same, and what it leaves out is noted, but for what nobody misses: caches and version control."""

    def noting(path: str, is_folder: bool) -> bool:
        kept = keep(path, is_folder)
        name = path.rpartition("/")[2]
        if not kept and name not in _LEFT_OUT and not name.endswith(BYTECODE_SUFFIX):
            left.append(path + "/" if is_folder else path)
        return kept

    return noting


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
