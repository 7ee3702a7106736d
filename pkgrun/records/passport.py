"""What travels beside an exported version. Imported where it is needed only, like `nodes` and `schemas`."""

from typing import Annotated, Literal

from pydantic import Field

from pkgrun.identity import RUN_ID_PATTERN
from pkgrun.records.record import FORMAT, Digest, Name, Record, VersionNumber


class Passport(Record):
    """`<name>_v<M.m>_pkgrun.json`: where an exported version is from. It lies beside the zip, never in a store."""

    format: Literal[1] = FORMAT
    store: Annotated[
        str, Field(pattern=RUN_ID_PATTERN, description="The id of the store it was exported from.")
    ]
    package: Name
    version: VersionNumber
    record: Annotated[Digest, Field(description="Of the version's record there.")]
    tree: Annotated[Digest, Field(description="Of the content, which the zip must have.")]
    ancestors: Annotated[
        tuple[Digest, ...],
        Field(
            description="Of the records of the versions it came from, the nearest first; beyond an import, of its origin's."
        ),
    ]
    seal: Annotated[Digest, Field(description="Of this record without this field: a hand's change shows.")]
