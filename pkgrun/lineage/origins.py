"""Where imports came from, held against what is known of that: here, and in the store that they came from, if that is asked.

What a passport says is believed by nobody: whoever writes a zip can write it, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING

from pkgrun.errors import Damaged, NotFound, UsageError
from pkgrun.lineage.audited import Elsewhere, Reservation
from pkgrun.lineage.pedigree import Member, Pedigree
from pkgrun.records import Origin, VersionRecord
from pkgrun.runs import passports
from pkgrun.store import numbers
from pkgrun.store.backend import Backend
from pkgrun.store.fsck.findings import Finding
from pkgrun.store.fsck.forms import needs_of, parse
from pkgrun.store.objects import digest_of
from pkgrun.store.root import Store

if TYPE_CHECKING:
    from pkgrun.lineage.audited import Audit

_HINT = "the zip came with a passport that is not true, or one of these records was altered"

Look = Callable[[Store, str], "Audit"]
"""Audits a version of another store."""


def _imports(found: Pedigree) -> Iterator[tuple[Member, VersionRecord, Origin]]:
    """All that came from elsewhere, as it was said."""
    for member in found.versions:
        record = member.version
        if record is not None and record.origin is not None:
            yield member, record, record.origin


def _unfounded(member: Member, origin: Origin, why: str) -> Finding:
    key = member.key or member.label
    message = f"{key} says that it came from {origin.package}@{origin.version} of the store {origin.store}, and {why}"
    return Finding("origin-unfounded", "hole", key, message, _HINT, needs_of(key))


# ---------------------------------------------------------------------- here


def contradicted(store: Store, found: Pedigree, written: Mapping[str, str]) -> Iterator[Finding]:
    """Imports of which versions of this store say something else.

    Args:
        written: the digests of the records that there are.
    """
    members = {member.label: member for member in found.versions}
    for member, record, origin in _imports(found):
        nearest = found.nearest.get(member.label)
        standing = members[str(nearest.named)] if nearest else None
        if nearest is None or standing is None or standing.key is None or standing.version is None:
            continue
        named = (origin.record, *origin.ancestors)[nearest.rank :]
        if written.get(standing.key) != named[0]:
            why = f"{standing.key}, which was the record {named[0]}, is another one now"
            yield _unfounded(member, origin, why)
        elif nearest.rank == 0 and (wrong := _other_than(record, origin, standing.version)):
            yield _unfounded(member, origin, f"{standing.key} {wrong}")
        elif _other_ancestors(store.backend, standing.version, named[1:], len(origin.ancestors)):
            why = f"it names other ancestors than {standing.label} has"
            yield _unfounded(member, origin, why)


def _other_than(record: VersionRecord, origin: Origin, standing: VersionRecord) -> str | None:
    """What the record of the origin says that the import does not."""
    if (standing.package, standing.version) != (origin.package, origin.version):
        return f"is the record of {standing.package}@{standing.version}"
    if standing.tree != record.tree:
        return f"is of another content, {standing.tree.digest}"
    return None


def _other_ancestors(backend: Backend, standing: VersionRecord, named: tuple[str, ...], told: int) -> bool:
    """Whether a version has other ancestors than are named; of very many only the nearest are. What cannot be read is told with it."""
    try:
        there = tuple(islice(passports.ancestors(backend, standing), passports.ANCESTORS))
    except (NotFound, Damaged):
        return False
    return there[: len(named)] != named or (told < passports.ANCESTORS and len(there) != len(named))


# ---------------------------------------------------------------------- elsewhere


def unchecked(found: Pedigree, other: Store | None) -> Iterator[Reservation]:
    """The imports whose origin is neither here nor in the store that is asked."""
    for member, _, origin in _imports(found):
        nearest = found.nearest.get(member.label)
        if (nearest and nearest.rank == 0) or (other is not None and other.id == origin.store):
            continue
        said = (
            f"{member.label} came, as its passport says, from {origin.package}@{origin.version} of the store"
            f" {origin.store}, whose record {origin.record} was not found here: that was not looked at; --from STORE audits it there"
        )
        if nearest:
            said += f". What is here is an ancestor of that, {nearest.named}, which was"
        yield Reservation("origin-unchecked", member.label, said)


def check_asked(found: Pedigree, other: Store) -> None:
    """That another store is of use; if some record cannot be read, nobody knows.

    Raises:
        UsageError: nothing came from it.
    """
    if any(member.record is None for member in found.versions):
        return
    first = found.versions[0].label
    stores = {origin.store for _, _, origin in _imports(found)}
    if not stores:
        raise UsageError(
            f"nothing that {first} rests on came from another store", hint="leave the other store away"
        )
    if other.id not in stores:
        raise UsageError(
            f"{other.url} is the store {other.id}, and {first} came from {', '.join(sorted(stores))}",
            hint="name the store that it was exported from; a copy of that is another store",
        )


def there(
    other: Store, found: Pedigree, look: Look
) -> tuple[list[Finding], list[Reservation], list[Elsewhere]]:
    """What the other store says of the imports that came from it: their records there, and an audit of each."""
    wrong: list[Finding] = []
    weak: list[Reservation] = []
    seen: list[Elsewhere] = []
    for member, record, origin in _imports(found):
        if origin.store != other.id:
            continue
        if why := _denied(other, record, origin):
            wrong.append(_unfounded(member, origin, why))
            continue
        name = f"{origin.package}@{origin.version}"
        try:
            audit = look(other, name)
        except (NotFound, Damaged) as error:
            wrong.append(_unfounded(member, origin, f"there {error.message}"))
            continue
        seen.append(Elsewhere(member.label, audit.name, other.url, audit.verdict, audit.fingerprint))
        weak += (
            Reservation(one.kind, member.label, f"in {other.url}: {one.message}")
            for one in audit.reservations
        )
        if not audit.sound:
            bad = [one.message for one in audit.findings if one.severity in ("hole", "damage")]
            more = f", and {len(bad) - 1} more" if len(bad) > 1 else ""
            wrong.append(_unfounded(member, origin, f"that is broken in {other.url}: {bad[0]}{more}"))
    return wrong, weak, seen


def _denied(other: Store, record: VersionRecord, origin: Origin) -> str | None:
    """What another store says that an origin does not."""
    key = numbers.key(origin.package, origin.version)
    try:
        data = other.backend.read(key)
        standing = parse(VersionRecord, data, key)
    except NotFound:
        return f"there is no {key} in {other.url}"
    except Damaged as error:
        return f"in {other.url} {error.message}"
    if digest_of(data) != origin.record:
        return f"its record there, {key}, has another digest"
    if wrong := _other_than(record, origin, standing):
        return f"{key} there {wrong}"
    if _other_ancestors(other.backend, standing, origin.ancestors, len(origin.ancestors)):
        return "it names other ancestors than that has there"
    return None
