"""What a record is: a frozen value, and the one way it becomes bytes; and the words that records are made of.

Annotations are evaluated as they stand in this package, nowhere as text (`from __future__ import annotations`): of
those pydantic would compile each by itself, a fifth of what making the classes costs every start.
"""

import re
from typing import Annotated, Any, ClassVar, Final, Literal, Self

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
Whole = Annotated[int, Field(ge=-(1 << 63), lt=1 << 63)]
"""What can be read can be written again: JSON's numbers have no end, those of its writers have."""


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
    """A frozen value with one canonical form.

    A field that comes to a kind of record after some were written is named in `LATER`: while it has its default, the bytes
    leave it out. So a record says the same, to the byte, in whatever release it is written or put back.
    """

    LATER: ClassVar[frozenset[str]] = frozenset()

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True, allow_inf_nan=False)

    def to_bytes(self) -> bytes:
        """Canonical JSON, UTF-8."""
        told = self.model_dump(mode="json")
        _leave_out(self, told)
        return orjson.dumps(told, option=orjson.OPT_SORT_KEYS)

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


def _leave_out(record: Record, told: dict[str, Any]) -> None:
    """Take what came later, and says nothing, out of what is told."""
    fields = type(record).model_fields
    for name in record.LATER:
        if getattr(record, name) == fields[name].get_default(call_default_factory=True):
            del told[name]
    for name, value in record:
        if isinstance(value, Record):
            _leave_out(value, told[fields[name].alias or name])
        elif isinstance(value, tuple):
            for one, line in zip(value, told.get(fields[name].alias or name, ()), strict=False):
                if isinstance(one, Record):
                    _leave_out(one, line)


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
