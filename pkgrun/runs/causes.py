"""Why a run that was done again came out otherwise: what is shown to be the cause, then what is possible.

Whatever is said of a file is a name, a count or a place, never its content: records outlive what is erased.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from pkgrun.errors import Bug, Erased
from pkgrun.records import Cause, Facts, RunRecord
from pkgrun.runs import chances, pairs
from pkgrun.runs.differences import Contents, Differences
from pkgrun.runs.doubts import some
from pkgrun.runs.order import Order
from pkgrun.runs.pairs import Found, Side
from pkgrun.store.files import shown
from pkgrun.store.trees import Entry

_CLOSELY = 32 << 20
"""Bytes of each tree's files that are looked at closely, for which some seconds are enough."""


@dataclass(frozen=True, slots=True)
class Differed:
    """What came out otherwise: files of the version and of the artifacts, folders that were prepared, numbers."""

    files: Differences
    artifacts: Differences
    passed: tuple[str, ...]
    numbers: bool

    def __bool__(self) -> bool:
        return bool(self.files.paths or self.artifacts.paths or self.passed or self.numbers)


def causes(contents: Contents, order: Order, now: Facts, differed: Differed) -> Iterator[Cause]:
    """What is known first. Circumstances are told unless all that differs has a known cause."""
    original = order.original
    if original is None or original.facts is None:
        raise Bug("a reproduction of nothing")
    sides = _Sides(contents, order, original, original.facts, now)
    found = [*sides.causes(differed.files, ""), *sides.causes(differed.artifacts, "artifacts/")]
    yield from (cause for cause in found if cause.known)
    yield from (cause for cause in found if not cause.known)
    explained = {cause.path for cause in found if cause.known}
    all_files = len(differed.files.paths) + len(differed.artifacts.paths)
    if len(explained) < all_files or differed.passed or differed.numbers:
        possible = [
            *_prepared(differed.passed),
            *_otherwise(original.facts, now),
            *_circumstances(order, original),
            *chances.of_sources(contents.sources(order.base.tree.digest)),
        ]
        yield from (Cause(known=False, message=told) for told in possible)


def _prepared(passed: tuple[str, ...]) -> Iterator[str]:
    for folder in passed:
        yield f"the package's own code prepared other content in {folder}, so what came after was given other data"


@dataclass(frozen=True, slots=True)
class _Sides:
    """Both runs, to compare files of."""

    contents: Contents
    order: Order
    original: RunRecord
    then: Facts
    now: Facts

    def causes(self, found: Differences, below: str) -> Iterator[Cause]:
        """Of the files that are looked at; closely, as long as that takes no long time."""
        left = _CLOSELY
        for path, (before, after) in found.entries.items():
            name = below + shown(path)
            size = before.bytes + after.bytes
            closely = size <= left
            left -= size if closely else 0
            for one in self._pair(before, after, closely=closely):
                yield Cause(known=one.known, message=one.message, path=name)

    def _pair(self, before: Entry, after: Entry, *, closely: bool) -> list[Found]:
        if before.kind != "file" or after.kind != "file":
            return [Found(known=False, message="where a symbolic link leads, or that it is one")]
        if before.digest == after.digest:
            return [Found(known=False, message="only whether it may be executed; the content is the same")]
        try:
            old = self._side(before, self.original.run, self.original.by.host, self.then)
            return pairs.compare(old, self._new(after), closely=closely)
        except Erased:
            return [Found(known=False, message="what it was then was erased")]

    def _new(self, entry: Entry) -> Side:
        intent = self.order.intent
        return self._side(entry, intent.run, intent.by.host, self.now)

    def _side(self, entry: Entry, run: str, host: str, facts: Facts) -> Side:
        return Side(
            size=entry.bytes,
            read=partial(self.contents.stream, entry),
            run=run,
            host=host,
            began=facts.started.timestamp(),
            ended=facts.ended.timestamp(),
        )


def _circumstances(order: Order, original: RunRecord) -> Iterator[str]:
    """What was not as it was then, of what is recorded."""
    by = order.intent.by
    if original.by.host != by.host:
        yield f"it ran on another machine: {by.host}, then {original.by.host}; processors are not recorded"
    if original.by.pkgrun != by.pkgrun:
        yield f"pkgrun was {by.pkgrun}, then {original.by.pkgrun}"


def _otherwise(then: Facts, now: Facts) -> Iterator[str]:
    """The same, of what both runs found out."""
    if then.data and now.data and then.data.mount != now.data.mount:
        yield f"the data was put there by {now.data.mount}, then by {then.data.mount}"
    if lacking := sorted({*then.inherited} - {*now.inherited}):
        yield f"variables of the machine that were set then, and are not now: {some(lacking)}"
    if new := sorted({*now.inherited} - {*then.inherited}):
        yield f"variables of the machine that are set now, and were not then: {some(new)}"
    if then.confined != now.confined:
        yield "it was held by other means than then"
