"""What an erasure writes down: that a content was erased, by whom and why, for ever."""

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from pkgrun.records.intents import Actor
from pkgrun.records.record import FORMAT, Count, Digest, Record, RunId


class Receipt(Record):
    """`erased/<sha256>.json`: that the content was erased. It is never there again, and whoever misses it finds this."""

    format: Literal[1] = FORMAT
    digest: Annotated[Digest, Field(description="Of the content.")]
    bytes: Annotated[Count | None, Field(description="Its size; null if nobody knew.")]
    reason: str
    by: Actor
    created: AwareDatetime
    run: Annotated[RunId, Field(description="The erasure, of this store or of the one it was copied from.")]
    affected: Annotated[
        Count, Field(description="Versions that had seen it, or came from such, as far as was known.")
    ] = 0
    versions: Annotated[tuple[str, ...], Field(description="The first thousand of these.")] = ()
