"""What weakens the claim that a version is what it says, though nothing is wrong with the store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pkgrun.errors import Damaged
from pkgrun.lineage.audited import Reservation
from pkgrun.lineage.excuses import Ground
from pkgrun.lineage.pedigree import Member, Pedigree
from pkgrun.lineage.rungs import given
from pkgrun.runs.inspection import Inspection
from pkgrun.store import numbers
from pkgrun.store.root import Store


def reservations(
    store: Store, found: Pedigree, seen: Inspection, grounds: Mapping[bytes, Ground]
) -> Iterator[Reservation]:
    """All of them, the nearest first, but for where imports came from (`origins`).

    Args:
        grounds: on what the receipts stand of what is gone.
    """
    for member in found.versions:
        yield from _data(member)
        yield from _removed(store, found, member)
    for member in found.evaluations:
        yield from _data(member)
    yield from _erased(seen, grounds)
    yield from _claims(found)


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


def _erased(seen: Inspection, grounds: Mapping[bytes, Ground]) -> Iterator[Reservation]:
    """What is gone by a receipt; one that came with a copy is proven where its erasure was."""
    for one in seen.report.findings:
        if one.kind != "erased":
            continue
        (raw,) = one.digests
        if grounds[raw] == "none":  # which is a finding
            continue
        about = one.needed_by[0] if one.needed_by else None
        where = f" ({about.label}: {about.path})" if about and about.path else ""
        said = f"{one.message}{where}"
        if grounds[raw] == "brought":
            said += f"; that erasure is not of this store: a copy may have brought {one.key}, and nothing here proves it"
        yield Reservation("content-erased", about.label if about else one.key, said)


def _claims(found: Pedigree) -> Iterator[Reservation]:
    """A copy may have left a claim behind, so that its absence is no fault; nothing of the version rests on it."""
    claimed = {key.split("/")[1] for key in found.claims}
    for member in found.members:
        asked = member.intent.idempotency_key if member.intent else None
        if asked and asked[7:] not in claimed:
            said = f"keys/{asked[7:]}/ has no claim, and the run {member.run} names that idempotency key"
            yield Reservation("claim-missing", member.label, said)
