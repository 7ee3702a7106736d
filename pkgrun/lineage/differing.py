"""Finds what differs between two versions, runs or datasets: files, parameters, data, environments, results.

What stands side by side is `runs/comparison`'s; here is what leads from the one to the other, in depth.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from pkgrun.errors import PkgrunError
from pkgrun.lineage import sides
from pkgrun.lineage.contents import Machine
from pkgrun.lineage.difference import (
    TOPICS,
    Change,
    DataChange,
    Diff,
    FileChange,
    Files,
    Given,
    Section,
    Topic,
)
from pkgrun.lineage.patches import Patches
from pkgrun.lineage.sides import Directories, Meant
from pkgrun.observe import Observer, silent
from pkgrun.records import Environment, Facts, Tree
from pkgrun.runs.comparison import Row, Subject, Value, rows
from pkgrun.store import trees
from pkgrun.store.files import shown
from pkgrun.store.root import Store
from pkgrun.store.trees import Difference

_DATASETS = ("data", "evaluation data")

_TOPICS: dict[str, Topic] = {
    "parameters": "parameters",
    "score": "results",
    "metrics": "results",
    "environment": "environment",
    "packages": "environment",
    "made": "circumstances",
    "run": "circumstances",
    "options": "circumstances",
}


def diff(
    store: Store, one: str, other: str, *, patch: bool = False, machine: Machine, observer: Observer = silent
) -> Diff:
    """What leads from one to the other.

    Args:
        one, other: as `sides.find` takes them.
        patch: also the lines that differ in small text files, of the store or of a folder of this machine.

    Raises:
        UsageError, InvalidName, NotFound, DataInvalid, PermissionDenied: one of them means nothing that there is.
        Temporary: a folder changed while it was read.
        Damaged: what the store holds of one cannot be read.
    """
    directories = Directories(store.objects)
    first, second = pair = [
        sides.find(store, text, directories, machine=machine, observer=observer) for text in (one, other)
    ]
    subjects = [meant.subject for meant in pair if meant.subject is not None]
    return Diff(
        one=first.side,
        other=second.side,
        files=_files_of(directories, first, second, Patches(store.objects, *pair) if patch else None),
        data=tuple(_data(directories, subjects)) if len(subjects) == 2 else (),
        sections=tuple(_sections(subjects)) if len(subjects) == 2 else (),
    )


# ---------------------------------------------------------------------- files


def _files_of(directories: Directories, one: Meant, other: Meant, patched: Patches | None) -> Files:
    for meant in (one, other):
        if meant.removed:
            return Files(None, f"the content of {meant.side.label} was removed")
        if meant.side.tree is None:
            return Files(None, f"{meant.side.label} has none")
    return _files(directories, one.side.tree, other.side.tree, patched)


def _files(
    directories: Directories, one: Tree | None, other: Tree | None, patched: Patches | None = None
) -> Files:
    """The way from one tree to another."""
    if one is None or other is None:
        return Files(None, "one of the two has none")
    try:
        found = sorted(trees.diff(directories, one.digest, other.digest), key=lambda each: each.path)
    except PkgrunError as error:
        return Files(None, error.message)
    return Files(tuple(_change(each, patched) for each in found))


def _change(found: Difference, patched: Patches | None) -> FileChange:
    was, now = found.was, found.now
    return FileChange(
        path=shown(found.path),
        how=found.how,
        before=was.bytes if was else None,
        after=now.bytes if now else None,
        executable=bool(was and now and was.executable != now.executable),
        patch=patched.of(found) if patched else None,
    )


# ---------------------------------------------------------------------- data


def _data(directories: Directories, subjects: Sequence[Subject]) -> Iterator[DataChange]:
    """What both runs were given, by what it was for."""
    one, other = (_given(subject.facts) for subject in subjects)
    given = [name for name in _DATASETS if name in {*one, *other}]
    for name in dict.fromkeys([*given, *one, *other]):
        was, now = one.get(name), other.get(name)
        files = Files((), None) if was and now and was.tree == now.tree else _listed(directories, was, now)
        yield DataChange(name, was, now, files)


def _given(facts: Facts | None) -> dict[str, Given]:
    if facts is None:
        return {}
    found = dict(zip(_DATASETS, (facts.data, facts.evaluation_data), strict=True))
    given = {name: Given(data.source, data.tree, data.attested) for name, data in found.items() if data}
    return given | {one.call: Given(one.folder, one.tree, one.attested) for one in facts.passed}


def _listed(directories: Directories, was: Given | None, now: Given | None) -> Files:
    """Which files are others, as the names and digests that the store keeps of them tell."""
    if was is None or now is None:
        return Files(None, "only one of the two was given any")
    found = _files(directories, was.tree, now.tree)
    if found.changes is None:
        return Files(None, "their files are not listed in this store")
    return found


# ---------------------------------------------------------------------- facts


def _sections(subjects: Sequence[Subject]) -> Iterator[Section]:
    found: dict[Topic, list[Change]] = {}
    for row in rows(subjects):
        topic = _TOPICS.get(row.group)
        if topic is not None:
            found.setdefault(topic, [])
            if not row.same and row.values[0] != row.values[1]:
                found[topic].append(_changed(row))
    found["requirements"] = list(_requirements(subjects))
    found.setdefault("circumstances", []).extend(_circumstances(subjects))
    for topic in TOPICS:
        why = None if topic == "circumstances" else _untold(topic, subjects)
        yield Section(topic, () if why else tuple(found.get(topic, ())), why)


def _changed(row: Row) -> Change:
    name = f"{row.name} (package)" if row.group == "packages" else row.name
    change = Change(name, row.values[0], row.values[1])
    return replace(change, better="one" if 0 in row.best else "other") if row.best else change


def _untold(topic: Topic, subjects: Sequence[Subject]) -> str | None:
    """Why a topic cannot be compared: one of the two has nothing of it, and the other has."""
    has = [
        bool(one.environment if topic in ("requirements", "environment") else one.record) for one in subjects
    ]
    if all(has) or not any(has):
        return None
    lacking = subjects[has.index(False)].column
    return f"{lacking.name} had none: it was made by {lacking.kind}"


def _requirements(subjects: Sequence[Subject]) -> Iterator[Change]:
    one, other = (subject.environment for subject in subjects)
    if one is not None and other is not None:
        for name in ("requirements", "overrides"):
            yield from _unequal(name, getattr(one, name), getattr(other, name))
        yield from _unequal("relaxed", _relaxed(one), _relaxed(other))


def _relaxed(environment: Environment) -> str | None:
    return ", ".join(f"{one.pin} became {one.version}" for one in environment.relaxed) or None


def _circumstances(subjects: Sequence[Subject]) -> Iterator[Change]:
    """Where and how the runs went, beside what was asked of them."""
    one, other = (subject.record for subject in subjects)
    if one is None or other is None:
        return
    for name in ("host", "user", "pkgrun"):
        yield from _unequal(name, getattr(one.by, name), getattr(other.by, name))
    yield from _unequal("hash seed", _of(one.facts, "hash_seed"), _of(other.facts, "hash_seed"))
    mounts = [facts.data.mount if facts and facts.data else None for facts in (one.facts, other.facts)]
    yield from _unequal("mounted by", *mounts)
    devices = [
        ", ".join(device.name or device.id for device in facts.devices) if facts else None
        for facts in (one.facts, other.facts)
    ]
    yield from _unequal("accelerators", *(names or None for names in devices))


def _of(facts: Facts | None, name: str) -> Value:
    value: Value = getattr(facts, name, None)
    return value


def _unequal(name: str, before: Value, after: Value) -> Iterator[Change]:
    if before != after:
        yield Change(name, before, after)
