"""What a look at one thing has found."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from pkgrun.errors import PermissionDenied, PkgrunError, Temporary

State = Literal["ok", "note", "problem"]
Number = int | float | str | None


@dataclass(frozen=True, slots=True)
class Check:
    """One row: ok, a note (it works, and something should be known), or a problem (no training is possible so).

    `numbers` are for programs. `exit_code` counts for a problem: the one that a training would end with.
    """

    topic: str
    name: str
    state: State
    message: str
    hint: str | None = None
    numbers: Mapping[str, Number] = field(default_factory=dict)
    exit_code: int = Temporary.exit_code


def failed(topic: str, name: str, error: PkgrunError) -> Check:
    """A problem, in the words of the error that a training would meet."""
    return Check(topic, name, "problem", error.message, error.hint, exit_code=error.exit_code)


def refused(topic: str, name: str, path: str, error: OSError) -> Check:
    """A problem with a file or folder."""
    code = (
        PermissionDenied.exit_code
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS)
        else Temporary.exit_code
    )
    return Check(topic, name, "problem", f"{path}: {error.strerror}", exit_code=code)


@dataclass(frozen=True, slots=True)
class Size:
    """Bytes and files below a folder; not `whole` if there was no time to look at all of it."""

    bytes: int
    files: int
    whole: bool

    def numbers(self) -> dict[str, Number]:
        """For programs."""
        return {"bytes": self.bytes, "files": self.files, "complete": self.whole}


def measured(folder: str, until: float) -> Size:
    """What lies below a folder, looked at until a moment of the monotonic clock; nothing where there is no folder."""
    size = files = 0
    waiting = [folder]
    while waiting and time.monotonic() < until:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    else:
                        size += entry.stat(follow_symlinks=False).st_blocks * 512
                        files += 1
        except OSError:
            continue
    return Size(size, files, whole=not waiting)


def names(folder: str) -> list[str]:
    """What lies in a folder, in order; nothing where there is none, or none that may be looked into."""
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def words(size: int) -> str:
    """Bytes as a person says them."""
    amount, unit = float(size), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if amount < 1000:
            break
        amount, unit = amount / 1000, larger
    return f"{amount:.3g} {unit}" if amount < 1000 else f"{amount:.0f} {unit}"


Look = Callable[[], Iterable[Check]]
"""A look at one subject, which tells what it finds as it finds it."""
