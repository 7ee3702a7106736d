"""Whom it concerns: which versions, datasets and runs need some contents, and under which paths.

Trees may share directories any number of times, so each is looked into once, and the paths that are told are few.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping

from pkgrun.errors import Damaged, Erased
from pkgrun.records import Tree
from pkgrun.store import trees
from pkgrun.store.fsck.findings import Need
from pkgrun.store.objects import Objects
from pkgrun.store.roots import Root

_PATHS = 3
"""Paths that are told of one content in one tree."""
_NEEDS = 200

Child = tuple[str, bytes, bool]
"""A name in a directory, what it has, and whether that is a directory."""


def raw_of(digest: str) -> bytes:
    """The 32 bytes of a digest."""
    return bytes.fromhex(digest[7:])


def name_of(raw: bytes) -> str:
    """`sha256:…` again."""
    return "sha256:" + raw.hex()


class Ways:
    """Which directories lead to some contents. Each is read once for that, and again if it does. Without `files`, to
    directories only."""

    def __init__(self, objects: Objects, wanted: Iterable[bytes], *, files: bool = True) -> None:
        self._objects, self._wanted, self._files = objects, frozenset(wanted), files
        self._leads: dict[bytes, bool] = {}

    def leads(self, raw: bytes) -> bool:
        """Whether a directory is one of them, or holds one, however deep."""
        waiting = [(raw, False)]
        while waiting:
            at, seen = waiting.pop()
            if at in self._leads:
                continue
            children = self.children(at)
            below = [child for _, child, is_directory in children if is_directory]
            if seen:
                self._leads[at] = at in self._wanted or any(
                    self._leads[child] if is_directory else child in self._wanted
                    for _, child, is_directory in children
                )
            else:
                waiting.append((at, True))
                waiting += [(child, False) for child in below if child not in self._leads]
        return self._leads[raw]

    def children(self, raw: bytes) -> list[Child]:
        """What a directory holds, parts without a name; nothing of one that cannot be read."""
        try:
            node = trees.parse(self._objects.read(name_of(raw)), name_of(raw))
        except (Damaged, Erased):
            return []
        found = [("", raw_of(part.digest), True) for part in node.parts]
        some = (one for one in node.entries if one.kind == "dir" or (one.kind == "file" and self._files))
        return found + [(one.name, raw_of(one.digest), one.kind == "dir") for one in some]

    def to(self, tree: Tree) -> Iterator[tuple[str, bytes]]:
        """The paths in a tree that lead there, as far as they are told."""
        raw = raw_of(tree.digest)
        return self._paths(raw) if self._wanted and self.leads(raw) else iter(())

    def _paths(self, raw: bytes) -> Iterator[tuple[str, bytes]]:
        seen: dict[bytes, int] = defaultdict(int)
        waiting: list[tuple[str, bytes, bool]] = [("", raw, True)]
        while waiting:
            path, at, is_directory = waiting.pop()
            seen[at] += 1
            if seen[at] > _PATHS:  # whatever lies below has as many paths by now
                continue
            if at in self._wanted:
                yield path, at
            for name, child, directory in self.children(at) if is_directory else ():
                if child in self._wanted or (directory and self.leads(child)):
                    below = f"{path}/{name}" if path and name else path or name
                    waiting.append((below, child, directory))


def whose(
    objects: Objects, kept: Iterable[Root], wanted: Iterable[bytes], listings: Container[bytes] = ()
) -> Mapping[bytes, tuple[Need, ...]]:
    """Who needs each of some contents; a run is not named beside the version or dataset that it made.

    Args:
        listings: those that are needed as listings only.
    """
    wanted = frozenset(wanted)
    if not wanted:
        return {}
    ways, told = Ways(objects, wanted), set[str]()
    listing = Ways(objects, (raw for raw in wanted if raw in listings), files=False)
    found: dict[bytes, list[Need]] = defaultdict(list)
    for root in kept:
        for raw, need in _needs(root, wanted, ways, listing, told):
            if len(found[raw]) < _NEEDS:
                found[raw].append(need)
    return {raw: tuple(needs) for raw, needs in found.items()}


def _needs(
    root: Root, wanted: Container[bytes], ways: Ways, listing: Ways, told: set[str]
) -> Iterator[tuple[bytes, Need]]:
    """What of it a record needs, and how. `told`: the trees whose paths have been told."""
    for blob in root.blobs:
        if raw_of(blob.digest) in wanted:
            yield raw_of(blob.digest), Need(root.label, "(its log, or what was installed)")
    for tree in root.trees:
        if not (root.label.startswith("run ") and tree.digest in told):
            told.add(tree.digest)
            for path, raw in ways.to(tree):
                yield raw, Need(root.label, path)
    for tree in root.listings:
        for path, raw in listing.to(tree):
            yield raw, Need(root.label, f"(in what it was given: {path or 'all of it'})")
