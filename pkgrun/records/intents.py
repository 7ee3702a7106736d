"""What is asked: the intent that begins an operation, the key that stands for it, the sign that somebody works on it."""

from typing import Annotated, ClassVar, Literal

from pydantic import AwareDatetime, ConfigDict, Field

from pkgrun.identity import RUN_ID_PATTERN
from pkgrun.records.numbered import Head
from pkgrun.records.record import FORMAT, Count, Digest, Name, Record, RunId, Tree, VersionNumber, Whole

RunKind = Literal[
    "import", "training", "evaluation", "full", "reproduction", "copy", "dataset", "repair", "erasure"
]
Status = Literal[
    "scheduled",
    "packaging",
    "queued",
    "running",
    "silent",
    "successful",
    "failed",
    "killed",
    "timed-out",
    "lost",
]
WantedMount = Literal["auto", "overlay", "reflink", "copy"]
Sandbox = Literal["none", "process", "no-network"]


class Actor(Record):
    """Who ran it, where, with what."""

    user: str
    host: str
    pkgrun: str


class Heartbeat(Record):
    """`runs/<id>/heartbeat.json`: that the supervisor lives. Rewritten while it does; never evidence."""

    run: RunId
    at: AwareDatetime
    status: Status
    phase: str
    host: str
    boot: Annotated[str, Field(description="Of the host since it last started, and the process namespace.")]
    pid: Whole
    pid_started: Annotated[str, Field(description="Tells a process from a later one of the same number.")]


class TrainingRequest(Record):
    """What was asked of a pipeline: a training, an evaluation, or a full one."""

    LATER: ClassVar[frozenset[str]] = frozenset(
        {
            "evaluation_data",
            "save_test_data",
            "baseline",
            "override_requirements",
            "relax_pins",
            "reproduces",
            "pipeline",
        }
    )

    base: VersionNumber
    tree: Tree
    data: str | None
    parameters: dict[str, str] = Field(default={})
    secrets: Annotated[tuple[str, ...], Field(description="Names only.")] = ()
    save_training_data: bool = False
    evaluation_data: Annotated[
        str | None, Field(description="Of a full pipeline: the evaluation set given apart.")
    ] = None
    save_test_data: bool = False
    baseline: Annotated[bool, Field(description="Evaluate before the training, too.")] = True
    gpu: bool = False
    timeout: float | None = None
    python: str | None = None
    environment: Literal["isolated", "current"] = "isolated"
    upgrade: bool = False
    override_requirements: Annotated[
        str | None, Field(description="Requirements, a line each, that replace those of the same names.")
    ] = None
    relax_pins: bool = False
    mount: WantedMount = "auto"
    require_stable_data: bool = False
    sandbox: Sandbox = "none"
    memory: Annotated[Count | None, Field(description="Bytes that it may take at most.")] = None
    cpus: Annotated[float | None, Field(description="Processors that it may use.")] = None
    storage: Annotated[Count | None, Field(description="Bytes that it may write at most.")] = None
    description: str | None = None
    tags: dict[str, str] = Field(default={})
    reproduces: Annotated[
        RunId | None, Field(description="Of a reproduction: the run that is done again.")
    ] = None
    pipeline: Annotated[
        Literal["training", "evaluation", "full"] | None,
        Field(description="Of a reproduction: that run's kind."),
    ] = None


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


class ErasureRequest(Record):
    """What was asked of an erasure, and what was known of it: all that its receipt says besides."""

    digest: Digest
    bytes: Annotated[Count | None, Field(description="Its size; null if nobody knew.")] = None
    reason: str
    affected: Count = 0
    versions: Annotated[tuple[str, ...], Field(description="The first thousand of those affected.")] = ()


class Intent(Record):
    """`runs/<id>/intent.json`: what is asked, and the head seen. The operation exists from here on."""

    LATER: ClassVar[frozenset[str]] = frozenset({"erasure"})

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
    erasure: ErasureRequest | None = None

    model_config = ConfigDict(populate_by_name=True, serialize_by_alias=True)


class KeyRecord(Record):
    """`keys/<sha256>/<attempt>.json`: which run an idempotency key stands for, and what was asked."""

    format: Literal[1] = FORMAT
    run: RunId
    asked: Annotated[Digest, Field(description="Of the arguments, without the values of secrets.")]
    created: AwareDatetime
