"""Folders as values: drawn by Hypothesis, written to disk, read back from it. All names are bytes."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import TypeAlias

from hypothesis import strategies as st


@dataclass(frozen=True)
class File:
    """A regular file."""

    data: bytes = b""
    executable: bool = False


@dataclass(frozen=True)
class Link:
    """A symbolic link."""

    target: bytes


Folder: TypeAlias = "dict[bytes, File | Link | Folder]"

ODD_NAMES = (
    b"-rf",
    b"--help",
    b"%41",
    b"%",
    b"new\nline",
    b"\xff\xfe",
    b"\xed\xa0\x80",
    b"tab\there",
    b"n" * 255,
    b"\xc3\xa4" * 127,
    "ä".encode(),
    "a\u0308".encode(),
    b"A",
    b"a",
    b" ",
    b"...",
    b".hidden",
    b"\\",
    b"$(x)",
    "\u202e.txt".encode(),
    b"\x1b[31m",
)

names = st.one_of(
    st.sampled_from(ODD_NAMES),
    st.binary(min_size=1, max_size=12).filter(lambda name: _possible(name)),
    st.text("abc", min_size=1, max_size=2).map(str.encode),
)
files = st.builds(
    File, st.one_of(st.binary(max_size=40), st.sampled_from((b"", b"x" * 70_000))), st.booleans()
)


def _possible(name: bytes) -> bool:
    return name not in (b".", b"..") and b"/" not in name and b"\0" not in name


@st.composite
def folders(draw: st.DrawFn, depth: int = 0) -> Folder:
    """Folders of files, further folders, and links that stay inside."""
    found: Folder = {}
    for name in draw(st.lists(names, max_size=5, unique=True)):
        kind = draw(st.integers(0, 5))
        if kind <= 1 and depth < 3:
            found[name] = draw(folders(depth + 1))
        elif kind == 2:
            found[name] = Link(draw(inner_targets(depth)))
        else:
            found[name] = draw(files)
    return found


def inner_targets(depth: int) -> st.SearchStrategy[bytes]:
    """Targets of links `depth` folders down, which do not lead out; most lead nowhere."""
    below = st.lists(st.one_of(names, st.just(b".")), min_size=1, max_size=3)
    return st.builds(lambda ups, path: b"/".join([b".."] * ups + path), st.integers(0, depth), below)


def make(folder: Folder, path: bytes, *, backwards: bool = False) -> None:
    """Write a folder's content into an existing one."""
    for name, one in sorted(folder.items(), reverse=backwards):
        there = os.path.join(path, name)
        if isinstance(one, File):
            with open(there, "xb") as file:
                file.write(one.data)
            if one.executable:
                os.chmod(there, os.stat(there).st_mode | 0o100)
        elif isinstance(one, Link):
            os.symlink(one.target, there)
        else:
            os.mkdir(there)
            make(one, there, backwards=backwards)


def look(path: bytes) -> Folder:
    """What lies in a folder."""
    found: Folder = {}
    for name in os.listdir(path):
        there = os.path.join(path, name)
        status = os.lstat(there)
        if stat.S_ISLNK(status.st_mode):
            found[name] = Link(os.readlink(there))
        elif stat.S_ISDIR(status.st_mode):
            found[name] = look(there)
        else:
            with open(there, "rb") as file:
                found[name] = File(file.read(), bool(status.st_mode & 0o100))
    return found


def flat(folder: Folder, below: bytes = b"") -> dict[bytes, File | Link]:
    """Files and links by path."""
    found: dict[bytes, File | Link] = {}
    for name, one in folder.items():
        if isinstance(one, dict):
            found |= flat(one, below + name + b"/")
        else:
            found[below + name] = one
    return found


def paths(folder: Folder, below: bytes = b"") -> set[bytes]:
    """The path of everything in it, folders too."""
    found = set()
    for name, one in folder.items():
        found.add(below + name)
        if isinstance(one, dict):
            found |= paths(one, below + name + b"/")
    return found
