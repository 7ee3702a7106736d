"""What a copy in the cache was when it was made: one line a file, and whether it still is that. It repairs nothing.

A file is trusted without being read while its size, mtime, ctime and inode are what they were. Nobody can set a ctime, but
two writes within one tick of the clock share it: a file whose ctime is not clearly older than the manifest is read
again (git's racy check). A machine that went down may have lost what was never synced, so after a reboot
everything is read again, once; nothing is synced for the cache's sake.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat as mode
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cache

from pkgrun.store.files import open_regular, shown
from pkgrun.store.local import CHUNK, translate
from pkgrun.store.parallel import each

_TICK = 2 * 10**9
"""The coarsest clock of a file system (FAT's), in nanoseconds."""

_BLOCK = 4096


@dataclass(frozen=True, slots=True)
class Head:
    """The first line. `size` is what the copy takes on disk, `at` the file system's time before anything was read."""

    state: str | None
    files: int
    size: int
    at: int
    boot: str


@dataclass(frozen=True, slots=True)
class Check:
    """What differs from the manifest, by path, and whether files had to be read to know that the rest does not."""

    differs: list[str] = field(default_factory=list)
    extra: list[str] = field(default_factory=list)
    read: bool = False
    digests: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Seen:
    """A file, link or folder. `stat` holds all that must be equal, `what` a link's target."""

    path: str
    kind: str
    stat: str
    ctime: int
    size: int


def head(path: str) -> Head | None:
    """The first line of a manifest; None if there is no manifest that can be read."""
    try:
        with open(path, "rb") as file:
            found = Head(**json.loads(file.readline()))
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    numbers = {type(found.files), type(found.size), type(found.at)}
    sound = numbers == {int} and type(found.boot) is str and isinstance(found.state, str | None)
    return found if sound else None


def write(
    path: str, content: str, state: str | None, known: Mapping[str, str], *, at: int | None = None
) -> Head:
    """Describe a folder. Files are read for their digests where `known` has none.

    Args:
        path: where the manifest goes, by a rename.
        content: the folder.
        state: what the folder was filled from.
        known: the SHA-256, in hex, of files that need not be read.
        at: the file system's time, in nanoseconds, from which on a change may have gone unseen; default now.

    Raises:
        PermissionDenied, Temporary: the system refuses.
    """
    beside = f"{path}.{os.urandom(8).hex()}"
    body = beside + ".body"
    files = size = 0
    try:
        with open(body, "wb") as file:
            at = at or os.fstat(file.fileno()).st_mtime_ns
            for seen in _walk(content):
                files += seen.kind in "fx"
                size += _taken(seen.size)
                file.write(_line(seen, _content(content, seen, known)))
        first = Head(state, files, size, at, boot())
        with open(body, "rb") as source, open(beside, "wb") as target:
            target.write(json.dumps(asdict(first)).encode() + b"\n")
            while chunk := source.read(CHUNK):
                target.write(chunk)
            target.flush()
            os.fsync(target.fileno())
        os.unlink(body)
        os.rename(beside, path)
    except OSError as error:
        raise translate(error, path) from error
    return first


def check(path: str, content: str, found: Head) -> Check:
    """Compare a folder with its manifest, reading the files that the stat cannot vouch for.

    Raises:
        PermissionDenied, Temporary: the system refuses.
    """
    result = Check(read=False)
    doubtful: list[tuple[_Seen, str]] = []
    try:
        with open(path, "rb") as file:
            file.readline()
            for then, now in _side_by_side(map(_parsed, file), _walk(content)):
                if then is None:
                    result.extra.append(now.path if now else "")
                elif now is None or now.kind != then[0].kind:
                    result.differs.append(then[0].path)
                elif now.kind != "d" and not _vouched(then[0], now, found):
                    doubtful.append((now, then[1]))
    except ValueError:  # a damaged manifest vouches for nothing
        return Check(differs=["."], read=True)
    except OSError as error:
        raise translate(error, path) from error
    digests = each(lambda pair: _content(content, pair[0], {}), doubtful)
    for (now, wanted), got in zip(doubtful, digests, strict=True):
        if got != wanted:
            result.differs.append(now.path)
    known = {now.path: wanted for now, wanted in doubtful}
    return Check(result.differs, result.extra, bool(doubtful), known)


def digests(path: str) -> dict[str, str]:
    """What the manifest says each file's content is."""
    with open(path, "rb") as file:
        file.readline()
        return {seen.path: content for seen, content in map(_parsed, file) if seen.kind in "fx"}


def holds(slot: str, wanted: Collection[str]) -> bool:
    """Whether a copy holds one of some contents, by the SHA-256 in hex; one without a manifest is read for that."""
    try:
        return not set(digests(os.path.join(slot, "manifest")).values()).isdisjoint(wanted)
    except (OSError, ValueError):
        content = os.path.join(slot, "content")
    try:
        return any(_content(content, seen, {}) in wanted for seen in _walk(content) if seen.kind in "fx")
    except FileNotFoundError:  # somebody fills it, or nobody has
        return False


def taken(folder: str) -> int:
    """What a folder without a manifest takes on disk."""
    total = 0
    for above, _, names in os.walk(folder):
        for name in names:
            try:
                total += _taken(os.lstat(os.path.join(above, name)).st_size)
            except FileNotFoundError:
                continue
    return total


@cache
def boot() -> str:
    """Which start of the machine this is; empty where it does not say, and then nothing is trusted unread."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return file.read().strip()
    except OSError:
        return _darwin_boot()


def _darwin_boot() -> str:
    import subprocess

    command = ["/usr/sbin/sysctl", "-n", "kern.bootsessionuuid"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def digest(path: str, start: int = 0, end: int | None = None) -> str:
    """The SHA-256 of a file, or of a range of it.

    Raises:
        NotFound, DataInvalid, PermissionDenied, Temporary: it cannot be read.
    """
    descriptor = open_regular(path)
    try:
        hasher = hashlib.sha256()
        while end is None or start < end:
            chunk = os.pread(descriptor, CHUNK if end is None else min(CHUNK, end - start), start)
            if not chunk:
                break
            hasher.update(chunk)
            start += len(chunk)
        return hasher.hexdigest()
    except OSError as error:
        raise translate(error, shown(path)) from error
    finally:
        os.close(descriptor)


def _vouched(then: _Seen, now: _Seen, found: Head) -> bool:
    same = then.stat == now.stat and found.boot == boot() != ""
    return same and now.ctime < found.at - _TICK


def _content(root: str, seen: _Seen, known: Mapping[str, str]) -> str:
    """What is compared beside the stat: a file's digest, a link's target."""
    path = os.path.join(root, seen.path)
    if seen.kind == "l":
        return _escaped(os.readlink(path)).hex()
    if seen.kind in "fx":
        return known.get(seen.path) or digest(path)
    return "-"


def _walk(root: str, below: str = "") -> Iterator[_Seen]:
    """All of a folder, in the order of the paths' parts. What is no file, link or folder has the kind `?`."""
    with os.scandir(os.path.join(root, below)) as listed:
        entries = sorted(listed, key=lambda entry: entry.name)
    for entry in entries:
        status = entry.stat(follow_symlinks=False)
        path = below + entry.name
        stat = f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}"
        kind = _kind(status.st_mode)
        if kind == "d":
            yield _Seen(path, kind, "-", 0, 0)
            yield from _walk(root, path + "/")
        else:
            yield _Seen(path, kind, stat, status.st_ctime_ns, status.st_size)


