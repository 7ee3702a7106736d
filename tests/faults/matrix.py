"""Runs the cases: a fresh copy of the store, a process that meets one fault, another that recovers and checks."""

from __future__ import annotations

import json
import os
import random
import select
import shutil
import signal
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pkgrun
from pkgrun import Workspace
from pkgrun.errors import PkgrunError
from pkgrun.store.objects import Objects
from pkgrun.store.root import Store, open_store
from pkgrun.store.wrappers import Call

from .failing import Calls, Failing, Fault, faults
from .operations import OPERATIONS, Acknowledged, acknowledged, prepare, target
from .verdicts import Tally, collect, holes, unchained
from .verdicts import doubled as twice

LIMIT = 60.0
"""Seconds that a case may take."""


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
    calls: dict[str, list[Call]]

    @classmethod
    def made(cls, folder: Path, operations: Sequence[str]) -> Scene:
        """Prepare it, and count."""
        template = folder / "template"
        template.mkdir(parents=True)
        in_child(partial(prepare, template), template)
        scene = cls(folder, {})
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
            return dict(in_child(partial(_checked, place, case.operation, said or []), place))


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
    """What was seen after a case: names that were acknowledged, and of these lost and doubled; holes; what else is wrong."""

    acknowledged: int
    lost: list[str]
    doubled: list[str]
    holes: list[str]
    wrong: list[str]


def run(
    scene: Scene, cases: Sequence[Case], *, told: Callable[[int], object] = lambda done: None
) -> dict[str, Tally]:
    """Meet all cases, some at once."""
    tallies = {operation: Tally() for operation in scene.calls}
    waiting, underway, done = list(reversed(cases)), dict[int, tuple[Case, _Child]](), 0
    while waiting or underway:
        while waiting and len(underway) < (os.cpu_count() or 1):
            case = waiting.pop()
            child = _Child(partial(scene.meet, case), scene.folder)
            underway[child.pipe] = case, child
        for pipe in select.select(list(underway), [], [], LIMIT)[0]:
            case, child = underway.pop(pipe)
            try:
                _count(tallies[case.operation], case, Verdict(**child.answer()))
            except AssertionError as error:
                tallies[case.operation].wrong.append(f"{case}: {error}")
            done += 1
            told(done)
    return tallies


def _count(tally: Tally, case: Case, verdict: Verdict) -> None:
    tally.faults += 1
    tally.operations += 1
    tally.acknowledged += verdict.acknowledged
    tally.lost += len(verdict.lost)
    tally.doubled += len(verdict.doubled)
    tally.holes += len(verdict.holes)
    found = (*verdict.lost, *verdict.doubled, *verdict.holes, *verdict.wrong)
    tally.wrong += [f"{case}: {one}" for one in found]


def sample(cases: Sequence[Case], count: int | None, seed: int) -> list[Case]:
    """So many of them, drawn by a seed; all without a count."""
    if count is None or count >= len(cases):
        return list(cases)
    return random.Random(seed).sample(list(cases), count)


# ---------------------------------------------------------------------- in processes of their own


class _Child:
    """Some work in a process of its own, started by fork: the parent, which has one thread, has loaded all it needs."""

    def __init__(self, work: Callable[[], Any], place: Path) -> None:
        self.pipe, write = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            _be(work, place, write)
        os.close(write)

    def answer(self) -> Any:
        """What the work returned, None if it was killed.

        Raises:
            AssertionError: it raised, or took too long.
        """
        data, until = b"", time.monotonic() + LIMIT
        while piece := self._piece(until):
            data += piece
        os.close(self.pipe)
        _, status = os.waitpid(self._pid, 0)
        if not data and os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
            return None
        answer = json.loads(data) if data else {"error": f"it ended with {status} and said nothing"}
        if "error" in answer:
            raise AssertionError(answer["error"])
        return answer["value"]

    def _piece(self, until: float) -> bytes:
        if select.select([self.pipe], [], [], max(0.0, until - time.monotonic()))[0]:
            return os.read(self.pipe, 1 << 16)
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        raise AssertionError(f"it took longer than {LIMIT:g} s")


def in_child(work: Callable[[], Any], place: Path) -> Any:
    """What `work` returns in a process of its own; None if that was killed."""
    return _Child(work, place).answer()


def _be(work: Callable[[], Any], place: Path, write: int) -> None:
    """The child: say what came of it, and end without what the parent would do in its end."""
    try:
        os.environ["PKGRUN_CACHE"] = str(place / "cache")
        os.environ["PKGRUN_STORE"] = str(place / "store")
        os.chdir(place)
        try:
            answer = {"value": work()}
        except BaseException:
            answer = {"error": traceback.format_exc()}
        os.write(write, json.dumps(answer).encode())
    finally:
        os._exit(0)


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


def _checked(place: Path, operation: str, said: Acknowledged) -> dict[str, Any]:
    """Somebody else recovers the store, checks it, does the operation once more, collects, and checks again."""
    path = target(place, operation)
    before = acknowledged(pkgrun.open(place / "store", create=False))
    wrong: list[str] = []
    known = said + [one for one in before if operation != "copy"]
    workspace = pkgrun.open(path)
    list(workspace.runs(everything=True))  # whoever looks at runs settles them
    still = [run.run for run in workspace.runs(everything=True) if not run.final]
    wrong += [f"{run} is still open" for run in still]
    missing = list(holes(path))
    wrong += list(unchained(workspace))
    doubled = list(twice(workspace))
    again = OPERATIONS[operation](place, pkgrun.open(path))
    collect(path)
    missing += list(holes(path))
    found = acknowledged(pkgrun.open(path))
    lost = [one for one in {*known, *again} if one not in found]
    return {
        "acknowledged": len(said),
        "lost": lost,
        "doubled": doubled,
        "holes": missing,
        "wrong": wrong,
    }
