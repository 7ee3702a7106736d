"""How records fit together: numbers without gaps, each naming the one before it, each made by a run that decided so."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

from pkgrun.identity import Version
from pkgrun.records import DatasetEntry, DatasetRecord, Outcome, VersionEntry, VersionRecord
from pkgrun.store import numbers
from pkgrun.store.fsck.findings import FROM, REPAIR, Finding
from pkgrun.store.fsck.forms import CLAIM, needs_of
from pkgrun.store.fsck.ledger import Ledger, Operation, Written
from pkgrun.store.operations import key as key_of

_NAMED = 1000
"""Missing numbers that are named one by one."""

Folders = Mapping[str, list[int]]
"""The numbers in each folder, ascending."""


def founded(ledger: Ledger, operation: Operation) -> Iterator[Finding]:
    """Whether what a run is said to have made is what it decided."""
    made = sorted(ledger.made.get(operation.run, ()))
    decided = key_of(operation.run, "outcome.json")
    for key in made[1:]:
        yield _unfounded(key, f"the run {operation.run} has made {made[0]} already")
    if not made or (operation.outcome is None and operation.decided):  # which was told
        return
    key, outcome = made[0], operation.outcome
    entry = (outcome.entry or outcome.dataset) if outcome else None
    if outcome is None:
        yield _unfounded(key, f"the run {operation.run}, which it names, has not decided", missing=decided)
    elif outcome.decision != "COMMIT" or entry is None:
        yield _unfounded(key, f"{decided}, of the run that it names, decided {outcome.decision}")
    elif wrong := differing(ledger.numbers[key].record, entry):
        yield _altered(ledger, key, decided, wrong)
    elif _names_none(ledger.numbers[key], operation):
        message = f"{key} names no record before it, and there was one when it was made"
        yield Finding("chain-broken", "hole", key, message, REPAIR, needs_of(key))
    elif outcome.entry is not None and (parent := outcome.entry.parent) and _is_later(parent, operation):
        yield _unfounded(
            key, f"its parent is {parent}, and there was none when the run {operation.run} began"
        )


def _is_later(parent: Version, operation: Operation) -> bool:
    """Whether a version was not there yet when a run began that is said to have started from it."""
    head = operation.intent.head if operation.intent else None
    return head is not None and head.minor is not None and parent > Version(head.major, head.minor)


def _names_none(one: Written[VersionRecord] | Written[DatasetRecord], operation: Operation) -> bool:
    """Whether a major's first record begins a history of which its run knew more."""
    record, intent = one.record, operation.intent
    if record.previous is not None or before(one.key) is None or intent is None:
        return False
    return isinstance(record, VersionRecord) and not numbers.begins_history(intent.head, record.version)


def _unfounded(key: str, why: str, missing: str = "") -> Finding:
    message = f"{key} has no ground: {why}"
    return Finding("number-unfounded", "hole", missing or key, message, FROM, needs_of(key))


def differing(record: VersionRecord | DatasetRecord, entry: VersionEntry | DatasetEntry) -> list[str]:
    """In which fields a number's record is not what was decided."""
    return [name for name in type(entry).model_fields if getattr(record, name, None) != getattr(entry, name)]


def _altered(ledger: Ledger, key: str, decided: str, wrong_fields: list[str]) -> Finding:
    """One of two is altered. If the number after it names its record as it is, the decision is."""
    following = ledger.numbers.get(after(key))
    named = following is not None and following.record.previous == ledger.numbers[key].digest
    wrong, right = (decided, key) if named else (key, decided)
    message = f"{wrong} is altered: {', '.join(wrong_fields)} is not as in {right}"
    return Finding("record-altered", "hole", wrong, message, REPAIR, needs_of(key))


def after(key: str) -> str:
    """The key of the number that would follow; of a version, in its major."""
    folder, _, name = key.rpartition("/")
    return f"{folder}/{int(name.removesuffix('.json')) + 1:08}.json"


def check(ledger: Ledger) -> Iterator[Finding]:
    """All that shows only when all is read."""
    folders = _folders(ledger)
    yield from _gaps(ledger, folders)
    yield from _previous(ledger)
    yield from _parents(ledger)
    for run in ledger.made.keys() - ledger.runs.keys():
        for key in ledger.made[run]:
            missing = key_of(run, "intent.json")
            yield _unfounded(key, f"there is no run {run}, which made it", missing=missing)
    for key in ledger.tombstones:
        if (about := numbers.buried(key)) not in ledger.there:
            message = f"{key} says that a version was removed, and there is no {about}"
            yield Finding("tombstone-unfounded", "hole", key, message, FROM, needs_of(key))
    yield from _claims(ledger)


def _folders(ledger: Ledger) -> Folders:
    folders: dict[str, list[int]] = defaultdict(list)
    for key in sorted(ledger.there):
        folder, _, name = key.rpartition("/")
        folders[folder].append(int(name.removesuffix(".json")))
    return folders


def _gaps(ledger: Ledger, folders: Folders) -> Iterator[Finding]:
    """Numbers that are missing before others."""
    for folder, given in folders.items():
        first = 1 if folder.startswith("datasets/") else 0
        for low, high in zip([first - 1, *given], given, strict=False):
            for number in range(low + 1, min(high, low + 1 + _NAMED)):
                key = f"{folder}/{number:08}.json"
                if ledger.backend.stat(key) is None:  # not one that came while we listed
                    message = f"{key} is missing, and {folder}/{high:08}.json is there"
                    yield Finding("record-missing", "hole", key, message, REPAIR, needs_of(key))


