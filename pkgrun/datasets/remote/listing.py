"""What a remote dataset holds, and what a driver must be able to do. It owns these values; it fetches nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Thing:
    """A remote file. `path` is where it goes, `where` what the remote calls it, `tag` tells its content from other content
    (None if nothing does), `ranges` whether parts of it can be had; `size` is None if the server does not say.
    """

    path: str
    where: str
    size: int | None
    tag: str | None
    ranges: bool


@dataclass(frozen=True, slots=True)
class Listing:
    """What a remote dataset holds. `single` says that the URL names a file, not a folder."""

    things: list[Thing]
    folders: list[str]
    single: bool

    @property
    def state(self) -> str | None:
        """Equal for equal content; None if the server gives nothing to tell by."""
        return state(self.things, self.folders)


class Broken(Exception):
    """The transfer ended early, and may do better the next time."""


class Changed(Exception):
    """The file is no longer the one that was listed."""


class Remote(Protocol):
    """Where files come from. Its methods raise `PkgrunError` for what no repetition mends."""

    label: str
    width: int

    async def listing(self) -> Listing:
        """All files. Raises `Broken`."""

    async def look(self, thing: Thing) -> Thing:
        """The file as it is now. Raises `Broken`, `NotFound`."""

    def read(self, thing: Thing, start: int, end: int | None) -> AsyncGenerator[bytes, None]:
        """Bytes from `start` up to `end`, or to its end. Raises `Broken`, `Changed`."""

    async def changed(self, things: list[Thing]) -> list[Thing]:
        """Those that changed since they were listed, as they are now, where `read` cannot tell. Raises `Broken`."""


def state(things: Iterable[Thing], folders: Iterable[str]) -> str | None:
    """One value for a listing: the same for the same content."""
    hasher = hashlib.sha256()
    for thing in sorted(things, key=lambda thing: thing.path):
        if thing.tag is None:
            return None
        hasher.update(json.dumps([thing.path, thing.size, thing.tag]).encode() + b"\n")
    for folder in folders:
        hasher.update(json.dumps([folder]).encode() + b"\n")
    return hasher.hexdigest()
