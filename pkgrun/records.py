"""Everything that is written down, as frozen values, and the one way they become bytes.

A record is canonical JSON: UTF-8, keys sorted, no white space. What is parsed here has been checked; the rest of
the code trusts the type. Records are never rewritten, so readers ignore fields that they do not know.
`schemas/README.md` says where each record lies and why.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal, Self

import orjson
from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    WithJsonSchema,
)

from pkgrun.errors import Damaged
from pkgrun.identity import DIGEST_PATTERN, NAME_PATTERN, RUN_ID_PATTERN, VERSION_PATTERN, Version

FORMAT: Final = 1

Name = Annotated[str, Field(pattern=NAME_PATTERN, description="A package's name.")]
RunId = Annotated[
    str, Field(pattern=RUN_ID_PATTERN, description="A UUIDv7: sorts by the time the run began.")
]
Digest = Annotated[str, Field(pattern=DIGEST_PATTERN, description="SHA-256 of the bytes, in hexadecimal.")]
Count = Annotated[int, Field(ge=0, lt=1 << 63)]


def _version(value: object) -> Version:
    if isinstance(value, Version):
        return value
    if not isinstance(value, str) or not re.fullmatch(VERSION_PATTERN, value):
        raise ValueError("not a version")
    return Version.parse(value)


VersionNumber = Annotated[
    Version,
    BeforeValidator(_version),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "pattern": VERSION_PATTERN}),
]


class Record(BaseModel):
    """A frozen value with one canonical form."""

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True, allow_inf_nan=False)

    def to_bytes(self) -> bytes:
        """Canonical JSON, UTF-8."""
        return orjson.dumps(self.model_dump(mode="json"), option=orjson.OPT_SORT_KEYS)

    @classmethod
    def from_bytes(cls, data: bytes, *, key: str) -> Self:
        """Parse and check; `key` names the place in the error.

        Raises:
            Damaged: it is not such a record.
        """
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or "it"
            raise Damaged(
                f"{key} is not a valid {cls.__name__}: {where}: {first['msg']}",
                hint="the file was changed or damaged; restore it from a copy of the store",
            ) from error


class StoreRecord(Record):
    """`pkgrun-store.json`: that this is a store, and which."""

    format: Literal[1] = FORMAT
    store: Annotated[str, Field(pattern=RUN_ID_PATTERN)]
    created: AwareDatetime


class Tree(Record):
    """A directory by content: the digest of its root node, and what lies below."""

    digest: Digest
    files: Count
    bytes: Count


class Blob(Record):
    """Bytes by content."""

    digest: Digest
    bytes: Count


EntryName = Annotated[
    str,
    Field(
        pattern=r"^[^/\x00]+$",
        description="UTF-8 as it is; every other byte, and `%`, as `%XX`.",
        json_schema_extra={"not": {"enum": [".", ".."]}},
    ),
]


class FileEntry(Record):
    """A file in a directory."""

    name: EntryName
    kind: Literal["file"]
    digest: Digest
    size: Count
    executable: Annotated[Literal[True] | None, Field(description="Left out if it is not.")] = None


class FolderEntry(Record):
    """A directory in a directory: the digest of its node; how many files are below, and their bytes."""

    name: EntryName
    kind: Literal["dir"]
    digest: Digest
    files: Count
    bytes: Count


class LinkEntry(Record):
    """A symbolic link in a directory; its target never leads out of the tree, and is written as names are."""

    name: EntryName
    kind: Literal["symlink"]
    target: Annotated[str, Field(min_length=1)]


TreeEntry = Annotated[FileEntry | FolderEntry | LinkEntry, Field(discriminator="kind")]


class TreePart(Record):
    """A stretch of the names of a large directory; a directory node of its own."""

    first: EntryName
    digest: Digest
    files: Count
    bytes: Count


class TreeNode(Record):
    """A directory: its entries in order of their raw bytes, or the parts that hold them."""

    entries: tuple[TreeEntry, ...] | None = None
    parts: tuple[TreePart, ...] | None = None


class Git(Record):
    """Where a folder stood in its git repository when it was imported."""

    commit: Annotated[str, Field(pattern=r"^[0-9a-f]{40,64}$")] | None
    branch: str | None
    remote: Annotated[str, Field(description="Without credentials.")] | None
    path: Annotated[str, Field(description="The folder, relative to the repository's root.")]
    dirty: Annotated[bool, Field(description="Whether the folder differed from the commit.")]


class Environment(Record):
    """The Python environment that a run used."""

    mode: Literal["isolated", "current"]
    python: str
    platform: str
    requirements: Annotated[Digest, Field(description="Of the requirements with their includes.")]
    lock: Annotated[Blob, Field(description="Every package with version and hashes, as pip reads it.")]


class Origin(Record):
    """Where an imported version came from, so that ancestry survives the journey between stores."""

    store: str
    package: Name
    version: VersionNumber
    record: Digest
    ancestors: tuple[Digest, ...]


class Contract(Record):
    """What the package can do, read from its source."""

    methods: tuple[str, ...]
    pipelines: tuple[str, ...]
    servable: bool


class Actor(Record):
    """Who ran it, where, with what."""

    user: str
    host: str
    pkgrun: str


RunKind = Literal["import", "training", "evaluation", "full", "copy", "dataset"]


class VersionEntry(Record):
    """A version but for its number: what an outcome decides."""

    package: Name
    kind: Literal["import", "training", "evaluation", "full", "copy"]
    run: RunId
    parent: Annotated[VersionNumber | None, Field(description="The version whose content it started from.")]
    tree: Tree
    source: Annotated[str | None, Field(description="Where an import was read from.")] = None
    description: str | None = None
    tags: dict[str, str] = {}
    contract: Contract
    environment: Environment | None = None
    git: Git | None = None
    origin: Origin | None = None
    created: AwareDatetime


class VersionRecord(VersionEntry):
    """`packages/<name>/<major>/<minor>.json`: its existence IS the version."""

    format: Literal[1] = FORMAT
    version: VersionNumber
    previous: Annotated[
        Digest | None, Field(description="Of the record before it: n-1, or the last major's 0.")
    ]


class DatasetEntry(Record):
    """A registered dataset but for its number: what an outcome decides."""

    dataset: Name
    run: RunId
    tree: Tree
    source: Annotated[str, Field(description="Where it was read from, without credentials.")]
    description: str | None = None
    tags: dict[str, str] = {}
    created: AwareDatetime


class DatasetRecord(DatasetEntry):
    """`datasets/<name>/<n>.json`: a dataset as it was at one moment."""

    format: Literal[1] = FORMAT
    number: Annotated[int, Field(ge=1, lt=10**8)]
    previous: Annotated[Digest | None, Field(description="Of the record of n-1.")]

    @property
    def label(self) -> str:
        """As `--data` takes it."""
        return f"{self.dataset}@{self.number}"


class Head(Record):
    """The newest number when the operation began: where the search for a free one starts."""

    major: Annotated[Count, Field(description="Of a dataset: its number.")]
    minor: Annotated[Count | None, Field(description="Null: what is searched for is a major.")] = None


class TrainingRequest(Record):
    """What was asked of a training."""

    base: VersionNumber
    tree: Tree
    data: str | None
    parameters: dict[str, str] = {}
    secrets: Annotated[tuple[str, ...], Field(description="Names only.")] = ()
    save_training_data: bool = False
    gpu: bool = False
    timeout: float | None = None
    python: str | None = None
    environment: Literal["isolated", "current"] = "isolated"
    upgrade: bool = False
    mount: Literal["auto", "overlay", "reflink", "copy"] = "auto"
    require_stable_data: bool = False
    description: str | None = None
    tags: dict[str, str] = {}


class ImportRequest(Record):
    """What was asked of an import."""

    source: str
    tree: Tree


class DatasetRequest(Record):
    """What was asked of a registration."""

    source: str


class CopyRequest(Record):
    """What was asked of a copy: of the intent's package, or of everything."""

    source: Annotated[str, Field(description="The store it is from, without credentials.")]
    store: Annotated[str, Field(pattern=RUN_ID_PATTERN, description="Its id.")]


