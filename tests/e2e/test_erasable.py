"""What can be erased: files that were given to the store, and never a directory, nor what pkgrun has written itself."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest

import pkgrun
from pkgrun.errors import Temporary, UsageError
from pkgrun.observe import silent
from pkgrun.runs import collecting
from pkgrun.runs.here import actor
from pkgrun.store.intake import ingest
from pkgrun.store.objects import Objects, digest_of
from pkgrun.store.root import Store, open_store
from pkgrun.store.sinks import Made
from pkgrun.workspace.stores import copy_store, fsck, gc, repair

from .copies import exported
from .erasures import SECRET, Meanwhile, anywhere, dataset, put_regardless, train
from .lab import TRAIN, Lab, until, waiting

pytestmark = pytest.mark.row(14)

NO_FILES = b'{"entries":[]}'


def test_a_file_that_could_be_a_directory_is_refused(lab: Lab) -> None:
    """The empty folder's own bytes: a receipt of these would be about every empty folder there is."""
    workspace, data = lab.workspace(), dataset(lab, "data", **{"nodes.json": NO_FILES})
    for content in (data / "nodes.json", digest_of(NO_FILES)):
        with pytest.raises(UsageError, match="is a directory, or could be"):
            workspace.erase(content, reason="x")
    named = trees_of(workspace, data)
    for content in named:
        with pytest.raises(UsageError, match="is a directory"):
            workspace.erase(content, reason="x")
    assert list((lab.store / "erased").glob("*")) == []


def trees_of(workspace: pkgrun.Workspace, data: Path) -> list[str]:
    """A dataset's root, once it is there."""
    return [workspace.datasets.add("people", data).record.tree.digest]


def test_a_directory_whose_digest_was_forbidden_before_it_came_is_none(lab: Lab, tmp_path: Path) -> None:
    """Also where a copy brought the receipt: everything works as if there were none."""
    workspace, data = lab.workspace(), dataset(lab)
    other = pkgrun.open(tmp_path / "other")
    for path in (data, data / "sub"):
        made = Made()
        other.erase(ingest(str(path), made).tree.digest, reason="unknown yet")
    train(workspace, lab.package("seer", TRAIN), data, save_training_data=True)
    copy_store(tmp_path / "other", lab.store)
    train(workspace, "seer@1.1", data)
    workspace.datasets.add("people", data)
    gc(lab.store, grace=0)
    assert exported(lambda out: workspace.datasets.export("people", out), tmp_path / "out")
    found = fsck(lab.store)
    assert found.sound
    assert {one.severity for one in found.findings if one.kind.startswith("erased")} == {"note"}
    assert workspace.audit("seer@1.1").verdict != "broken"
    copied = tmp_path / "copied"
    copy_store(lab.store, copied)
    assert exported(lambda out: pkgrun.open(copied).datasets.export("people", out), tmp_path / "again")
    shutil.rmtree(lab.store / "packs")
    assert not fsck(lab.store).sound
    assert repair(lab.store, source=copied, execute=True).sound
    assert exported(lambda out: workspace.datasets.export("people", out), tmp_path / "mended")


def test_what_pkgrun_has_written_itself_is_refused(lab: Lab, tmp_path: Path) -> None:
    workspace = lab.workspace()
    result = train(workspace, lab.package("seer", TRAIN), dataset(lab))
    record = workspace.run(result.run_id).record()
    assert record.facts is not None
    assert record.facts.log is not None
    assert record.facts.environment is not None
    outcome = lab.store / "runs" / result.run_id / "outcome.json"
    for content, what in (
        (digest_of(outcome.read_bytes()), "outcome.json, a record"),
        (outcome, "outcome.json, a record"),
        (record.facts.log.digest, f"the log of the run {result.run_id}"),
        (record.facts.environment.lock.digest, r"the lock of (seer@1\.1|the run)"),
    ):
        with pytest.raises(UsageError, match=what):
            workspace.erase(content, reason="x")
    # Whoever brings the receipt of such a digest from elsewhere: the store can be copied all the same.
    other = pkgrun.open(tmp_path / "other")
    other.erase(digest_of(outcome.read_bytes()), reason="unknown there")
    copy_store(lab.store, tmp_path / "other")
    assert pkgrun.open(tmp_path / "other").version("seer@1.1") == workspace.version("seer@1.1")


def test_words_mean_what_they_mean_elsewhere(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """As for `data used-by`, but that nothing is guessed."""
    workspace = lab.workspace()
    workspace.datasets.add("people", dataset(lab))
    monkeypatch.chdir(lab.folder)
    assert workspace.erase_plan("people/a.csv").digest == digest_of(SECRET)
    (lab.folder / "people@1").mkdir()
    (lab.folder / "people@1" / "a.csv").write_bytes(b"another")
    with pytest.raises(UsageError, match="also names something registered"):
        workspace.erase_plan("people@1/a.csv")
    assert workspace.erase_plan("./people@1/a.csv").digest == digest_of(b"another")
    (lab.folder / "link").symlink_to("people@1/a.csv")
    assert (
        workspace.erase_plan("link").digest
        == workspace.used_by("link").content.digest
        == digest_of(b"another")
    )


def test_a_file_that_changes_while_it_is_hashed(lab: Lab) -> None:
    """Nobody could say which content was meant."""
    path, stop = lab.folder / "log.csv", threading.Event()

    def write() -> None:
        with path.open("ab", buffering=0) as file:
            while not stop.is_set():
                file.write(b"more")

    path.write_bytes(b"x" * 30_000_000)
    writer = threading.Thread(target=write)
    writer.start()
    try:
        with pytest.raises(Temporary, match="changed while it was read"):
            lab.workspace().erase(path, reason="x")
    finally:
        stop.set()
        writer.join()
    assert list((lab.store / "erased").glob("*")) == []


def test_a_collection_that_fails_sweeps_all_the_same(lab: Lab) -> None:
    """It may have moved what was erased meanwhile."""
    workspace = lab.workspace()
    workspace.erase(digest_of(SECRET), reason="one")
    real = open_store(str(lab.store), create=False)

    def fail() -> None:
        put_regardless(real.backend, SECRET)
        raise Temporary("the disk is full")

    wrapped = Meanwhile(real.backend, lambda call: call.method == "list" and call.key.startswith("gc/"), fail)
    store = Store(wrapped, Objects(wrapped), real.id, str(lab.cache))
    with pytest.raises(Temporary, match="the disk is full"):
        collecting.collect(store, grace=0, rule=None, force=False, by=actor("1"), observer=silent)
    assert not anywhere(lab.store)


def test_who_is_dead_is_not_waited_for_by_anybody(lab: Lab) -> None:
    workspace = lab.workspace()
    workspace.add(lab.package("slow", waiting("open('model', 'w').close()")))
    process = lab.start(
        *("train", "slow@1.0", "--data", dataset(lab), "--environment", "current"),
        *("--env", f"go={lab.folder / 'go'}"),
    )
    until(lambda: any(run.phase in ("init", "train") for run in workspace.runs()), 30, "the code's start")
    process.kill()
    process.wait(30)
    assert workspace.erase(digest_of(SECRET), reason="one").open == ()


def test_a_pack_that_cannot_be_read_may_hold_it(lab: Lab) -> None:
    workspace = lab.workspace()
    workspace.datasets.add("people", dataset(lab))
    for pack in (lab.store / "packs").iterdir():
        pack.write_bytes(b"torn")
    said = lab.pkgrun("erase", digest_of(SECRET)).err
    assert "cannot be read, and may hold it" in said
    assert "does not hold it" not in said
