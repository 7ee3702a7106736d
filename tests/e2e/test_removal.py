"""Versions given up: the record and the number stay, the content goes, and nothing that is built upon is taken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

from pkgrun import Workspace
from pkgrun import open as open_store
from pkgrun.errors import Conflict, NotFound, Temporary, UsageError
from pkgrun.store import root
from pkgrun.store.backend import Backend
from pkgrun.store.wrappers import Call, Wrapper
from pkgrun.workspace.stores import copy_store, gc

from .copies import exported
from .lab import Lab, until, waiting
from .test_display import terminal

T = TypeVar("T")

LEARNS = waiting("""
    with open("model.bin", "wb") as file:
        file.write(os.environ.get("mark", "").encode().ljust(2 << 20, b"."))
""")


def trained(workspace: Workspace, package: str | Path, mark: str = "", **more: Any) -> str:
    """The version that a training makes."""
    return str(workspace.train(package, environment="current", env={"mark": mark}, **more).wait(60).version)


@pytest.fixture
def history(lab: Lab) -> Lab:
    """A lab with p@1.0, and 1.1 and 1.2 trained on it."""
    workspace = lab.workspace()
    trained(workspace, lab.package("p", LEARNS), "one")
    trained(workspace, "p@1.0", "two")
    return lab


# ---------------------------------------------------------------------- what a user sees


def test_a_removed_version_is_gone_but_not_forgotten(history: Lab) -> None:
    history.pkgrun("package", "remove", "p@1.2", "--yes", "--reason", "bad labels")

    shown = history.document("package", "show", "p")["versions"]
    assert [(one["version"], one["removed"] is not None) for one in shown] == [
        ("1.0", False),
        ("1.1", False),
        ("1.2", True),
    ]
    assert shown[2]["removed"]["reason"] == "bad labels"
    assert shown[2]["removed"]["by"]["user"]
    page = history.pkgrun("package", "show", "p").out.splitlines()
    assert "removed just now by" in page[3]
    assert "bad labels" in page[3]
    assert "removed" not in "".join(page[:3])
    (listed,) = history.document("package", "list")["packages"]
    assert listed == {"package": "p", "newest": "1.1", "versions": 3, "removed": 1}
    assert "3 (1 removed)" in history.pkgrun("package", "list").out
    one = history.pkgrun("package", "show", "p@1.2").out
    assert "bad labels" in one
    assert "removed " in one


def test_its_number_is_never_given_again(history: Lab) -> None:
    history.pkgrun("package", "remove", "p@1.2", "--yes")
    workspace = history.workspace()
    assert str(workspace.version("p").version) == str(workspace.version("p@1").version) == "1.1"
    assert trained(workspace, "p") == "1.3"
    assert [str(record.version) for record in workspace.versions("p")] == ["1.0", "1.1", "1.2", "1.3"]
    assert str(workspace.version("p@1.3").parent) == "1.1"


def test_nothing_can_be_done_with_it(history: Lab) -> None:
    made = history.workspace().version("p@1.2").run
    history.pkgrun("package", "remove", "p@1.2", "--yes")
    for words in (
        ["train", "p@1.2"],
        ["package", "files", "p@1.2"],
        ["package", "files", "p@1.2", "--out", "out"],
    ):
        refused = history.pkgrun(*words, code=6).err
        assert "p@1.2 was removed on " in refused
        assert "the newest that is there is p@1.1" in refused
    assert "went with its version: p@1.2 was removed" in history.pkgrun("run", "artifacts", made, code=6).err
    assert history.document("run", "show", made)["removed"]["created"]
    assert "its version was removed" in history.pkgrun("run", "show", made).out
    assert "removed" not in history.pkgrun("run", "show", history.workspace().version("p@1.1").run).out
    assert history.pkgrun("run", "logs", made).err == ""
    offered = history.pkgrun(
        _PKGRUN_COMPLETE="bash_complete", COMP_WORDS="pkgrun package show p@", COMP_CWORD="3"
    )
    assert offered.out.split() == ["plain,p@1.0", "plain,p@1.1"]


def test_removing_twice_says_so_and_is_no_failure(history: Lab) -> None:
    assert history.document("package", "remove", "p@1.2", "--yes", "--reason", "first")["new"]
    again = history.pkgrun("package", "remove", "p@1.2", "--reason", "second")
    assert "removed already" in again.err
    assert "first" in again.err
    assert not history.document("package", "remove", "p@1.2")["new"]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["p@1.2"], 2, "--yes"),
        (["p@9.9", "--yes"], 6, "there is no p@9.9"),
        (["q@1.0", "--yes"], 6, "there is no q@1.0"),
        (["p@1", "--yes"], 2, "which version exactly"),
        (["p", "--yes"], 2, "which version exactly"),
        (["../p@1.2", "--yes"], 2, "cannot name a package"),
        (["p@1.2.3", "--yes"], 2, "which version exactly"),
        (["p@1.2", "--yes", "--reason", "x" * 70_000], 2, "reason is larger"),
    ],
)
def test_a_call_that_cannot_be_meant_removes_nothing(
    history: Lab, words: list[str], code: int, said: str
) -> None:
    assert said in history.pkgrun("package", "remove", *words, code=code).err
    assert history.workspace().removals("p") == {}


def test_on_a_terminal_it_asks_and_says_what_is_lost(history: Lab) -> None:
    with terminal(history, "package", "remove", "p@1.2") as screen:
        screen.read_until(lambda seen: "Remove it?" in seen)
        assert "4 files, 2.1 MB" in screen.seen
        assert "artifacts  1 file, 6 B" in screen.seen
        screen.type("n\n")
        assert "nothing was removed" in screen.read_all()
    assert screen.process.returncode == 130
    assert history.workspace().removals("p") == {}
    with terminal(history, "package", "remove", "p@1.2") as screen:
        screen.read_until(lambda seen: "Remove it?" in seen)
        screen.type("y\n")
        screen.read_all()
    assert screen.process.returncode == 0
    assert list(map(str, history.workspace().removals("p"))) == ["1.2"]


def test_when_all_are_removed_the_package_is_still_listed(history: Lab) -> None:
    for version in ("1.2", "1.1", "1.0"):
        history.pkgrun("package", "remove", f"p@{version}", "--yes")
    (listed,) = history.document("package", "list")["packages"]
    assert (listed["newest"], listed["removed"]) == (None, 3)
    assert "3 (3 removed)" in history.pkgrun("package", "list").out
    assert "every version of p was removed" in history.pkgrun("train", "p", code=6).err
    assert "every version of p@1 was removed" in history.pkgrun("train", "p@1", code=6).err


def test_the_same_content_can_be_added_again(lab: Lab) -> None:
    workspace, folder = lab.workspace(), lab.package()
    assert str(workspace.add(folder).record.version) == "1.0"
    workspace.remove("p@1.0")
    gc(lab.store, grace=0)
    again = workspace.add(folder)
    assert (str(again.record.version), again.new) == ("2.0", True)
    assert not workspace.add(folder).new
    assert exported(lambda out: workspace.export("p@2.0", out), lab.folder / "out")


# ---------------------------------------------------------------------- what stands on it


def test_what_others_came_from_is_kept_unless_told(history: Lab) -> None:
    refused = history.pkgrun("package", "remove", "p@1.0", "--yes", code=7).err
    assert "p@1.1, p@1.2 came from it" in refused
    history.pkgrun("package", "remove", "p@1.0", "--yes", "--force")
    gc(history.store, grace=0)
    workspace = history.workspace()
    assert "model.bin" in exported(lambda out: workspace.export("p@1.1", out), history.folder / "out")
    assert str(workspace.version("p@1.1").parent) == "1.0"


def test_what_came_from_it_through_one_that_was_removed_counts_too(history: Lab) -> None:
    trained(history.workspace(), "p@1.1", "three")
    history.pkgrun("package", "remove", "p@1.1", "--yes", "--force")
    history.pkgrun("package", "remove", "p@1.2", "--yes")
    refused = history.pkgrun("package", "remove", "p@1.0", "--yes", code=7).err
    assert "p@1.0 cannot be removed: p@1.3 came from it" in refused
    plan = history.document("package", "prune", "p", "--keep-last", "1")["plan"]
    assert (plan[0]["version"], plan[0]["because"]) == ("1.0", "1.3 came from it")
    history.pkgrun("package", "remove", "p@1.0", "--yes", "--force")


def test_children_that_were_removed_count_no_more(history: Lab) -> None:
    workspace = history.workspace()
    for version in ("1.1", "1.2", "1.0"):
        workspace.remove(f"p@{version}")


def test_what_a_run_starts_from_is_kept_whatever_is_told(history: Lab) -> None:
    go, workspace = history.mark("go"), history.workspace()
    run = workspace.train("p@1.1", environment="current", env={"go": str(go)})
    refused = history.pkgrun("package", "remove", "p@1.1", "--yes", "--force", code=7).err
    assert f"the run {run.id} goes on from it" in refused
    kept = history.document("package", "prune", "p", "--keep-last", "1", "--force", "--yes")["plan"]
    assert f"the run {run.id[:13]} starts from it" in [one["because"] for one in kept]
    go.touch()
    run.wait(60)
    assert "p@1.3 came from it" in history.pkgrun("package", "remove", "p@1.1", "--yes", code=7).err
    workspace.remove("p@1.1", force=True)


def test_a_run_that_died_holds_nothing_up(history: Lab) -> None:
    go = history.mark("go")
    run = history.start("train", "p@1.1", "-e", f"go={go}", "--environment", "current")
    until(lambda: any(one.status == "running" for one in history.workspace().runs()), what="the run")
    run.kill()
    run.wait()
    history.pkgrun("package", "remove", "p@1.1", "--yes")


# ---------------------------------------------------------------------- at the same moment


class Meanwhile(Wrapper):
    """A backend at which something happens just before a record is created."""

    def __init__(self, backend: Backend, key: str, happens: Callable[[], object]) -> None:
        super().__init__(backend)
        self._key, self._happens = key, happens

    def around(self, call: Call, work: Callable[[], T]) -> T:
        if call.method == "create" and call.key.endswith(self._key):
            self._key = "!"
            self._happens()
        return work()

    def around_apart(self, backend: Backend) -> Meanwhile:
        return Meanwhile(backend, self._key, self._happens)


def with_meanwhile(lab: Lab, key: str, happens: Callable[[], object]) -> Workspace:
    store = root.open_store(str(lab.store), create=False)
    return Workspace(replace(store, backend=Meanwhile(store.backend, key, happens)))


def test_a_training_finds_out_that_its_version_was_removed_as_it_began(history: Lab) -> None:
    workspace = with_meanwhile(
        history, "intent.json", lambda: history.workspace().remove("p@1.2", reason="now")
    )
    with pytest.raises(NotFound, match=r"p@1\.2 was removed") as raised:
        workspace.train("p@1.2", environment="current")
    (failed, *_) = workspace.runs()
    assert (failed.run, failed.status) == (raised.value.run_id, "failed")
    assert failed.error is not None
    assert failed.error.kind == "not-found"
    assert len(workspace.versions("p")) == 3


def test_a_training_that_looked_just_before_goes_on_and_loses_nothing(history: Lab) -> None:
    go, runs = history.mark("go"), []
    workspace = with_meanwhile(
        history,
        "removed.json",
        lambda: runs.append(
            history.workspace().train("p@1.2", environment="current", env={"go": str(go), "mark": "late"})
        ),
    )
    removed = workspace.remove("p@1.2")
    assert removed.late == (runs[0].id,)
    assert gc(history.store, grace=0).collected.deleted == 0
    go.touch()
    assert str(runs[0].wait(60).version) == "1.3"
    assert gc(history.store, grace=0).collected.deleted > 0
    files = exported(lambda out: history.workspace().export("p@1.3", out), history.folder / "out")
    assert files["model.bin"].startswith(b"late")
    with pytest.raises(NotFound):
        history.workspace().export("p@1.2", history.folder / "out")


def test_of_two_that_remove_it_one_has(history: Lab) -> None:
    other = []
    workspace = with_meanwhile(
        history, "removed.json", lambda: other.append(history.workspace().remove("p@1.2", reason="first"))
    )
    mine = workspace.remove("p@1.2", reason="second")
    assert (mine.new, other[0].new) == (False, True)
    assert mine.removal == other[0].removal


def test_an_import_of_what_is_removed_at_that_moment_is_to_be_done_again(lab: Lab) -> None:
    """It came to the number of another one's import; nobody is told of a version that is not there."""
    folder = lab.package()

    def other() -> None:
        assert str(lab.workspace().add(folder).record.version) == "1.0"
        lab.workspace().remove("p@1.0")

    lab.workspace()
    with pytest.raises(Temporary, match=r"p@1\.0, and it was removed meanwhile"):
        with_meanwhile(lab, "outcome.json", other).add(folder)
    assert str(lab.workspace().add(folder).record.version) == "2.0"


