"""What came of doing a run again: which files are others, whether the same went in, and what is known to be the cause.

It compares what the store holds of both runs, by digest; only where a file differs are bytes read. It claims nothing that
was not attested: where nothing differs, and it was not shown that the same went in, the verdict is `unproven`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice

from pkgrun.errors import Bug
from pkgrun.records import (
    Cause,
    Data,
    Differing,
    Environment,
    Facts,
    FileList,
    Measured,
    Reproduction,
    RunRecord,
    Tree,
)
from pkgrun.runs import chances, inherited, pairs
from pkgrun.runs.course import Course
from pkgrun.runs.order import Order
from pkgrun.runs.pairs import Side
from pkgrun.store import trees
from pkgrun.store.files import shown
from pkgrun.store.objects import SMALL
from pkgrun.store.root import Store
from pkgrun.store.trees import Entry
from pkgrun.worker import locks

_SOURCES = 500
_LOOKED_AT = 50
"""Files that are looked at for causes; of a thousand that differ, the fiftieth tells nothing new."""


def judge(store: Store, order: Order, course: Course, made: Tree | None) -> Reproduction:
    """Compare what this run has made with what its original had, before it is decided.

    Args:
        course: what was found out; the log and the end of this run are not part of it yet.
        made: the version's content, if the pipeline makes one; all of it has been given to the store.

    Raises:
        Damaged: what the store holds of the original cannot be read.
    """
    original, now = order.original, course.facts()
    if original is None or original.facts is None:
        raise Bug("a reproduction of nothing")
    then = original.facts
    objects = _Objects(store)
    files = objects.differing(original.output, made)
    artifacts = objects.differing(then.artifacts, now.artifacts)
    passed = _passed(then, now)
    before, after = _measured(then), _measured(now)
    numbers = (before.score, before.baseline_score) != (after.score, after.baseline_score)
    differs = bool(files.paths or artifacts.paths or passed or numbers)
    doubts = tuple(_doubts(store, then, now))
    causes = _causes(objects, order, now, files, artifacts, passed) if differs else ()
    return Reproduction(
        run=original.run,
        version=original.version,
        verdict="differs" if differs else "unproven" if doubts else "identical",
        tree=made,
        files=files.record(),
        artifacts=artifacts.record(),
        passed=passed,
        before=before,
        now=after,
        doubts=doubts,
        causes=tuple(causes),
    )


def _measured(facts: Facts) -> Measured:
    return Measured(score=facts.score, baseline_score=facts.baseline_score, metrics=facts.metrics)


def _passed(then: Facts, now: Facts) -> tuple[str, ...]:
    """The folders in which a call was given something else than then."""
    before = {one.call: one.tree.digest for one in then.passed}
    after = {one.call: one.tree.digest for one in now.passed}
    folders = {one.call: one.folder for one in (*then.passed, *now.passed)}
    differing = [call for call in folders if before.get(call) != after.get(call)]
    return tuple(dict.fromkeys(folders[call] for call in differing))


# ---------------------------------------------------------------- which files


class _Differences:
    """The files in which two trees differ: how, and what each has there."""

    def __init__(self) -> None:
        self.paths: dict[str, str] = {}
        self.entries: dict[str, tuple[Entry, Entry]] = {}

    def record(self) -> Differing:
        """As the record holds it."""
        found: dict[str, list[str]] = {"changed": [], "added": [], "removed": []}
        for path, how in sorted(self.paths.items()):
            found[how].append(shown(path))
        return Differing(**{how: FileList.of(names) for how, names in found.items()})


class _Objects:
    """Trees and files of both runs, whose own bytes may still be on their way into the store."""

    def __init__(self, store: Store) -> None:
        self._objects = store.objects

    def differing(self, old: Tree | None, new: Tree | None) -> _Differences:
        """How one tree differs from another; none is an empty one."""
        found = _Differences()
        one, other = old.digest if old and old.files else "", new.digest if new and new.files else ""
        if one == other:
            return found
        for difference in trees.diff(self._objects, one, other):
            found.paths[difference.path] = difference.how
        for path in sorted(path for path, how in found.paths.items() if how == "changed")[:_LOOKED_AT]:
            found.entries[path] = (
                trees.find(self._objects, one, path),
                trees.find(self._objects, other, path),
            )
        return found

    def stream(self, entry: Entry) -> Iterable[bytes]:
        """The bytes of a file, verified; one that is not small is never whole in memory."""
        if entry.bytes < SMALL:
            return [self._objects.read(entry.digest)]
        return self._objects.stream(entry.digest)

    def sources(self, digest: str) -> Iterator[tuple[str, bytes]]:
        """The Python files of a package, but for very large ones, and for those after very many."""
        found = (one for one in trees.walk(self._objects, digest) if one[0].endswith(".py"))
        for path, entry in islice(found, _SOURCES):
            if entry.kind == "file" and entry.bytes < SMALL:
                yield shown(path), self._objects.read(entry.digest)


# ---------------------------------------------------------------- whether the same went in


def _doubts(store: Store, then: Facts, now: Facts) -> Iterator[str]:
    yield from _data_doubts("the data", then.data, now.data)
    yield from _data_doubts("the evaluation set", then.evaluation_data, now.evaluation_data)
    for when, facts in (("then", then), ("now", now)):
        for folder in dict.fromkeys(one.folder for one in facts.passed if not one.attested):
            yield f"what the package's own code prepared in {folder} was not attested {when}"
    yield from _environment_doubts(store, then.environment, now.environment)
    if "random" in (then.hash_seed, now.hash_seed):
        yield "the hash seed was random, so each run had its own"


def _data_doubts(what: str, then: Data | None, now: Data | None) -> Iterator[str]:
    for when, data in (("then", then), ("now", now)):
        if data and not data.attested:
            count = data.unstable.count
            why = data.doubt or f"{'a file' if count == 1 else f'{count:,} files'} changed while the code ran"
            yield f"{what} was not attested {when}: {why}"
    if (then and then.tree.digest) != (now and now.tree.digest):
        yield f"{what} that was given is not what it was then: it changed after it had been looked at"


def _environment_doubts(store: Store, then: Environment | None, now: Environment | None) -> Iterator[str]:
    if then is None or now is None:
        yield "an environment is not recorded"
        return
    if then.mode == "current":
        yield "it ran in the Python at hand, whose packages are recorded by version, without hashes"
    if then.lock.digest != now.lock.digest:
        others = _packages(store, then) ^ _packages(store, now)
        yield f"other packages are installed than then: {_some(sorted(others))}"
    elif then.mode == "isolated" and (loose := _unhashed(store, then)):
        yield f"its lock holds {_some(loose)} to no hash"
    if then.platform != now.platform:
        yield f"this is another platform: {now.platform}, then {then.platform}"
    if _series(then) != _series(now):
        yield f"this is another Python: {now.python}, then {then.python}"


def _packages(store: Store, environment: Environment) -> set[str]:
    return {line.partition(" ")[0] for line in locks.required(inherited.text(store, environment))}


def _unhashed(store: Store, environment: Environment) -> list[str]:
    lines = locks.required(inherited.text(store, environment))
    return [line.partition(" ;")[0] for line in lines if "--hash=" not in line]


def _series(environment: Environment) -> list[str]:
    return environment.python.split(".")[:2]


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 3:,} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


# ---------------------------------------------------------------- what is known to cause it


def _causes(
    objects: _Objects,
    order: Order,
    now: Facts,
    files: _Differences,
    artifacts: _Differences,
    passed: tuple[str, ...],
) -> Iterator[Cause]:
    """What is known first, then what is possible."""
    found = [
        *_of_files(objects, order, now, files, ""),
        *_of_files(objects, order, now, artifacts, "artifacts/"),
    ]
    explained = {cause.path for cause in found if cause.known}
    possible: list[str] = list(_prepared(passed))
    if not explained or len(explained) < len(files.paths) + len(artifacts.paths):
        possible += _circumstances(order, now)
        possible += chances.of_sources(objects.sources(order.base.tree.digest))
    yield from (cause for cause in found if cause.known)
    yield from (cause for cause in found if not cause.known)
    yield from (Cause(known=False, message=told) for told in possible)


def _prepared(passed: tuple[str, ...]) -> Iterator[str]:
    for folder in passed:
        yield f"the package's own code prepared other content in {folder}, so what came after was given other data"


def _of_files(
    objects: _Objects, order: Order, now: Facts, found: _Differences, below: str
) -> Iterator[Cause]:
    for path, (before, after) in found.entries.items():
        name = below + shown(path)
        for told in _pair(objects, order, now, before, after):
            yield Cause(known=told.known, message=told.message, path=name)


def _pair(objects: _Objects, order: Order, now: Facts, before: Entry, after: Entry) -> list[pairs.Found]:
    if before.kind != "file" or after.kind != "file":
        return [pairs.Found(known=False, message="where a symbolic link leads, or that it is one")]
    if before.digest == after.digest:
        return [pairs.Found(known=False, message="only whether it may be executed; the content is the same")]
    if order.original is None or order.original.facts is None:
        return []
    old = _side(objects, before, order.original, order.original.facts)
    by = order.intent.by
    new = Side(
        size=after.bytes,
        read=partial(objects.stream, after),
        run=order.intent.run,
        host=by.host,
        began=now.started.timestamp(),
        ended=now.ended.timestamp(),
    )
    return pairs.compare(old, new)


def _side(objects: _Objects, entry: Entry, run: RunRecord, facts: Facts) -> Side:
    return Side(
        size=entry.bytes,
        read=partial(objects.stream, entry),
        run=run.run,
        host=run.by.host,
        began=facts.started.timestamp(),
        ended=facts.ended.timestamp(),
    )


def _circumstances(order: Order, now: Facts) -> Iterator[str]:
    """What was not as it was then, of what is recorded."""
    original = order.original
    if original is None or original.facts is None:
        return
    then, by = original.facts, order.intent.by
    yield from _otherwise(then, now)
    if original.by.host != by.host:
        yield f"it ran on another machine: {by.host}, then {original.by.host}; processors are not recorded"
    if original.by.pkgrun != by.pkgrun:
        yield f"pkgrun was {by.pkgrun}, then {original.by.pkgrun}"
    if order.request.secrets:
        yield f"the values of secrets are not recorded, and may be others: {_some(list(order.request.secrets))}"


def _otherwise(then: Facts, now: Facts) -> Iterator[str]:
    """The same, of what both runs found out."""
    if then.environment and now.environment and then.environment.python != now.environment.python:
        yield f"Python was {now.environment.python}, then {then.environment.python}"
    if then.data and now.data and then.data.mount != now.data.mount:
        yield f"the data was put there by {now.data.mount}, then by {then.data.mount}"
    if lacking := sorted({*then.inherited} - {*now.inherited}):
        yield f"variables of the machine that were set then, and are not now: {_some(lacking)}"
    if new := sorted({*now.inherited} - {*then.inherited}):
        yield f"variables of the machine that are set now, and were not then: {_some(new)}"
    if _devices(then) != _devices(now):
        yield f"it was shown {_some(_devices(now)) or 'no device'}, then {_some(_devices(then)) or 'none'}"
    if then.confined != now.confined:
        yield "it was held by other means than then"


def _devices(facts: Facts) -> list[str]:
    return sorted(" ".join(filter(None, (one.name or one.vendor, one.driver))) for one in facts.devices)
