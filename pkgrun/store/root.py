"""Opening a store: is this one, which, can this release read it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pkgrun.errors import Conflict, Damaged, NotFound, UsageError
from pkgrun.observe import Observer
from pkgrun.records import StoreRecord
from pkgrun.store import marker
from pkgrun.store.backend import Backend
from pkgrun.store.files import shown
from pkgrun.store.local import LocalBackend, translate
from pkgrun.store.marker import Lost
from pkgrun.store.objects import Objects
from pkgrun.store.operations import new_run_id
from pkgrun.store.patience import Distant, Patience

if TYPE_CHECKING:
    from pkgrun.store.remote import RemoteBackend

KEY = marker.KEY


@dataclass(frozen=True, slots=True)
class Store:
    """An open store: where its bytes are, and its blobs."""

    backend: Backend
    objects: Objects
    id: str
    cache: str | None = None
    """This machine's cache folder, if it may be used."""
    patience: Patience | None = None
    """How its server is waited for, if it is."""
    lost: Lost | None = None
    """What is left of its own record, if that is missing or damaged."""

    @property
    def url(self) -> str:
        """Where it is, without credentials."""
        return shown(self.backend.url)

    def apart(self) -> Store:
        """The same store for one operation, with blobs on their way that are its own."""
        backend = self.backend.apart()
        return replace(self, backend=backend, objects=self.objects.apart(backend))

    def waiting(self, observer: Observer, *, over: Callable[[], bool] = lambda: False) -> Store:
        """The same store for one operation, which waits while the server is away; a directory has none.

        Args:
            observer: told that it waits.
            over: whether nobody wants to wait any longer.
        """
        if not isinstance(self.backend, Distant):
            return self
        patience = Patience(self.url, observer, over=over)
        backend = self.backend.waiting(patience)
        # With an index of its own, whose questions wait too.
        return replace(
            self, backend=backend, objects=Objects(backend, _derived(self.cache, self.id)), patience=patience
        )


def open_store(location: str, *, create: bool, cache: str | None = None) -> Store:
    """Open the store in a directory or at `s3://bucket/prefix`; with `create`, make it if there is none.

    Args:
        cache: this machine's cache folder, for what is derived from the store.

    Raises:
        NotFound: there is none, and it is not to be made; or there is not even the bucket.
        Conflict: something else is there, or a store of a newer format.
        Damaged: a store is there whose own record is missing or damaged.
        UsageError: the location is none that this release knows, or its server lacks what a store needs.
        PermissionDenied, Temporary: the system or the server refuses it.
    """
    backend, record = _open_remote(location, create) if "://" in location else _open_local(location, create)
    return Store(backend, Objects(backend, _derived(cache, record.store)), record.store, cache)


def open_damaged(location: str, *, cache: str | None = None) -> Store:
    """Open a store also where its own record is missing or damaged, to look at it or to mend it; then nothing that is derived
    from it is remembered.

    Raises:
        NotFound: there is none, and nothing of one.
        Conflict: it is of a newer format.
        UsageError, PermissionDenied, Temporary: as `open_store` does.
    """
    try:
        return open_store(location, create=False, cache=cache)
    except Damaged:
        backend = _place(location)
        lost = marker.lost(backend)
        return Store(backend, Objects(backend), lost.id, lost=lost)


def _place(location: str) -> Backend:
    return _server(location) if "://" in location else LocalBackend(_directory(location))


def _derived(cache: str | None, store: str) -> str | None:
    """Where the cache folder keeps what is derived from a store."""
    return os.path.join(cache, "stores", store) if cache is not None else None


def _open_local(location: str, create: bool) -> tuple[Backend, StoreRecord]:
    backend = LocalBackend(_directory(location))
    data = marker.read(backend)
    if data is None:
        marker.check_not_lost(backend)
        _check_wanted(location, create)
        _make_directory(backend, location)
        data = marker.new(new_run_id())
        if not backend.create(KEY, data):
            data = backend.read(KEY)
    return backend, marker.parse(backend, data)


def _server(location: str) -> RemoteBackend:
    if not location.startswith("s3://"):  # the rest of it is not repeated: it may hold credentials
        raise UsageError(
            f"{location.partition('://')[0]}://…: stores are directories or s3://bucket/prefix",
            hint="many other services speak S3 too: set AWS_ENDPOINT_URL",
        )
    # And with it obstore, which a directory does not need.
    from pkgrun.store.remote import RemoteBackend

    return RemoteBackend(location)


def _open_remote(location: str, create: bool) -> tuple[Backend, StoreRecord]:
    backend = _server(location)
    from pkgrun.store.remote import TRIALS

    data = marker.read(backend)
    if data is not None:
        record = marker.parse(backend, data)
        backend.check(KEY, data)
        return backend, record
    names = list(backend.list(""))  # says too if the bucket is missing
    if names:
        marker.check_not_lost(backend)
    _check_wanted(backend.url, create)
    _check_empty(backend.url, [name for name in names if name != TRIALS or not backend.tries()])
    backend.try_out()
    data = marker.new(new_run_id())
    if not backend.create(KEY, data):
        data = backend.read(KEY, 0, marker.SIZE)
    return backend, marker.parse(backend, data)


def _directory(location: str) -> Path:
    if "\0" in location or not location:
        raise UsageError(f"{location!r} is no directory's name")
    if location.startswith("s3:/"):  # what pathlib makes of a URL
        raise UsageError("s3:/…: a slash is missing", hint="s3://bucket/prefix")
    try:
        return Path(location).expanduser().absolute()
    except FileNotFoundError as error:
        raise UsageError(
            f"{location} is below the current directory, which is gone", hint="go to another one"
        ) from error


def _check_wanted(location: str, create: bool) -> None:
    if not create:
        raise NotFound(
            f"there is no store at {location}",
            hint="`pkgrun train FOLDER`, `package add` or `dataset add` makes one; --store or PKGRUN_STORE names another",
        )


def _check_empty(location: str, names: list[str]) -> None:
    if names and KEY not in names:
        raise Conflict(
            f"{location} is not empty and no store ({names[0]!r} is in it)",
            hint="name an empty or a new directory or prefix",
        )


def _make_directory(backend: LocalBackend, location: str) -> None:
    try:
        os.makedirs(backend.root, exist_ok=True)
        _check_empty(location, [name for name in os.listdir(backend.root) if not name.startswith(".")])
    except (FileExistsError, NotADirectoryError) as error:
        raise UsageError(f"{location} cannot be made a store: {error.strerror}") from error
    except OSError as error:
        raise translate(error, location) from error