class Intent(Record):
    """`runs/<id>/intent.json`: what is asked, and the head seen. The operation exists from here on."""

    format: Literal[1] = FORMAT
    run: RunId
    kind: RunKind
    package: Name | None = None
    created: AwareDatetime
    by: Actor
    head: Head
    alive: Annotated[
        Heartbeat | None, Field(description="The supervisor's first sign of life, before any heartbeat.")
    ] = None
    idempotency_key: Annotated[Digest | None, Field(description="SHA-256 of the caller's key.")] = None
    training: TrainingRequest | None = None
    import_: Annotated[ImportRequest | None, Field(alias="import")] = None
    dataset: Annotated[Name | None, Field(description="Which dataset gets a number.")] = None
    registration: DatasetRequest | None = None
    copy_: Annotated[CopyRequest | None, Field(alias="copy")] = None

    model_config = ConfigDict(populate_by_name=True, serialize_by_alias=True)


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
    def of(cls, names: Sequence[str]) -> FileList:
        """The list of `names`, cut at a thousand or at 64 KiB of them, so that any list fits a record."""
        kept, room = [], 1 << 16
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


class Exit(Record):
    """How the child process ended."""

    reason: str
    code: int | None = None
    signal: int | None = None


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


class Facts(Record):
    """What a run found out, whatever its end."""

    started: AwareDatetime
    ended: AwareDatetime
    phases: tuple[PhaseTime, ...] = ()
    data: Data | None = None
    snapshot: Tree | None = None
    artifacts: Tree | None = None
    log: Annotated[Blob | None, Field(description="JSON lines, one event each.")] = None
    environment: Environment | None = None
    inherited: Annotated[tuple[str, ...], Field(description="Names of the host's variables passed on.")] = ()
    hash_seed: str | None = None
    changes: Changes | None = None
    metrics: dict[str, float] | None = None
    score: float | None = None
    exit: Exit | None = None
    usage: Usage | None = None
    warnings: tuple[str, ...] = ()


