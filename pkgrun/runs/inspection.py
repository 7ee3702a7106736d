"""Looks at a whole store: its records, what runs mean by them, and its bytes. It changes nothing."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

from pkgrun.errors import Damaged, NotFound
from pkgrun.observe import Observer, Phase, Progress, silent
from pkgrun.packages.contract import RESULTS_FILE
from pkgrun.records import (
    DatasetRecord,
    Heartbeat,
    Intent,
    Outcome,
    Record,
    Results,
    RunRecord,
    StoreRecord,
    VersionRecord,
)
from pkgrun.runs.here import dead
from pkgrun.runs.journal import decode
from pkgrun.runs.recover import SILENT
from pkgrun.runs.results import results, run_record
from pkgrun.store import erased, numbers, registry
from pkgrun.store.collecting import oldest
from pkgrun.store.fsck import chains, contents, ledger, proceedings, receipts
from pkgrun.store.fsck.contents import Contents
from pkgrun.store.fsck.findings import FROM, REPAIR, Finding, Report, Scope, report
from pkgrun.store.fsck.forms import needs_of, parse
from pkgrun.store.fsck.ledger import Ledger, Operation, Some
from pkgrun.store.fsck.reading import Choice
from pkgrun.store.operations import key as key_of
from pkgrun.store.root import KEY, Store

R = TypeVar("R", bound=Record)

RECOVER = "`pkgrun run recover` carries it out; so does `pkgrun store repair`"


@dataclass(frozen=True, slots=True)
class Inspection:
    """All that was found, for whoever mends it."""

    report: Report
    ledger: Ledger
    contents: Contents


def choice(read_data: bool, sample: float | None, seed: int | None) -> Choice | None:
    """What is read: all, a random share, or nothing."""
    if not read_data and sample is None:
        return None
    return Choice(
        1.0 if sample is None else sample, random.SystemRandom().getrandbits(32) if seed is None else seed
    )


def inspect(
    store: Store,
    *,
    read_data: bool = False,
    sample: float | None = None,
    seed: int | None = None,
    observer: Observer = silent,
) -> Inspection:
    """Look at everything.

    Args:
        read_data: hash every byte of every object; else sizes and indexes are compared, and directories are read.
        sample: hash a random share, between 0 and 1.
        seed: of the random share; the same share is read again by it.

    Raises:
        PermissionDenied, Temporary: the store cannot be read.
    """
    observer(Phase("records", time.time()))
    written = ledger.load(store.backend, look)
    _marker(written)
    proceedings.read(written)
    receipts.read(written)
    written.findings += chains.check(written)
    observer(Phase("contents", time.time()))
    roots = written.roots()
    chosen = choice(read_data, sample, seed)

    def told(done: int, total: int) -> None:
        observer(Progress("contents", done, total, "bytes"))

    there = contents.look(store.backend, store.objects, roots, chosen, told)
    since = oldest(store.backend, roots.open)
    if any(one.severity == "hole" for one in written.findings) or not there.reached.whole:
        since = float("-inf")  # what cannot be read may need whatever nothing seems to refer to
    found = [*written.findings, *contents.findings(store.backend, store.objects, there, since)]
    scope = Scope(
        written.count,
        len(there.found.objects) + len(there.found.packs),
        there.found.bytes,
        there.altered.read,
        chosen.seed if chosen and chosen.share < 1 else None,
    )
    return Inspection(report(found, scope), written, there)


def inspect_some(store: Store, some: Some, *, observer: Observer = silent) -> Inspection:
    """Look at some records, at what runs mean by them, and at every byte that they lead to; at nothing else.

    Raises:
        PermissionDenied, Temporary: the store cannot be read.
    """
    observer(Phase("records", time.time()))
    written = ledger.load_some(store.backend, some, look)
    written.findings += chains.check(written)
    observer(Phase("contents", time.time()))

    def told(done: int, total: int) -> None:
        observer(Progress("contents", done, total, "bytes"))

    there = contents.look_at(store.backend, store.objects, written.roots(), told)
    for raw in sorted(there.erased & there.wanted):
        receipts.read_one(written, erased.key(raw))
        if raw not in there.gone:
            message = f"{erased.key(raw)} says that a content was erased, and it is there"
            written.find("erased-present", "pending", erased.key(raw), message)
    found = [*written.findings, *contents.faults(store.objects, there)]
    held = len(there.found.objects) + len(there.found.packs)
    scope = Scope(written.count, held, there.found.bytes, there.altered.read)
    return Inspection(report(found, scope), written, there)


def _marker(known: Ledger) -> None:
    """The store's own record. All that it held but the id can be written anew."""
    if known.backend.stat(KEY) is None:
        known.find("record-missing", "damage", KEY, f"{KEY} is missing, which says that this is a store")
    else:
        known.read(KEY, StoreRecord, severity="damage", hint=REPAIR)


# ---------------------------------------------------------------------- one run


