"""What happened to a package or a dataset, as values in the order of time. Pure; `chronicle` finds them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, TypeAlias

from pkgrun.identity import Version

HappeningKind: TypeAlias = Literal[
    "import", "training", "evaluation", "full", "reproduction", "copy", "removal", "erasure", "registration"
]


@dataclass(frozen=True, slots=True)
class Given:
    """What a run was given. `name`: of the registered dataset that it is, else what the run was told."""

    role: Literal["input", "trained", "evaluated"]
    name: str
    digest: str
    attested: bool


@dataclass(frozen=True, slots=True)
class Happening:
    """One thing that happened. What does not apply to its kind is None, or empty.

    `version`: what was made, done again, or removed; `base`: what a run started from. `number`: of the dataset that was
    registered, or used. `status`: of a run; `missing` if its record, or that of the version, is not there. `reason`: why a version was removed, or
    content was erased; `digest` says which. `added`, `removed`, `changed`: files, against the number before.
    """

    at: datetime
    kind: HappeningKind
    by: str
    status: str | None = None
    package: str | None = None
    version: Version | None = None
    base: Version | None = None
    number: int | None = None
    run: str | None = None
    seconds: float | None = None
    source: str | None = None
    data: tuple[Given, ...] = ()
    score: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    verdict: str | None = None
    error: str | None = None
    reason: str | None = None
    digest: str | None = None
    files: int | None = None
    bytes: int | None = None
    added: int | None = None
    removed: int | None = None
    changed: int | None = None


@dataclass(frozen=True, slots=True)
class History:
    """What happened, the oldest first.

    `earlier`: how much more happened before it, that was not asked for. `namesake`: of a package, that a dataset has the same name.
    """

    name: str
    what: Literal["package", "dataset"]
    happenings: tuple[Happening, ...]
    earlier: int = 0
    namesake: bool = False
