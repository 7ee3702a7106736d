"""Where an exported version is from: written beside it, and believed on import only if it is about what is imported.

It is no signature: somebody who may write both files can make up both. What it says is kept as what was said.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from pkgrun.errors import Damaged, PackageInvalid
from pkgrun.identity import Version
from pkgrun.records import Origin, Tree, VersionRecord
from pkgrun.records.passport import Passport
from pkgrun.store import numbers
from pkgrun.store.backend import Backend
from pkgrun.store.objects import digest_of
from pkgrun.store.root import Store

ANCESTORS = 1_000
"""Of more, the nearest are told: a record holds them all."""

_UNSEALED = "sha256:" + "0" * 64


def issue(store: Store, record: VersionRecord) -> Passport:
    """The passport of a version: its record's digest, and those of all that it came from."""
    named = tuple(islice(ancestors(store.backend, record), ANCESTORS))
    return _sealed(
        Passport(
            store=store.id,
            package=record.package,
            version=record.version,
            record=numbers.digest(store.backend, record.package, record.version),
            tree=record.tree.digest,
            ancestors=named,
            seal=_UNSEALED,
        )
    )


def ancestors(backend: Backend, record: VersionRecord) -> Iterator[str]:
    """The digests of the records of all that a version came from, the nearest first.

    Raises:
        NotFound, Damaged: one of them is not there, or not what it should be.
    """
    seen: set[Version] = set()
    while record.parent is not None and record.parent not in seen:
        seen.add(record.parent)
        yield numbers.digest(backend, record.package, record.parent)
        record = numbers.read(backend, record.package, record.parent)
    if record.origin is not None:
        yield record.origin.record
        yield from record.origin.ancestors


def _sealed(passport: Passport) -> Passport:
    blank = passport.model_copy(update={"seal": _UNSEALED})
    return passport.model_copy(update={"seal": digest_of(blank.to_bytes())})


def read(data: bytes, label: str) -> Passport:
    """A passport, if nobody has changed it.

    Raises:
        PackageInvalid: it is none, or was changed.
    """
    try:
        passport = Passport.from_bytes(data, key=label)
    except Damaged as error:
        raise PackageInvalid(
            f"{label} does not say where the zip is from: {error.message}", hint=_HINT
        ) from error
    if passport != _sealed(passport) or len(passport.ancestors) > ANCESTORS:
        raise PackageInvalid(f"{label} was changed since it was written: its seal is another's", hint=_HINT)
    return passport


def origin(passport: Passport, tree: Tree, label: str) -> Origin:
    """What it says of a content that was imported.

    Raises:
        PackageInvalid: it is about another content.
    """
    if passport.tree != tree.digest:
        raise PackageInvalid(
            f"{label} is about another content: {passport.tree}, and the zip holds {tree.digest}", hint=_HINT
        )
    return Origin(
        store=passport.store,
        package=passport.package,
        version=passport.version,
        record=passport.record,
        ancestors=passport.ancestors,
    )


_HINT = "take that file away, and the zip is imported without its ancestry"
