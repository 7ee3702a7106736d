"""Which contents are pkgrun's own, so that none of them may be erased: records, which copies of the store carry as blobs, and the
locks and logs that records refer to. It only reads."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator

from pkgrun.errors import Damaged, NotFound
from pkgrun.records import Outcome, VersionRecord
from pkgrun.store import numbers
from pkgrun.store.backend import Backend
from pkgrun.store.parallel import each
from pkgrun.store.roots import blobs_of

_FOLDERS = ("packages", "datasets", "runs", "keys", "erased", "trials")
_DECISION = re.compile(r"runs/([^/]+)/outcome\.json")


def whose(backend: Backend, digest: str, *, size: int | None, held: bool) -> str | None:
    """What of pkgrun's own a content is, in words; None if it is nothing of that. Every record is listed, and those are read that may say so.

    Args:
        size: how many bytes it has, if that is known: then no record of another size is it.
        held: whether it may be in the store; else it is no lock, and no log.

    Raises:
        PermissionDenied, Temporary: the store cannot be read.
    """
    keys = [
        key for key, length in _records(backend) if length == size or size is None or (held and _refers(key))
    ]
    found = each(lambda key: _asked(backend, key, digest), keys, run=1)
    return next((what for what in found if what is not None), None)


def _records(backend: Backend) -> Iterator[tuple[str, int]]:
    """The keys of all records, with their sizes."""
    if (stat := backend.stat("pkgrun-store.json")) is not None:
        yield "pkgrun-store.json", stat.size
    for folder in _FOLDERS:
        yield from ((key, stat.size) for key, stat in backend.walk(folder))


def _refers(key: str) -> bool:
    """Whether a record may name a lock or a log."""
    return bool(_DECISION.fullmatch(key) or numbers.RECORD.fullmatch(key))


def _asked(backend: Backend, key: str, digest: str) -> str | None:
    """What one record says."""
    try:
        data = backend.read(key)
    except NotFound:
        return None
    if hashlib.sha256(data).hexdigest() == digest[7:]:
        return f"{key}, a record"
    if digest.encode() not in data or not _refers(key):
        return None
    try:
        return _referred(key, data, digest)
    except Damaged:  # `store fsck` tells of it
        return None


def _referred(key: str, data: bytes, digest: str) -> str | None:
    if numbers.RECORD.fullmatch(key):
        version = VersionRecord.from_bytes(data, key=key)
        lock = version.environment.lock.digest if version.environment else None
        return f"the lock of {version.package}@{version.version}" if lock == digest else None
    outcome = Outcome.from_bytes(data, key=key)
    if outcome.facts and outcome.facts.log and outcome.facts.log.digest == digest:
        return f"the log of the run {outcome.run}"
    names = {blob.digest for blob in blobs_of(outcome)}
    return f"the lock of the run {outcome.run}" if digest in names else None
