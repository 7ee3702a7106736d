"""Versions and runs side by side: what was asked, what came out, on what, in what, and which files are others.

It reads records and trees, and judges nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from pkgrun.errors import NotFound, UsageError
from pkgrun.records import Environment, RunRecord, Tree, VersionRecord
from pkgrun.runs import lookup, recover
from pkgrun.runs.comparison import Column, Comparison, File, Subject, rows
from pkgrun.store import numbers, trees
from pkgrun.store.files import shown
from pkgrun.store.root import Store
from pkgrun.worker import locks

_PIPELINES = ("training", "evaluation", "full", "reproduction")
_PINNED = re.compile(r"([A-Za-z0-9][\w.-]*)\s*(?:\[[^\]]*\])?\s*(?:===?|@)\s*([^\s;]+)")


def compare(store: Store, names: Sequence[str]) -> Comparison:
    """What the named versions and runs have in common, and what not; in the order of the names.

    Raises:
        UsageError: fewer than two are named.
        NotFound, InvalidName: one is not there, or no name.
        Damaged: what the store holds of one cannot be read.
    """
    if len(names) < 2:
        raise UsageError("one thing cannot be compared", hint="name two versions, or more")
    subjects = [subject(store, name) for name in names]
    contents = [subject.tree.digest for subject in subjects if subject.tree and not subject.column.removed]
    return Comparison(
        columns=tuple(subject.column for subject in subjects),
        rows=rows(subjects),
        files=tuple(_files(store, contents)) if len(contents) == len(subjects) else None,
    )


def subject(store: Store, name: str) -> Subject:
    """What a name means: with `@`, or if a package has that name, a version; else a run.

    Raises:
        UsageError: it is a run that is no pipeline.
        NotFound, InvalidName: it is not there, or no name.
        Damaged: what the store holds of it cannot be read.
    """
    if lookup.means_run(store, name):
        record = recover.settle(store, lookup.run(store, name))
        version = _made_by(store, record)
        if version is None and record.kind not in _PIPELINES:
            raise UsageError(f"the run {name} is no pipeline", hint="`pkgrun run list` shows those that are")
        return _described(store, version, record)
    version = lookup.version(store, name, removed=True)
    return _described(store, version, _run_of(store, version))


def _made_by(store: Store, record: RunRecord) -> VersionRecord | None:
    if record.package is None or record.version is None:
        return None
    return numbers.read(store.backend, record.package, record.version)


def _run_of(store: Store, version: VersionRecord) -> RunRecord | None:
    try:
        return recover.settle(store, version.run)
    except NotFound:  # it was brought from another store without its run
        return None


def _described(store: Store, version: VersionRecord | None, record: RunRecord | None) -> Subject:
    pipeline = record if record and record.kind in _PIPELINES else None
    removed = _is_removed(store, version, record)
    environment = (version.environment if version else None) or (
        pipeline.facts.environment if pipeline and pipeline.facts else None
    )
    return Subject(
        column=_column(version, record, pipeline, removed=removed),
        tree=version.tree if version else _content(record),
        version=version,
        record=pipeline,
        environment=environment,
        packages=_packages(store, environment) if environment and not removed else {},
    )


def _content(record: RunRecord | None) -> Tree | None:
    """What a run without a version stands for: what it made as a reproduction, else what it started from."""
    if record is None:
        return None
    return (record.reproduced.tree if record.reproduced else None) or record.input


def _is_removed(store: Store, version: VersionRecord | None, record: RunRecord | None) -> bool:
    """Whether the content that the column stands for was given up."""
    package, number = (version.package, version.version) if version else (None, None)
    if version is None and record is not None:
        package, number = record.package, record.parent
    if package is None or number is None:
        return False
    return numbers.removed(store.backend, package, number) is not None


def _column(
    version: VersionRecord | None, record: RunRecord | None, pipeline: RunRecord | None, *, removed: bool
) -> Column:
    if version is not None:
        return Column(
            name=f"{version.package}@{version.version}",
            package=version.package,
            version=version.version,
            run=pipeline.run if pipeline else None,
            kind=version.kind,
            status=pipeline.status if pipeline else None,
            parent=version.parent,
            created=version.created,
            removed=removed,
        )
    if record is None:
        raise NotFound("there is neither a version nor a run")
    return Column(
        name=record.run,
        package=record.package,
        version=None,
        run=record.run,
        kind=record.kind,
        status=record.status,
        parent=record.parent,
        created=record.created,
        removed=False,
    )


def _packages(store: Store, environment: Environment) -> dict[str, str]:
    """What was installed, by name."""
    lock = store.objects.read(environment.lock.digest).decode("utf-8", "replace")
    found = (_PINNED.match(line) for line in locks.required(lock))
    return {one[1].lower().replace("_", "-"): one[2] for one in found if one}


def _files(store: Store, contents: list[str]) -> list[File]:
    """The files that are not the same everywhere, by path.

    Two columns have the same of a file if the way from one tree to the other does not touch it.
    """
    ways = {
        (one, other): {
            each.path: each.how for each in trees.diff(store.objects, contents[one], contents[other])
        }
        for other in range(len(contents))
        for one in range(other)
    }
    found = sorted({path for way in ways.values() for path in way})
    return [File(shown(path), _contents(path, ways, len(contents))) for path in found]


def _contents(
    path: str, ways: Mapping[tuple[int, int], Mapping[str, str]], count: int
) -> tuple[int | None, ...]:
    absent = {
        one if how == "added" else other
        for (one, other), way in ways.items()
        if (how := way.get(path)) in ("added", "removed")
    }
    numbered: list[int | None] = []
    for column in range(count):
        like = next((one for one in range(column) if path not in ways[one, column]), None)
        if like is not None:
            numbered.append(numbered[like])
        elif column in absent:
            numbered.append(None)
        else:
            numbered.append(len({number for number in numbered if number is not None}))
    return tuple(numbered)
