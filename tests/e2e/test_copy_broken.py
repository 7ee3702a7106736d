"""Copies that are broken off, stopped, killed or misled: nothing half is seen, and copying again completes them."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import pkgrun
from pkgrun.errors import Temporary
from pkgrun.store.objects import Objects
from pkgrun.store.root import Store, open_store
from pkgrun.testing import Fault, Faulty, Plan

from .copies import copied, copied_into, everything, prepared
from .lab import Lab

pytestmark = [pytest.mark.row(8), pytest.mark.row(9)]


@pytest.fixture
def history(lab: Lab) -> Lab:
    """Something to copy."""
    return prepared(lab)


def test_contents_are_durable_before_the_decision_and_records_come_after_it(history: Lab) -> None:
    source, target = (
        open_store(str(history.store), create=False),
        open_store(str(history.folder / "copy"), create=True),
    )
    backend = Faulty(target.backend, plan := Plan())
    run = copied_into(source, Store(backend, Objects(backend), target.id)).run

    calls = [(call.method, call.key) for call in plan.calls]
    decision = calls.index(("create", f"runs/{run}/outcome.json"))
    before, after = calls[:decision], [key for method, key in calls[decision:] if method == "create"]
    published = max(at for at, (method, _) in enumerate(before) if method == "upload.publish")
    assert ("flush", "") in before[published:]
    assert [key for method, key in before if method == "create"] == [f"runs/{run}/intent.json"]
    versions = [key for key in after if key.startswith("packages/p/")]
    assert versions == sorted(versions)
    for name in {key.split("/")[1] for key in after if key.startswith("runs/")} - {run}:
        assert after.index(f"runs/{name}/outcome.json") < after.index(f"runs/{name}/intent.json")


@pytest.mark.parametrize("phase", ["copy", "commit"])
def test_a_copy_that_is_stopped_says_so_and_is_gone_on_with(history: Lab, phase: str) -> None:
    def stop(event: pkgrun.Event) -> None:
        if isinstance(event, pkgrun.Phase) and event.name == phase:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copied(history, observer=stop)
    workspace = pkgrun.open(history.folder / "copy")
    assert [(run.kind, run.status) for run in workspace.runs(everything=True)] == [("copy", "killed")]
    large = 3 << 20
    assert (copied(history).copied.bytes > large) == (phase == "copy"), "what has arrived is not sent again"


@pytest.mark.parametrize("when", ["before", "after"])
def test_whatever_call_fails_nothing_is_half_there_and_copying_again_completes_it(
    history: Lab, tmp_path: Path, when: Any
) -> None:
    before, at = everything(history.workspace(), tmp_path / "out"), 1
    while fails(history, Fault(None, at, when, Temporary("it fails"))):
        whole(pkgrun.open(history.folder / "copy"), before, tmp_path / "out")
        copied(history)
        assert everything(pkgrun.open(history.folder / "copy"), tmp_path / "out") == before
        shutil.rmtree(history.folder / "copy")
        at += 7
    assert at > 50


def fails(lab: Lab, fault: Fault) -> bool:
    """Copy with a target that fails so; whether the call came."""
    source, target = (
        open_store(str(lab.store), create=False),
        open_store(str(lab.folder / "copy"), create=True),
    )
    plan = Plan(fault)
    backend = Faulty(target.backend, plan)
    with suppress(Temporary):
        copied_into(source, Store(backend, Objects(backend), target.id))
    return bool(plan.fired)


def whole(workspace: pkgrun.Workspace, before: dict[str, Any], out: Path) -> None:
    """What is seen of a copy that was broken off is as it was in the source, to the byte."""
    for what, one in everything(workspace, out).items():
        if isinstance(one, list):
            assert one == before[what][: len(one)]
        else:
            assert one == before[what]


DIES_AT_CALL = """
    import os, signal, sys
    from pkgrun.observe import silent
    from pkgrun.runs import copying
    from pkgrun.runs.here import actor
    from pkgrun.store.objects import Objects
    from pkgrun.store.root import Store, open_store
    from pkgrun.store.wrappers import Wrapper

    WRITES = {"create", "write", "delete", "flush", "upload", "upload.write", "upload.publish"}
    calls = []

    class Mortal(Wrapper):
        def around(self, call, work):
            if call.method not in WRITES:
                return work()
            calls.append(call)
            dying = len(calls) == int(sys.argv[3])
            if dying and sys.argv[4] == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            answer = work()
            if dying:
                os.kill(os.getpid(), signal.SIGKILL)
            return answer

    source = open_store(sys.argv[1], create=False)
    target = open_store(sys.argv[2], create=True)
    mortal = Mortal(target.backend)
    into = Store(mortal, Objects(mortal), target.id)
    copying.copy(source, into, package=None, by=actor("0"), observer=silent)
"""


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "after"])
def test_death_at_every_call_of_the_target(history: Lab, tmp_path: Path, when: str) -> None:
    """Each in a copy of its own. Whoever looks sees nothing half; a decided copy is carried out without its source."""
    before, at = everything(history.workspace(), tmp_path / "out"), 0
    ends, code = [], -9
    while code == -9:
        at += 1
        target = tmp_path / "copy"
        process = history.python(DIES_AT_CALL, history.store, target, str(at), when)
        code = process.wait(60)
        assert code in {0, -9}
        workspace = pkgrun.open(target)
        whole(workspace, before, tmp_path / "out")
        ends.append([run.status for run in workspace.runs(everything=True) if run.kind == "copy"])
        if ends[-1] == ["successful"]:
            assert everything(workspace, tmp_path / "out") == before
        copied(history)
        assert everything(workspace, tmp_path / "out") == before
        assert history.processes() == []
        shutil.rmtree(target)
    assert at > 20
    assert ends == sorted(ends)
    assert {tuple(end) for end in ends} - {()} == {("lost",), ("successful",)}