def look(known: Ledger, operation: Operation) -> Iterator[Finding]:
    """Whether a run's records mean something together."""
    yield from chains.founded(known, operation)
    yield from receipts.founded(known, operation)
    run, intent, outcome = operation.run, operation.intent, operation.outcome
    if intent is None:
        if "intent.json" not in operation.names:
            yield _without_intent(known, operation)
    elif not operation.decided:
        yield from _open(known, intent) if "run.json" not in operation.names else _undecided(known, run)
    elif outcome is not None:
        yield from _settled(known, operation.names, intent, outcome)
    if "heartbeat.json" in operation.names:
        yield from _read(known, key_of(run, "heartbeat.json"), Heartbeat)[1]


def _without_intent(known: Ledger, operation: Operation) -> Finding:
    key = key_of(operation.run, "intent.json")
    if operation.run in known.made:
        made = known.made[operation.run][0]
        message = f"{key} is missing, and {made} is what the run has made"
        return Finding("record-missing", "hole", key, message, FROM, needs_of(made))
    folder = f"runs/{operation.run}"
    message = f"{folder} has no intent.json: no run, or a copy is just bringing it"
    return Finding("run-without-intent", "rubbish", folder, message, REPAIR)


def _read(known: Ledger, key: str, kind: type[R]) -> tuple[R | None, list[Finding]]:
    """A record that follows from others, or is of no weight; what is wrong with it."""
    try:
        record = parse(kind, known.backend.read(key), key)
    except NotFound:
        return None, []
    except Damaged as error:
        return None, [_wrong(key, error.message)]
    if getattr(record, "run", run := key.split("/")[1]) != run:
        return None, [_wrong(key, f"{key} is another run's")]
    return record, []


def _wrong(key: str, message: str) -> Finding:
    return Finding("derived-wrong", "damage", key, message, REPAIR, needs_of(key))


def _open(known: Ledger, intent: Intent) -> Iterator[Finding]:
    """A run that is not decided: whether somebody works on it."""
    key, beats = key_of(intent.run, "intent.json"), key_of(intent.run, "heartbeat.json")
    beat = _read(known, beats, Heartbeat)[0] or intent.alive
    stat = known.backend.stat(beats) or known.backend.stat(key)
    needs = needs_of(key)
    if beat is not None and dead(beat):
        message = f"the run {intent.run} is not decided, and its supervisor, process {beat.pid}, is dead"
        yield Finding("run-dead", "pending", key, message, RECOVER, needs)
    elif stat is not None and time.time() - stat.modified > SILENT:
        message = f"the run {intent.run} is not decided, and was not heard for long"
        yield Finding(
            "run-silent", "pending", key, message, "`pkgrun run recover` gives up what is dead", needs
        )
    yield from _segments(known, intent.run)


def _undecided(known: Ledger, run: str) -> Iterator[Finding]:
    """A run whose end was written down, and whose decision is gone; of one that has made a number that is told with it."""
    key = key_of(run, "outcome.json")
    if run not in known.made:
        message = f"{key} is missing, and {key_of(run, 'run.json')} follows from it"
        yield Finding("record-missing", "hole", key, message, FROM, needs_of(key))


def _settled(known: Ledger, names: frozenset[str], intent: Intent, outcome: Outcome) -> Iterator[Finding]:
    """A run that is decided: whether that was carried out, and what was written for reading."""
    key = key_of(intent.run, "run.json")
    record, wrong = _read(known, key, RunRecord)
    yield from wrong
    if record is not None:
        missing = _missing(known, record, intent)
        yield from missing
        if not missing:
            yield from _compare(known, record, intent, outcome)
    elif not wrong:
        message = f"the run {intent.run} decided {outcome.decision}, and nobody has carried that out"
        decided = key_of(intent.run, "outcome.json")
        yield Finding("decision-pending", "pending", decided, message, RECOVER, needs_of(decided))
    segments = sorted(name for name in names if name.startswith("events/"))
    if outcome.facts is None or outcome.facts.log is None:
        yield from _segments(known, intent.run)
    elif segments and record is not None:
        first = key_of(intent.run, segments[0])
        message = f"{first}: the log is kept as a whole, so its {len(segments)} pieces are of no use"
        yield Finding("leftover", "rubbish", first, message, REPAIR)


def number_of(record: RunRecord) -> str | None:
    """The key of the number that a run has made."""
    if record.version is not None and record.package is not None:
        return numbers.key(record.package, record.version)
    if record.number is not None and record.dataset is not None:
        return registry.key(record.dataset, record.number)
    return None


def _missing(known: Ledger, record: RunRecord, intent: Intent) -> list[Finding]:
    """That the number is missing which a run has made; not if what says so is itself at fault."""
    key = number_of(record)
    if key is None or key in known.there or known.backend.stat(key) is not None:
        return []
    if record.run in known.made or (record.package, record.dataset) != (intent.package, intent.dataset):
        return []
    told = key_of(record.run, "run.json")
    return [
        Finding("record-missing", "hole", key, f"{key} is missing, which {told} names", REPAIR, needs_of(key))
    ]


