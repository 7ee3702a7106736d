"""What a caller may name as a dataset, looked up once: a file or folder here, a URL, something that was registered."""

from __future__ import annotations

import os
import stat as mode
import time
from array import array
from dataclasses import dataclass

from pkgrun.errors import DataInvalid, NotFound, UsageError
from pkgrun.store.files import shown, vanished
from pkgrun.store.local import translate
from pkgrun.store.scan import Folder, Listing, scan, stamp_of
from pkgrun.store.trees import Entry


@dataclass(frozen=True, slots=True)
class Source:
    """A dataset on this machine. `path` is real; `name` is what a single file is called at `data/`.

    `said`: what the caller named, if that was not the path.
    """

    path: str
    name: str
    folder: bool
    said: str | None = None

    @property
    def label(self) -> str:
        """As records hold it: text, whatever its bytes, and without credentials."""
        return self.said or shown(self.path)


@dataclass(frozen=True, slots=True)
class Remote:
    """A dataset at a URL, which may hold credentials; `label` has none."""

    url: str
    label: str


@dataclass(frozen=True, slots=True)
class Stored:
    """A registered dataset, or a folder or file of it, as the store has it."""

    label: str
    entry: Entry


Dataset = Source | Remote | Stored


def find(path: str) -> Source:
    """The dataset at a path.

    Raises:
        NotFound, PermissionDenied: as the system says.
        DataInvalid: it is neither a file nor a folder.
        UsageError: that is no path at all.
    """
    if not path or "\0" in path:
        raise UsageError(f"{path!r} is no path of a dataset")
    try:
        real = os.path.realpath(os.path.expanduser(path))
    except FileNotFoundError as error:  # the current directory
        raise NotFound(f"there is no dataset {shown(path)}: the current directory is gone") from error
    try:
        found = os.stat(real)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFound(f"there is no dataset at {shown(path)}", hint="name a file or a folder") from error
    except OSError as error:
        raise translate(error, shown(path)) from error
    if not (mode.S_ISDIR(found.st_mode) or mode.S_ISREG(found.st_mode)):
        raise DataInvalid(f"{shown(path)} is neither a file nor a folder")
    return Source(real, os.path.basename(os.path.abspath(path)), mode.S_ISDIR(found.st_mode))


def listing(source: Source, *, lenient: bool = False) -> Listing:
    """What the dataset holds now; a single file as the only one in a folder.

    Raises:
        DataInvalid: it holds what cannot be kept, which `lenient` leaves out.
        NotFound, PermissionDenied, Temporary: as the system says.
    """
    if source.folder:
        return scan(source.path, lenient=lenient)
    at = time.time_ns()
    try:
        status = os.stat(source.path, follow_symlinks=False)
    except FileNotFoundError as error:
        raise vanished(source.path) from error
    except OSError as error:
        raise translate(error, shown(source.path)) from error
    if not mode.S_ISREG(status.st_mode):
        raise DataInvalid(f"{source.label} is no file any more")
    only = Folder("", [source.name], array("q", stamp_of(status)), places=[source.path])
    return Listing(os.path.dirname(source.path), [only], at=at)
