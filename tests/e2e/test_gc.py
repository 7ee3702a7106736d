"""Space is freed by `store gc`, of all that nothing needs and of nothing that anybody does, also while others work."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

import pkgrun
from pkgrun.errors import UsageError
from pkgrun.observe import Event, Phase
from pkgrun.workspace.stores import gc, gc_plan
from tests.servers import Server

from .copies import exported
from .lab import Lab, until, waiting

pytestmark = pytest.mark.row(14)

SIZE = 12 << 20

BIG = waiting(f"""
    with open("model.bin", "wb") as file:
        file.write(random.Random(os.environ["mark"]).randbytes(int(os.environ.get("size", {SIZE}))))
    with open("notes.txt", "a") as file:
        file.write(os.environ["mark"])
""")


def trained(workspace: pkgrun.Workspace, package: str | Path, mark: str, **env: str) -> str:
    """The version that a training makes."""
    run = workspace.train(package, environment="current", env={"mark": mark, **env})
    return str(run.wait(60).version)


def three(workspace: pkgrun.Workspace, package: Path) -> None:
    """The versions 1.1, 1.2 and 1.3, each with a big model of its own."""
    trained(workspace, package, "one")
    trained(workspace, "p@1.0", "two")
    trained(workspace, "p@1.0", "three")


def used(folder: Path) -> int:
    """What the file system says that a folder takes."""
    return int(subprocess.check_output(["du", "-s", "--block-size=1", folder]).split()[0])


def contents(workspace: pkgrun.Workspace, out: Path) -> dict[str, dict[str, bytes]]:
    """The files of every version that is there."""
    return {
        f"{package}@{record.version}": exported(
            lambda folder, name=f"{package}@{record.version}": workspace.export(name, folder), out
        )
        for package in workspace.packages()
        for record in workspace.versions(package)
        if record.version not in workspace.removals(package)
    }


def test_a_version_that_was_removed_gives_its_space_back(lab: Lab, tmp_path: Path) -> None:
    three(lab.workspace(), lab.package("p", BIG))
    before, kept = used(lab.store), contents(lab.workspace(), tmp_path / "out")
    assert "nothing to do: all that is there is needed" in lab.pkgrun("store", "gc").err

    lab.pkgrun("package", "remove", "p@1.2", "--yes")
    assert used(lab.store) >= before
    plan = lab.pkgrun("store", "gc")
    assert "only p@1.2 referred to it, which was removed" in plan.out
    assert "25.2 MB of 37.8 MB in the store are needed" in plan.out
    assert "--yes does it" in plan.err
    done = lab.pkgrun("store", "gc", "--yes", "--grace", "0")
    assert "deleted 2 objects; freed 12.6 MB" in done.out

    assert before - used(lab.store) > 0.99 * SIZE  # du counts folders, too
    del kept["p@1.2"]
    assert contents(lab.workspace(), tmp_path / "out") == kept
    assert "25.2 MB of 25.2 MB in the store are needed" in lab.pkgrun("store", "gc").out
    assert lab.pkgrun("run", "logs", lab.workspace().version("p@1.2", removed=True).run).err == ""


@pytest.fixture
def on_s3(lab: Lab, ministack: Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of a store on S3, which every process of the lab uses."""
    for name, value in ministack.env.items():
        monkeypatch.setenv(name, value)
    url = f"{ministack.url}/team/store"
    lab.env.update(ministack.env, PKGRUN_STORE=url)
    return url


def test_the_same_on_s3(lab: Lab, on_s3: str, tmp_path: Path) -> None:
    workspace = pkgrun.open(on_s3)
    three(workspace, lab.package("p", BIG))
    kept = contents(workspace, tmp_path / "out")
    before = lab.document("store", "gc")["plan"]
    assert before["needed"] <= before["total"]

    lab.pkgrun("package", "remove", "p@1.2", "--yes")
    done = lab.document("store", "gc", "--yes", "--grace", "0")
    assert done["deleted"] >= 2
    assert done["freed_bytes"] > SIZE
    after = lab.document("store", "gc")["plan"]
    assert before["total"] - after["total"] > SIZE
    del kept["p@1.2"]
    assert contents(pkgrun.open(on_s3), tmp_path / "out") == kept


