"""Runs the cases: a fresh copy of the store, a process that meets one fault, another that recovers and checks."""

from __future__ import annotations

import os
import random
import select
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

from pkgrun import Workspace
from pkgrun.errors import PkgrunError
from pkgrun.store.objects import Objects
from pkgrun.store.root import Store, open_store
from pkgrun.store.wrappers import Call

from . import forks
from .failing import Calls, Failing, Fault, faults
from .forks import Child, in_child
from .operations import OPERATIONS, Acknowledged, prepare, target
from .verdicts import Tally, after


@dataclass(frozen=True, slots=True)
class Case:
    """An operation and its fault."""

    operation: str
    fault: Fault

    def __str__(self) -> str:
        return f"{self.operation}, call {self.fault.at}, {self.fault.when}, {self.fault.kind}"


@dataclass(frozen=True, slots=True)
class Scene:
    """The store that every case begins with, and how many calls each operation makes."""

    folder: Path
    before: Acknowledged
    calls: dict[str, list[Call]]

    @classmethod
    def made(cls, folder: Path, operations: Sequence[str]) -> Scene:
        """Prepare it, and count."""
        forks.load()
        template = folder / "template"
        template.mkdir(parents=True)
        scene = cls(folder, in_child(partial(prepare, template), template), {})
        for operation in operations:
            with scene.copied() as place:
                found = in_child(partial(_counted, place, operation), place)
                scene.calls[operation] = [Call(**one) for one in found]
        return scene

    def cases(self, operation: str) -> list[Case]:
        """All faults that an operation can meet."""
        return [Case(operation, fault) for fault in faults(self.calls[operation])]

    def copied(self) -> _Copied:
        """A fresh copy of all of it, for one case."""
        return _Copied(self.folder)

    def meet(self, case: Case) -> dict[str, Any]:
        """What becomes of one case; the fields of a `Verdict`."""
        with self.copied() as place:
            said = in_child(partial(_broken, place, case), place)
            store = target(place, case.operation)
            checked = partial(after, store, place, case.operation, before=self.before, said=said or [])
            return dict(in_child(checked, place))


class _Copied:
    """A copy that is removed in the end."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._place = folder / f"case-{os.urandom(6).hex()}"

    def __enter__(self) -> Path:
        shutil.copytree(self._folder / "template", self._place)
        return self._place

    def __exit__(self, *error: object) -> None:
        shutil.rmtree(self._place, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was seen after a case: whether there was a fault; names that were acknowledged, and of these lost and doubled;
    holes; what else is wrong."""

    acknowledged: int
    lost: list[str]
    doubled: list[str]
    holes: list[str]
    wrong: list[str]
    faults: int = 1


class Broken(Protocol):
    """An operation and what goes wrong with it, in words."""

    @property
    def operation(self) -> str: ...


B = TypeVar("B", bound=Broken)


def run(
    meet: Callable[[B], dict[str, Any]],
    cases: Sequence[B],
    place: Path,
    *,
    told: Callable[[int], object] = lambda done: None,
) -> dict[str, Tally]:
    """Meet all cases, some at once, each in a process of its own; a row for each operation.

    Args:
        meet: what becomes of a case; the fields of a `Verdict`.
        cases: what is met.
        place: where.
        told: told how many are done.
    """
    tallies = {operation: Tally() for operation in dict.fromkeys(case.operation for case in cases)}
    waiting, underway, done = list(reversed(cases)), dict[int, tuple[B, Child]](), 0
    while waiting or underway:
        while waiting and len(underway) < (os.cpu_count() or 1):
            case = waiting.pop()
            child = Child(partial(meet, case), place)
            underway[child.pipe] = case, child
        for pipe in select.select(list(underway), [], [], forks.LIMIT)[0]:
            case, child = underway.pop(pipe)
            try:
                _count(tallies[case.operation], case, Verdict(**child.answer()))
            except AssertionError as error:
                tallies[case.operation].wrong.append(f"{case}: {error}")
            done += 1
            told(done)
    return tallies


def _count(tally: Tally, case: Broken, verdict: Verdict) -> None:
    tally.faults += verdict.faults
    tally.operations += 1
    tally.acknowledged += verdict.acknowledged
    tally.lost += len(verdict.lost)
    tally.doubled += len(verdict.doubled)
    tally.holes += len(verdict.holes)
    found = (*verdict.lost, *verdict.doubled, *verdict.holes, *verdict.wrong)
    tally.wrong += [f"{case}: {one}" for one in found]


def sample(cases: Sequence[B], count: int | None, seed: int) -> list[B]:
    """So many of them, drawn by a seed; all without a count."""
    if count is None or count >= len(cases):
        return list(cases)
    return random.Random(seed).sample(list(cases), count)


# ---------------------------------------------------------------------- one case


def _failing(place: Path, operation: str, calls: Calls) -> Workspace:
    """The store that the operation writes to, behind a backend that counts and fails."""
    real = open_store(str(target(place, operation)), create=True)
    backend = Failing(real.backend, calls)
    return Workspace(Store(backend, Objects(backend), real.id))


def _counted(place: Path, operation: str) -> list[dict[str, Any]]:
    calls = Calls()
    OPERATIONS[operation](place, _failing(place, operation, calls))
    return [{"method": call.method, "key": call.key, "sent": call.sent} for call in calls.made]


def _broken(place: Path, case: Case) -> Acknowledged:
    """What the operation acknowledged; nothing if it failed, which it may, but only as pkgrun fails."""
    try:
        return OPERATIONS[case.operation](place, _failing(place, case.operation, Calls(case.fault)))
    except PkgrunError as error:
        if error.kind == "bug":
            raise
        return []
