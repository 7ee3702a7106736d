"""What the user's code wrote into an overlay, read from its upper layer after the run.

It owns the kernel's notes there: whiteouts, opaque folders, redirects (Documentation/filesystems/overlayfs.rst). It
mounts nothing, and reads no file: the lower layer is only asked what there was before.
"""

from __future__ import annotations

import errno
import os
import stat as mode
from dataclasses import dataclass, field

from pkgrun.datasets.written import Written

_REDIRECT = "trusted.overlay.redirect"  # never in a user namespace
_OPAQUE = ("trusted.overlay.opaque", "user.overlay.opaque")
_WHITEOUT = ("trusted.overlay.whiteout", "user.overlay.whiteout")
_OPEN = 0o700


def written(upper: str, lower: str) -> Written:
    """What is in an overlay of `upper` over `lower` and not in `lower`, and the other way round.

    It takes as long as there are entries in `upper`, and in folders of `lower` that were renamed or made anew. What
    is too deep for the system's paths is not looked into.

    Raises:
        OSError: a layer cannot be read. (A folder of the upper layer that the code closed is opened.)
    """
    reader = _Reader(lower, [_Folder("", upper, lower, lower)])
    while reader.waiting:
        reader.look(reader.waiting.pop())
    return Written.of(reader.added, reader.changed, reader.removed)


@dataclass(frozen=True, slots=True)
class _Folder:
    """A folder of the overlay: `upper` over `under` is what there is now, `before` what there was."""

    path: str
    upper: str | None
    under: str | None
    before: str | None

    @property
    def told_by_upper(self) -> bool:
        """Whether only what is in the upper layer can differ from what there was."""
        return self.under == self.before


@dataclass(slots=True)
class _Reader:
    """What was found so far. `waiting` are the folders that have not been looked into."""

    lower: str
    waiting: list[_Folder]
    added: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)

    def look(self, folder: _Folder) -> None:
        """Note what differs in one folder, and what is to be looked into."""
        names = set(_names(folder.upper, ours=True))
        if not folder.told_by_upper:
            names.update(_names(folder.under), _names(folder.before))
        kept = [self._entry(folder, name) for name in names]
        if folder.before is None and not any(kept):
            self.added.append(folder.path + "/")

    def _entry(self, folder: _Folder, name: str) -> bool:
        """Note one name of a folder; whether there is something of that name now."""
        path = f"{folder.path}/{name}" if folder.path else name
        upper, under, before = (_in(place, name) for place in (folder.upper, folder.under, folder.before))
        above = _status(upper)
        if above is None and under == before:
            return _status(under) is not None
        then = _kind(_status(before))
        now = _kind(_status(under) if above is None else above if not _whiteout(upper, above) else None)
        if then and (now is None or mode.S_ISDIR(now) != mode.S_ISDIR(then)):
            self.removed.append(path + "/" if mode.S_ISDIR(then) else path)
            then = None
        if now is None:
            return False
        if mode.S_ISDIR(now):
            merged = under if above is None else self._merged(upper, under, folder)
            self.waiting.append(_Folder(path, upper if above else None, merged, before if then else None))
        else:
            (self.changed if then else self.added).append(path)
        return True

    def _merged(self, upper: str | None, under: str | None, folder: _Folder) -> str | None:
        """The folder of the lower layer that one of the upper layer lies over."""
        if upper is None or _marked(upper, _OPAQUE):
            return None
        redirect = os.fsdecode(_mark(upper, _REDIRECT))
        if redirect.startswith("/"):
            under = os.path.join(self.lower, redirect.lstrip("/"))
        elif redirect:
            under = _in(folder.under, redirect)
        kind = _kind(_status(under))
        return under if kind and mode.S_ISDIR(kind) else None


def _in(folder: str | None, name: str) -> str | None:
    return None if folder is None else f"{folder}/{name}"  # os.path.join takes as long as the lstat


def _names(folder: str | None, *, ours: bool = False) -> list[str]:
    if folder is None:
        return []
    try:
        return os.listdir(folder)
    except PermissionError:
        if not ours:
            raise
        os.chmod(folder, _OPEN)
        return os.listdir(folder)
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        return []


def _status(path: str | None) -> os.stat_result | None:
    if path is None:
        return None
    try:
        return os.lstat(path)
    except OSError as error:
        if error.errno not in {errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG}:
            raise
        return None


def _kind(status: os.stat_result | None) -> int | None:
    return None if status is None else mode.S_IFMT(status.st_mode)


def _whiteout(path: str | None, status: os.stat_result) -> bool:
    """Whether it says that something of the lower layer is gone."""
    if mode.S_ISCHR(status.st_mode):
        return status.st_rdev == 0
    empty = mode.S_ISREG(status.st_mode) and status.st_size == 0
    return empty and path is not None and _marked(path, _WHITEOUT)


def _marked(path: str, marks: tuple[str, ...]) -> bool:
    return any(_mark(path, mark) for mark in marks)


def _mark(path: str, name: str) -> bytes:
    """The value of an extended attribute, b"" without it."""
    try:
        return os.getxattr(path, name, follow_symlinks=False)
    except OSError as error:
        if error.errno not in {errno.ENODATA, errno.EOPNOTSUPP, errno.EACCES, errno.EPERM}:
            raise
        return b""
