"""Proves one version, from every byte up to all that it came from. It reads what concerns the version, and changes nothing.

How records and bytes are checked is `store fsck`'s; here is only what of the store is held to it, and what that means.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import takewhile

from pkgrun.errors import Damaged, Erased, NotFound, UsageError
from pkgrun.identity import DIGEST_PATTERN
from pkgrun.lineage import asked, doubts, excuses, index, newest, origins, pedigree, rungs
from pkgrun.lineage.audited import Audit, Elsewhere, Reservation, Verdict
from pkgrun.lineage.excuses import Ground
from pkgrun.lineage.newest import Known
from pkgrun.lineage.pedigree import Member, Pedigree
from pkgrun.lineage.relations import Held, Named
from pkgrun.observe import Observer, Phase, silent
from pkgrun.records import Tree
from pkgrun.runs import inspection
from pkgrun.runs.inspection import Inspection
from pkgrun.store import packs
from pkgrun.store.backend import Backend
from pkgrun.store.fsck.findings import FROM, Finding, report
from pkgrun.store.fsck.forms import needs_of
from pkgrun.store.fsck.needs import Ways, raw_of
from pkgrun.store.objects import digest_of
from pkgrun.store.parallel import each
from pkgrun.store.root import Store


class Unrelated:
    """Of which nothing is known backwards: something in the store, not of this version perhaps, cannot be read."""

    def __init__(self, why: Damaged | Erased) -> None:
        self.why = why

    def children(self, of: Named) -> list[Named]:
        return []

    def runs_from(self, of: Named) -> list[str]:
        return []

    def unnumbered(self, package: str) -> list[str]:
        return []

    def by_record(self, digest: str) -> list[Named]:
        return []

    def registered(self, tree: str) -> list[Held]:
        return []


@contextmanager
def related(store: Store) -> Iterator[Known | Unrelated]:
    """What is related to what in a store: by its index, brought up to date; nothing, where that cannot be made."""
    with ExitStack() as stack:
        try:
            found: Known | Unrelated = stack.enter_context(index.opened(store))
        except (Damaged, Erased) as error:
            found = Unrelated(error)
        yield found


def audit(
    store: Store,
    relations: Known | Unrelated,
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
        UsageError, InvalidName: that is no version's name, no digest, or nothing came from that other store.
        NotFound: there is nothing of such a version.
        PermissionDenied, Temporary: the store cannot be read.
    """
    if expect is not None and not re.fullmatch(DIGEST_PATTERN, expect):
        raise UsageError(f"{expect!r} is no digest", hint="such as sha256: and 64 hexadecimal digits")
    package, version = newest.meant(store.backend, relations, name)
    observer(Phase("lineage", time.time()))
    found = pedigree.trace(store.backend, relations, package, version)
    _check_there(store.backend, relations, found, package)
    if other is not None:
        origins.check_asked(found, other)
    seen = inspection.inspect_some(store, found.some, observer=observer)
    written = _digests(store.backend, found)
    wrong, weak = _judged(store, found, seen, written)
    weak += origins.unchecked(found, other)
    there: list[Elsewhere] = []
    if other is not None:
        denied, weaker, there = origins.there(other, found, _look(observer))
        wrong, weak = wrong + denied, weak + weaker
    if isinstance(relations, Unrelated):
        weak.append(_unrelated(found.versions[0], relations))
    records, told = _fingerprint(found, written)
    own = written.get(found.versions[0].key or "")
    if expect is not None and expect not in (own, told):
        wrong.append(_unexpected(found.versions[0], expect, own, told))
    findings = report(wrong, seen.report.scope).findings
    return Audit(
        name=str(found.versions[0].label),
        verdict=_verdict(findings, bool(weak)),
        record=own,
        fingerprint=told,
        records=records,
        expected=expect,
        steps=tuple(rungs.steps(found, seen, findings, written, _bereft(store, seen))),
        chain=rungs.chain(found, findings),
        findings=findings,
        reservations=tuple(weak),
        elsewhere=tuple(there),
        scope=seen.report.scope,
    )


def _judged(
    store: Store, found: Pedigree, seen: Inspection, written: dict[str, str]
) -> tuple[list[Finding], list[Reservation]]:
    """What this store alone says: what is wrong, and what weakens the claim."""
    grounds = excuses.grounds(store.backend, seen.contents.gone)
    unexcused = {raw for raw, ground in grounds.items() if ground == "none"}
    seen.contents.gone -= unexcused  # so that no step counts them as erased
    seen.contents.missing.update(dict.fromkeys(unexcused, ""))
    wrong = [
        *_concerning(seen, found, grounds),
        *_absent(found),
        *asked.given_otherwise(store, found),
        *origins.contradicted(store, found, written),
    ]
    return wrong, list(doubts.reservations(store, found, seen, grounds))


def _unrelated(first: Member, relations: Unrelated) -> Reservation:
    said = f"which runs measured it cannot be told, because {relations.why.message}"
    return Reservation("evaluations-unknown", first.label, said)


def _look(observer: Observer) -> origins.Look:
    """How an origin is audited in its store."""

    def look(store: Store, name: str) -> Audit:
        with related(store) as relations:
            return audit(store, relations, name, observer=observer)

    return look


def _bereft(store: Store, seen: Inspection) -> Callable[[Tree], bool]:
    """Whether something in a tree was erased."""
    ways = Ways(store.objects, seen.contents.gone)
    return lambda tree: bool(seen.contents.gone) and ways.leads(raw_of(tree.digest))


def _check_there(backend: Backend, relations: Known | Unrelated, found: Pedigree, package: str) -> None:
    """Of a number that was never given nothing can be proven; one that is missing before others was, or that a run has made."""
    first = found.versions[0]
    if first.key in found.chain or found.followers or found.tombstones:
        return
    made = (f"{package}@{version}" for version in newest.missing(backend, relations, package))
    if first.label not in made:
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


def _fingerprint(found: Pedigree, written: dict[str, str]) -> tuple[tuple[str, ...], str]:
    """The keys of the records that it is of, and what it is; empty if one of them cannot be read."""
    resting = _resting(found)
    keys = tuple(sorted({key for member in resting for key in member.once}))
    whole = all(member.record is not None and member.intent is not None for member in resting)
    return keys, fingerprint(keys, written) if whole else ""


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
    return Finding("unexpected", "hole", key, message, _EXPECT, needs_of(key))


_EXPECT = "whichever is right, the store or what was kept of it, is not known here; see that it is kept of this version"


# ---------------------------------------------------------------------- what is wrong


def _concerning(seen: Inspection, found: Pedigree, grounds: Mapping[bytes, Ground]) -> Iterator[Finding]:
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
        if one.kind == "erased":
            yield from (excuses.unexcused(one, raw) for raw in one.digests if grounds[raw] == "none")


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