# ---------------------------------------------------------------------- by a rule


def test_a_rule_is_shown_first_and_then_followed(history: Lab) -> None:
    trained(history.workspace(), "p@1.0", "three")
    planned = history.pkgrun("package", "prune", "--keep-last", "1")
    assert "2 of 4 versions to be removed" in planned.err
    assert history.workspace().removals("p") == {}
    rows = [line.split() for line in planned.out.splitlines()]
    assert [(row[0], "remove" in row) for row in rows[1:]] == [
        ("p@1.0", False),
        ("p@1.1", True),
        ("p@1.2", True),
        ("p@1.3", False),
    ]
    done = history.document("package", "prune", "p", "--keep-last", "1", "--yes")
    assert [one["version"] for one in done["removed"]] == ["1.2", "1.1"]
    assert list(map(str, history.workspace().removals("p"))) == ["1.1", "1.2"]
    assert {one.reason for one in history.workspace().removals("p").values()} == {
        "retention: keep the last 1"
    }
    assert "nothing to remove" in history.pkgrun("package", "prune", "--keep-last", "1").err


def test_a_rule_must_be_given(history: Lab) -> None:
    assert "--keep-last" in history.pkgrun("package", "prune", code=2).err
    assert "no package q" in history.pkgrun("package", "prune", "q", "--keep-last", "1", code=6).err
    assert "no duration" in history.pkgrun("package", "prune", "--keep-within", "long", code=2).err
    with pytest.raises(UsageError):
        history.workspace().retention.plan(keep_last=0)


