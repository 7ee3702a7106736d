"""Which receipts of erasure excuse that a content is missing: one that an erasure of this store asked for and decided.

Receipts come with copies, too, without the runs that they name; that is all that is known of these.
"""

from __future__ import annotations

from typing import Literal

from pkgrun.errors import Damaged, NotFound
from pkgrun.store import erased, operations
from pkgrun.store.backend import Backend
from pkgrun.store.fsck.findings import FROM, Finding
from pkgrun.store.fsck.needs import name_of
from pkgrun.store.objects import key_of

Ground = Literal["ours", "brought", "none"]
"""On what a receipt stands: an erasure of this store, a copy that may have brought it, or nothing."""


def grounds(backend: Backend, raws: set[bytes]) -> dict[bytes, Ground]:
    """On what the receipts of some contents stand."""
    found: dict[bytes, Ground] = {raw: _ground(backend, raw) for raw in raws}
    if "brought" in found.values() and not _was_copied_into(backend):
        found = {raw: "none" if ground == "brought" else ground for raw, ground in found.items()}
    return found


def _ground(backend: Backend, raw: bytes) -> Ground:
    try:
        receipt = erased.receipt(backend, raw)
        if receipt is None:
            return "none"
        intent = operations.intent(backend, receipt.run)
        outcome = operations.decided(backend, receipt.run)
    except NotFound:  # there is no such run here
        return "brought"
    except Damaged:
        return "none"
    decided = outcome is not None and outcome.decision == "COMMIT" and outcome.erased is not None
    return "ours" if decided and erased.receipt_of(intent) == receipt else "none"


def _was_copied_into(backend: Backend) -> bool:
    """Whether anything was ever copied into a store; asked only where a receipt is nobody's."""
    for run in operations.runs(backend):
        try:
            outcome = operations.decided(backend, run)
        except Damaged:
            continue
        if outcome is not None and outcome.copied is not None:
            return True
    return False


def unexcused(one: Finding, raw: bytes) -> Finding:
    """What is said of a content that is missing, and has a receipt that stands on nothing."""
    message = f"the content {name_of(raw)} is missing, and {erased.key(raw)} is no excuse: no erasure of this store has decided it"
    return Finding(
        "erased-unproven",
        "hole",
        key_of(name_of(raw)),
        message,
        FROM,
        one.needed_by,
        digests=frozenset({raw}),
    )
