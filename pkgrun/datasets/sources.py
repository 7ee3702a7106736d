"""What a caller may name as a dataset, looked up once: a local file or a folder, of any depth."""

from __future__ import annotations

import os
import stat as mode
from dataclasses import dataclass

from pkgrun.errors import DataInvalid, NotFound, UsageError
from pkgrun.store.local import translate
from pkgrun.store.objects import shown, vanished
from pkgrun.store.scan import Found, Listing, scan


@dataclass(frozen=True, slots=True)
class Source:
    """A dataset on this machine. `path` is real; `name` is what a single file is called at `data/`."""

    path: str
    name: str
    folder: bool

    @property
    def label(self) -> str:
        """The path as records hold it: text, whatever its bytes."""
        return shown(self.path)


def find(path: str) -> Source:
    """The dataset at a path.

    Raises:
        NotFound, PermissionDenied: as the system says.
        DataInvalid: it is neither a file nor a folder.
        UsageError: it is a URL, or no path at all.
    """
    if "://" in path:
        raise UsageError(
            f"{path.split('://', maxsplit=1)[0]}://… is a URL; datasets are local files and folders so far",
            hint="download it and name the folder",
        )
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


def listing(source: Source) -> tuple[Listing, list[str]]:
    """What the dataset holds, and the real path of each of its files."""
    if source.folder:
        found = scan(source.path)
        return found, [os.path.join(source.path, file.path) for file in found.files]
    try:
        status = os.stat(source.path)
    except FileNotFoundError as error:
        raise vanished(source.path) from error
    except OSError as error:
        raise translate(error, shown(source.path)) from error
    file = Found(source.name, bool(status.st_mode & 0o100), status.st_size)
    return Listing(os.path.dirname(source.path), [""], [file]), [source.path]
