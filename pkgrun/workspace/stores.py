"""The library's face for whole stores. Composition only; the work is done below."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pkgrun import __version__
from pkgrun.observe import Observer, silent
from pkgrun.runs.here import actor
from pkgrun.settings import cache_folder
from pkgrun.store.root import open_store

if TYPE_CHECKING:
    from pkgrun.runs.copying import Copy


def copy_store(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    package: str | None = None,
    observer: Observer = silent,
) -> Copy:
    """Copy a store into another, or one package with its lineage: its versions, its runs, the datasets these were given.

    Numbers, records and contents stay what they are. What the target has already is not sent again, so a copy that was
    broken off is gone on with by calling this once more. Runs that go on are left out, for the next time.

    Args:
        source: the store to copy from; it must exist.
        target: the store to copy into; it is made if it is not there yet.
        package: the one that is wanted; without it everything is.
        observer: told what happens, from several threads.

    Raises:
        NotFound: there is no store to copy from, or it has no such package.
        UsageError: both places are the same, or one is in the other; or a place is none.
        Conflict: the target has something else under a number, of a run, or for an idempotency key. Nothing is copied.
        Damaged: something in the source is not what it was; it is named, and nothing is seen of the copy.
        PermissionDenied, Temporary: the system or a server refuses.
    """
    from pkgrun.runs.copying import check_apart, copy

    cache = cache_folder()
    given = open_store(os.fspath(source), create=False, cache=cache)
    check_apart(given.backend.url, os.fspath(target))
    into = open_store(os.fspath(target), create=True, cache=cache)
    return copy(given, into, package=package, by=actor(__version__), observer=observer)
