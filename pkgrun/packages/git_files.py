"""The files of a commit, written out as they were committed: without a working tree, so that nothing of theirs is obeyed.

Symbolic links are written after all files, so that nothing is written through one.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from typing import IO, NamedTuple

from pkgrun.errors import Bug, PackageInvalid, PkgrunError
from pkgrun.observe import Notice, Observer
from pkgrun.packages.git_client import Client, pipe
from pkgrun.store.files import shown
from pkgrun.store.local import translate

_POINTER = b"version https://git-lfs.github.com/spec/"
_POINTER_LIMIT = 1024
_TARGET_LIMIT = 4095
_PATH_SHOWN = 200
_NAMED = 3
_CHUNK = 1 << 20
_KINDS = {"040000": "folder", "120000": "link", "160000": "submodule", "100755": "program"}


class Entry(NamedTuple):
    """Something in a tree; `path` in the bytes that the repository has for it."""

    mode: str
    object: str
    size: int
    path: bytes

    @property
    def kind(self) -> str:
        return _KINDS.get(self.mode, "file")


def listed(output: bytes) -> Iterator[Entry]:
    """What `git ls-tree -z` says, with `-l` also the sizes."""
    for line in output.split(b"\0")[:-1]:
        about, _, path = line.partition(b"\t")
        mode, _, object_, *size = about.decode().split()
        yield Entry(mode, object_, int(size[0]) if size and size[0] != "-" else 0, path)


def check_path(client: Client, path: bytes) -> None:
    """A tree can hold any name, also those that git itself would never write.

    Raises:
        PackageInvalid: this is such a one.
    """
    for part in path.split(b"/"):
        if part in {b"", b".", b".."} or part.lower() == b".git":
            raise PackageInvalid(f"{client.address.text} holds {shown(os.fsdecode(path))}, which is no path")


def write(client: Client, entries: list[Entry], folder: bytes, observer: Observer) -> None:
    """Write entries, whose paths were checked, into an empty folder; what is not a file of theirs is told.

    Raises:
        PackageInvalid: something cannot be on a disk.
        Temporary, PermissionDenied: it cannot be on this one now.
    """
    pointers: list[bytes] = []
    with client.process("cat-file", "--batch") as process:
        asked, answered = pipe(process.stdin), pipe(process.stdout)
        for entry in sorted(entries, key=lambda entry: entry.kind == "link"):
            try:
                if _write_entry(os.path.join(folder, entry.path), entry, asked, answered):
                    pointers.append(entry.path)
            except OSError as error:
                raise _unwritable(client, entry, error) from error
    submodules = [entry.path for entry in entries if entry.kind == "submodule"]
    _tell(observer, pointers, " of git-lfs, whose contents were not fetched", "a pointer", "pointers")
    _tell(observer, submodules, ", left empty: submodules are not fetched", "a submodule", "submodules")


def _write_entry(target: bytes, entry: Entry, asked: IO[bytes], answered: IO[bytes]) -> bool:
    """Write what must be new; whether it is a pointer of git-lfs."""
    if entry.kind == "submodule":
        os.makedirs(target)
        return False
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if entry.kind != "link":
        return _write_file(target, entry, _blob(asked, answered, entry))
    if not 0 < entry.size <= _TARGET_LIMIT:
        raise OSError(errno.EINVAL, "a link to nowhere")
    path = b"".join(_blob(asked, answered, entry))
    if b"\0" in path:
        raise OSError(errno.EINVAL, "a link to nowhere")
    os.symlink(path, target)
    return False


def _unwritable(client: Client, entry: Entry, error: OSError) -> PkgrunError:
    """Why something of a repository cannot be on this disk: for the most part the repository's own fault."""
    path = shown(os.fsdecode(entry.path[:_PATH_SHOWN]))
    reasons = {
        errno.EEXIST: "holds two things of the name",
        errno.ENOTDIR: "holds two things of the name",
        errno.EINVAL: "holds a link to no path:",
        errno.ENAMETOOLONG: "has too long a path:",
        errno.EILSEQ: "has a name that this file system cannot have:",
    }
    if error.errno in reasons:
        return PackageInvalid(f"{client.address.text} {reasons[error.errno]} {path}")
    return translate(error, path)


def _write_file(target: bytes, entry: Entry, data: Iterator[bytes]) -> bool:
    """Write a file; whether it is a pointer."""
    mode = 0o777 if entry.kind == "program" else 0o666
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    pointer = False
    with open(os.open(target, flags, mode), "wb") as file:
        for chunk in data:
            pointer = pointer or (entry.size < _POINTER_LIMIT and chunk.startswith(_POINTER))
            file.write(chunk)
    return pointer


def _blob(asked: IO[bytes], answered: IO[bytes], entry: Entry) -> Iterator[bytes]:
    """The bytes of a file, from a `git cat-file --batch`."""
    asked.write(entry.object.encode() + b"\n")
    asked.flush()
    answer = answered.readline().split()
    if len(answer) != 3 or int(answer[2]) != entry.size:
        raise Bug(f"git was asked for {entry.object} and said {answer!r}")
    left = entry.size
    while left and (chunk := answered.read(min(_CHUNK, left))):
        left -= len(chunk)
        yield chunk
    answered.read(1)


def _tell(observer: Observer, paths: list[bytes], what: str, one: str, many: str) -> None:
    if paths:
        names = ", ".join(shown(os.fsdecode(path)) for path in paths[:_NAMED])
        more = f" and {len(paths) - _NAMED} more" if len(paths) > _NAMED else ""
        observer(Notice(f"{names}{more}: {one if len(paths) == 1 else many}{what}"))
