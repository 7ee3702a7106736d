"""The same key, the same operation: a caller that does not know whether its first call arrived may call again.

`keys/<sha256 of the key>/<attempt>.json` names the run of each attempt and the digest of what was asked. While the
last attempt runs, or after it committed, the key stands for it; after it failed, or was not heard for long, for a new one.
"""

from __future__ import annotations

from datetime import UTC, datetime

from pkgrun.errors import Conflict, NotFound
from pkgrun.records import KeyRecord
from pkgrun.runs import recover
from pkgrun.store.objects import digest_of
from pkgrun.store.root import Store


def digest(key: str) -> str:
    """What records hold of a key, which may be any text."""
    return digest_of(key.encode("utf-8", "surrogatepass"))


def key_of(digest: str, attempt: int) -> str:
    """Where it is written which run an attempt is."""
    return f"keys/{digest.removeprefix('sha256:')}/{attempt:08}.json"


def claim(store: Store, key: str, *, asked: bytes, before: bytes, run: str) -> str:
    """The id of the run that the key stands for: `run`, or the id of an earlier attempt that counts.

    `before`: what the same call asked for in other words, before the store had what its name means now; else the same.
    A run that is named here and has no intent yet belongs to whoever creates the intent.

    Raises:
        Conflict: the key was used for something else.
    """
    wanted, attempt = digest_of(asked), 0
    while True:
        name = key_of(digest(key), attempt)
        try:
            record = KeyRecord.from_bytes(store.backend.read(name), key=name)
        except NotFound:
            record = KeyRecord(run=run, asked=wanted, created=datetime.now(UTC))
            store.backend.create(name, record.to_bytes())
            continue
        if record.asked not in (wanted, digest_of(before)):
            raise Conflict(
                f"the idempotency key {key!r} was used with other arguments, by the run {record.run}",
                hint="use a new key for a new request",
            )
        if record.run == run or not _over(store, record.run):
            return record.run
        attempt += 1


def _over(store: Store, run: str) -> bool:
    """Whether a run has ended without a version. One that is silent is given up, so that the key cannot stand for nothing."""
    try:
        record = recover.settle(store, run)
        if record.status == "silent":
            record = recover.give_up(store, run)
    except NotFound:
        return False
    return record.final and record.status != "successful"
