"""What is done of a fetch: one JSON a line, written as it is done, so that the next one can go on from there.

A line is a whole file or a range of one, with the validator that the server gave and the SHA-256 of the bytes. What it
promises is hashed before it is believed, so nothing here needs to be synced; a validator that is no longer the same makes it void.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress

from pkgrun.datasets import manifest
from pkgrun.datasets.cache import Room
from pkgrun.datasets.remote.listing import Thing
from pkgrun.errors import PkgrunError
from pkgrun.store.local import write_all
from pkgrun.store.parallel import each


class Notes:
    """What is done. Later lines win; a line that a crash cut off is none."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._digests: dict[str, str] = {}
        if os.fstat(self._file).st_size:
            write_all(self._file, b"\n")

    def close(self) -> None:
        os.close(self._file)

    def add(self, thing: Thing, start: int, end: int, digest: str, *, whole: bool) -> None:
        """Note a range, or the whole file."""
        if whole:
            self._digests[thing.path] = digest
        write_all(self._file, _note(thing, start, end, digest, whole=whole))

    def kept(self, room: Room, things: list[Thing]) -> dict[str, tuple[bool, list[tuple[int, int]]]]:
        """Whether a file is there and what it should be, and which ranges of it are."""
        wanted = {thing.path: thing for thing in things if thing.tag is not None}
        found: dict[str, dict[tuple[int, int], str]] = {}
        whole: dict[str, str] = {}
        for path, tag, size, start, end, digest, complete in self._lines():
            thing = wanted.get(path)
            if thing is None or thing.tag != tag or (thing.size is not None and thing.size != size):
                continue
            if complete:
                whole[path] = digest
            else:
                found.setdefault(path, {})[start, end] = digest

        def sound(path: str) -> tuple[bool, list[tuple[int, int]]]:
            return _sound(room, wanted[path], whole.get(path), found.get(path, {}))

        paths = [path for path in wanted if path in whole or path in found]
        kept = dict(zip(paths, each(sound, paths), strict=True))
        self._digests = {path: whole[path] for path, (complete, _) in kept.items() if complete}
        return kept

    def compact(self, things: list[Thing]) -> dict[str, str]:
        """Leave one line a file; return each file's digest."""
        beside = self._path + ".new"
        with open(beside, "wb") as file:
            for thing in things:
                size = thing.size or 0
                file.write(_note(thing, 0, size, self._digests[thing.path], whole=True))
        os.rename(beside, self._path)
        return self._digests

    def _lines(self) -> Iterator[tuple[str, str, int, int, int, str, bool]]:
        with open(self._path, "rb") as file:
            for line in file:
                with suppress(ValueError, TypeError, RecursionError):
                    path, tag, size, start, end, digest, whole = json.loads(line)
                    texts, numbers = {type(path), type(tag), type(digest)}, {type(start), type(end)}
                    if texts == {str} and numbers == {int} and 0 <= start <= end < 1 << 63:
                        yield path, tag, size, start, end, digest, whole


def _note(thing: Thing, start: int, end: int, digest: str, *, whole: bool) -> bytes:
    size = end if whole else thing.size
    return json.dumps([thing.path, thing.tag, size, start, end, digest, whole]).encode() + b"\n"


def _sound(
    room: Room, thing: Thing, whole: str | None, ranges: dict[tuple[int, int], str]
) -> tuple[bool, list[tuple[int, int]]]:
    path = os.path.join(room.content, thing.path)
    with suppress(FileNotFoundError, PkgrunError):
        size = os.lstat(path).st_size
        fits = thing.size is None or size == thing.size
        if whole is not None and fits and (room.checked or manifest.digest(path) == whole):
            return True, [(0, size)]
        return False, [at for at, want in ranges.items() if manifest.digest(path, *at) == want]
    return False, []