def test_nothing_is_deleted_before_the_grace_is_over(lab: Lab) -> None:
    three(lab.workspace(), lab.package("p", BIG))
    lab.workspace().remove("p@1.2")
    first = lab.document("store", "gc", "--yes")
    assert (first["condemned"], first["deleted"], first["freed_bytes"]) == (2, 0, 0)
    (waiting,) = first["waiting"]
    assert waiting["objects"] == 2
    assert 48 * 3600 - 60 < waiting["seconds"] <= 48 * 3600
    plan = lab.pkgrun("store", "gc")
    assert "wait" in plan.out
    assert re.search(r"condemned, waits for 4[78] h \d+ min more", plan.out)
    assert lab.document("store", "gc", "--yes")["condemned"] == 0
    assert lab.document("store", "gc", "--grace", "0")["plan"]["due"][0]["objects"]
    assert lab.document("store", "gc", "--grace", "0", "--yes")["deleted"] == 2


def test_each_object_is_named_with_its_reason_where_somebody_asks(lab: Lab) -> None:
    three(lab.workspace(), lab.package("p", BIG))
    lab.workspace().remove("p@1.3")
    doomed = lab.document("store", "gc")["plan"]["condemn"]
    assert {one["reason"] for one in doomed} == {"only p@1.3 referred to it, which was removed"}
    page = lab.pkgrun("store", "gc", "-v").out
    assert all(one["key"].rpartition("/")[2][:12] in page for one in doomed)
    assert lab.pkgrun("store", "gc", "-v", "--yes").out.startswith(page[:40])


def test_versions_can_be_removed_by_a_rule_first(lab: Lab, tmp_path: Path) -> None:
    three(lab.workspace(), lab.package("p", BIG))
    last = exported(lambda out: lab.workspace().export("p@1.3", out), tmp_path / "out")
    plan = lab.pkgrun("store", "gc", "--keep-last", "1")
    assert [line.split()[0] for line in plan.out.splitlines() if "remove" in line.split()] == [
        "p@1.1",
        "p@1.2",
    ]
    assert "2 of 4 versions to be removed, 25.2 MB at most" in plan.err
    assert lab.workspace().removals("p") == {}
    done = lab.document("store", "gc", "--keep-last", "1", "--grace", "0", "--yes")
    assert [one["version"] for one in done["removed"]] == ["1.2", "1.1"]
    assert done["freed_bytes"] > 2 * SIZE
    assert contents(lab.workspace(), tmp_path / "out")["p@1.3"] == last


def test_what_a_dead_run_left_is_freed(lab: Lab) -> None:
    workspace = lab.workspace()
    workspace.add(lab.package("p", BIG))
    needed, go = used(lab.store), lab.mark("go")
    run = lab.start("train", "p", "-e", f"go={go}", "-e", "mark=x", "--environment", "current")
    until(lambda: any(one.phase == "train" for one in workspace.runs()), what="the run")
    run.kill()
    run.wait()
    done = lab.document("store", "gc", "--yes", "--grace", "0")
    assert len(done["lost"]) <= 1  # whoever looked before may have found out
    assert [one.status for one in workspace.runs()] == ["lost"]
    assert used(lab.store) < needed + (1 << 20)


def test_what_a_run_may_be_using_waits_for_it(lab: Lab, tmp_path: Path) -> None:
    workspace, go = lab.workspace(), lab.mark("go")
    three(workspace, lab.package("p", BIG))
    for path in lab.store.rglob("*"):
        if path.is_file():
            os.utime(path, (path.stat().st_mtime - 3600,) * 2)  # what is younger than the run is left alone
    workspace.remove("p@1.2")
    run = workspace.train("p@1.0", environment="current", env={"mark": "two", "go": str(go)})
    assert "1 operation goes on" in lab.pkgrun("store", "gc").err
    first = lab.document("store", "gc", "--yes", "--grace", "0")
    assert (first["deleted"], first["waiting"][0]["runs"]) == (0, [run.id])
    assert f"waits for the end of run {run.id[:13]}" in lab.pkgrun("store", "gc", "--grace", "0").out
    go.touch()
    assert str(run.wait(60).version) == "1.4"
    lab.pkgrun("store", "gc", "--yes", "--grace", "0")
    found = contents(workspace, tmp_path / "out")
    assert found["p@1.4"]["notes.txt"] == b"two"  # the same model as 1.2 had
    assert len(found["p@1.4"]["model.bin"]) == SIZE
    assert lab.document("store", "gc", "--grace", "0")["plan"]["condemn"] == []