def _compare(known: Ledger, record: RunRecord, intent: Intent, outcome: Outcome) -> Iterator[Finding]:
    key = key_of(record.run, "run.json")
    written = known.numbers.get(number_of(record) or "")
    made: VersionRecord | DatasetRecord | None = written.record if written else None
    if wrong_fields := otherwise(intent, outcome):
        yield _differ(record.run, ", ".join(wrong_fields))
    if base := _other_base(known, intent):
        yield base
    own = known.made.get(record.run, [])
    if (own and number_of(record) not in own) or (made is not None and not _its(made, outcome)):
        what = own[0] if own else "something else"
        yield _wrong(key, f"{key} does not name {what}, which the run has made")
        return
    wrong = differing(record, intent, outcome, made)
    if wrong:
        others = f"{key_of(record.run, 'intent.json')} and {key_of(record.run, 'outcome.json')}"
        what = ", ".join(wrong)
        yield _wrong(key, f"{key} is not what follows from {others}: {what}; one of them was altered")
    else:
        yield from _vendor(known, record)


def differing(
    record: RunRecord, intent: Intent, outcome: Outcome, made: VersionRecord | DatasetRecord | None
) -> list[str]:
    """What is said of a run that does not follow from its records. `made`: its number, if that can be read."""
    expected = run_record(intent, outcome, made)
    if outcome.copied is not None:  # whether something stood in the way is known from nowhere else
        expected = expected.model_copy(update={"status": record.status, "error": record.error})
    unseen = {"version", "number"} if made is None and number_of(record) else set()
    return [
        name
        for name in sorted(record.model_fields_set - unseen)
        if getattr(record, name) != getattr(expected, name)
    ]


def otherwise(intent: Intent, outcome: Outcome) -> list[str]:
    """What was decided to be otherwise than it was asked."""
    entry, dataset, request = outcome.entry, outcome.dataset, intent.training
    pairs: dict[str, tuple[object, object]] = {}
    if entry is not None:
        pairs |= {"package": (entry.package, intent.package), "run": (entry.run, intent.run)}
        pairs["kind"] = entry.kind, intent.kind
        pairs["parent"] = entry.parent, request.base if request else None
        if intent.import_ is not None:
            pairs["tree"] = entry.tree, intent.import_.tree
    if dataset is not None:
        pairs |= {"dataset": (dataset.dataset, intent.dataset), "run": (dataset.run, intent.run)}
    return [name for name, (decided, asked) in pairs.items() if decided != asked]


def _other_base(known: Ledger, intent: Intent) -> Finding | None:
    """That a run was asked to start from a content that is not its version's."""
    if intent.training is None or intent.package is None:
        return None
    base = known.numbers.get(numbers.key(intent.package, intent.training.base))
    if base is None or base.record.tree == intent.training.tree:
        return None
    key = key_of(intent.run, "intent.json")
    message = f"{key} or {base.key} is altered: the content that the run started from is not that version's"
    return Finding("record-altered", "hole", key, message, FROM, needs_of(key))


def _differ(run: str, what: str) -> Finding:
    """That a run decided otherwise than was asked."""
    key, other = key_of(run, "intent.json"), key_of(run, "outcome.json")
    message = f"{key} or {other} is altered: {what} is not the same in both"
    return Finding("record-altered", "hole", key, message, FROM, needs_of(key))


def _its(made: VersionRecord | DatasetRecord, outcome: Outcome) -> bool:
    """Whether a number is what a run decided: its own, or another's of the same content."""
    entry = outcome.entry or outcome.dataset
    return made.run == outcome.run or (entry is not None and made.tree == entry.tree)


def _vendor(known: Ledger, record: RunRecord) -> Iterator[Finding]:
    """The results under the vendor's names, which hold the place where the store was then."""
    key = key_of(record.run, RESULTS_FILE)
    found, wrong = _read(known, key, Results)
    yield from wrong
    place = str(found.run_summary.outputs.get("artifacts_data")) if found else ""
    expected = results(record, place.removesuffix(f"/runs/{record.run}/artifacts"))
    if not wrong and found != expected:
        yield _wrong(key, f"{key} is not what follows from run.json" if found else f"{key} is missing")


def _segments(known: Ledger, run: str) -> Iterator[Finding]:
    """The pieces of a log that was not kept as a whole: all that there is of it."""
    for name in sorted(known.runs.get(run, ())):
        if name.startswith("events/"):
            key = key_of(run, name)
            try:
                lines = known.backend.read(key).split(b"\n")
                for line in filter(None, lines[:-1]):
                    decode(line)
            except NotFound:
                continue
            except Damaged as error:
                yield _wrong(key, f"{key} is damaged: {error.message}")
