"""What has a number: versions of packages, and datasets; with what is told of a version."""

from typing import Annotated, ClassVar, Literal

from pydantic import AwareDatetime, Field

from pkgrun.records.listing import Listing
from pkgrun.records.record import FORMAT, Blob, Count, Digest, Name, Record, RunId, Tree, VersionNumber


class Git(Record):
    """Where a folder stood in its git repository when it was imported."""

    commit: Annotated[str, Field(pattern=r"^[0-9a-f]{40,64}$")] | None
    branch: str | None
    remote: Annotated[str, Field(description="Without credentials.")] | None
    path: Annotated[str, Field(description="The folder, relative to the repository's root.")]
    dirty: Annotated[bool, Field(description="Whether the folder differed from the commit.")]


class RelaxedPin(Record):
    """A requirement that did not install as it was pinned, and the version that did."""

    pin: str
    version: str


class Environment(Record):
    """The Python environment that a run used."""

    LATER: ClassVar[frozenset[str]] = frozenset({"overrides", "relaxed"})

    mode: Literal["isolated", "current"]
    python: str
    platform: str
    requirements: Annotated[Digest, Field(description="Of the requirements with their includes.")]
    lock: Annotated[Blob, Field(description="Every package with version and hashes, as pip reads it.")]
    overrides: Annotated[
        Digest | None, Field(description="Of the requirements that replaced those of the same names.")
    ] = None
    relaxed: Annotated[
        tuple[RelaxedPin, ...], Field(description="Pins that did not install as they were.")
    ] = ()


class Origin(Record):
    """Where an imported version came from, so that ancestry survives the journey between stores."""

    store: str
    package: Name
    version: VersionNumber
    record: Digest
    ancestors: tuple[Digest, ...]


class Parameter(Record):
    """What the package declares of a parameter; a default and choices as the text that its code would read."""

    type: Literal["int", "float", "bool", "str", "choice"]
    default: str | None = None
    description: str | None = None
    minimum: int | float | None = None
    maximum: int | float | None = None
    choices: tuple[str, ...] = ()
    required: bool = False


class Contract(Record):
    """What the package can do, read from its source."""

    LATER: ClassVar[frozenset[str]] = frozenset({"parameters"})

    methods: tuple[str, ...]
    pipelines: tuple[str, ...]
    servable: bool
    parameters: dict[str, Parameter] = Field(
        default={}, description="Those that its pkgrun.toml declares; all others are free."
    )


class VersionEntry(Record):
    """A version but for its number: what an outcome decides."""

    LATER: ClassVar[frozenset[str]] = frozenset({"listing"})

    package: Name
    kind: Literal["import", "training", "evaluation", "full", "copy"]
    run: RunId
    parent: Annotated[VersionNumber | None, Field(description="The version whose content it started from.")]
    tree: Tree
    source: Annotated[str | None, Field(description="Where an import was read from.")] = None
    description: str | None = None
    tags: dict[str, str] = Field(default={})
    contract: Contract
    environment: Environment | None = None
    git: Git | None = None
    origin: Origin | None = None
    listing: Listing | None = None
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
    tags: dict[str, str] = Field(default={})
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

    LATER: ClassVar[frozenset[str]] = frozenset({"chosen"})

    major: Annotated[Count, Field(description="Of a dataset: its number.")]
    minor: Annotated[Count | None, Field(description="Null: what is searched for is a major.")] = None
    chosen: Annotated[
        bool,
        Field(description="The major after this one was asked for: if it is there by then, its next minor."),
    ] = False
