"""From records down to every blob: what is needed, and what of that cannot be found.

It goes down the directories level by level, each once, many at a time. It owns no opinion of what follows.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from pkgrun.errors import Damaged, Erased
from pkgrun.store import trees
from pkgrun.store.objects import SMALL, Objects
from pkgrun.store.roots import Root
from pkgrun.store.stretches import read_all

_AT_ONCE = 500
"""Directories that are read at a time."""

Told = Callable[[bytes, trees.Node], object]


def _nothing(raw: bytes, node: trees.Node) -> None:
    pass


@dataclass(slots=True)
class Reached:
    """Blobs by SHA-256, each with the number of a root that leads to it.

    `files` are the small ones, which packs hold; `large` are objects of their own. `listings` are directories that are
    needed for what they say, and not for their files. `unread` are directories of either kind that are missing or
    damaged, with what was said of them: what lies below is not known.
    """

    roots: list[Root]
    directories: dict[bytes, int] = field(default_factory=dict)
    files: dict[bytes, int] = field(default_factory=dict)
    large: dict[bytes, int] = field(default_factory=dict)
    listings: dict[bytes, int] = field(default_factory=dict)
    unread: dict[bytes, Damaged] = field(default_factory=dict)

    def add(self, other: Reached) -> None:
        """What was reached from other roots, too; these are not named."""
        for mine, theirs in (
            (self.directories, other.directories),
            (self.files, other.files),
            (self.large, other.large),
            (self.listings, other.listings),
        ):
            mine.update(dict.fromkeys(theirs, -1))

    def __contains__(self, raw: object) -> bool:
        """Whether a root leads there."""
        return any(raw in some for some in (self.files, self.directories, self.large, self.listings))

    @property
    def whole(self) -> bool:
        """Whether all is known."""
        return not self.unread


def reach(
    objects: Objects, roots: Iterable[Root], *, known: Reached | None = None, told: Told = _nothing
) -> Reached:
    """Go down from every root.

    Args:
        known: what was reached from others: it is not gone into again, and not named.
        told: told what each directory holds, once.

    Raises:
        PermissionDenied, Temporary: the store cannot be read.
    """
    descent = _Descent(Reached(list(roots)), known or Reached([]))
    for number, root in enumerate(descent.reached.roots):
        for blob in root.blobs:
            descent.file(blob.digest, blob.bytes, number)
        for tree in root.trees:
            descent.folder(tree.digest, number)
    _go_down(objects, descent, descent.into, told)
    for number, root in enumerate(
        descent.reached.roots
    ):  # last: what lies below a directory needs no listing
        for tree in root.listings:
            descent.listing(tree.digest, number)
    _go_down(objects, descent, descent.through, told)
    return descent.reached


def _go_down(
    objects: Objects, descent: _Descent, into: Callable[[trees.Node, int], object], told: Told
) -> None:
    while descent.waiting:
        some = descent.portion()
        nodes = _nodes(objects, [raw for raw, _ in some], descent.reached)
        for (raw, number), node in zip(some, nodes, strict=True):
            if node is not None:
                told(raw, node)
                into(node, number)


@dataclass(slots=True)
class _Descent:
    """What was reached so far, and which directories wait to be gone into."""

    reached: Reached
    known: Reached
    waiting: deque[tuple[bytes, int]] = field(default_factory=deque)

    def folder(self, digest: str, number: int) -> None:
        """A directory is needed."""
        raw = bytes.fromhex(digest[7:])
        if raw not in self.reached.directories and raw not in self.known.directories:
            self.reached.directories[raw] = number
            self.waiting.append((raw, number))

    def listing(self, digest: str, number: int) -> None:
        """A directory is needed, and not its files."""
        raw = bytes.fromhex(digest[7:])
        if not any(raw in some.directories or raw in some.listings for some in (self.reached, self.known)):
            self.reached.listings[raw] = number
            self.waiting.append((raw, number))

    def file(self, digest: str, size: int, number: int) -> None:
        """A file is needed."""
        raw = bytes.fromhex(digest[7:])
        small = size < SMALL
        if raw not in (self.known.files if small else self.known.large):
            (self.reached.files if small else self.reached.large).setdefault(raw, number)

    def into(self, node: trees.Node, number: int) -> None:
        """All that a directory holds is needed."""
        for digest in folders_in(node):
            self.folder(digest, number)
        for entry in node.entries:
            if entry.kind == "file":
                self.file(entry.digest, entry.bytes, number)

    def through(self, node: trees.Node, number: int) -> None:
        """The directories in a directory are needed."""
        for digest in folders_in(node):
            self.listing(digest, number)

    def portion(self) -> list[tuple[bytes, int]]:
        """The first that wait."""
        return [self.waiting.popleft() for _ in range(min(_AT_ONCE, len(self.waiting)))]


def folders_in(node: trees.Node) -> list[str]:
    """The digests of the parts and folders in a directory."""
    below = [entry.digest for entry in node.entries if entry.kind == "dir"]
    return [part.digest for part in node.parts] + below


def _nodes(objects: Objects, raws: list[bytes], reached: Reached) -> list[trees.Node | None]:
    """The directories, in that order; None of one that cannot be read."""
    names = ["sha256:" + raw.hex() for raw in raws]
    try:
        found = read_all(objects, names)
        return [trees.parse(found[name], name) for name in names]
    except (Damaged, Erased):  # one of them: the others are read one by one
        return [_node(objects, raw, reached) for raw in raws]


def _node(objects: Objects, raw: bytes, reached: Reached) -> trees.Node | None:
    name = "sha256:" + raw.hex()
    try:
        return trees.parse(objects.read(name), name)
    except Damaged as error:
        reached.unread[raw] = error
        return None
    except Erased as error:  # a receipt is of files alone
        reached.unread[raw] = Damaged(error.message)
        return None
