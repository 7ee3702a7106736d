"""How the trees of two runs differ, and the bytes of both, where those of one may still be on their way into the store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from pkgrun.records import Differing, FileList, Tree
from pkgrun.store import trees
from pkgrun.store.files import shown
from pkgrun.store.objects import SMALL
from pkgrun.store.root import Store
from pkgrun.store.trees import Entry

LONGEST = 1 << 10
"""Of a path that a record tells something of."""

_SOURCES = 500
_LOOKED_AT = 20
"""Files of each tree that are looked at for causes; of a thousand that differ, the next one tells nothing new."""

_ROOM = 1 << 14
"""Bytes that a list of files may take of the record."""


class Differences:
    """The files in which two trees differ: how, and what each has there."""

    def __init__(self) -> None:
        self.paths: dict[str, str] = {}
        self.entries: dict[str, tuple[Entry, Entry]] = {}

    def record(self) -> Differing:
        """As the record holds it."""
        found: dict[str, list[str]] = {"changed": [], "added": [], "removed": []}
        for path, how in sorted(self.paths.items()):
            found[how].append(shown(path))
        return Differing(**{how: FileList.of(names, _ROOM) for how, names in found.items()})


class Contents:
    """Trees and files of both runs, whose own bytes may still be on their way into the store."""

    def __init__(self, store: Store) -> None:
        self._objects = store.objects

    def differing(self, old: Tree | None, new: Tree | None) -> Differences:
        """How one tree differs from another; none is an empty one."""
        found = Differences()
        one, other = old.digest if old else "", new.digest if new else ""
        if one == other:
            return found
        for difference in trees.diff(self._objects, one, other):
            found.paths[difference.path] = difference.how
        if not found.paths:
            found.paths = self._folders(one, other)
        changed = sorted(path for path, how in found.paths.items() if how == "changed")
        for path in [path for path in changed if len(shown(path)) < LONGEST][:_LOOKED_AT]:
            found.entries[path] = (
                trees.find(self._objects, one, path),
                trees.find(self._objects, other, path),
            )
        return found

    def _folders(self, old: str, new: str) -> dict[str, str]:
        """The folders, empty ones, that one of two trees with the same files has and the other has not."""
        before, after = (
            {f"{path}/" for path, entry in trees.walk(self._objects, tree) if entry.kind == "dir"}
            if tree
            else set()
            for tree in (old, new)
        )
        gone, come = before - after, after - before
        return dict.fromkeys(gone, "removed") | dict.fromkeys(come, "added")

    def stream(self, entry: Entry) -> Iterable[bytes]:
        """The bytes of a file, verified; one that is not small is never whole in memory."""
        if entry.bytes < SMALL:
            return [self._objects.read(entry.digest)]
        return self._objects.stream(entry.digest)

    def sources(self, digest: str) -> Iterator[tuple[str, bytes]]:
        """The Python files of a package, but for very large ones, and for those after very many."""
        found = (one for one in trees.walk(self._objects, digest) if one[0].endswith(".py"))
        for path, entry in islice(found, _SOURCES):
            if entry.kind == "file" and entry.bytes < SMALL:
                yield shown(path), self._objects.read(entry.digest)
