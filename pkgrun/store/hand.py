"""A process that reads or writes many small files for another: `hand.py AREA`. Standard library only; run as a file.

AREA is the number of a descriptor of memory that is shared with whoever started it: the bytes of files pass there. What
is to be done comes by standard input, what came of it goes to standard output; at the end of input it ends. It knows
nothing of stores.
"""

from __future__ import annotations

import errno
import marshal
import mmap
import os
import sys
from array import array
from stat import S_ISLNK, S_ISREG

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_READING = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

_BITS = (1 << 63) - 1
_NOTHING = (0,) * 5
READY = b"pkghand1"
"""What a hand says first."""

OTHER = -1
"""Instead of an error's number: the bytes are not those that the digest says."""

SOURCE = -1
"""Instead of a file's: where its bytes come from could not be read."""


def main() -> None:
    _write_all(1, READY)
    with mmap.mmap(int(sys.argv[1]), 0) as area, memoryview(area) as view:
        while wanted := receive(0):
            verb, start, *rest = wanted
            send(1, _VERBS[verb](view, start, *rest))


def send(descriptor: int, message: tuple[Any, ...]) -> None:
    """Write a message, whole; an empty one is the last."""
    data = marshal.dumps(message)
    _write_all(descriptor, len(data).to_bytes(8, "big") + data)


def _write_all(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def receive(descriptor: int) -> tuple[Any, ...]:
    """A message; nothing at the end of input."""
    data = exactly(descriptor, int.from_bytes(exactly(descriptor, 8), "big"))
    message: tuple[Any, ...] = marshal.loads(data) if data else ()  # noqa: S302
    return message


def exactly(descriptor: int, size: int) -> bytearray:
    """So many bytes; none if the input ends before."""
    data = bytearray(size)
    rest = memoryview(data)
    while rest:
        count = os.readv(descriptor, [rest])
        if not count:
            return bytearray()
        rest = rest[count:]
    return data


def _read(
    view: memoryview,
    start: int,
    directory: bytes,
    names: bytes,
    sizes: list[int],
    copy: tuple[bytes, bytes, bytes] | None,
) -> tuple[bytes, bytes, list[int]]:
    """Read files of one folder, each to where the one before ends.

    Args:
        copy: a folder in which each is to be written, too, under which names, and which of them are executable.

    Returns:
        Their digests, joined; how `fstat` saw each, five numbers of 64 bits a file; and which files have to be read by
        whoever asked, since they cannot be read or written, or are not what they were.
    """
    from hashlib import sha256  # which a look needs none of, and which takes a fifth of the start

    digests = []
    above, called, executable = copy or (b"", b"", b"")
    targets = called.split(b"\0")
    seen = array("q")
    odd = []
    folder = target = -1
    try:
        folder = os.open(directory, _FOLDER)
        if copy:
            target = os.open(above, _FOLDER)
        for index, (name, size) in enumerate(zip(names.split(b"\0"), sizes, strict=True)):
            place = view[start : start + size]
            numbers = _read_one(name, size, place, folder)
            if copy and numbers is not None:
                try:
                    _write_one(targets[index], place, 0o777 if executable[index] else 0o666, target)
                except OSError:
                    numbers = None
            if numbers is None:
                odd.append(index)
                numbers = _NOTHING
            digests.append(sha256(place).digest())
            seen.extend(numbers)
            start += size
    except OSError:  # of a folder: before the first file
        return bytes(32 * len(sizes)), bytes(40 * len(sizes)), list(range(len(sizes)))
    finally:
        for descriptor in (folder, target):
            if descriptor >= 0:
                os.close(descriptor)
    return b"".join(digests), seen.tobytes(), odd


def _read_one(name: bytes, size: int, place: memoryview, folder: int) -> tuple[int, ...] | None:
    try:
        descriptor = os.open(name, _READING, dir_fd=folder)
        try:
            if (os.readv(descriptor, [place]) if size else len(os.read(descriptor, 1))) != size:
                return None
            found = os.fstat(descriptor)
        finally:
            os.close(descriptor)
    except OSError:
        return None
    if found.st_size != size or not S_ISREG(found.st_mode):
        return None
    numbers = found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_mode
    if min(numbers) < 0 or max(numbers) > _BITS:  # as `scan` notes them
        return tuple([number & _BITS for number in numbers])
    return numbers


def _write(
    view: memoryview,
    start: int,
    size: int,
    source: tuple[bytes, int],
    above: bytes,
    names: bytes,
    spans: list[tuple[int, int]],
    executable: bytes,
    digests: bytes,
) -> tuple[tuple[int, int] | None]:
    """Make new files below a folder.

    Args:
        source: the file from which the bytes come, and from where on; without a path, they are there already.
        names: the paths of the files, joined.
        spans: where the bytes of each begin, and how many they are.
        executable: which are.
        digests: those that the bytes must have, joined.

    Returns:
        Which one failed first, or `SOURCE`, and the error's number, or `OTHER`.
    """
    from hashlib import sha256

    place = view[start : start + size]
    if source[0]:
        try:
            _fill(place, *source)
        except OSError as error:
            return ((SOURCE, error.errno or errno.EIO),)
    now, folder = None, -1
    try:
        for index, (path, (offset, length)) in enumerate(zip(names.split(b"\0"), spans, strict=True)):
            data = place[offset : offset + length]
            if sha256(data).digest() != digests[index * 32 : index * 32 + 32]:
                return ((index, OTHER),)
            below, _, name = path.rpartition(b"/")
            try:
                if below != now:  # neighbours lie in one folder
                    if folder >= 0:
                        os.close(folder)
                    now, folder = below, -1
                    folder = os.open(above + b"/" + below, _FOLDER)
                _write_one(name, data, 0o777 if executable[index] else 0o666, folder)
            except OSError as error:
                return ((index, error.errno or OTHER),)
    finally:
        if folder >= 0:
            os.close(folder)
    return (None,)


def _fill(place: memoryview, path: bytes, begin: int) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        while place:
            count = os.preadv(descriptor, [place], begin)
            if not count:
                raise OSError(errno.EIO, "it is cut off")
            place, begin = place[count:], begin + count
    finally:
        os.close(descriptor)


def _write_one(name: bytes, data: memoryview, mode: int, folder: int) -> None:
    descriptor = os.open(name, _NEW, mode, dir_fd=folder)
    try:
        while data:
            data = data[os.write(descriptor, data) :]
    except OSError:
        os.unlink(name, dir_fd=folder)
        raise
    finally:
        os.close(descriptor)


def look(path: str) -> tuple[list[str], list[int], list[tuple[str, int, str]], list[str], int]:
    """What is in a folder, in the system's order. This loop is what a walk over a dataset costs: two system calls a file.

    Returns:
        The names of files, and five numbers of each, as `fstat` gives them; what is neither file nor folder, by name,
        mode and, of a link, where it leads; the names of folders; and when something in it was last made, removed or
        renamed, in nanoseconds.

    Raises:
        OSError: the system refuses something; its `filename` is the folder's path, or the name of what is in it.
    """
    names: list[str] = []
    numbers: list[int] = []
    others: list[tuple[str, int, str]] = []
    folders: list[str] = []
    descriptor = os.open(path, _FOLDER | os.O_NOFOLLOW)
    try:
        touched = os.fstat(descriptor).st_ctime_ns
        with os.scandir(descriptor) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.name)
                    continue
                found = entry.stat(follow_symlinks=False)
                if S_ISREG(found.st_mode):
                    names.append(entry.name)
                    numbers += (
                        found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_mode
                    )  # fmt: skip
                else:
                    link = os.readlink(entry.name, dir_fd=descriptor) if S_ISLNK(found.st_mode) else ""
                    others.append((entry.name, found.st_mode, link))
    finally:
        os.close(descriptor)
    return names, numbers, others, folders, touched


