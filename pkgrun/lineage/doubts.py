"""What weakens the claim that a version is what it says, though nothing is wrong with the store."""

from __future__ import annotations

from collections.abc import Iterator

from pkgrun.errors import Damaged, NotFound
from pkgrun.lineage.audited import Reservation
from pkgrun.lineage.pedigree import Member, Pedigree
from pkgrun.lineage.rungs import given
from pkgrun.records import Origin
from pkgrun.runs.inspection import Inspection
from pkgrun.store import erased, numbers, operations
from pkgrun.store.fsck.findings import FROM, Finding
from pkgrun.store.fsck.forms import needs_of
from pkgrun.store.root import Store


def reservations(store: Store, found: Pedigree, seen: Inspection, *, checked: bool) -> Iterator[Reservation]:
    """All of them, the nearest first.

    Args:
        checked: whether the store that an import came from was asked.
    """
    for member in found.versions:
        yield from _data(member)
        yield from _removed(store, found, member)
    for member in found.evaluations:
        yield from _data(member)
    yield from _erased(store, seen)
    yield from _claims(found)
    if not checked:
        yield from _origins(found)


def _data(member: Member) -> Iterator[Reservation]:
    for one in given(member):
        what = f"{one.source} (as {one.role})"
        if not one.attested:
            said = f"the data of the run {member.run} was not attested: whether {what} is what its code saw is not known"
            yield Reservation("data-unattested", member.label, said)
        if not (one.listed or one.kept or one.label):
            said = f"the files of {what} are not listed in the store: of the data of the run {member.run} only the digest is known"
            yield Reservation("data-unlisted", member.label, said)


def _removed(store: Store, found: Pedigree, member: Member) -> Iterator[Reservation]:
    if member.key is None or numbers.tombstone_of(member.key) not in found.tombstones:
        return
    said = f"the content of {member.label} was given up, and its bytes were not looked at"
    if member.version is not None:
        try:
            removal = numbers.removed(store.backend, member.version.package, member.version.version)
        except Damaged:  # which is told as a finding
            return
        if removal is not None:
            why = f": {removal.reason}" if removal.reason else ""
            said = f"the content of {member.label} was given up on {removal.created:%Y-%m-%d} by {removal.by.user}{why}; its bytes were not looked at"
    yield Reservation("content-removed", member.label, said)


def _erased(store: Store, seen: Inspection) -> Iterator[Reservation]:
    """What is gone by a receipt; one that came with a copy is proven where its erasure was."""
    for one in seen.report.findings:
        if one.kind != "erased":
            continue
        about = one.needed_by[0] if one.needed_by else None
        where = f" ({about.label}: {about.path})" if about and about.path else ""
        said = f"{one.message}{where}"
        if not _is_ours(store, one):
            said += f"; that erasure is not of this store, so that nothing here proves {one.key}"
        yield Reservation("content-erased", about.label if about else one.key, said)


def _is_ours(store: Store, one: Finding) -> bool:
    """Whether a run of this store asked for the receipt."""
    try:
        for raw in one.digests:
            found = erased.receipt(store.backend, raw)
            if found is not None:
                return erased.receipt_of(operations.intent(store.backend, found.run)) == found
    except (Damaged, NotFound):
        pass
    return False


def _claims(found: Pedigree) -> Iterator[Reservation]:
    """A copy may have left a claim behind, so that its absence is no fault; nothing of the version rests on it."""
    claimed = {key.split("/")[1] for key in found.claims}
    for member in found.members:
        asked = member.intent.idempotency_key if member.intent else None
        if asked and asked[7:] not in claimed:
            said = f"keys/{asked[7:]}/ has no claim, and the run {member.run} names that idempotency key"
            yield Reservation("claim-missing", member.label, said)


# ---------------------------------------------------------------------- where an import came from


def origins(found: Pedigree) -> Iterator[tuple[Member, Origin]]:
    """The imports that came from another store, and are not of a version that is here."""
    here = {member.label for member in found.versions if member.part == "origin"}
    for member in found.versions:
        if member.version is not None and member.version.origin is not None and not here:
            yield member, member.version.origin


def _origins(found: Pedigree) -> Iterator[Reservation]:
    for member, origin in origins(found):
        said = (
            f"{member.label} came from {origin.package}@{origin.version} of the store {origin.store}, whose record"
            f" {origin.record} is there; --from STORE looks at it"
        )
        yield Reservation("origin-unchecked", member.label, said)


def contradicted(other: Store | None, found: Pedigree) -> Iterator[Finding]:
    """Imports of which the other store says something else, or knows nothing."""
    if other is None:
        return
    for member, origin in origins(found):
        if (why := _other_than(other, origin)) and member.key:
            message = f"{member.key} says that it came from {origin.package}@{origin.version}, and {why}"
            yield Finding("chain-broken", "hole", member.key, message, FROM, needs_of(member.key))


def _other_than(other: Store, origin: Origin) -> str | None:
    """What another store says that an origin does not."""
    if other.id != origin.store:
        return f"{other.url} is another store than that"
    package, version = origin.package, origin.version
    ancestors = list(origin.ancestors)
    try:
        if numbers.digest(other.backend, package, version) != origin.record:
            return f"its record there, {numbers.key(package, version)}, has another digest"
        parent = numbers.read(other.backend, package, version).parent
        while parent is not None and ancestors:
            if numbers.digest(other.backend, package, parent) != ancestors.pop(0):
                return f"an ancestor there, {numbers.key(package, parent)}, has another digest"
            parent = numbers.read(other.backend, package, parent).parent
    except (NotFound, Damaged) as error:
        return f"there {error.message}"
    return None
