"""A sink for data whose files are not kept: its directories are, so that the store can always tell which files were in it.

They are kept as small blobs like others. As directories they would say that all below them is in the store; so each is
asked for by itself, with the parts that a large one is split into.

It owns no opinion of what a run is worth: whatever goes wrong here ends no run, and is told in the end.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator

import orjson

from pkgrun.errors import Damaged, PkgrunError
from pkgrun.records import Blob
from pkgrun.store import names, trees
from pkgrun.store.files import Watch
from pkgrun.store.objects import Objects, digest_and_raw
from pkgrun.store.packs import SIZE
from pkgrun.store.sinks import Hashing


class Listed(Hashing):
    """Keeps directories and no files. For one thread at a time. After `settle` they go with the operation's next flush."""

    vouches = False

    def __init__(self, objects: Objects, watch: Watch | None = None) -> None:
        """Args:
        watch: looks at the names in each directory, and at its links; if it flags them, nothing is kept.
        """
        super().__init__(objects.erased)
        self._objects, self._watch = objects, watch
        self._made: dict[bytes, bytes] = {}
        self._size = 0
        self._given: set[bytes] = set()
        self._failure: str | None = None

    def node(self, data: bytes) -> Blob:
        digest, raw = digest_and_raw(data)
        if self._failure is not None:
            self.erased.note(_files(data))
        elif raw not in self._made:
            if self._watch is not None and self._watch()(b"\0".join(_words(data))):
                self.erased.note(_files(data))
                self._fail("the name of a file or folder, or a link, holds a secret's value")
            else:
                self._note(raw, data)
        return Blob(digest=digest, bytes=len(data))

    def _note(self, raw: bytes, data: bytes) -> None:
        """Most datasets' go over all at once in the end, so that until then nothing waits for the store."""
        self._made[raw] = data
        self._size += len(data)
        if self._size >= SIZE:
            self._hand_over()

    def _hand_over(self) -> None:
        made, self._made, self._size = list(self._made.items()), {}, 0
        try:
            if made:
                self._objects.keep(made)
        except PkgrunError as error:
            self._made = dict(made)
            self._fail(error.message)
        else:
            self._given.update(raw for raw, _ in made)

    def _fail(self, reason: str) -> None:
        """From now on nothing is kept. What is erased before the operation decides is still looked for in all that it was given."""
        for data in self._made.values():
            self.erased.note(_files(data))
        self.erased.folders |= self._given
        self._failure, self._made, self._given = reason, {}, set()

    def holds_directories(self, directories: Collection[bytes], split: Collection[bytes] = ()) -> set[bytes]:
        try:
            there = self._objects.there(directories)
            whole = {raw for raw in there if raw not in split or self._has_parts(raw)}
        except (
            PkgrunError
        ):  # they are made anew, for which nothing is read; `settle` finds out what is the matter
            return set()
        known = self._given if self._failure is None else self.erased.folders
        known |= whole
        return whole

    def _has_parts(self, raw: bytes) -> bool:
        digest = "sha256:" + raw.hex()
        try:
            node = trees.parse(self._objects.read(digest), digest)
        except Damaged:
            return False
        parts = [bytes.fromhex(part.digest[7:]) for part in node.parts]
        return self._objects.there(parts).issuperset(parts)

    def settle(self) -> str | None:
        """All has been made. Why the directories are not kept; None if they are."""
        if self._failure is None:
            self._hand_over()
        return self._failure


def _files(node: bytes) -> bytes:
    """The digests of the files in a directory, one behind the other."""
    files = (line for line in orjson.loads(node).get("entries", ()) if line["kind"] == "file")
    return b"".join(bytes.fromhex(line["digest"][7:]) for line in files)


def _words(node: bytes) -> Iterator[bytes]:
    """What of a directory somebody has thought up: the names in it, and where its links lead."""
    for line in orjson.loads(node).get("entries", ()):
        yield os.fsencode(names.read(line["name"]))
        if "target" in line:
            yield os.fsencode(names.read(line["target"]))