def _previous(ledger: Ledger) -> Iterator[Finding]:
    """Records that name another one before them than there is, or one that is gone."""
    altered = {one.key for one in ledger.findings if one.kind == "record-altered"}
    for key, one in ledger.numbers.items():
        last, named = before(key), one.record.previous
        if last is None and named is not None:
            message = f"{key} names a record before it, and there is none"
            yield Finding("chain-broken", "hole", key, message, FROM, needs_of(key))
        if last is None or (named is None and not _same_folder(last, key)):
            continue
        if last not in ledger.there and not _same_folder(last, key) and ledger.backend.stat(last) is None:
            message = f"{last} is missing, and {key} names a record before it"
            yield Finding("record-missing", "hole", last, message, REPAIR, needs_of(last))
        standing = ledger.numbers.get(last)
        if standing is None or standing.digest == named:  # one that cannot be read was told
            continue
        message = f"{key} names another record before it than {last}: one of them is altered"
        wrong = last if last in altered else key
        yield Finding("chain-broken", "hole", wrong, message, REPAIR, needs_of(wrong))


def _parents(ledger: Ledger) -> Iterator[Finding]:
    """Versions that were made from none before them: a run starts from what is there, and its version follows in that major. So
    the way from parent to parent is no circle, and ends in what was imported."""
    for key, one in ledger.numbers.items():
        record = one.record
        if not isinstance(record, VersionRecord) or key in ledger.beside:
            continue
        parent, version = record.parent, record.version
        if parent is None and record.kind in ("training", "full"):
            yield _unfounded(key, "it was trained, and names no version that it started from")
        elif parent is not None and (parent.major != version.major or parent.minor >= version.minor):
            yield _unfounded(key, f"its parent is {parent}, which is no version before it")


def _same_folder(one: str, other: str) -> bool:
    return one.rpartition("/")[0] == other.rpartition("/")[0]


def before(key: str) -> str | None:
    """The key of the number that comes before one; None of the first.

    A major's first follows the first of the major before: a new major is one more than the newest that was seen. One that was
    asked for by its number follows none, and says so.
    """
    folder, _, name = key.rpartition("/")
    number = int(name.removesuffix(".json"))
    if key.startswith("datasets/"):
        return f"{folder}/{number - 1:08}.json" if number > 1 else None
    if number:
        return f"{folder}/{number - 1:08}.json"
    package, _, major = folder.rpartition("/")
    return f"{package}/{int(major) - 1:08}/00000000.json" if int(major) > 1 else None


def following(key: str) -> Iterator[str]:
    """The keys of the numbers that may name it as the one before."""
    folder, _, name = key.rpartition("/")
    yield after(key)
    if key.startswith("packages/") and name == "00000000.json":
        package, _, major = folder.rpartition("/")
        yield f"{package}/{int(major) + 1:08}/{name}"


def _claims(ledger: Ledger) -> Iterator[Finding]:
    """What idempotency keys stand for."""
    claimed = {claim.run for claim in ledger.claims.values() if claim is not None}
    unclaimed: dict[str, list[str]] = defaultdict(list)
    for run, digest in sorted(ledger.asked.items()):
        if digest and run not in claimed:
            unclaimed[digest[7:]].append(run)
    for key, claim in ledger.claims.items():
        if (found := CLAIM.fullmatch(key)) is None:
            continue
        digest, attempt = found[1], int(found[2])
        earlier = f"keys/{digest}/{attempt - 1:08}.json"
        if attempt and earlier not in ledger.claims:
            yield Finding(
                "record-missing", "hole", earlier, f"{earlier} is missing, and {key} is there", FROM
            )
        if claim is not None:
            yield from _stands_for(ledger, key, claim.run, f"sha256:{digest}", unclaimed[digest])
    yield from _lost_claims(ledger, unclaimed)


def _stands_for(ledger: Ledger, key: str, run: str, digest: str, unclaimed: list[str]) -> Iterator[Finding]:
    """Whether a claim stands for a run that was asked for with its key."""
    begun = "intent.json" in ledger.runs.get(run, ())
    if not begun and unclaimed:
        intent = key_of(unclaimed[0], "intent.json")
        message = f"{key} stands for a run {run}, and {intent}, which names the key, has none"
        yield Finding("key-unfounded", "hole", key, message, FROM, needs_of(intent))
    elif not begun:
        message = f"{key} stands for the run {run}, which never began"
        yield Finding("key-unused", "pending", key, message, "call again with the key, or leave it")
    elif ledger.asked.get(run, digest) != digest:
        intent = key_of(run, "intent.json")
        message = f"{key} stands for the run {run}, and {intent} names another key"
        yield Finding("key-unfounded", "hole", key, message, FROM, needs_of(intent))


def _lost_claims(ledger: Ledger, unclaimed: Mapping[str, list[str]]) -> Iterator[Finding]:
    """Runs with keys that stand for nothing. A copy may leave a claim behind: one after an attempt that never began."""
    if any(isinstance(one, Outcome) and one.copied is not None for one in ledger.operations):
        return
    for digest, runs in unclaimed.items():
        key = f"keys/{digest}/00000000.json"
        if runs and key not in ledger.claims and ledger.backend.stat(key) is None:
            intent = key_of(runs[0], "intent.json")
            message = f"{key} is missing, and {intent} names the key"
            yield Finding("record-missing", "hole", key, message, FROM, needs_of(intent))