# ---------------------------------------------------------------------- from store to store


def models(store: Path) -> int:
    """How many large objects a store holds."""
    return sum(path.is_file() for path in (store / "objects").rglob("*"))


def test_a_copy_takes_the_tombstone_along_and_not_the_content(history: Lab) -> None:
    history.workspace().remove("p@1.2", reason="bad labels")
    said = history.pkgrun("store", "copy", history.store, "copy")
    assert "1 version marked as removed" in said.err
    copy = open_store(history.folder / "copy")
    assert [str(record.version) for record in copy.versions("p")] == ["1.0", "1.1", "1.2"]
    assert copy.removals("p") == history.workspace().removals("p")
    assert models(history.folder / "copy") == 1
    assert trained(copy, "p@1.1") == "1.3"
    assert gc(history.folder / "copy", grace=0).collected.deleted == 0


def test_a_store_that_has_the_version_learns_that_it_was_removed(history: Lab) -> None:
    target = history.folder / "copy"
    copy_store(history.store, target)
    history.workspace().remove("p@1.2")
    gc(history.store, grace=0)
    copied = copy_store(history.store, target).copied
    assert (copied.removals, copied.versions.copied, copied.files) == (1, 0, 0)
    assert list(map(str, open_store(target).removals("p"))) == ["1.2"]
    assert models(target) == 2
    gc(target, grace=0)
    assert models(target) == 1
    assert copy_store(history.store, target).run is None


