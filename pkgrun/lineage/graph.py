"""A lineage as a value: versions, runs, data and where they came from, and how they are tied. Pure; `tracing` makes it.

An edge is a sentence, such as run *made* version or run *trained-on* data; `Edge.flow` turns it the way that time goes,
from what was there to what came of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar, Literal, TypeAlias

from pkgrun.identity import Version

Direction: TypeAlias = Literal["up", "down", "both"]

EdgeKind: TypeAlias = Literal[
    "made",
    "started-from",
    "evaluates",
    "reproduces",
    "given",
    "trained-on",
    "evaluated-on",
    "installed",
    "imported-from",
    "committed-at",
    "origin",
    "descends-from",
]


@dataclass(frozen=True, slots=True)
class Gone:
    """That a version was removed: when, by whom, and why."""

    at: datetime
    by: str
    reason: str | None


@dataclass(frozen=True, slots=True)
class VersionNode:
    """A version of this store; `how` it came: import, training, full. One that was removed has its record still.

    `erased`: digests of contents that were erased since, and that it, or what it came from, had seen.
    """

    what: ClassVar[str] = "version"

    id: str
    package: str
    version: Version
    how: str
    created: datetime
    run: str
    description: str | None = None
    removed: Gone | None = None
    erased: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RunNode:
    """One execution of a pipeline, whatever its end; `verdict`: of a reproduction that ran to its end."""

    what: ClassVar[str] = "run"

    id: str
    kind: str
    status: str
    package: str
    created: datetime
    by: str
    host: str
    seconds: float | None = None
    score: float | None = None
    baseline_score: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)
    devices: tuple[str, ...] = ()
    error: str | None = None
    verdict: str | None = None


@dataclass(frozen=True, slots=True)
class DataNode:
    """A content that runs were given; `id` is its digest.

    `names`: the registered datasets that hold it, `irises@2/training` one of a folder in it. `kept`: a run of this graph kept
    a snapshot, or a registered dataset holds it.
    """

    what: ClassVar[str] = "data"

    id: str
    files: int
    bytes: int
    names: tuple[str, ...] = ()
    kept: bool = False


@dataclass(frozen=True, slots=True)
class EnvironmentNode:
    """A Python with packages; `lock` is the digest of what names each. `packages`: how many, if the lock is there."""

    what: ClassVar[str] = "environment"

    id: str
    lock: str
    python: str
    platform: str
    mode: str
    packages: int | None = None
    overridden: bool = False
    relaxed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SourceNode:
    """Where an import was read from: a folder, a zip, a repository's address."""

    what: ClassVar[str] = "source"

    id: str
    source: str


@dataclass(frozen=True, slots=True)
class CommitNode:
    """Where a folder stood in its git repository; `dirty`: it differed from the commit."""

    what: ClassVar[str] = "commit"

    id: str
    commit: str | None
    branch: str | None
    remote: str | None
    path: str
    dirty: bool


@dataclass(frozen=True, slots=True)
class ForeignNode:
    """A version of another store, by the digest of its record; of what lies before the nearest one no more is known."""

    what: ClassVar[str] = "foreign"

    id: str
    record: str
    store: str
    package: str | None = None
    version: Version | None = None


@dataclass(frozen=True, slots=True)
class MissingNode:
    """What others name and the store has not, or cannot read; `why` says so."""

    what: ClassVar[str] = "missing"

    id: str
    thing: Literal["version", "run"]
    why: str


Node: TypeAlias = (
    VersionNode | RunNode | DataNode | EnvironmentNode | SourceNode | CommitNode | ForeignNode | MissingNode
)


@dataclass(frozen=True, slots=True)
class Edge:
    """A sentence: `subject` *kind* `object`, both ids of nodes.

    Of data: `attested` says that the digest is of the bytes that were given, `kept` that the run kept a snapshot, `source`
    what the run was told, `folder` what a full pipeline's own code had made of it.
    """

    kind: EdgeKind
    subject: str
    object: str
    attested: bool | None = None
    kept: bool | None = None
    source: str | None = None
    folder: str | None = None

    @property
    def flow(self) -> tuple[str, str]:
        """From what was there to what came of it."""
        made = self.kind == "made"
        return (self.subject, self.object) if made else (self.object, self.subject)


@dataclass(frozen=True, slots=True)
class Cut:
    """Where the graph does not go on: beyond the node `of`, up or down, by depth or by number.

    `count`: how many versions and runs come next there, if that is known without reading them.
    """

    of: str
    direction: Literal["up", "down"]
    count: int | None


@dataclass(frozen=True, slots=True)
class Graph:
    """What something came from, and what came from it. Each node stands once, before all of what was found after it.

    `doubt`: why names of datasets, and origins, may be missing: some record of the store is damaged.
    """

    about: str
    direction: Direction
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    cuts: tuple[Cut, ...] = ()
    depth: int | None = None
    doubt: str | None = None

    def node(self, id: str) -> Node:
        """The node of that id.

        Raises:
            KeyError: there is none.
        """
        for node in self.nodes:
            if node.id == id:
                return node
        raise KeyError(id)

    @property
    def versions(self) -> tuple[VersionNode, ...]:
        """The versions of this store that are in it."""
        return tuple(node for node in self.nodes if isinstance(node, VersionNode))
