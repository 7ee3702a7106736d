"""The seam between the store and the place where it keeps its bytes: one protocol, one file a place.

Keys are relative, `/`-separated, and made of names that the records allow; a backend may trust that. All
methods raise `PermissionDenied`, `Temporary` or `Damaged` for what the place refuses, never foreign exceptions.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Protocol

RECORD_LIMIT = 1 << 20
"""Bytes that one record may have; `create` is all-or-nothing up to this size."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a backend can do, declared so that nobody has to guess."""

    rename: bool
    """A blob may be written before its key is known; else `Backend.upload` has to be told the key."""
    paths: bool
    """Its keys are files of this machine, below the directory `Backend.url`."""


@dataclass(frozen=True, slots=True)
class Stat:
    """What is known of a key without reading it. `modified` is in seconds since the epoch, by the store's clock."""

    size: int
    modified: float


class Upload(Protocol):
    """A blob on its way in. It MUST be published or discarded."""

    def write(self, chunk: bytes | bytearray | memoryview) -> None:
        """Append. A `memoryview` is valid until this returns, all else must not change until it is published."""

    def publish(self, key: str) -> None:
        """Hand it over under its key. It is visible and durable after the next `Backend.flush`, MAY be before."""

    def discard(self) -> None:
        """Forget it. MUST leave nothing behind."""


class Backend(Protocol):
    """A place that keeps bytes under keys."""

    url: str
    capabilities: Capabilities

    def read(self, key: str, start: int = 0, length: int | None = None) -> bytes:
        """The bytes of a key, or a range of them.

        Raises:
            NotFound: there is no such key.
        """

    def stream(self, key: str) -> Iterator[bytes]:
        """The bytes of a key in pieces of at most a mebibyte.

        Raises:
            NotFound: there is no such key.
        """

    def stat(self, key: str) -> Stat | None:
        """Whether the key exists, and its size; None if it does not."""

    def create(self, key: str, data: bytes) -> bool:
        """Create a record if its key is free. True: it was, and the record is durable. False: it was taken.

        MUST be atomic among any number of writers and MUST never show part of a record.
        """

    def write(self, key: str, data: bytes) -> None:
        """Write or replace a derived record. Readers see the old or the new one; it MAY be lost in a power cut."""

    def upload(self, key: str | None = None, size: int | None = None) -> Upload:
        """Begin a blob.

        Args:
            key: what it will be published under. MAY be missing only where the backend can `rename`.
            size: how many bytes it will have at most, as far as that is known.
        """

    def flush(self, reused: Collection[str] = ()) -> None:
        """Make every published blob visible and durable, and those that others published under the keys `reused`.

        Nothing may refer to a blob before this returns.
        """

    def apart(self) -> Backend:
        """The same place, with uploads of its own: one operation's failed write is not another's."""

    def list(self, prefix: str) -> Iterator[str]:
        """The names one level below `prefix` (a folder's key without a slash at its end), in no order.

        A folder MAY be named that holds nothing any more.
        """

    def walk(self, prefix: str) -> Iterator[tuple[str, Stat]]:
        """Every key below `prefix`, however deep, with what is known of it; in no order."""

    def leftovers(self) -> Iterator[tuple[str, Stat]]:
        """What writers that died have left and nobody reads: names that only `delete` takes. Some MAY be still written to."""

    def delete(self, key: str) -> bool:
        """Remove a key; no error if it is gone. Of a folder that holds nothing any more it MAY remove the folder, of another one
        nothing.

        Returns:
            Whether that is over: not if it had to be asked for again, for what was asked first may yet take effect.
        """