def test_what_was_removed_there_is_not_brought_again(history: Lab) -> None:
    target = history.folder / "copy"
    copy_store(history.store, target)
    open_store(target).remove("p@1.2")
    gc(target, grace=0)
    assert copy_store(history.store, target).run is None
    trained(history.workspace(), "p@1.1", "new")
    copy_store(history.store, target)
    copy = open_store(target)
    assert [str(record.version) for record in copy.versions("p")] == ["1.0", "1.1", "1.2", "1.3"]
    assert list(map(str, copy.removals("p"))) == ["1.2"]
    assert history.workspace().removals("p") == {}
    assert models(target) == 2


def test_a_content_that_both_imported_is_removed_in_both(lab: Lab) -> None:
    """Each has its own record of it."""
    folder, target = lab.package(), lab.folder / "copy"
    lab.workspace().add(folder)
    open_store(target).add(folder)
    lab.workspace().remove("p@1.0")
    copy_store(lab.store, target)
    copy = open_store(target)
    assert list(map(str, copy.removals("p"))) == ["1.0"]
    assert len(list(copy.runs(everything=True))) == 3
    gc(target, grace=0)
    assert str(copy.add(folder).record.version) == "2.0"


def test_conflicts_are_named_for_programs(history: Lab) -> None:
    with pytest.raises(Conflict) as raised:
        history.workspace().remove("p@1.0")
    assert (raised.value.kind, raised.value.exit_code) == ("conflict", 7)
