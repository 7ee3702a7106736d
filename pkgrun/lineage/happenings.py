"""What the records say of one thing that happened, each kind in its own way. It looks for nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime

from pkgrun.errors import PkgrunError
from pkgrun.identity import Version
from pkgrun.lineage.graph import MissingNode
from pkgrun.lineage.history import Given, Happening, HappeningKind
from pkgrun.lineage.relations import Relations
from pkgrun.records import DatasetRecord, RunRecord, VersionRecord
from pkgrun.records.collecting import Removal
from pkgrun.records.erasing import Receipt
from pkgrun.store import trees
from pkgrun.store.root import Store

_KINDS: dict[str, HappeningKind] = {
    "import": "import",
    "training": "training",
    "evaluation": "evaluation",
    "full": "full",
    "reproduction": "reproduction",
    "copy": "copy",
}


NOT_THERE = "its record is not there"


class Names:
    """What contents are called here, each looked up once."""

    def __init__(self, relations: Relations) -> None:
        self._relations = relations
        self._known: dict[str, list[str]] = {}

    def of(self, digest: str, told: str) -> str:
        """What a run was told, if it still means that; else a registered name, else what it was told."""
        if digest not in self._known:
            held = self._relations.registered(digest)
            self._known[digest] = [f"{one.label}/{one.path}" if one.path else one.label for one in held]
        names = self._known[digest]
        return told if told in names or not names else names[0]


def begun(run: str) -> datetime:
    """When a run began, by its id, to the millisecond."""
    return datetime.fromtimestamp(int(run.replace("-", "")[:12], 16) / 1000, UTC)


def ran(names: Names, record: RunRecord | MissingNode, version: VersionRecord | None) -> Happening:
    """A run as its record tells; without one, as its version does."""
    if isinstance(record, MissingNode):
        return _made(version, record.why) if version else _unknown(record)
    facts, again = record.facts, record.reproduced
    return Happening(
        at=record.created,
        kind=_KINDS.get(record.kind, "training"),
        by=record.by.user,
        status=record.status,
        package=record.package,
        version=version.version if version else again.version if again else record.version,
        base=record.parent,
        run=record.run,
        seconds=(facts.ended - facts.started).total_seconds() if facts else None,
        source=version.source if version else None,
        data=tuple(_given(record, names)),
        score=facts.score if facts else None,
        metrics=dict(facts.metrics or {}) if facts else {},
        verdict=again.verdict if again else None,
        error=record.error.message if record.error else None,
    )


def gap(at: datetime, package: str, version: Version, why: str) -> Happening:
    """That a number was given, and nothing there tells to what. `at`: when the one before it was."""
    return Happening(at, "training", "", "missing", package=package, version=version, error=why)


def _unknown(missing: MissingNode) -> Happening:
    return Happening(begun(missing.id), "training", "", "missing", run=missing.id, error=missing.why)


def _made(version: VersionRecord, why: str) -> Happening:
    return Happening(
        at=version.created,
        kind=_KINDS.get(version.kind, "training"),
        by="",
        status="missing",
        package=version.package,
        version=version.version,
        base=version.parent,
        run=version.run,
        source=version.source,
        error=why,
    )


def _given(record: RunRecord, names: Names) -> Iterable[Given]:
    facts = record.facts
    for data in (facts.data, facts.evaluation_data) if facts else ():
        if data is not None:
            called = names.of(data.tree.digest, data.source)
            yield Given(data.role, called, data.tree.digest, data.attested)


def removed(removal: Removal, version: Version) -> Happening:
    """That a version was given up."""
    return Happening(
        at=removal.created,
        kind="removal",
        by=removal.by.user,
        package=removal.package,
        version=version,
        reason=removal.reason,
    )


def erased(receipt: Receipt) -> Happening:
    """That a content was erased."""
    return Happening(
        at=receipt.created,
        kind="erasure",
        by=receipt.by.user,
        run=receipt.run,
        reason=receipt.reason,
        digest=receipt.digest,
        bytes=receipt.bytes,
    )


def registered(
    store: Store, record: DatasetRecord, before: DatasetRecord | None, run: RunRecord | MissingNode
) -> Happening:
    """That a dataset got a number, and how it differs from the one before."""
    told = Happening(
        at=record.created,
        kind="registration",
        by=run.by.user if isinstance(run, RunRecord) else "",
        status="successful",
        number=record.number,
        run=record.run,
        source=record.source,
        digest=record.tree.digest,
        files=record.tree.files,
        bytes=record.tree.bytes,
    )
    if before is None:
        return told
    try:
        found = Counter(one.how for one in trees.diff(store.objects, before.tree.digest, record.tree.digest))
    except PkgrunError:
        return told
    return replace(told, added=found["added"], removed=found["removed"], changed=found["changed"])
