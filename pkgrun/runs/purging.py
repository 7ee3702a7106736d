"""Takes files of certain contents out of a folder on this machine, or says whether there are any. It follows no links, and what
cannot be read it counts: nobody knows what that is.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from dataclasses import dataclass

from pkgrun.errors import NotFound, PkgrunError
from pkgrun.store.files import nothing, take
from pkgrun.store.parallel import each


@dataclass(frozen=True, slots=True)
class Purged:
    """How many files went, or are there; and of how many files and folders nobody knows, or which cannot be removed."""

    files: int = 0
    failed: int = 0


def purge(folder: str, raws: Collection[bytes]) -> Purged:
    """Remove the files below a folder whose content has one of these SHA-256."""
    return _each(folder, raws, os.unlink)


def find(folder: str, raws: Collection[bytes]) -> Purged:
    """Count them only."""
    return _each(folder, raws, lambda path: None)


def _each(folder: str, raws: Collection[bytes], do: Callable[[str], None]) -> Purged:
    unread: list[OSError] = []
    walked = os.walk(folder, onerror=unread.append)
    files = [os.path.join(at, name) for at, _, names in walked for name in names]
    done = each(lambda path: _done(path, raws, do), files, run=1)
    failed = sum(not isinstance(error, FileNotFoundError) for error in unread)
    return Purged(done.count(True), failed + done.count(None))


def _done(path: str, raws: Collection[bytes], do: Callable[[str], None]) -> bool | None:
    """Whether a file was one of them; None if that is not known, or nothing can be done."""
    if os.path.islink(path) or not os.path.isfile(path):
        return False
    try:
        if bytes.fromhex(take(path, nothing).digest[7:]) not in raws:
            return False
        do(path)
    except (FileNotFoundError, NotFound):  # somebody else has removed it
        return False
    except (OSError, PkgrunError):
        return None
    return True