def packed(numbers: list[int]) -> array[int]:
    """Each in 64 bits; what does not fit is cut off."""
    try:
        fitting = array("q", numbers)
    except OverflowError:
        return array("q", [number & _BITS for number in numbers])
    return fitting if not fitting or min(fitting) >= 0 else array("q", [number & _BITS for number in numbers])


def _look(view: memoryview, start: int, root: bytes) -> tuple[list[tuple[Any, ...]] | None]:
    """All folders at and below a path, each before those in it: its path below the root, and what `look` says, all in the
    system's bytes, since whoever asked may decode them otherwise; nothing if the system refuses one.
    """
    found: list[tuple[Any, ...]] = []
    waiting = [""]
    try:
        while waiting:
            below = waiting.pop()
            names, numbers, others, folders, touched = look(os.fsdecode(root) + below)
            words = [below, "\0".join(names), "\0".join(folders)]
            odd = [(os.fsencode(name), kind, os.fsencode(link)) for name, kind, link in others]
            found.append((*map(os.fsencode, words), packed(numbers).tobytes(), odd, touched))
            waiting += [f"{below}/{name}" for name in folders]
    except OSError:
        return (None,)
    return (found,)


_VERBS: dict[str, Callable[..., tuple[Any, ...]]] = {"read": _read, "write": _write, "look": _look}

if __name__ == "__main__":
    main()
