"""Proves one version, from every byte up to all that it came from. It reads what concerns the version, and changes nothing.

How records and bytes are checked is `store fsck`'s; here is only what of the store is held to it, and what that means.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import takewhile

from pkgrun.errors import Damaged, NotFound, UsageError
from pkgrun.identity import DIGEST_PATTERN, Version, check_name
from pkgrun.lineage import doubts, index, pedigree, rungs
from pkgrun.lineage.audited import Audit, Reservation, Verdict
from pkgrun.lineage.pedigree import Member, Pedigree
from pkgrun.lineage.relations import Held, Named, Relations
from pkgrun.observe import Observer, Phase, silent
from pkgrun.runs import inspection
from pkgrun.runs.inspection import Inspection
from pkgrun.store import numbers, packs, trees
from pkgrun.store.backend import Backend
from pkgrun.store.fsck.findings import FROM, Finding, report
from pkgrun.store.fsck.forms import needs_of
from pkgrun.store.objects import digest_of
from pkgrun.store.parallel import each
from pkgrun.store.root import Store


class Unrelated:
    """Of which nothing is known backwards: something in the store, not of this version perhaps, cannot be read."""

    def __init__(self, why: Damaged) -> None:
        self.why = why

    def children(self, of: Named) -> list[Named]:
        return []

    def runs_from(self, of: Named) -> list[str]:
        return []

    def by_record(self, digest: str) -> list[Named]:
        return []

    def registered(self, tree: str) -> list[Held]:
        return []


@contextmanager
def related(store: Store) -> Iterator[Relations | Unrelated]:
    """What is related to what in a store: by its index, brought up to date; nothing, where that cannot be made."""
    with ExitStack() as stack:
        try:
            found: Relations | Unrelated = stack.enter_context(index.opened(store))
        except Damaged as error:
            found = Unrelated(error)
        yield found


def audit(
    store: Store,
    relations: Relations | Unrelated,
    name: str,
    *,
    expect: str | None = None,
    other: Store | None = None,
    observer: Observer = silent,
) -> Audit:
    """Check a version, and all that it came from.

    Args:
        relations: tell which evaluations there were, and whether the origin of an import is here.
        expect: a fingerprint that an earlier audit told, or the digest of the version's record, kept elsewhere.
        other: the store that an import came from, if that can be asked.
        observer: told how far it is, from several threads.

    Raises:
        UsageError, InvalidName: that is no version's name, or no digest.
        NotFound: there is nothing of such a version.
        Damaged: the newest version was asked for, and which one that is cannot be told.
        PermissionDenied, Temporary: the store cannot be read.
    """
    if expect is not None and not re.fullmatch(DIGEST_PATTERN, expect):
        raise UsageError(f"{expect!r} is no digest", hint="such as sha256: and 64 hexadecimal digits")
    package, version = _meant(store.backend, name)
    observer(Phase("lineage", time.time()))
    found = pedigree.trace(store.backend, relations, package, version)
    _check_there(found, package)
    seen = inspection.inspect_some(store, found.some, observer=observer)
    written = _digests(store.backend, found)
    wrong = [
        *_concerning(seen, found),
        *_absent(found),
        *_given_otherwise(store, found),
        *doubts.contradicted(other, found),
    ]
    resting = _resting(found)
    records = tuple(sorted({key for member in resting for key in member.once}))
    whole = all(member.record is not None and member.intent is not None for member in resting)
    told = fingerprint(records, written) if whole else ""
    own = written.get(found.versions[0].key or "")
    if expect is not None and expect not in (own, told):
        wrong.append(_unexpected(found.versions[0], expect, own, told))
    findings = report(wrong, seen.report.scope).findings
    weak = tuple(doubts.reservations(store, found, seen, checked=other is not None))
    if isinstance(relations, Unrelated):
        said = f"which runs measured it cannot be told, because {relations.why.message}"
        weak += (Reservation("evaluations-unknown", found.versions[0].label, said),)
    return Audit(
        name=str(found.versions[0].label),
        verdict=_verdict(findings, bool(weak)),
        record=own,
        fingerprint=told,
        records=records,
        expected=expect,
        steps=tuple(rungs.steps(found, seen, findings, written)),
        chain=rungs.chain(found, findings),
        findings=findings,
        reservations=weak,
        scope=seen.report.scope,
    )


def _meant(backend: Backend, name: str) -> tuple[str, Version]:
    """The number that a name means; whether it is there, and can be read, is for the audit to tell."""
    package, at, number = name.partition("@")
    check_name(package)
    if at and not number:
        raise UsageError(f"{name!r} lacks the version after @", hint=f"such as {package}@1.0")
    if not number or re.fullmatch(r"[1-9][0-9]{0,7}", number):
        newest = numbers.newest(backend, package, int(number) if number else None)
        return package, newest.version
    return package, Version.parse(number)


def _check_there(found: Pedigree, package: str) -> None:
    """Of a number that was never given nothing can be proven; one that is missing before others was."""
    first = found.versions[0]
    if first.key not in found.chain and not found.followers and not found.tombstones:
        raise NotFound(
            f"there is no {first.label}", hint=f"`pkgrun package show {package}` shows its versions"
        )


def _verdict(findings: tuple[Finding, ...], reserved: bool) -> Verdict:
    if any(one.severity in ("hole", "damage") for one in findings):
        return "broken"
    return "verified-with-reservations" if reserved else "verified"


# ---------------------------------------------------------------------- fingerprints


def _resting(found: Pedigree) -> list[Member]:
    """All that a version's fingerprint is of: nothing of it changes or is added later, as evaluations and origins are."""
    mine = list(takewhile(lambda member: member.part != "origin", found.versions))
    labels = {f"{name}@{number}" for member in mine for name, number, _ in pedigree.given(member)}
    return mine + [member for member in found.datasets if member.label in labels]