COLLECTS = """
    import os, sys
    from pkgrun.workspace.stores import gc

    count = 0
    while not os.path.exists(sys.argv[2]) or count < 3:
        gc(sys.argv[1], grace=0)
        count += 1
    print(count)
"""

TRAINS = """
    import sys
    import pkgrun

    workspace = pkgrun.open(sys.argv[1])
    for number in range(int(sys.argv[3])):
        env = {"mark": f"{int(sys.argv[2]) + number & 3}", "size": str(3 << 19)}
        made = workspace.train("p@1.0", environment="current", env=env).wait()
        if number % 3 == 2:
            workspace.remove(f"p@{made.version}")
        else:
            print(made.version, env["mark"])
"""


def crowd(lab: Lab, store: str, out: Path) -> None:
    """Two trainers that make the same four models again and again, and two collectors that delete at once."""
    pkgrun.open(store).add(lab.package("p", BIG))
    collectors = [lab.python(COLLECTS, store, lab.mark("over")) for _ in range(2)]
    trainers = [lab.python(TRAINS, store, str(number), "9") for number in range(2)]
    said = [trainer.communicate(timeout=240)[0].split("\n")[:-1] for trainer in trainers]
    assert [trainer.returncode for trainer in trainers] == [0, 0]
    lab.mark("over").touch()
    rounds = [int(collector.communicate(timeout=120)[0]) for collector in collectors]
    assert [collector.returncode for collector in collectors] == [0, 0]
    assert min(rounds) >= 3

    gc(store, grace=0)
    acknowledged = dict(line.split() for words in said for line in words)
    found = contents(pkgrun.open(store), out)
    assert set(found) == {"p@1.0", *(f"p@{version}" for version in acknowledged)}
    assert {f"p@{version}": mark.encode() for version, mark in acknowledged.items()} == {
        name: files["notes.txt"] for name, files in found.items() if name != "p@1.0"
    }
    assert len({files["model.bin"] for name, files in found.items() if name != "p@1.0"}) <= 4
    assert gc_plan(store, grace=0).plan.condemn == ()


def test_nothing_is_lost_while_others_train_and_remove(lab: Lab, tmp_path: Path) -> None:
    crowd(lab, str(lab.store), tmp_path / "out")


@pytest.mark.slow
def test_nothing_is_lost_on_s3_while_others_train_and_remove(lab: Lab, on_s3: str, tmp_path: Path) -> None:
    crowd(lab, on_s3, tmp_path / "out")


def test_a_program_is_told_how_far_it_is(lab: Lab) -> None:
    workspace = lab.workspace()
    trained(workspace, lab.package("p", BIG), "one")
    workspace.remove("p@1.1")
    events: list[Event] = []
    done = gc(lab.store, grace=0, observer=events.append)
    assert done.collected.deleted_bytes > SIZE
    assert [event.name for event in events if isinstance(event, Phase)] == ["recover", "look", "delete"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--grace", "-1"], "no duration"),
        (["--grace", "x"], "no duration"),
        (["--keep-last", "0"], "keep-last"),
        (["--keep-within", "soon"], "no duration"),
    ],
)
def test_calls_that_cannot_be_meant_are_refused(lab: Lab, words: list[str], said: str) -> None:
    lab.workspace()
    assert said in lab.pkgrun("store", "gc", *words, code=2).err


def test_a_store_that_is_not_there_is_not_made(lab: Lab) -> None:
    assert "no store at" in lab.pkgrun("store", "gc", "--yes", code=6).err
    assert not os.path.exists(lab.store)


def test_a_grace_that_is_no_time_is_refused_by_the_library_too(lab: Lab) -> None:
    lab.workspace()
    never: Any = -1
    with pytest.raises(UsageError):
        gc(lab.store, grace=never)
