"""Zips that hold a package: checked as a whole, then unpacked into a fresh folder. Nothing in them is repaired.

What is written goes through descriptors of folders that were made for it and is created, never opened, so that no name
and no link can lead it elsewhere. `archive_format` reads the structure, `archive_names` judges names.
"""

from __future__ import annotations

import os
import stat as mode
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from pkgrun.errors import DataInvalid, PackageInvalid
from pkgrun.observe import Notice, Observer, silent
from pkgrun.packages import archive_format
from pkgrun.packages.archive_format import Member, Zip
from pkgrun.packages.archive_names import Names, complaint
from pkgrun.store.files import open_regular, shown
from pkgrun.store.local import translate, write_all

TOTAL_BYTES = 100 * 10**9
"""What a zip may hold, unpacked."""

FREE_BYTES = 10**9
"""So much may be packed as well as anybody likes."""

RATIO = 100
"""How many times its own size a zip may hold beyond that."""

BESIDE = ("__MACOSX", ".DS_Store")
"""What one system's packer puts beside the root folder: about files, and no file of the package."""

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_ITSELF = "unpack it yourself and add the folder"


class _Part(NamedTuple):
    """A member under its checked path."""

    path: tuple[str, ...]
    folder: bool
    member: Member


def unpack(path: str, fresh: str, *, label: str, observer: Observer = silent) -> str:
    """Unpack a package's zip, and return the path of its one root folder.

    Args:
        path: the zip, which is not changed.
        fresh: an empty folder.
        label: what errors call the zip.
        observer: told what was left out.

    Raises:
        PackageInvalid: it is no zip, is damaged, encrypted, too large, or holds what a package's zip may not hold.
        PermissionDenied, Temporary: the system refuses.
    """
    with _opened(path, label) as file:
        parts, left_out = _checked(file)
        if left_out:
            observer(Notice(f"{file.label}: left out what lies beside the package: {', '.join(left_out)}"))
        root = parts[0].path[0]
        try:
            _write(file, parts, fresh)
        except OSError as error:
            raise translate(error, shown(os.path.join(fresh, root))) from error
        return os.path.join(fresh, root)


@contextmanager
def _opened(path: str, label: str) -> Iterator[Zip]:
    try:
        descriptor = open_regular(path)
    except DataInvalid as error:
        raise PackageInvalid(f"{label}: this is no folder and no zip", hint=archive_format.NO_ZIP) from error
    try:
        yield Zip(descriptor, os.fstat(descriptor).st_size, label)
    except OSError as error:
        raise translate(error, label) from error
    finally:
        os.close(descriptor)


# ------------------------------------------------------------------------------------ what may be in it


def _checked(file: Zip) -> tuple[list[_Part], list[str]]:
    """All members of the package, by path, a folder before what it holds; and what lies beside it."""
    members = archive_format.members(file)
    names, parts, beside = Names(), [], set()
    for member in members:
        folder = member.name.endswith("/")
        path = member.name[:-1] if folder else member.name
        if why := complaint(path) or names.clash(path, folder=folder) or _not_kept(member, folder):
            raise file.refused(f"{member.name!r} {why}")
        top = path.partition("/")[0]
        if top in BESIDE:
            beside.add(top)
        else:
            parts.append(_Part(tuple(path.split("/")), folder, member))
    _check_size(file, members)
    _check_root(file, parts)
    # By their parts, so that all that is in a folder comes one after the other.
    return sorted(parts), sorted(beside)


def _not_kept(member: Member, folder: bool) -> str | None:
    kind = mode.S_IFMT(member.mode)
    if kind == mode.S_IFLNK:
        return "is a symbolic link, which a package's zip may not hold"
    if kind not in (0, mode.S_IFDIR if folder else mode.S_IFREG):
        return "is not a file, or is not the folder that its name says"
    if folder and member.size:
        return "is a folder with content"
    return None


def _check_size(file: Zip, members: list[Member]) -> None:
    total = sum(member.size for member in members)
    if total > TOTAL_BYTES:
        raise file.refused(
            f"the zip holds {total:,} bytes, and {TOTAL_BYTES:,} are the most that is unpacked", _ITSELF
        )
    if total > max(FREE_BYTES, RATIO * file.size):
        raise file.refused(
            f"the zip has {file.size:,} bytes and says that it holds {total:,}: more than {RATIO} times as many, "
            f"and more than {FREE_BYTES:,}",
            f"if that is right, {_ITSELF}",
        )


def _check_root(file: Zip, parts: list[_Part]) -> None:
    hint = "pack the package's folder itself: `zip -r NAME.zip NAME`"
    tops = sorted({part.path[0] for part in parts})
    if not parts:
        raise file.refused("the zip is empty", hint)
    if loose := next((part.path[0] for part in parts if len(part.path) == 1 and not part.folder), None):
        raise file.refused(f"the zip has no root folder: {loose!r} lies outside of any", hint)
    if len(tops) > 1:
        more = f" and {len(tops) - 2} more" if len(tops) > 2 else ""
        raise file.refused(f"the zip has several root folders: {tops[0]!r}, {tops[1]!r}{more}", hint)


# ------------------------------------------------------------------------------------ unpacking


def _write(file: Zip, parts: list[_Part], fresh: str) -> None:
    """Write all of it; of the folders on the way to the next member each is held open, and no other."""
    held: list[tuple[str, int]] = [("", os.open(fresh, _FOLDER))]
    try:
        for part in parts:
            folders = part.path if part.folder else part.path[:-1]
            same = 0
            while same < min(len(held) - 1, len(folders)) and held[same + 1][0] == folders[same]:
                same += 1
            while len(held) - 1 > same:
                os.close(held.pop()[1])
            for name in folders[same:]:
                above = held[-1][1]
                os.mkdir(name, 0o700, dir_fd=above)
                held.append((name, os.open(name, _FOLDER, dir_fd=above)))
            if not part.folder:
                _write_file(file, part, held[-1][1])
    finally:
        while held:
            os.close(held.pop()[1])


def _write_file(file: Zip, part: _Part, folder: int) -> None:
    allowed = 0o700 if part.member.mode & 0o100 else 0o600
    descriptor = os.open(part.path[-1], _NEW, allowed, dir_fd=folder)
    try:
        for piece in archive_format.content(file, part.member):
            write_all(descriptor, piece)
    finally:
        os.close(descriptor)
