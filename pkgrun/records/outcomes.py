"""What was found out, and what was decided."""

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal, Self

import orjson
from pydantic import AwareDatetime, Field

from pkgrun.records.intents import Sandbox
from pkgrun.records.numbered import DatasetEntry, Environment, VersionEntry
from pkgrun.records.record import FORMAT, Blob, Count, Record, RunId, Tree, VersionNumber, Whole

Decision = Literal["COMMIT", "FAILED", "KILLED", "TIMED-OUT", "LOST"]


_LISTED = "The store holds its directories: the names and digests of all its files."


class PhaseTime(Record):
    """One phase of a run: when it began (UTC) and how long it took, in seconds."""

    name: str
    started: AwareDatetime
    seconds: float


class FileList(Record):
    """Files by name: how many, and the first thousand."""

    count: Count = 0
    names: tuple[str, ...] = ()

    @classmethod
    def of(cls, names: Sequence[str], room: int = 1 << 16) -> Self:
        """The list of `names`, cut at a thousand or at so many bytes of them, so that any list fits a record."""
        kept = []
        for name in names[:1000]:
            room -= len(orjson.dumps(name.encode("utf-8", "backslashreplace").decode()))
            if room < 0:
                break
            kept.append(name)
        return cls(count=len(names), names=tuple(kept))


class Changes(Record):
    """How the new version differs from the one it started from."""

    changed: FileList = Field(default_factory=FileList)
    added: FileList = Field(default_factory=FileList)
    removed: FileList = Field(default_factory=FileList)
    unexpected: Annotated[FileList, Field(description="Of those added, the ones far from what changed.")] = (
        Field(default_factory=FileList)
    )


class Written(Record):
    """What became of the data folder during a run; a path with `/` at its end is a folder."""

    added: FileList = Field(default_factory=FileList)
    changed: FileList = Field(default_factory=FileList)
    removed: FileList = Field(default_factory=FileList)


class Data(Record):
    """The dataset as the package's code was given it."""

    LATER: ClassVar[frozenset[str]] = frozenset({"listed"})

    source: str
    tree: Tree
    role: Literal["input", "trained", "evaluated"] = "input"
    mount: Literal["reflink", "copy", "overlay"]
    attested: Annotated[bool, Field(description="The digest is of the bytes that the code was given.")]
    unstable: Annotated[FileList, Field(description="Files of the source that changed meanwhile.")] = Field(
        default_factory=FileList
    )
    doubt: Annotated[str | None, Field(description="Another reason not to attest.")] = None
    written: Annotated[Written | None, Field(description="What the package's code did there.")] = None
    listed: Annotated[bool, Field(description=_LISTED)] = False


class Passed(Record):
    """What one call was given, where the package's own code had made it out of the dataset."""

    LATER: ClassVar[frozenset[str]] = frozenset({"listed"})

    call: Annotated[str, Field(description="As the phase is named.")]
    role: Literal["trained", "evaluated"]
    folder: Annotated[str, Field(description="Relative to the work directory.")]
    tree: Tree
    attested: Annotated[bool, Field(description="The digest is of the bytes that the call was given.")]
    kept: Annotated[bool, Field(description="The store holds its content.")] = False
    listed: Annotated[bool, Field(description=_LISTED)] = False


class Exit(Record):
    """How the child process ended."""

    reason: str
    code: Whole | None = None
    signal: Whole | None = None
    cause: Annotated[
        str | None,
        Field(
            description="Of out-of-memory: the run's own `limit`, that of the `system`, an `exception` under a limit."
        ),
    ] = None


class Confined(Record):
    """What held the child process, and by what means each limit was enforced."""

    sandbox: Sandbox
    memory: Annotated[
        Literal["cgroup-v1", "cgroup-v2", "address-space"] | None,
        Field(description="Of all its processes together; by address space, of each one."),
    ] = None
    cpus: Literal["cgroup-v1", "cgroup-v2", "affinity"] | None = None
    storage: Annotated[
        Literal["watch"] | None, Field(description="Looked at again and again; no file may be larger.")
    ] = None


