"""What was erased, as whoever reads or writes sees it: the receipts of a store. It takes nothing away (`erasing`).

An operation looks once it has begun, and again right before its decision: what is new then it has perhaps let pass.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator

from pkgrun.errors import Damaged, Erased, NotFound
from pkgrun.records import Intent
from pkgrun.records.erasing import Receipt
from pkgrun.store.backend import Backend

FOLDER = "erased"
RECEIPT = re.compile(r"erased/([0-9a-f]{64})\.json")
_DIGEST = 32
_FEW = 32
"""Receipts that are searched for, each by itself; of more each digest is looked up."""


def key(raw: bytes) -> str:
    """Where the receipt of a content lies."""
    return f"{FOLDER}/{raw.hex()}.json"


def raws(backend: Backend) -> frozenset[bytes]:
    """All that was erased, by SHA-256. A receipt that cannot be read holds, too."""
    keys = (RECEIPT.fullmatch(f"{FOLDER}/{name}") for name in backend.list(FOLDER))
    return frozenset(bytes.fromhex(found[1]) for found in keys if found)


def receipt(backend: Backend, raw: bytes) -> Receipt | None:
    """The receipt of a content, if it was erased.

    Raises:
        Damaged: it is not what it should be.
    """
    where = key(raw)
    try:
        found = Receipt.from_bytes(backend.read(where), key=where)
    except NotFound:
        return None
    if found.digest != "sha256:" + raw.hex():
        raise Damaged(f"{where} is the receipt of {found.digest}", hint="`pkgrun store repair` puts it right")
    return found


def receipt_of(intent: Intent) -> Receipt | None:
    """The receipt that an erasure creates: it follows from what was asked. None of another operation."""
    asked = intent.erasure
    if asked is None:
        return None
    return Receipt(
        digest=asked.digest,
        bytes=asked.bytes,
        reason=asked.reason,
        by=intent.by,
        created=intent.created,
        run=intent.run,
        affected=asked.affected,
        versions=asked.versions,
    )


def receipts(backend: Backend) -> Iterator[Receipt]:
    """All of them, in order of their digests.

    Raises:
        Damaged: one is not what it should be.
    """
    for raw in sorted(raws(backend)):
        if (found := receipt(backend, raw)) is not None:
            yield found


def error(backend: Backend, raw: bytes, path: str = "") -> Erased | None:
    """What is said of a content that was erased; None of any other.

    Args:
        path: where it lies, if somebody wants to add it.
    """
    try:
        found = receipt(backend, raw)
    except Damaged:
        return Erased(f"{_what(raw, path)} was erased; its receipt {key(raw)} cannot be read")
    return None if found is None else told(found, path)


def told(found: Receipt, path: str = "") -> Erased:
    """The same, of a receipt."""
    raw = bytes.fromhex(found.digest[7:])
    return Erased(
        f"{_what(raw, path)} was erased on {found.created:%Y-%m-%d} by {found.by.user}: {found.reason}",
        hint="take the file out; what was erased cannot be added again"
        if path
        else f"{key(raw)} is the receipt; what is made from the rest can be made without it",
    )


def _what(raw: bytes, path: str) -> str:
    digest = "sha256:" + raw.hex()
    return f"{path} holds {digest}, which" if path else f"the content {digest}"


def spared(data: bytes) -> bool:
    """Whether bytes could be a directory's, of which a receipt counts for nothing."""
    from pkgrun.store import trees  # which is built on what this is for

    return trees.is_node(data)


Directories = Callable[[Collection[bytes]], Collection[bytes]]
"""Which of some contents are directories in the store."""


class Erasures:
    """What was erased, for one operation. For several threads.

    A receipt of what turns out to be a directory counts for nothing: only files can be erased.
    """

    def __init__(self, backend: Backend | None, directories: Directories = lambda raws: ()) -> None:
        """Nothing is known yet; without a backend, nothing ever is."""
        self._backend, self._directories = backend, directories
        self._first: frozenset[bytes] | None = None
        self._unlisted = bytearray()
        self.folders: set[bytes] = set()
        """Directories that the operation was given, all of which it has handed to the store, and which no record will name."""
        self.raws: frozenset[bytes] = frozenset()

    @property
    def looked(self) -> bool:
        """Whether anything is known."""
        return self._first is not None

    def look(self) -> None:
        """See what was erased until now."""
        if self._backend is not None:
            found = raws(self._backend)
            self.raws = found.difference(self._directories(found)) if found else found
            if self._first is None:
                self._first = self.raws

    def fresh(self) -> frozenset[bytes]:
        """Look again: what came since the first look, so that some of it may have been let pass."""
        before = self._first or frozenset()
        self.look()
        return self.raws - before

    def known(self, fresh: frozenset[bytes]) -> None:
        """What was fresh has been dealt with."""
        self._first = (self._first or frozenset()) | fresh

    def note(self, digests: bytes | bytearray) -> None:
        """The operation was given files of these digests, 32 bytes each, and nothing that it keeps will say so."""
        self._unlisted += digests

    def noted(self, fresh: Collection[bytes]) -> bytes | None:
        """The first of these that is so."""
        return next((raw for raw in sorted(fresh) if _number(self._unlisted, raw) >= 0), None)

    def __contains__(self, raw: object) -> bool:
        return raw in self.raws

    def __bool__(self) -> bool:
        return bool(self.raws)

    def first(self, digests: bytes | bytearray) -> int | None:
        """Of digests of 32 bytes each, one behind the other, the number of the first that was erased."""
        if len(self.raws) <= _FEW:
            return min((number for raw in self.raws if (number := _number(digests, raw)) >= 0), default=None)
        parts = (bytes(digests[at : at + _DIGEST]) for at in range(0, len(digests), _DIGEST))
        return next((number for number, raw in enumerate(parts) if raw in self.raws), None)

    def error(self, raw: bytes, path: str = "") -> Erased:
        """What is said where somebody wants to add one of them."""
        found = error(self._backend, raw, path) if self._backend is not None else None
        return found or Erased(f"{_what(raw, path)} was erased")


def _number(digests: bytes | bytearray, raw: bytes) -> int:
    """Which of some digests, one behind the other, is the first that is `raw`; -1 if none is."""
    at = digests.find(raw)
    while at % _DIGEST and at >= 0:
        at = digests.find(raw, at + 1)
    return at // _DIGEST


NOTHING = Erasures(None)
"""Where nothing is erased."""