def fingerprint(keys: tuple[str, ...], written: dict[str, str]) -> str:
    """The SHA-256 of what `sha256sum` prints of some records; empty if one is not there."""
    if any(key not in written for key in keys):
        return ""
    lines = (f"{written[key].removeprefix('sha256:')}  {key}\n" for key in keys)
    return f"sha256:{hashlib.sha256(''.join(lines).encode()).hexdigest()}"


def _digests(backend: Backend, found: Pedigree) -> dict[str, str]:
    keys = sorted({key for member in found.members for key in member.once})
    told = zip(keys, each(lambda key: _digest(backend, key), keys, run=1), strict=True)
    return {key: digest for key, digest in told if digest is not None}


def _digest(backend: Backend, key: str) -> str | None:
    try:
        return digest_of(backend.read(key))
    except NotFound:
        return None


def _unexpected(first: Member, expect: str, own: str | None, told: str) -> Finding:
    key = first.key or ""
    message = f"{key} is not what was expected: neither its digest nor the fingerprint is {expect}"
    if own:
        message += f", but {own}" + (f" and {told}" if told else "")
    return Finding("record-altered", "hole", key, message, FROM, needs_of(key))


# ---------------------------------------------------------------------- what is wrong


def _concerning(seen: Inspection, found: Pedigree) -> Iterator[Finding]:
    """What was found, but for rubbish, what is wrong with a record after it alone, and with packs that hold nothing of it."""
    wanted, there = seen.contents.wanted, seen.contents.found.packs
    for one in seen.report.findings:
        after = one.key in found.followers and one.kind in ("record-malformed", "record-misplaced")
        pack = packs.name_in(one.key.rpartition("/")[2])
        others = (
            pack is not None
            and one.severity == "damage"
            and not (pack in there and any(raw in wanted for raw, _, _ in there[pack].entries()))
        )
        if one.severity not in ("rubbish", "note") and not after and not others:
            yield one


def _absent(found: Pedigree) -> Iterator[Finding]:
    """Records that others name."""
    for member in found.members:
        key = member.key
        if key is not None and key not in found.chain:
            message = f"{key} is missing, which others name"
            yield Finding("record-missing", "hole", key, message, FROM, needs_of(key))
        if member.part == "evaluation" and "intent.json" not in member.names:
            key = f"runs/{member.run}/intent.json"
            message = f"{key} is missing, and {member.run} was a run"
            yield Finding("record-missing", "hole", key, message, FROM, needs_of(key))


def _given_otherwise(store: Store, found: Pedigree) -> Iterator[Finding]:
    """Runs that say to have been given a registered dataset, and name another content than it has."""
    records = {member.label: member for member in found.datasets}
    for member in found.versions:
        facts = member.outcome.facts if member.outcome else None
        request = member.intent.training if member.intent else None
        if facts is None or request is None:
            continue
        for label, data in ((request.data, facts.data), (request.evaluation_data, facts.evaluation_data)):
            parts = pedigree.REGISTERED.fullmatch(label or "")
            standing = records.get(f"{parts[1]}@{parts[2]}") if parts else None
            if parts is None or standing is None or standing.record is None or data is None:
                continue
            tree = _below(store, standing.record.tree.digest, (parts[3] or "").strip("/"))
            if data.attested and tree not in (None, data.tree.digest):
                key = f"runs/{member.run}/outcome.json"
                message = f"{key} says that {label} was {data.tree.digest}, and {standing.key} says otherwise"
                yield Finding("record-altered", "hole", key, message, FROM, needs_of(key))


def _below(store: Store, digest: str, path: str) -> str | None:
    """The digest of a folder in a tree; None of what is no folder, or cannot be read, which is told elsewhere."""
    try:
        entry = trees.find(store.objects, digest, path) if path else None
    except (NotFound, Damaged):
        return None
    if entry is None:
        return digest
    return entry.digest if entry.kind == "dir" else None
