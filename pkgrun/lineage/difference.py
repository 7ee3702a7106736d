"""What differs between two versions, runs or datasets. Values only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from pkgrun.records import Tree
from pkgrun.runs.comparison import Value

What = Literal["version", "run", "dataset", "folder"]
Topic = Literal["parameters", "results", "requirements", "environment", "circumstances"]
TOPICS: tuple[Topic, ...] = get_args(Topic)
How = Literal["added", "changed", "removed"]


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two. `tree`: its files. `holds`: whether they are its own, or, of a run that made none, what it started from."""

    label: str
    what: What
    tree: Tree | None
    holds: Literal["own", "started-from"] = "own"


@dataclass(frozen=True, slots=True)
class FileChange:
    """A file or link that one has and the other has not, or has otherwise. Sizes in bytes, None where it is not.

    `executable`: that it is so in only one of the two. `patch`: lines of a unified diff, of small text files if that was asked;
    a name that could be taken for a line is quoted in it, as git does.
    """

    path: str
    how: How
    before: int | None
    after: int | None
    executable: bool = False
    patch: str | None = None


@dataclass(frozen=True, slots=True)
class Files:
    """The files that differ, by path. `changes`: None where that cannot be told, and `why`."""

    changes: tuple[FileChange, ...] | None
    why: str | None = None

    @property
    def same(self) -> bool:
        """Whether nothing differs."""
        return self.changes == ()

    @property
    def counts(self) -> Mapping[How, int]:
        """How many there are of each."""
        return Counter(one.how for one in self.changes or ())


@dataclass(frozen=True, slots=True)
class Change:
    """A fact that is not the same. `better`: which of the two, where a metric's name tells which way that is."""

    name: str
    before: Value
    after: Value
    better: Literal["one", "other"] | None = None


@dataclass(frozen=True, slots=True)
class Section:
    """What is told about one topic. `why`: nothing can be told, for one of the two has nothing of the kind."""

    topic: Topic
    changes: tuple[Change, ...]
    why: str | None = None

    @property
    def same(self) -> bool:
        """Whether nothing differs."""
        return not self.changes and self.why is None


@dataclass(frozen=True, slots=True)
class Given:
    """Data that a run was given."""

    source: str
    tree: Tree
    attested: bool


@dataclass(frozen=True, slots=True)
class DataChange:
    """What both were given as one thing, such as `data` or `evaluate`; None where one was given nothing."""

    name: str
    one: Given | None
    other: Given | None
    files: Files

    @property
    def same(self) -> bool:
        """Whether they were given the same content, wherever it lay."""
        return self.one is not None and self.other is not None and self.one.tree == self.other.tree


@dataclass(frozen=True, slots=True)
class Diff:
    """From one to the other. Sections and `data` are empty where one is a dataset or a folder, which has files only."""

    one: Side
    other: Side
    files: Files
    data: tuple[DataChange, ...]
    sections: tuple[Section, ...]

    @property
    def same(self) -> bool:
        """Whether nothing differs that can be told."""
        told = [self.files.same, *(one.same for one in self.data), *(one.same for one in self.sections)]
        return all(told)
