"""Whether trees say rightly how many files lie below each directory, and how many bytes these have.

Each directory is looked at once: what it says of those in it must be what they say of themselves, so all of them add up.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from pkgrun.store import trees
from pkgrun.store.fsck.findings import FROM, Finding, Need
from pkgrun.store.fsck.needs import name_of, raw_of
from pkgrun.store.objects import key_of
from pkgrun.store.roots import Root

Total = tuple[int, int]
"""Files, and their bytes."""


@dataclass(slots=True)
class Counts:
    """What directories say of each other and of files. It is told each of them once (`reach.Told`)."""

    sizes: dict[bytes, int] = field(default_factory=dict)
    """Of each file, as the first directory that holds it says."""
    _totals: dict[bytes, Total] = field(default_factory=dict)
    _said: dict[bytes, tuple[Total, bytes]] = field(default_factory=dict)
    """What is said of a directory, and by which."""
    _wrong: dict[bytes, str] = field(default_factory=dict)
    """Directories that contradict others, and how."""
    _parts: set[bytes] = field(default_factory=set)
    _split: set[bytes] = field(default_factory=set)

    def __call__(self, raw: bytes, node: trees.Node) -> None:
        """A directory was read."""
        files = size = 0
        for part in node.parts:
            files, size = files + part.files, size + part.bytes
            self._say(raw_of(part.digest), (part.files, part.bytes), raw)
            self._parts.add(raw_of(part.digest))
        if node.parts:
            self._split.add(raw)
        for entry in node.entries:
            files, size = files + entry.files, size + entry.bytes
            if entry.kind == "dir":
                self._say(raw_of(entry.digest), (entry.files, entry.bytes), raw)
            elif (
                entry.kind == "file"
                and self.sizes.setdefault(raw_of(entry.digest), entry.bytes) != entry.bytes
            ):
                self._wrong[raw] = (
                    f"it says that {entry.digest} has {entry.bytes} bytes, and others say otherwise"
                )
        self._totals[raw] = files, size

    def _say(self, about: bytes, total: Total, by: bytes) -> None:
        if self._said.setdefault(about, (total, by))[0] != total:
            self._wrong[by] = (
                f"it says that {total[0]} files lie below {name_of(about)}, and others say otherwise"
            )

    def wrong(self) -> Iterator[tuple[bytes, str]]:
        """The directories that say what is not so, and what."""
        yield from self._wrong.items()
        for about, (total, by) in self._said.items():
            there = self._totals.get(about)
            if there is not None and there != total:
                yield by, f"it says that {name_of(about)} holds {_words(total)}, which holds {_words(there)}"
        for raw in self._parts & self._split:
            yield raw, "it is a part, and has parts itself"

    @property
    def split(self) -> frozenset[bytes]:
        """The directories that have parts, and are none."""
        return frozenset(self._split - self._parts)

    def of_root(self, root: Root) -> Iterator[Finding]:
        """Whether a record says rightly what its trees hold."""
        for tree in (*root.trees, *root.listings):
            there = self._totals.get(raw_of(tree.digest))
            if there is not None and there != (tree.files, tree.bytes):
                said = _words((tree.files, tree.bytes))
                message = f"{root.key} says that {tree.digest} holds {said}, which holds {_words(there)}"
                yield Finding("counts-wrong", "hole", root.key, message, FROM, (Need(root.label),))


def _words(total: Total) -> str:
    return f"{total[0]} files of {total[1]} bytes"


def finding(raw: bytes, what: str, needs: tuple[Need, ...]) -> Finding:
    """That a directory says what is not so."""
    message = f"the directory {name_of(raw)} is not right: {what}"
    return Finding(
        "counts-wrong", "hole", key_of(name_of(raw)), message, FROM, needs, digests=frozenset({raw})
    )
