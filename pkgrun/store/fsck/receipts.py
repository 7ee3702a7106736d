"""Receipts of erasure, and what they are about: each by itself, as its erasure asked for it, and whether the content is gone."""

from __future__ import annotations

from collections.abc import Iterator

from pkgrun.errors import Damaged, NotFound
from pkgrun.records.erasing import Receipt
from pkgrun.store import erased, erasing, operations, packs
from pkgrun.store.backend import Backend
from pkgrun.store.fsck.findings import REPAIR, Finding, Need
from pkgrun.store.fsck.ledger import Ledger, Operation, Written
from pkgrun.store.objects import Objects

_SWEEP = "`pkgrun store gc --yes` takes it out again; so does the same `pkgrun erase`"


def read(ledger: Ledger) -> None:
    """Read them all. One whose erasure is of another store stands for itself."""
    for key in sorted(ledger.listed(erased.FOLDER, (erased.RECEIPT,))):
        read_one(ledger, key)


def read_one(ledger: Ledger, key: str) -> None:
    """Read the receipt under a key."""
    one = ledger.read(key, Receipt, hint=REPAIR)
    if one is None:
        return
    if erased.key(bytes.fromhex(one.record.digest[7:])) != key:
        ledger.misplaced(key, one.record.digest, hint=REPAIR)
    elif _asked(ledger.backend, one) not in (None, one.record):
        message = f"{key} is altered: it is not as the run {one.record.run} asked for it"
        ledger.find("record-altered", "hole", key, message)


def _asked(backend: Backend, one: Written[Receipt]) -> Receipt | None:
    try:
        return erased.receipt_of(operations.intent(backend, one.record.run))
    except (NotFound, Damaged):  # what is damaged is told with its run
        return None


def founded(ledger: Ledger, operation: Operation) -> Iterator[Finding]:
    """Whether what an erasure created is there."""
    intent, outcome = operation.intent, operation.outcome
    if intent is None or intent.erasure is None or outcome is None or outcome.decision != "COMMIT":
        return
    key = erased.key(bytes.fromhex(intent.erasure.digest[7:]))
    if ledger.backend.stat(key) is None:
        message = f"{key} is missing, and the run {operation.run} has erased that content"
        yield Finding("record-missing", "hole", key, message, REPAIR, (Need(f"run {operation.run}"),))


def gone(objects: Objects, raw: bytes, needed_by: tuple[Need, ...]) -> Finding:
    """What records lead to and was erased: no hole, but somebody may look for it."""
    key, message = erased.key(raw), objects.erased.error(raw).message
    return Finding(
        "erased", "note", key, message, f"{key} is the receipt", needed_by, digests=frozenset({raw})
    )


def of_directory(raw: bytes, *, missing: bool) -> Finding:
    """A receipt of what is never erased: it excuses nothing. Where the directory is there it does no harm: nobody heeds it."""
    key = erased.key(raw)
    message = f"{key} is no receipt: what it names is a directory, and only files are erased"
    if not missing:
        return Finding("erased-unproven", "note", key, message, "nobody heeds it", digests=frozenset({raw}))
    return Finding("erased-unproven", "hole", key, message, REPAIR, digests=frozenset({raw}))


def back(backend: Backend) -> Iterator[Finding]:
    """What is there against a receipt, wherever it lies."""
    raws = erased.raws(backend)
    if not raws:
        return
    found = erasing.find(backend, raws)
    files = found.objects | found.aside | {packs.key_of(one.pack): one.size for one in found.packs}
    for key, size in files.items():
        message = f"{key} holds what was erased, or may hold it"
        yield Finding("erased-present", "pending", key, message, _SWEEP, size=size)