def _kind(bits: int) -> str:
    if mode.S_ISREG(bits):
        return "x" if bits & 0o100 else "f"
    return "d" if mode.S_ISDIR(bits) else "l" if mode.S_ISLNK(bits) else "?"


def _taken(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK


def _escaped(path: str) -> bytes:
    return os.fsencode(path).replace(b"%", b"%25").replace(b"\n", b"%0A")


def _line(seen: _Seen, content: str) -> bytes:
    return f"{seen.kind}\t{content}\t{seen.stat}\t".encode() + _escaped(seen.path) + b"\n"


def _parsed(line: bytes) -> tuple[_Seen, str]:
    kind, content, stat, path = line.removesuffix(b"\n").split(b"\t", 3)
    name = os.fsdecode(path.replace(b"%0A", b"\n").replace(b"%25", b"%"))
    return _Seen(name, kind.decode(), stat.decode(), 0, 0), content.decode()


def _side_by_side(
    then: Iterator[tuple[_Seen, str]], now: Iterator[_Seen]
) -> Iterator[tuple[tuple[_Seen, str] | None, _Seen | None]]:
    """Pair what two walks in the same order saw, a path at a time."""
    old, new = next(then, None), next(now, None)
    while old is not None or new is not None:
        one = old[0].path.split("/") if old else None
        other = new.path.split("/") if new else None
        if one == other:
            yield old, new
            old, new = next(then, None), next(now, None)
        elif other is None or (one is not None and one < other):
            yield old, None
            old = next(then, None)
        else:
            yield None, new
            new = next(now, None)