class Device(Record):
    """An accelerator that the child was shown."""

    vendor: Literal["nvidia", "amd", "apple"]
    id: Annotated[str, Field(description="The vendor's, else the name of its file.")]
    name: str | None = None
    memory: Annotated[Count | None, Field(description="In bytes.")] = None
    driver: Annotated[str | None, Field(description="Its version.")] = None


class Usage(Record):
    """What the child and its descendants took."""

    peak_memory_bytes: Count
    cpu_seconds: float


class RunError(Record):
    """Why a run made no version."""

    kind: Annotated[str, Field(description="What programs branch on; never renamed.")]
    message: str
    hint: str | None = None
    phase: str | None = None
    traceback: Annotated[str | None, Field(description="The package's own frames.")] = None


class Cause(Record):
    """Why a reproduction came out otherwise, or may have."""

    known: Annotated[
        bool, Field(description="It was shown: without it the bytes are the same. Else it is possible.")
    ]
    message: Annotated[str, Field(description="Holds nothing of a file's content but names.")]
    path: Annotated[str | None, Field(description="The file that it is about, `artifacts/…` among them.")] = (
        None
    )


class Differing(Record):
    """The files and links that one of two trees has otherwise; each list is of paths."""

    changed: FileList = Field(default_factory=FileList)
    added: FileList = Field(default_factory=FileList)
    removed: FileList = Field(default_factory=FileList)

    @property
    def count(self) -> int:
        """How many they are."""
        return self.changed.count + self.added.count + self.removed.count


class Measured(Record):
    """The numbers that a run's code gave; of its metrics those that differ, a hundred at most."""

    score: float | None = None
    baseline_score: float | None = None
    metrics: dict[str, float] | None = None


class Reproduction(Record):
    """What came of doing a run again. `added` files are those that only the reproduction made."""

    run: Annotated[RunId, Field(description="The run that was done again.")]
    version: Annotated[VersionNumber | None, Field(description="That one's; null of an evaluation.")] = None
    verdict: Annotated[
        Literal["identical", "differs", "unproven"],
        Field(description="Unproven: nothing differs, but `doubts` say why that is no proof."),
    ]
    tree: Annotated[
        Tree | None,
        Field(description="What the version would have been; null of an evaluation. The store keeps it."),
    ] = None
    files: Annotated[Differing, Field(description="Of the version.")] = Field(default_factory=Differing)
    artifacts: Differing = Field(default_factory=Differing)
    passed: Annotated[
        tuple[str, ...], Field(description="Folders that the package's own code prepared otherwise.")
    ] = ()
    before: Annotated[Measured, Field(description="The numbers of the run that was done again.")] = Field(
        default_factory=Measured
    )
    now: Measured = Field(default_factory=Measured)
    doubts: Annotated[tuple[str, ...], Field(description="What is not shown to have been the same.")] = ()
    causes: tuple[Cause, ...] = ()

    @property
    def differs(self) -> tuple[str, ...]:
        """What is not the same, by name: files of the version, `artifacts/…`, folders, numbers."""
        told = [*self.files.changed.names, *self.files.added.names, *self.files.removed.names]
        left = (*self.artifacts.changed.names, *self.artifacts.added.names, *self.artifacts.removed.names)
        told += [f"artifacts/{name}" for name in left]
        told += [f"{folder}/" for folder in self.passed]
        told += [
            name
            for name in ("score", "baseline_score")
            if getattr(self.before, name) != getattr(self.now, name)
        ]
        return tuple(told)