class Share(Record):
    """Of what a copy was about: how many it had to bring, and how many were there already."""

    copied: Count
    there: Count


class Copied(Record):
    """What a copy decided to bring. Whoever carries it out creates each of `records` under the key that is its path."""

    versions: Share
    datasets: Annotated[Share, Field(description="Numbers of datasets.")]
    runs: Share
    open: Annotated[Count, Field(description="Runs left out, because they went on.")] = 0
    files: Annotated[Count, Field(description="Contents that were not there yet.")] = 0
    bytes: Annotated[Count, Field(description="Of these.")] = 0
    records: Annotated[Tree | None, Field(description="Null where nothing was to be brought.")] = None


Decision = Literal["COMMIT", "FAILED", "KILLED", "TIMED-OUT", "LOST"]
Status = Literal[
    "scheduled", "packaging", "queued", "running", "successful", "failed", "killed", "timed-out", "lost"
]


class Outcome(Record):
    """`runs/<id>/outcome.json`: the decision. Whoever creates it has decided; nobody can decide again."""

    format: Literal[1] = FORMAT
    run: RunId
    decision: Decision
    created: AwareDatetime
    entry: Annotated[VersionEntry | None, Field(description="Of COMMIT: the version to be.")] = None
    dataset: Annotated[DatasetEntry | None, Field(description="Of COMMIT: the registered dataset to be.")] = (
        None
    )
    copied: Annotated[Copied | None, Field(description="Of COMMIT: what was copied.")] = None
    error: RunError | None = None
    facts: Facts | None = None


class Heartbeat(Record):
    """`runs/<id>/heartbeat.json`: that the supervisor lives. Rewritten while it does; never evidence."""

    run: RunId
    at: AwareDatetime
    status: Status
    phase: str
    host: str
    boot: Annotated[str, Field(description="Of the host since it last started, and the process namespace.")]
    pid: int
    pid_started: Annotated[str, Field(description="Tells a process from a later one of the same number.")]


class KeyRecord(Record):
    """`keys/<sha256>/<attempt>.json`: which run an idempotency key stands for, and what was asked."""

    format: Literal[1] = FORMAT
    run: RunId
    asked: Annotated[Digest, Field(description="Of the arguments, without the values of secrets.")]
    created: AwareDatetime


class RunRecord(Record):
    """`runs/<id>/run.json`: all that is known of a run, for reading; follows from the other records."""

    format: Literal[1] = FORMAT
    run: RunId
    kind: RunKind
    status: Status
    package: Name | None = None
    version: VersionNumber | None = None
    dataset: Name | None = None
    number: Annotated[int | None, Field(description="Of the dataset.")] = None
    parent: VersionNumber | None = None
    created: AwareDatetime
    by: Actor
    phase: str | None = None
    request: TrainingRequest | None = None
    input: Annotated[Tree | None, Field(description="Of the version it started from.")] = None
    output: Annotated[Tree | None, Field(description="Of the version it made.")] = None
    git: Git | None = None
    source: Annotated[CopyRequest | None, Field(description="Of a copy.")] = None
    copied: Copied | None = None
    error: RunError | None = None
    facts: Facts | None = None

    @property
    def subject(self) -> str:
        """The package or dataset that it is about."""
        return self.package or self.dataset or ""

    @property
    def final(self) -> bool:
        """Whether nothing of this will change any more."""
        return self.status in FINAL


FINAL: frozenset[Status] = frozenset({"successful", "failed", "killed", "timed-out", "lost"})


class ResultsParameters(Record):
    """What went in, under the vendor's names."""

    pipeline: str
    inputs: dict[str, str | None]
    env: dict[str, str]


class ResultsSummary(Record):
    """What came out, under the vendor's names; times in seconds since the epoch."""

    execution_time: float
    start_at: float
    end_at: float
    outputs: dict[str, str | float | None]


class Results(Record):
    """`runs/<id>/_results.json`, as existing readers expect it."""

    parameters: ResultsParameters
    run_summary: ResultsSummary


STORED: dict[str, type[Record]] = {
    "store": StoreRecord,
    "tree": TreeNode,
    "version": VersionRecord,
    "dataset": DatasetRecord,
    "intent": Intent,
    "outcome": Outcome,
    "heartbeat": Heartbeat,
    "key": KeyRecord,
    "run": RunRecord,
    "results": Results,
}
"""Every kind of record on disk, by the name of its schema."""


def schema(name: str) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of one kind of record."""
    record = STORED[name]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"pkgrun:{name}:{FORMAT}",
        **record.model_json_schema(mode="serialization"),
    }
