"""What came of doing a run again: what differs and why, and what is kept of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import pkgrun
from pkgrun import Workspace
from pkgrun.errors import NotFound
from pkgrun.workspace.stores import copy_store, fsck, gc
from tests.servers import Server

from .again import CODE, flat, package, reproduced, workspace, world
from .lab import Lab
from .scripted import dataset

__all__ = ["flat", "package", "workspace", "world"]


# ---------------------------------------------------------------- differs


def test_files_that_differ_are_named_with_what_is_known(
    lab: Lab, workspace: Workspace, package: Path, world: Path
) -> None:
    (world / "save.py").write_text(
        "import gzip; gzip.open('m.gz', 'w').write(b'x'); open('old.txt', 'w').write('o')"
    )
    workspace.train(package, env={"world": str(world)}).wait(60)
    old = "import gzip; gzip.GzipFile('m.gz', 'w', mtime=7).write(b'x'); open('new.txt', 'w').write('n')"
    (world / "save.py").write_text(old + "; open('model.txt', 'a').write('!')")
    said = lab.pkgrun("reproduce", "p@1.1", code=8)

    assert "✗ differs  p 1.1: what came out is not the same" in said.out
    assert "+[]!" in said.out
    found = reproduced(workspace, "p@1.1")
    assert (found.files.changed.names, found.files.added.names) == (("m.gz", "model.txt"), ("new.txt",))
    assert found.files.removed.names == ("old.txt",)
    assert found.differs == ("m.gz", "model.txt", "new.txt", "old.txt")
    told = [(cause.path, cause.known) for cause in found.causes if cause.path]
    assert told == [("m.gz", True), ("model.txt", False)]
    assert "gzip header" in found.causes[0].message


def test_an_empty_folder_is_a_difference_too(workspace: Workspace, package: Path, world: Path) -> None:
    workspace.train(package, env={"world": str(world)}).wait(60)
    (world / "save.py").write_text("os.makedirs('empty/inner')")
    found = reproduced(workspace, "p@1.1")

    assert (found.verdict, found.files.added.names) == ("differs", ("empty/", "empty/inner/"))


def many(world: Path, word: str) -> str:
    """Has 1,100 files written that are named like this run, and 1,100 that only hold its name."""
    names = f"[letter * 200 + str(n) for letter in ('{word[0]}', 'y') for n in range(1100)]"
    lines = (
        f"for name in {names}:",
        f"    for above in ('.', 'artifacts'): open(f'{{above}}/{{name}}', 'w').write('{word}')",
    )
    (world / "save.py").write_text("\n".join(lines))
    return str(world)


def test_a_very_large_number_of_files_fits_the_record(
    lab: Lab, workspace: Workspace, package: Path, world: Path
) -> None:
    workspace.train(package, env={"world": many(world, "then")}).wait(60)
    many(world, "now")
    record = workspace.reproduce("p@1.1").wait(60).record
    found = record.reproduced
    assert found is not None

    assert (found.files.changed.count, found.files.added.count, found.files.removed.count) == (1100,) * 3
    assert (lab.store / "runs" / record.run / "outcome.json").stat().st_size < 1 << 19


def test_a_score_that_differs_is_told_with_both(lab: Lab, workspace: Workspace) -> None:
    code = (
        "import random\nclass Main:\n    def evaluate(self, evaluation_directory): return random.random()\n"
    )
    run = workspace.evaluate(lab.package("p", code))
    first = run.wait(60)
    found = reproduced(workspace, run.id)

    assert (found.verdict, found.differs) == ("differs", ("score",))
    assert found.before.score == first.score != found.now.score
    assert any("nothing calls random.seed: train.py:3" in cause.message for cause in found.causes)


def test_circumstances_are_possible_and_no_more(
    workspace: Workspace, package: Path, world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (world / "save.py").write_text("open('n.txt', 'w').write(os.environ.get('OMP_NUM_THREADS', 'none'))")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    workspace.train(package, env={"world": str(world)}).wait(60)
    monkeypatch.delenv("OMP_NUM_THREADS")
    found = reproduced(workspace, "p@1.1")

    told = [cause for cause in found.causes if "OMP_NUM_THREADS" in cause.message]
    assert [cause.known for cause in told] == [False]
    assert found.verdict == "differs"


def test_what_process_data_prepares_otherwise_is_told(lab: Lab, workspace: Workspace, world: Path) -> None:
    code = (
        CODE
        + "\n    def process_data(self, input_directory):\n        os.makedirs('dataset/training', exist_ok=True)\n"
    )
    code += "        self.world('process')\n"
    (world / "process.py").write_text("open('dataset/training/x', 'w').write('1')")
    workspace.full(lab.package("p", code), data=dataset(lab), env={"world": str(world)}).wait(60)
    (world / "process.py").write_text("open('dataset/training/x', 'w').write('2')")
    found = reproduced(workspace, "p@1.1")

    assert found.passed == ("dataset/training",)
    assert "dataset/training/" in found.differs
    assert any("prepared other content in dataset/training" in cause.message for cause in found.causes)


# ---------------------------------------------------------------- what is kept


@pytest.fixture
def other(workspace: Workspace, package: Path, world: Path) -> str:
    """The id of a reproduction of p@1.1 that made another model."""
    workspace.train(package, env={"world": str(world)}).wait(60)
    (world / "save.py").write_text("open('model.txt', 'w').write('another model')")
    return workspace.reproduce("p@1.1").wait(60).run_id


def test_what_it_made_can_be_looked_at_and_written_out(lab: Lab, workspace: Workspace, other: str) -> None:
    lab.pkgrun("run", "artifacts", other, "--package", "--out", "out")

    assert (lab.folder / "out" / "model.txt").read_text() == "another model"
    assert "✗ differs  p 1.1" in lab.pkgrun("run", "show", other).out
    assert "differs" in lab.pkgrun("run", "list").out
    assert {row.kind for row in workspace.runs()} == {"training", "reproduction"}
    assert [file.path for file in workspace.compare("p@1.1", other).files or ()] == ["model.txt"]
    assert "reproduction" not in lab.pkgrun("package", "show", "p").out
    assert "another model" not in (lab.store / "runs" / other / "outcome.json").read_text()
    assert lab.pkgrun("run", "artifacts", other, "--package", code=2).err


def test_a_collection_leaves_it_and_a_check_finds_nothing(lab: Lab, workspace: Workspace, other: str) -> None:
    gc(lab.store, grace=0)

    assert not fsck(lab.store).findings
    assert workspace.run(other).export_reproduction(lab.folder / "out") == 4


def test_it_goes_with_the_version_that_it_reproduces(lab: Lab, workspace: Workspace, other: str) -> None:
    workspace.remove("p@1.1")
    with pytest.raises(NotFound, match="went with its version"):
        workspace.run(other).export_reproduction(lab.folder / "out")
    with pytest.raises(NotFound, match="was removed"):
        workspace.reproduce("p@1.1")
    gc(lab.store, grace=0)

    assert [(f.key, f.message) for f in fsck(lab.store).findings] == []
    copy_store(lab.store, lab.folder / "copy")
    assert not fsck(lab.folder / "copy").findings


def test_it_comes_along_into_another_store(lab: Lab, workspace: Workspace, other: str) -> None:
    copy_store(lab.store, lab.folder / "copy")
    lab.env["PKGRUN_STORE"] = str(lab.folder / "copy")
    lab.pkgrun("run", "artifacts", other, "--package", "--out", "out")

    assert (lab.folder / "out" / "model.txt").read_text() == "another model"
    assert lab.document("reproduce", "p@1.1", code=8)["verdict"] == "differs"


def test_without_the_version_that_it_started_from_it_cannot_be_done(
    lab: Lab, workspace: Workspace, package: Path
) -> None:
    workspace.train(package).wait(60)
    workspace.remove("p@1.0", force=True)

    assert (
        "what it started from is not there any more: p@1.0 was removed"
        in lab.pkgrun("reproduce", "p@1.1", code=6).err
    )


def test_it_is_the_same_on_s3(
    lab: Lab, flat: Path, world: Path, ministack: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in ministack.env.items():
        monkeypatch.setenv(name, value)
    workspace = pkgrun.open(f"{ministack.url}/reproduced")
    workspace.train(
        lab.package("p", CODE), data=flat, env={"world": str(world)}, save_training_data=True
    ).wait(60)
    shutil.rmtree(flat)
    assert reproduced(workspace, "p@1.1").verdict == "identical"
    (world / "save.py").write_text(
        "open('model.txt', 'a').write('!'); open('large', 'wb').write(bytes(2 << 20))"
    )
    run = workspace.reproduce("p@1.1").wait(60)

    assert run.reproduction is not None
    assert run.reproduction.differs == ("model.txt", "large")
    assert workspace.run(run.run_id).export_reproduction(lab.folder / "out") == 5