class Facts(Record):
    """What a run found out, whatever its end."""

    LATER: ClassVar[frozenset[str]] = frozenset(
        {"evaluation_data", "passed", "evaluation_snapshot", "baseline_score", "devices", "reproduced"}
    )

    started: AwareDatetime
    ended: AwareDatetime
    phases: tuple[PhaseTime, ...] = ()
    data: Data | None = None
    evaluation_data: Annotated[
        Data | None, Field(description="Of a full pipeline: the evaluation set that was given apart.")
    ] = None
    passed: tuple[Passed, ...] = ()
    snapshot: Annotated[Tree | None, Field(description="Of `data`, if that was to be kept.")] = None
    evaluation_snapshot: Annotated[Tree | None, Field(description="Of `evaluation_data`, likewise.")] = None
    artifacts: Tree | None = None
    log: Annotated[Blob | None, Field(description="JSON lines, one event each.")] = None
    environment: Environment | None = None
    inherited: Annotated[tuple[str, ...], Field(description="Names of the host's variables passed on.")] = ()
    hash_seed: str | None = None
    changes: Changes | None = None
    metrics: dict[str, float] | None = None
    score: Annotated[float | None, Field(description="What the last evaluation returned.")] = None
    baseline_score: Annotated[float | None, Field(description="What the one before the training did.")] = None
    exit: Exit | None = None
    confined: Annotated[Confined | None, Field(description="Null where nothing was asked.")] = None
    devices: Annotated[
        tuple[Device, ...], Field(description="The accelerators that it was shown: none but with --gpu.")
    ] = ()
    usage: Usage | None = None
    warnings: tuple[str, ...] = ()
    reproduced: Annotated[
        Reproduction | None, Field(description="Of a reproduction that ran to its end.")
    ] = None

    @property
    def kept(self) -> tuple[Tree, ...]:
        """What the store holds because of this run, but for its log and its lock."""
        passed = (one.tree for one in self.passed if one.kept)
        again = self.reproduced.tree if self.reproduced else None
        found = (self.artifacts, self.snapshot, self.evaluation_snapshot, *passed, again)
        return tuple(tree for tree in found if tree is not None)

    @property
    def listed(self) -> tuple[Tree, ...]:
        """Of what its calls were given, that whose directories the store holds, whether or not it holds the files."""
        given = (self.data, self.evaluation_data, *self.passed)
        return tuple(one.tree for one in given if one is not None and one.listed)


class Share(Record):
    """Of what a copy was about: how many it had to bring, and how many were there already."""

    copied: Count
    there: Count


class Copied(Record):
    """What a copy decided to bring. Whoever carries it out creates each of `records` under the key that is its path."""

    LATER: ClassVar[frozenset[str]] = frozenset({"receipts"})

    versions: Share
    datasets: Annotated[Share, Field(description="Numbers of datasets.")]
    runs: Share
    removals: Annotated[Count, Field(description="Tombstones of versions that were brought.")] = 0
    receipts: Annotated[Count, Field(description="Receipts of erasure that were brought.")] = 0
    open: Annotated[Count, Field(description="Runs left out, because they went on.")] = 0
    files: Annotated[Count, Field(description="Contents that were not there yet.")] = 0
    bytes: Annotated[Count, Field(description="Of these.")] = 0
    records: Annotated[Tree | None, Field(description="Null where nothing was to be brought.")] = None


class Swept(Record):
    """What an erasure took out of the store."""

    objects: Annotated[Count, Field(description="Files that were nothing but the content.")] = 0
    packs: Annotated[Count, Field(description="Packs that held it, and were written anew without.")] = 0
    aside: Annotated[Count, Field(description="Files in quarantine that held it, or may have.")] = 0
    bytes: Annotated[Count, Field(description="By which the store is smaller.")] = 0


class Outcome(Record):
    """`runs/<id>/outcome.json`: the decision. Whoever creates it has decided; nobody can decide again."""

    LATER: ClassVar[frozenset[str]] = frozenset({"erased"})

    format: Literal[1] = FORMAT
    run: RunId
    decision: Decision
    created: AwareDatetime
    entry: Annotated[VersionEntry | None, Field(description="Of COMMIT: the version to be.")] = None
    dataset: Annotated[DatasetEntry | None, Field(description="Of COMMIT: the registered dataset to be.")] = (
        None
    )
    copied: Annotated[Copied | None, Field(description="Of COMMIT: what was copied.")] = None
    erased: Annotated[Swept | None, Field(description="Of COMMIT: what was erased.")] = None
    error: RunError | None = None
    facts: Facts | None = None
