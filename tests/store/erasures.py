"""An erasure step by step, and what must be there afterwards."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

from pkgrun.records import ErasureRequest, Intent, Outcome
from pkgrun.store import erased, erasing, operations, trees
from pkgrun.store.backend import Backend
from pkgrun.store.objects import digest_of
from pkgrun.store.root import Store
from tests.store.blobs import lacking
from tests.store.entries import intent
from tests.store.test_collecting import (
    LARGE,
    again,
)

SECRET = b"name,born\nAda,1815\n"
FILES = {"a/rows.csv": SECRET, "a/others.csv": b"x\n" * 50, "b/large": os.urandom(LARGE), "c": b"c"}
REST = {path: data for path, data in FILES.items() if data != SECRET}


def digest(data: bytes) -> str:
    return digest_of(data)


def raw(data: bytes) -> bytes:
    return bytes.fromhex(digest_of(data)[7:])


def began(store: Store, data: bytes) -> Intent:
    """An erasure whose receipt is there, and which has swept nothing yet."""
    run = operations.new_run_id()
    asked = ErasureRequest(digest=digest_of(data), reason="a test")
    made = intent(run, kind="erasure", package=None, erasure=asked)
    assert operations.begin(store.backend, made)
    receipt = erased.receipt_of(made)
    assert receipt is not None
    store.backend.create(erased.key(raw(data)), receipt.to_bytes())
    return made


def sweep(backend: Backend, begun: Intent) -> None:
    """The rest of an erasure."""

    def check() -> None:
        assert not operations.decided_already(backend, begun.run)

    erasing.sweep(backend, check=check)
    operations.decide(backend, Outcome(run=begun.run, decision="COMMIT", created=datetime.now(UTC)))


def erase(store: Store, data: bytes) -> None:
    sweep(store.backend, began(store, data))


def everywhere(store: Store) -> bytes:
    """All bytes of a store, whatever they are."""
    return b"\0".join(path.read_bytes() for path in sorted(Path(store.url).rglob("*")) if path.is_file())


def whole(store: Store, tree: str, files: dict[str, bytes]) -> None:
    """All of these files can be read by another process, and the store lacks nothing that was not erased."""
    objects = again(store).objects
    found = {
        path: entry for path, entry in trees.walk(objects, tree) if entry.kind == "file" and path in files
    }
    assert {path: b"".join(objects.stream(entry.digest)) for path, entry in found.items()} == files
    assert lacking(store) == set()
