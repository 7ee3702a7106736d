"""Rows 8 and 14: random histories of two stores against a trivial model: what was acknowledged stays, as it was.

The model knows which names have which content, and which were removed. An operation that is killed has happened or has
not; which, the store says when it is recovered, and it stays at that.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

import pkgrun
from pkgrun import Workspace
from pkgrun.errors import Conflict, NotFound
from pkgrun.store.objects import Objects
from pkgrun.store.root import Store, open_store
from pkgrun.workspace.stores import copy_store, fsck, gc
from tests.faults.failing import Calls, Failing, Fault
from tests.faults.forks import in_child
from tests.faults.operations import LEARNS, MAIN, Acknowledged, acknowledged
from tests.faults.verdicts import holes, unchained

pytestmark = [pytest.mark.row(8), pytest.mark.row(14)]

NAMES = st.sampled_from(["p", "q"])
WHICH = st.sampled_from(["one", "two"])
CONTENTS = st.integers(0, 2)


class Histories(RuleBasedStateMachine):
    """Two stores, and what was said of each."""

    def __init__(self) -> None:
        super().__init__()
        self.place = Path(tempfile.mkdtemp(prefix="histories-"))
        os.environ["PKGRUN_CACHE"] = str(self.place / "cache")
        self.said: dict[str, dict[str, str]] = {"one": {}, "two": {}}
        self.removed: dict[str, set[str]] = {"one": set(), "two": set()}

    def teardown(self) -> None:
        shutil.rmtree(self.place, ignore_errors=True)

    def store(self, which: str) -> Path:
        return self.place / which

    def workspace(self, which: str) -> Workspace:
        return pkgrun.open(self.store(which))

    @initialize()
    def begin(self) -> None:
        for which in self.said:
            self.workspace(which)

    def package(self, name: str, content: int) -> Path:
        folder = self.place / f"{name}-{content}" / name
        if not folder.exists():
            folder.mkdir(parents=True)
            (folder / "train.py").write_text(f"{LEARNS}# {name} {content}\n")
            (folder / "main.py").write_text(MAIN)
        return folder

    def rows(self, content: int) -> Path:
        folder = self.place / f"rows-{content}"
        if not folder.exists():
            (folder / "same").mkdir(parents=True)
            (folder / "same" / "f").write_text("the same in all of them")
            (folder / "large.bin").write_bytes(b"%d" % content * (1 << 20))
            (folder / "some.csv").write_text(f"{content}\n")
        return folder

    def note(self, which: str, label: str, digest: str) -> None:
        """Somebody was told so; if it was said before, then so."""
        assert self.said[which].setdefault(label, digest) == digest

    # ------------------------------------------------------------------ what is done

    @rule(which=WHICH, name=NAMES, content=CONTENTS)
    def add(self, which: str, name: str, content: int) -> None:
        record = self.workspace(which).add(self.package(name, content)).record
        label = f"{name}@{record.version}"
        assert label not in self.removed[which], "a removed version is no answer"
        self.note(which, label, record.tree.digest)

    @rule(which=WHICH, name=NAMES, content=CONTENTS, keeps=st.booleans())
    def train(self, which: str, name: str, content: int, keeps: bool) -> None:
        workspace = self.workspace(which)
        try:
            run = workspace.train(
                name, data=self.rows(content), environment="current", save_training_data=keeps
            )
        except NotFound:
            assert not any(label.startswith(f"{name}@") for label in self.kept(which))
            return
        record = run.wait().record
        assert record.output is not None
        assert f"{name}@{record.version}" not in self.said[which], "a number is given once"
        self.note(which, f"{name}@{record.version}", record.output.digest)

    @rule(which=WHICH, content=CONTENTS)
    def snapshot(self, which: str, content: int) -> None:
        record = self.workspace(which).datasets.add("rows", self.rows(content)).record
        self.note(which, record.label, record.tree.digest)

    @rule(which=WHICH, drawn=st.randoms(use_true_random=False))
    def remove(self, which: str, drawn: object) -> None:
        versions = [label for label in self.kept(which) if not label.startswith("rows@")]
        if versions:
            label = versions[hash(repr(drawn)) % len(versions)]
            self.workspace(which).remove(label, force=True)
            self.removed[which].add(label)

    @rule(which=WHICH, grace=st.sampled_from([0.0, 0.0, 1000.0]))
    def collect(self, which: str, grace: float) -> None:
        gc(self.store(which), grace=grace)

    @rule(there=WHICH)
    def copy(self, there: str) -> None:
        here = "two" if there == "one" else "one"
        try:
            copy_store(self.store(there), self.store(here))
        except Conflict:
            return  # the numbers of the two have gone apart; nothing is copied
        for label, digest in self.said[there].items():
            self.note(here, label, digest)
        self.removed[here] |= self.removed[there]

    @rule(
        which=WHICH,
        what=st.sampled_from(["add", "train", "snapshot", "gc"]),
        name=NAMES,
        content=CONTENTS,
        at=st.integers(1, 60),
        when=st.sampled_from(["before", "after"]),
    )
    def kill(self, which: str, what: str, name: str, content: int, at: int, when: str) -> None:
        """Do something, and die at some call of the store; then somebody recovers."""
        package, rows, path = self.package(name, content), self.rows(content), self.store(which)

        def work() -> Acknowledged:
            real = open_store(str(path), create=False)
            backend = Failing(
                real.backend, Calls(Fault(at, "after" if when == "after" else "before", "KILL"))
            )
            workspace = Workspace(Store(backend, Objects(backend), real.id))
            if what == "gc":
                from pkgrun.runs.here import actor
                from pkgrun.store import sweeping
                from pkgrun.store.operations import new_run_id

                store = workspace._store
                sweeping.collect(store.backend, store.objects, by=actor("0"), new_id=new_run_id, grace=0.0)
            elif what == "add":
                workspace.add(package)
            elif what == "snapshot":
                workspace.datasets.add("rows", rows)
            elif any(label.startswith(f"{name}@") for label in self.kept(which)):
                workspace.train(name, data=rows, environment="current").wait()
            return []

        in_child(work, self.place)
        self.recover(which)

    @rule(which=WHICH)
    def recover(self, which: str) -> None:
        workspace = self.workspace(which)
        workspace.recover()
        assert [run.run for run in workspace.runs(everything=True) if not run.final] == []
        for line in acknowledged(workspace):
            label, digest = line.split()
            self.note(which, label, digest)

    # ------------------------------------------------------------------ what must be true

    def kept(self, which: str) -> list[str]:
        return sorted(self.said[which].keys() - self.removed[which])

    @invariant()
    def all_that_was_said_is_true(self) -> None:
        for which, said in self.said.items():
            if not self.store(which).exists():
                continue
            workspace = self.workspace(which)
            assert dict(line.split() for line in acknowledged(workspace)) == said
            assert [*holes(self.store(which)), *unchained(workspace)] == []

    @precondition(lambda self: self.said["one"] or self.said["two"])
    @rule(which=WHICH)
    def check(self, which: str) -> None:
        report = fsck(self.store(which), read_data=True)
        bad = [finding for finding in report.findings if finding.severity in ("hole", "damage")]
        assert bad == []


@pytest.mark.slow
def test_histories_of_two_stores() -> None:
    run_state_machine_as_test(
        Histories,
        settings=settings(
            max_examples=30,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
