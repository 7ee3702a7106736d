"""Opening a store: is this one, which, can this release read it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import orjson

from pkgrun.errors import Conflict, Damaged, NotFound, UsageError
from pkgrun.records import FORMAT, StoreRecord
from pkgrun.store.backend import Backend
from pkgrun.store.local import LocalBackend, translate
from pkgrun.store.objects import Objects, shown
from pkgrun.store.operations import new_run_id

KEY = "pkgrun-store.json"

LATER = ("packs", "erased")
"""Folders of the format that later releases write, and without which the answers of this one would be wrong."""


@dataclass(frozen=True, slots=True)
class Store:
    """An open store: where its bytes are, and its blobs."""

    backend: Backend
    objects: Objects
    id: str

    @property
    def url(self) -> str:
        """Where it is, without credentials."""
        return shown(self.backend.url)

    def apart(self) -> Store:
        """The same store for one operation, with blobs on their way that are its own."""
        backend = self.backend.apart()
        return Store(backend, Objects(backend), self.id)


def open_store(location: str, *, create: bool) -> Store:
    """Open the store in a directory; with `create`, make it if there is none.

    Raises:
        NotFound: there is none, and it is not to be made.
        Conflict: the directory holds something else, or a store of a newer format.
        UsageError: the location is none that this release knows.
        PermissionDenied, Temporary: the system refuses it.
    """
    backend = LocalBackend(_directory(location))
    record = _record(backend)
    if record is None:
        record = _make(backend, location, create=create)
    for kind in LATER:
        if next(backend.list(kind), None) is not None:
            raise Conflict(
                f"the store {shown(backend.url)} holds {kind}/, which this release does not know how to honour",
                hint="upgrade pkgrun",
            )
    return Store(backend, Objects(backend), record.store)


def _directory(location: str) -> Path:
    if "://" in location:
        location = location.partition("://")[0] + "://…"  # it may hold credentials
        raise UsageError(f"{location}: stores at URLs are not supported yet", hint="give a directory")
    if "\0" in location or not location:
        raise UsageError(f"{location!r} is no directory's name")
    try:
        return Path(location).expanduser().absolute()
    except FileNotFoundError as error:
        raise UsageError(
            f"{location} is below the current directory, which is gone", hint="go to another one"
        ) from error


def _record(backend: Backend) -> StoreRecord | None:
    try:
        data = backend.read(KEY)
    except NotFound:
        return None
    try:
        found = orjson.loads(data)["format"]
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise Damaged(f"{KEY} in {backend.url} is not a store's record") from error
    if isinstance(found, int) and found > FORMAT:
        raise Conflict(
            f"the store {backend.url} has format {found}; this release reads up to {FORMAT}",
            hint="upgrade pkgrun",
        )
    return StoreRecord.from_bytes(data, key=KEY)


def _make(backend: LocalBackend, location: str, *, create: bool) -> StoreRecord:
    if not create:
        raise NotFound(
            f"there is no store at {location}",
            hint="`pkgrun train FOLDER` or `pkgrun package add FOLDER` makes one; --store or PKGRUN_STORE names another",
        )
    try:
        os.makedirs(backend.root, exist_ok=True)
        strangers = [name for name in os.listdir(backend.root) if not name.startswith(".")]
    except (FileExistsError, NotADirectoryError) as error:
        raise UsageError(f"{location} cannot be made a store: {error.strerror}") from error
    except OSError as error:
        raise translate(error, location) from error
    if strangers and KEY not in strangers:
        raise Conflict(
            f"{location} is not empty and no store ({strangers[0]!r} is in it)",
            hint="name an empty or a new directory",
        )
    record = StoreRecord(store=new_run_id(), created=datetime.now(UTC))
    if backend.create(KEY, record.to_bytes()):
        return record
    return StoreRecord.from_bytes(backend.read(KEY), key=KEY)
