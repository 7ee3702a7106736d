"""What was checked of each step of an audit, rung by rung, and which of that something is wrong with. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from pkgrun.lineage.audited import Check, Given, Step, What
from pkgrun.lineage.pedigree import REGISTERED, Member, Pedigree
from pkgrun.records import Facts, TrainingRequest, Tree, VersionRecord
from pkgrun.runs.inspection import Inspection
from pkgrun.store import numbers
from pkgrun.store.fsck.findings import Finding
from pkgrun.store.operations import key as key_of

_RUNGS: dict[str, What] = {
    "pack-damaged": "bytes",
    "object-altered": "bytes",
    "object-missing": "bytes",
    "directory-missing": "directories",
    "directory-malformed": "directories",
    "counts-wrong": "directories",
    "derived-wrong": "run",
    "erased-unproven": "bytes",
    "number-unfounded": "decision",
    "record-altered": "decision",
}
"""On which rung a finding is; of records that are not legible or not there, by what they are."""

_UNCHAINED = frozenset({"chain-broken", "record-malformed", "record-misplaced", "record-missing"})


@dataclass(slots=True)
class _Extent:
    """How much of the contents is counted with one step."""

    counts: Counter[What] = field(default_factory=Counter)
    bytes: Counter[What] = field(default_factory=Counter)
    erased: Counter[What] = field(default_factory=Counter)


def steps(
    found: Pedigree,
    seen: Inspection,
    findings: Iterable[Finding],
    written: Mapping[str, str],
    bereft: Callable[[Tree], bool],
) -> Iterator[Step]:
    """Every version, dataset and evaluation, with what was checked of it.

    Args:
        bereft: whether something in a tree was erased.
    """
    extents = _extents(found, seen)
    bad = [one for one in findings if one.severity in ("hole", "damage") and one.kind != "unexpected"]
    for member in found.members:
        record, intent, wrong = member.record, member.intent, _wrong(member, bad)
        yield Step(
            label=member.label,
            part=member.part,
            kind=intent.kind if intent else record.kind if isinstance(record, VersionRecord) else None,
            run=member.run,
            created=record.created if record else intent.created if intent else None,
            digest=written.get(member.key or ""),
            given=tuple(_still(one, member, found, bereft) for one in given(member)),
            commit=record.git.commit if isinstance(record, VersionRecord) and record.git else None,
            checks=tuple(_checks(member, extents[member.label], wrong)),
        )


def chain(found: Pedigree, findings: Iterable[Finding]) -> Check:
    """The records that `previous` leads through, besides those of the steps, and the links between all of them."""
    beside = found.chain - {member.key for member in found.members}
    broken = (one for one in findings if one.severity == "hole" and one.kind in _UNCHAINED)
    ok = not any(one.key.startswith(("packages/", "datasets/")) for one in broken)
    return Check("record", len(beside), 0, ok)


def _checks(member: Member, extent: _Extent, wrong: set[What]) -> Iterator[Check]:
    if member.key is None or member.record is not None:  # else nobody knows what they are
        gone = extent.erased["bytes"]
        yield Check("bytes", extent.counts["bytes"], extent.bytes["bytes"], "bytes" not in wrong, gone)
        yield Check("directories", extent.counts["directories"], 0, "directories" not in wrong)
    if member.run is not None:
        yield Check("run", len(member.names), 0, "run" not in wrong)
        yield Check("decision", len(member.once), 0, "decision" not in wrong)
    if member.key is not None:
        yield Check("record", 1 if member.record else 0, 0, "record" not in wrong)


# ---------------------------------------------------------------------- contents


def _extents(found: Pedigree, seen: Inspection) -> Mapping[str, _Extent]:
    """What was reached and is there, each counted once: with the member whose record was the first to lead there."""
    owners = _owners(found)
    reached, sizes = seen.contents.reached, seen.contents.counts.sizes
    extents = {member.label: _Extent() for member in found.members}
    for what, raws in (
        ("bytes", reached.files),
        ("bytes", reached.large),
        ("directories", reached.directories),
    ):
        rung: What = "bytes" if what == "bytes" else "directories"
        for raw, number in raws.items():
            owner = owners.get(reached.roots[number].key)
            if owner is None or raw in seen.contents.missing:
                continue
            if raw in seen.contents.gone:
                extents[owner].erased[rung] += 1
            else:
                extents[owner].counts[rung] += 1
                extents[owner].bytes[rung] += sizes.get(raw, 0)
    return extents


def _owners(found: Pedigree) -> dict[str, str]:
    """By the key of a record, whose it is."""
    owners: dict[str, str] = {}
    for member in reversed(found.members):
        if member.key:
            owners |= {member.key: member.label, numbers.tombstone_of(member.key): member.label}
        if member.run:
            owners |= {key_of(member.run, name): member.label for name in ("intent.json", "outcome.json")}
    return owners


# ---------------------------------------------------------------------- what is wrong


def _wrong(member: Member, bad: Iterable[Finding]) -> set[What]:
    """The rungs of a step that something is wrong with."""
    found: set[What] = set()
    for one in bad:
        mine = one.key in (member.key, numbers.tombstone_of(member.key or "?"))
        mine = mine or (member.run is not None and one.key.startswith(f"runs/{member.run}/"))
        labels = {member.label, f"run {member.run}"}
        if mine or any(need.label in labels for need in one.needed_by):
            found.add(_RUNGS.get(one.kind) or ("run" if one.key.startswith("runs/") else "record"))
    return found


# ---------------------------------------------------------------------- data


def given(member: Member) -> Iterator[Given]:
    """What a run was given: its datasets, and what its own code has made of them."""
    facts = member.outcome.facts if member.outcome else None
    request = member.intent.training if member.intent else None
    if facts is None or request is None:
        return
    yield from _datasets(facts, request)
    for one in facts.passed:
        yield Given(one.role, None, one.call, one.tree, one.attested, one.listed, one.kept)


def _still(one: Given, member: Member, found: Pedigree, bereft: Callable[[Tree], bool]) -> Given:
    """The same, as it is by now."""
    removed = member.key is not None and numbers.tombstone_of(member.key) in found.tombstones
    if one.kept and not one.label and removed:
        return replace(one, kept=False, gone="removed")
    if (one.kept or one.label) and bereft(one.tree):
        return replace(one, kept=False, gone="erased")
    return one


def _datasets(facts: Facts, request: TrainingRequest) -> Iterator[Given]:
    for label, data, snapshot in (
        (request.data, facts.data, facts.snapshot),
        (request.evaluation_data, facts.evaluation_data, facts.evaluation_snapshot),
    ):
        if data is not None:
            named = label if REGISTERED.fullmatch(label or "") else None
            yield Given(
                data.role, named, data.source, data.tree, data.attested, data.listed, snapshot is not None
            )
