"""What came of doing a run again: which files are others, whether the same went in, and what is known to be the cause.

It compares what the store holds of both runs, by digest; only where a file differs are bytes read. It claims nothing that
was not attested: where nothing differs, and it was not shown that the same went in, or nothing came out, the verdict is `unproven`.
"""

from __future__ import annotations

from collections.abc import Sequence

from pkgrun.errors import Bug
from pkgrun.records import Facts, Measured, Reproduction, Tree
from pkgrun.runs.causes import Differed, causes
from pkgrun.runs.course import Course
from pkgrun.runs.differences import LONGEST, Contents
from pkgrun.runs.doubts import doubts
from pkgrun.runs.order import Order
from pkgrun.store.root import Store

_METRICS = 100
"""Metrics that differ and are told."""


def judge(
    store: Store, order: Order, course: Course, made: Tree | None, *, altered: Sequence[str] = ()
) -> Reproduction:
    """Compare what this run has made with what its original had, before it is decided.

    Args:
        course: what was found out; the log and the end of this run are not part of it yet.
        made: the version's content, if the pipeline makes one; all of it has been given to the store.
        altered: files of the environment that are not as they were installed.

    Raises:
        Damaged: what the store holds of the original cannot be read.
    """
    original, now = order.original, course.facts()
    if original is None or original.facts is None:
        raise Bug("a reproduction of nothing")
    then = original.facts
    contents = Contents(store)
    before, after = _measured(then, now), _measured(now, then)
    differed = Differed(
        files=contents.differing(original.output, made),
        artifacts=contents.differing(then.artifacts, now.artifacts),
        passed=_passed(then, now),
        numbers=(before.score, before.baseline_score) != (after.score, after.baseline_score),
    )
    unshown = (
        *([] if _comparable(now, made) else ["nothing came out that could be compared"]),
        *doubts(store, then, now, secrets=order.request.secrets, altered=altered),
    )
    return Reproduction(
        run=original.run,
        version=original.version,
        verdict="differs" if differed else "unproven" if unshown else "identical",
        tree=made,
        files=differed.files.record(),
        artifacts=differed.artifacts.record(),
        passed=differed.passed,
        before=before,
        now=after,
        doubts=unshown,
        causes=tuple(causes(contents, order, now, differed)) if differed else (),
    )


def _comparable(now: Facts, made: Tree | None) -> bool:
    """Whether anything came out: a version, artifacts, a folder that was prepared, or a number."""
    files = now.artifacts is not None and now.artifacts.files > 0
    measured = now.score is not None or now.baseline_score is not None or bool(now.metrics)
    return made is not None or files or bool(now.passed) or measured


def _measured(facts: Facts, other: Facts) -> Measured:
    mine, others = facts.metrics or {}, other.metrics or {}
    names = [name for name in mine if mine[name] != others.get(name) and len(name) < LONGEST]
    metrics = {name: mine[name] for name in sorted(names)[:_METRICS]}
    return Measured(score=facts.score, baseline_score=facts.baseline_score, metrics=metrics or None)


def _passed(then: Facts, now: Facts) -> tuple[str, ...]:
    """The folders in which a call was given something else than then."""
    before = {one.call: one.tree.digest for one in then.passed}
    after = {one.call: one.tree.digest for one in now.passed}
    folders = {one.call: one.folder for one in (*then.passed, *now.passed)}
    differing = [call for call in folders if before.get(call) != after.get(call)]
    return tuple(dict.fromkeys(folders[call] for call in differing))
