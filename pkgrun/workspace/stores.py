"""The library's face for whole stores. Composition only; the work is done below."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pkgrun import __version__
from pkgrun.errors import UsageError
from pkgrun.observe import Observer, silent
from pkgrun.runs.arguments import checked
from pkgrun.runs.here import actor
from pkgrun.settings import DEFAULT_GRACE, cache_folder, store_location
from pkgrun.store.root import Store, open_damaged, open_store

if TYPE_CHECKING:
    from pkgrun.runs.collecting import Collection, Outlook
    from pkgrun.runs.copying import Copy
    from pkgrun.runs.mending import Repaired
    from pkgrun.runs.retention import Rule
    from pkgrun.store.fsck.findings import Report


@checked
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


@checked
def gc_plan(
    store: str | os.PathLike[str] | None = None,
    *,
    grace: float = DEFAULT_GRACE,
    keep_last: int | None = None,
    keep_within: float | None = None,
    force: bool = False,
) -> Outlook:
    """What `gc` would do; nothing is condemned, removed or deleted.

    Raises:
        NotFound, UsageError, PermissionDenied, Temporary: as `pkgrun.open` does.
        Damaged: a record or a directory cannot be read, so that nobody knows what is needed.
    """
    from pkgrun.runs import collecting

    return collecting.plan(
        _given(store), grace=grace, rule=_rule(keep_last, keep_within, force=force), force=force
    )


@checked
def gc(
    store: str | os.PathLike[str] | None = None,
    *,
    grace: float = DEFAULT_GRACE,
    keep_last: int | None = None,
    keep_within: float | None = None,
    force: bool = False,
    observer: Observer = silent,
) -> Collection:
    """Collect garbage: condemn what nothing refers to, and delete what was condemned before. Anybody may work meanwhile.

    First, what was decided is carried out, and operations without a sign of life for the grace (15 min at least) are
    given up. Whatever breaks it off, nothing is lost, and the next one goes on with it.

    Args:
        store: which one; by default as for `pkgrun.open`.
        grace: seconds between condemning and deleting; 0 deletes at once what nobody can be using.
        keep_last: first remove all but so many versions of each package, as `Retention.prune` does.
        keep_within: first remove versions that were made earlier than so many seconds ago, likewise.
        force: as `Retention.prune` has it.
        observer: told how far it is.

    Raises:
        NotFound, UsageError, PermissionDenied, Temporary: as `pkgrun.open` does.
        Damaged: a record or a directory cannot be read, so that nobody knows what is needed; nothing was deleted.
    """
    from pkgrun.runs import collecting

    return collecting.collect(
        _given(store),
        grace=grace,
        rule=_rule(keep_last, keep_within, force=force),
        force=force,
        by=actor(__version__),
        observer=observer,
    )


@checked
def fsck(
    store: str | os.PathLike[str] | None = None,
    *,
    read_data: bool = False,
    sample: float | None = None,
    seed: int | None = None,
    observer: Observer = silent,
) -> Report:
    """Look whether a store holds all that it says; nothing is changed, whatever is found.

    Every record and every directory is read, and what they refer to is looked for; sizes and indexes are compared.

    Args:
        store: as `pkgrun.open` takes it.
        read_data: read and hash every byte besides.
        sample: read and hash a random share of the bytes instead, between 0 and 1.
        seed: of that share; the report names it, and with it the same share is read again.
        observer: told how far it is.

    Raises:
        UsageError: that is no share; or as `pkgrun.open` raises it.
        NotFound, PermissionDenied, Temporary: as `pkgrun.open` does.
    """
    from pkgrun.runs import inspection

    if sample is not None and not 0 < sample <= 1:
        raise UsageError(f"{sample} is no share of the bytes", hint="give one above 0, up to 1")
    found = inspection.inspect(
        _damaged(store), read_data=read_data, sample=sample, seed=seed, observer=observer
    )
    return found.report


@checked
def repair(
    store: str | os.PathLike[str] | None = None,
    *,
    source: str | os.PathLike[str] | None = None,
    execute: bool = False,
    observer: Observer = silent,
) -> Repaired:
    """Mend what can be mended of a store, by a plan from what `fsck` finds when it reads everything.

    What is replaced or taken out of use is kept below `gc/quarantine/`. What cannot be brought back is named.

    Args:
        store: as `pkgrun.open` takes it.
        source: a store of the same content, such as a copy, to bring back what is lost here.
        execute: carry the plan out; without it nothing is changed.
        observer: told how far it is.

    Raises:
        UsageError: a store cannot be repaired from itself.
        Damaged: the other store's own record cannot be read.
        NotFound, PermissionDenied, Temporary: as `pkgrun.open` does. What was done is right as it stands.
    """
    from pkgrun.runs import mending

    other = open_store(os.fspath(source), create=False, cache=cache_folder()) if source is not None else None
    return mending.repair(_damaged(store), other, execute=execute, by=actor(__version__), observer=observer)


def _given(store: str | os.PathLike[str] | None) -> Store:
    location = store_location(os.fspath(store) if store is not None else None)
    return open_store(location, create=False, cache=cache_folder())


def _damaged(store: str | os.PathLike[str] | None) -> Store:
    """The same, be it that its own record is lost."""
    location = store_location(os.fspath(store) if store is not None else None)
    return open_damaged(location, cache=cache_folder())


def _rule(keep_last: int | None, keep_within: float | None, *, force: bool) -> Rule | None:
    from pkgrun.runs.retention import Rule

    asked = force or keep_last is not None or keep_within is not None
    return Rule(keep_last, keep_within) if asked else None
