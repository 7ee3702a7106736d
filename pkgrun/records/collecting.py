"""What garbage collection and removal write down: which objects are condemned, by what is it held, what was removed."""

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from pkgrun.identity import RUN_ID_PATTERN
from pkgrun.records.intents import Actor
from pkgrun.records.record import FORMAT, Count, Name, Record, RunId, VersionNumber

SentenceId = Annotated[str, Field(pattern=RUN_ID_PATTERN, description="A UUIDv7.")]


class Doomed(Record):
    """An object that nothing refers to."""

    key: Annotated[str, Field(pattern=r"^(objects/[0-9a-f]{2}/[0-9a-f]{64}|packs/[0-9a-f]{64}\.pack)$")]
    bytes: Count
    reason: str


class Sentence(Record):
    """`gc/condemned/<id>.json`: objects that will be deleted. Whoever begins to write after it uses none of them,
    unless it spares it first."""

    format: Literal[1] = FORMAT
    id: SentenceId
    created: AwareDatetime
    by: Actor
    objects: tuple[Doomed, ...]


class Underway(Record):
    """`gc/open/<id>.json`: the operations that went on when a sentence was there; until all are decided, nothing of it
    is deleted, because one of them may not have seen it."""

    format: Literal[1] = FORMAT
    id: SentenceId
    runs: tuple[RunId, ...]


class Verdict(Record):
    """`gc/verdict/<id>.json`: that a sentence is being carried out to the end, whoever does it. All but the kept is deleted."""

    format: Literal[1] = FORMAT
    id: SentenceId
    kept: Annotated[
        tuple[Count, ...],
        Field(
            description="Which of the sentence's objects stay, counted from 0: they are needed, or spared."
        ),
    ]


class Removal(Record):
    """`packages/<name>/<major>/<minor>.removed.json`: the version's content is given up; its record and its number stay."""

    format: Literal[1] = FORMAT
    package: Name
    version: VersionNumber
    created: AwareDatetime
    by: Actor
    reason: str | None = None
