"""How runs end with the programs that started them, and how what they kept comes out again."""

from __future__ import annotations

import signal
import subprocess

import pytest

from pkgrun.errors import (
    Conflict,
    NotFound,
)

from .lab import Lab

SLEEPING = """
class Main:
    def train(self, training_directory):
        __import__("time").sleep(60)

    def save(self): pass
"""


def test_a_key_is_for_the_folder_that_is_meant(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two folders called by the same word are two things."""
    one, two = lab.package("one"), lab.package("two")
    workspace = lab.workspace()
    monkeypatch.chdir(one)
    first = workspace.train(".", idempotency_key="k")
    first.wait(60)
    assert workspace.train(".", idempotency_key="k").id == first.id
    monkeypatch.chdir(two)
    with pytest.raises(Conflict):
        workspace.train(".", idempotency_key="k")


def test_an_exception_in_the_with_block_stops_the_run(lab: Lab) -> None:
    package = lab.package("p", SLEEPING)
    with pytest.raises(ValueError, match="mine"), lab.workspace().train(package) as run:
        raise ValueError("mine")
    assert run.record().status == "killed"


def test_leaving_the_with_block_waits(lab: Lab) -> None:
    with lab.workspace().train(lab.package()) as run:
        pass
    assert run.record().status == "successful"


LISTENING = """
    import sys, pkgrun
    run = pkgrun.open().train(sys.argv[1])
    for event in run.events():
        print(type(event).__name__, getattr(event, "name", ""), flush=True)
        {then}
"""


@pytest.mark.parametrize("then", ["pass", "if getattr(event, 'name', '') == 'train': raise ValueError"])
def test_a_program_that_ends_by_an_exception_stops_its_run(lab: Lab, then: str) -> None:
    """Whether it strikes in our waiting or in the program's own code."""
    process = lab.python(LISTENING.format(then=then), lab.package("p", SLEEPING), stderr=subprocess.PIPE)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("Phase train"):
            break
    if then == "pass":
        process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert ("KeyboardInterrupt" if then == "pass" else "ValueError") in said
    [record] = lab.workspace().runs()
    assert record.status == "killed"


def test_a_lost_terminal_stops_the_run_and_keeps_its_record(lab: Lab) -> None:
    process = lab.start("train", lab.package("p", SLEEPING))
    assert process.stderr is not None
    for line in process.stderr:
        if line.endswith(" train\n"):
            break
    process.send_signal(signal.SIGHUP)
    process.communicate(timeout=30)
    assert process.returncode == 129
    [record] = lab.workspace().runs()
    assert record.status == "killed"


def test_the_snapshot_comes_out_again(lab: Lab) -> None:
    data = lab.folder / "data"
    (data / "a").mkdir(parents=True)
    (data / "a" / "b.txt").write_text("one")
    run = lab.workspace().train(lab.package(), data=data, save_training_data=True)
    run.wait(60)
    (data / "a" / "b.txt").write_text("two")
    assert run.export_snapshot(lab.folder / "out") == 1
    assert (lab.folder / "out" / "a" / "b.txt").read_text() == "one"
    lab.pkgrun("run", "artifacts", run.id, "--snapshot", "--out", lab.folder / "cli")
    assert (lab.folder / "cli" / "a" / "b.txt").read_text() == "one"


def test_a_run_without_a_snapshot_says_so(lab: Lab) -> None:
    run = lab.workspace().train(lab.package())
    run.wait(60)
    with pytest.raises(NotFound, match="kept no snapshot"):
        run.export_snapshot(lab.folder / "out")
    assert not (lab.folder / "out").exists()


def test_a_version_comes_out_whole(lab: Lab) -> None:
    lab.workspace().train(lab.package("p", files={"lib/a.txt": "a"})).wait(60)
    out = lab.folder / "out"
    count = lab.workspace().export("p@1.1", out).files
    assert count == sum(file.is_file() for file in out.rglob("*"))
    assert (out / "lib" / "a.txt").read_text() == "a"
    with pytest.raises(Conflict, match="is not empty"):
        lab.workspace().export("p@1.1", out)
    lab.pkgrun("package", "files", "p@1.1", "--out", lab.folder / "cli")
    assert sorted(p.name for p in (lab.folder / "cli").iterdir()) == sorted(p.name for p in out.iterdir())
