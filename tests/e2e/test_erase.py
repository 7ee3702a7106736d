"""A content is erased: it is nowhere any more, nobody brings it back, and all that was made of it still proves what it is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import pkgrun
from pkgrun.errors import Erased, UsageError
from pkgrun.store.objects import digest_of
from pkgrun.store.root import open_store
from pkgrun.workspace.stores import copy_store, fsck, gc, repair

from .copies import exported
from .erasures import (
    MEMORISES,
    OTHERS,
    SECRET,
    anywhere,
    dataset,
    put_regardless,
    sound,
    train,
)
from .lab import TRAIN, Lab

pytestmark = pytest.mark.row(14)


def test_a_file_goes_and_the_history_stays(lab: Lab, tmp_path: Path) -> None:
    workspace, data = lab.workspace(), dataset(lab)
    workspace.datasets.add("people", data)
    train(workspace, lab.package("seer", TRAIN), data, save_training_data=True)
    train(workspace, "seer@1.1", dataset(lab, "rest", **{"a.csv": b"nobody"}))
    train(workspace, lab.package("other", TRAIN), lab.folder / "rest")
    train(workspace, lab.package("parrot", MEMORISES), data)
    before = {name: (lab.store / "packages" / name).read_bytes() for name in _records(lab)}

    plan = lab.pkgrun("erase", data / "a.csv")
    assert "nothing was done" in plan.err
    assert anywhere(lab.store)
    done = lab.document("erase", data / "a.csv", "--reason", "she asked for it", "--yes")

    assert not anywhere(lab.store)
    assert (data / "a.csv").read_bytes() == SECRET
    assert [one["version"] for one in done["affected"]] == ["seer@1.1", "parrot@1.1", "seer@1.2"]
    assert {one["version"]: one["why"] for one in done["affected"]}["seer@1.2"] == ["inherited"]
    assert set(done["affected"][1]["why"]) == {"package", "input"}
    assert (done["erased"], done["new"], done["held"], done["open"]) == (True, True, True, [])
    assert done["receipt"]["versions"] == ["seer@1.1", "parrot@1.1", "seer@1.2"]
    assert {name: (lab.store / "packages" / name).read_bytes() for name in _records(lab)} == before
    sound(lab)
    notes = [one for one in fsck(lab.store).findings if one.kind == "erased"]
    assert [one.severity for one in notes] == ["note"]
    assert "people@1" in {need.label for need in notes[0].needed_by}
    run = lab.workspace().run(done["run_id"]).record()
    assert (run.kind, run.status, run.erasure and run.erasure.reason) == (
        "erasure",
        "successful",
        "she asked for it",
    )
    # What is left can be had, and trained from.
    assert exported(lambda out: workspace.export("seer@1.2", out), tmp_path / "seer")
    train(workspace, "seer@1.2", lab.folder / "rest")


def _records(lab: Lab) -> list[str]:
    folder = lab.store / "packages"
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.json"))


def test_erased_again_it_is_the_same_receipt(lab: Lab) -> None:
    workspace, data = lab.workspace(), dataset(lab)
    workspace.datasets.add("people", data)
    first = workspace.erase(data / "a.csv", reason="one")
    again = workspace.erase(digest_of(SECRET), reason="two")
    assert (again.new, again.run, again.receipt) == (False, None, first.receipt)
    said = lab.pkgrun("erase", digest_of(SECRET), "--reason", "three", "--yes").err
    assert "erased before" in said
    assert "nothing of it had come back" in said


def test_what_came_back_is_swept(lab: Lab) -> None:
    """By a writer that was killed right before it looked."""
    workspace = lab.workspace()
    workspace.erase(digest_of(SECRET), reason="one")
    store = open_store(str(lab.store), create=False)
    put_regardless(store.backend, SECRET)
    assert [one.kind for one in fsck(lab.store).findings if one.severity == "pending"] == ["erased-present"]
    again = workspace.erase(digest_of(SECRET), reason="two")
    assert (again.new, again.swept.packs) == (False, 1)
    put_regardless(store.backend, SECRET)
    gc(lab.store, grace=0)
    assert not anywhere(lab.store)
    put_regardless(store.backend, SECRET)
    assert repair(lab.store, execute=True).sound
    assert not anywhere(lab.store)
    sound(lab)


def test_what_the_store_never_held_can_be_forbidden(lab: Lab) -> None:
    workspace, data = lab.workspace(), dataset(lab)
    done = lab.pkgrun("erase", data / "a.csv", "--reason", "never", "--yes")
    assert "the store did not hold it" in done.err
    with pytest.raises(Erased, match=r"a\.csv holds sha256:.* erased on .*: never"):
        workspace.datasets.add("people", data)
    sound(lab)


@pytest.mark.parametrize(
    ("what", "hint"),
    [
        ("data", "name each file"),
        ("sha256:12", "64 hexadecimal"),
        ("sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", None),
    ],
    ids=["a folder", "half a digest", "nothing"],
)
def test_what_cannot_be_erased(
    lab: Lab, what: str, hint: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = lab.workspace()
    dataset(lab)
    monkeypatch.chdir(lab.folder)
    with pytest.raises(UsageError) as error:
        workspace.erase(what, reason="x")
    assert (error.value.hint and hint in error.value.hint) if hint else error.value.hint is None
    assert lab.pkgrun("erase", what, "--yes", code=2).err


def test_a_directory_by_its_digest_is_refused(lab: Lab) -> None:
    workspace = lab.workspace()
    tree = workspace.datasets.add("people", dataset(lab)).record.tree
    with pytest.raises(UsageError, match="is a directory"):
        workspace.erase(tree.digest, reason="x")
    with pytest.raises(UsageError, match="reason"):
        workspace.erase(digest_of(SECRET), reason=" ")


def test_a_file_is_named_by_its_place_in_a_dataset(lab: Lab) -> None:
    workspace = lab.workspace()
    workspace.datasets.add("people", dataset(lab))
    assert workspace.erase_plan("people@1/a.csv").digest == digest_of(SECRET)


# ---------------------------------------------------------------------- adding it again


@pytest.fixture
def forbidden(lab: Lab) -> Lab:
    """A lab whose store knew the content, and has erased it. The machine's caches know the dataset."""
    workspace, data = lab.workspace(), dataset(lab)
    for path in data.rglob("*"):
        os.utime(path, (1_000_000_000,) * 2)
    workspace.datasets.add("people", data)
    train(workspace, lab.package("seer", TRAIN), data, save_training_data=True)
    train(workspace, lab.package("parrot", MEMORISES), dataset(lab, "rest", **{"a.csv": b"nobody"}))
    workspace.erase(data / "a.csv", reason="gone")
    return lab


@pytest.mark.parametrize("keeps", [False, True], ids=["not kept", "kept"])
@pytest.mark.parametrize("mount", ["auto", "copy"])
def test_data_that_holds_it_is_refused(forbidden: Lab, keeps: bool, mount: str) -> None:
    with pytest.raises(Erased, match=r"a\.csv holds .*: gone") as error:
        train(forbidden.workspace(), "seer", forbidden.folder / "data", save_training_data=keeps, mount=mount)
    assert error.value.run_id
    assert forbidden.workspace().run(error.value.run_id).record().status == "failed"
    assert not anywhere(forbidden.store)
    sound(forbidden)


def test_many_files_that_others_read_are_refused(lab: Lab) -> None:
    """So many that processes of their own read them."""
    data = lab.folder / "many"
    data.mkdir()
    for number in range(2_000):
        (data / f"{number:04}").write_bytes(b"%d" % number)
    (data / "1500").write_bytes(SECRET)
    lab.workspace().erase(digest_of(SECRET), reason="gone")
    with pytest.raises(Erased, match="1500 holds"):
        lab.workspace().datasets.add("many", data)
    with pytest.raises(Erased, match="1500 holds"):
        train(lab.workspace(), lab.package("seer", TRAIN), data)
    assert not anywhere(lab.store)


def test_a_large_one_is_refused(lab: Lab) -> None:
    data = lab.folder / "large"
    data.mkdir()
    (data / "big").write_bytes(SECRET * 100_000)
    workspace = lab.workspace()
    workspace.datasets.add("large", data)
    assert anywhere(lab.store)
    done = workspace.erase(data / "big", reason="gone")
    assert (done.swept.objects, done.swept.packs) == (1, 0)
    for path in (data / "big", data):
        with pytest.raises(Erased, match="big holds"):
            workspace.datasets.add("again", path)
    for mount in ("auto", "copy"):
        with pytest.raises(Erased, match="big holds"):
            train(workspace, lab.package("seer", TRAIN), data, save_training_data=True, mount=mount)
    assert not anywhere(lab.store)


def test_a_package_that_holds_it_is_refused(forbidden: Lab) -> None:
    package = forbidden.package("holder", TRAIN)
    (package / "rows.csv").write_bytes(SECRET)
    with pytest.raises(Erased, match=r"rows\.csv holds"):
        forbidden.workspace().add(package)
    assert not anywhere(forbidden.store)


@pytest.mark.parametrize("where", ["model.csv", "artifacts/rows.csv"])
def test_what_a_run_writes_is_refused(forbidden: Lab, where: str) -> None:
    """The package's code has it from elsewhere."""
    writes = f"""
class Main:
    def train(self, training_directory): pass
    def save(self):
        open("{where}", "wb").write({SECRET[:5]!r} + {SECRET[5:]!r})
"""
    with pytest.raises(Erased, match="csv holds") as error:
        train(forbidden.workspace(), forbidden.package("writer", writes), forbidden.folder / "rest")
    assert error.value.run_id
    assert not anywhere(forbidden.store)
    sound(forbidden)


def test_a_version_that_lost_a_file_is_not_trained_from(lab: Lab) -> None:
    workspace, data = lab.workspace(), dataset(lab)
    train(workspace, lab.package("parrot", MEMORISES), data)
    workspace.erase(data / "a.csv", reason="gone")
    with pytest.raises(Erased, match=r"model\.csv holds"):
        train(workspace, "parrot@1.1", dataset(lab, "rest", **{"a.csv": b"nobody"}))
    assert str(train(workspace, "parrot@1.0", lab.folder / "rest").version) == "1.2"


def test_the_rest_can_be_written_out(forbidden: Lab, tmp_path: Path) -> None:
    workspace = forbidden.workspace()
    with pytest.raises(Erased, match=r"a\.csv holds"):
        workspace.datasets.export("people@1", tmp_path / "one")
    assert not (tmp_path / "one").exists()
    said = forbidden.pkgrun("dataset", "export", "people@1", tmp_path / "one", "--skip-erased").err
    assert "left out, because they were erased: a.csv" in said
    files = {
        str(path.relative_to(tmp_path / "one")) for path in (tmp_path / "one").rglob("*") if path.is_file()
    }
    assert files == set(OTHERS)
    run = workspace.version("seer@1.1").run
    with pytest.raises(Erased):
        workspace.run(run).export_snapshot(tmp_path / "two")
    assert workspace.run(run).export_snapshot(tmp_path / "two", skip_erased=True) == 2


@pytest.mark.parametrize("form", ["folder", "zip"])
def test_a_package_without_it(lab: Lab, form: str, tmp_path: Path) -> None:
    workspace, data = lab.workspace(), dataset(lab)
    train(workspace, lab.package("parrot", MEMORISES), data)
    workspace.erase(data / "a.csv", reason="gone")
    out = tmp_path / ("out.zip" if form == "zip" else "out")
    lab.pkgrun("package", "export", "parrot@1.1", out, "--format", form, code=7)
    assert not out.exists()
    assert (
        "1 file left out"
        in lab.pkgrun("package", "export", "parrot@1.1", out, "--format", form, "--skip-erased").err
    )
    assert out.exists()
    lab.pkgrun(
        "package", "export", "parrot@1.1", tmp_path / "x", "--format", "aicenter", "--skip-erased", code=2
    )


# ---------------------------------------------------------------------- other stores


def test_a_copy_brings_the_receipts_and_not_the_content(forbidden: Lab, tmp_path: Path) -> None:
    target = tmp_path / "target"
    done = copy_store(forbidden.store, target)
    assert done.copied.receipts == 1
    assert not anywhere(target)
    found = fsck(target, read_data=True)
    assert found.sound, found.findings
    assert [one.severity for one in found.findings if one.kind == "erased"] == ["note"]
    assert copy_store(forbidden.store, target).run is None


@pytest.mark.parametrize("package", [None, "seer"])
def test_what_is_erased_later_is_erased_in_the_copy(lab: Lab, package: str | None, tmp_path: Path) -> None:
    workspace, data = lab.workspace(), dataset(lab)
    train(workspace, lab.package("seer", TRAIN), data, save_training_data=True)
    target = tmp_path / "target"
    copy_store(lab.store, target, package=package)
    assert anywhere(target)
    workspace.erase(data / "a.csv", reason="gone")
    workspace.erase(digest_of(b"what no run has seen"), reason="other")
    assert copy_store(lab.store, target, package=package).copied.receipts == (2 if package is None else 1)
    assert not anywhere(target)
    assert fsck(target, read_data=True).sound


def test_what_the_target_has_erased_does_not_come(lab: Lab, tmp_path: Path) -> None:
    workspace, data = lab.workspace(), dataset(lab)
    train(workspace, lab.package("seer", TRAIN), data, save_training_data=True)
    target = tmp_path / "target"
    pkgrun.open(target).erase(digest_of(SECRET), reason="not here")
    copy_store(lab.store, target)
    assert anywhere(lab.store)
    assert not anywhere(target)
    assert fsck(target, read_data=True).sound


def test_a_repair_does_not_bring_it_back(lab: Lab, tmp_path: Path) -> None:
    workspace, data = lab.workspace(), dataset(lab)
    train(workspace, lab.package("seer", TRAIN), data, save_training_data=True)
    copy_store(lab.store, tmp_path / "copy")
    workspace.erase(data / "a.csv", reason="gone")
    for pack in (lab.store / "packs").iterdir():
        damaged = bytearray(pack.read_bytes())
        damaged[20] ^= 1
        pack.write_bytes(damaged)
    assert not fsck(lab.store, read_data=True).sound
    assert repair(lab.store, source=tmp_path / "copy", execute=True).sound
    assert not anywhere(lab.store)
    sound_but_quarantine = fsck(lab.store, read_data=True)
    assert sound_but_quarantine.sound


@pytest.mark.parametrize("damage", ["altered", "cut", "missing"])
def test_a_receipt_that_is_not_what_it_was_is_found_and_mended(forbidden: Lab, damage: str) -> None:
    (path,) = (forbidden.store / "erased").iterdir()
    was = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(was.replace(b"gone", b"fine") if damage == "altered" else was[:40])
    kinds = {"altered": "record-altered", "cut": "record-malformed", "missing": "record-missing"}
    assert kinds[damage] in {one.kind for one in fsck(forbidden.store).findings if one.severity == "hole"}
    assert repair(forbidden.store, execute=True).sound
    assert path.read_bytes() == was
    assert fsck(forbidden.store).sound


# ---------------------------------------------------------------------- caches


def test_this_machines_caches_let_go_of_it(lone_lab: Lab) -> None:
    lab = lone_lab
    workspace, data = lab.workspace(), dataset(lab)
    workspace.datasets.add("people", data)
    train(workspace, lab.package("parrot", MEMORISES), "people@1", keep_workdir=True)
    assert anywhere(lab.cache / "datasets")
    assert anywhere(lab.cache / "work")
    done = workspace.erase(data / "a.csv", reason="gone")
    assert done.dropped.copies == 1
    assert done.dropped.files >= 1
    assert not anywhere(lab.cache)


def test_another_machines_caches_do_when_it_next_uses_the_store(lone_lab: Lab, tmp_path: Path) -> None:
    lab = lone_lab
    workspace, data = lab.workspace(), dataset(lab)
    workspace.datasets.add("people", data)
    package = lab.package("seer", TRAIN)
    train(workspace, package, "people@1")
    assert anywhere(lab.cache / "datasets")
    lab.pkgrun("erase", digest_of(SECRET), "--reason", "x", "--yes", PKGRUN_CACHE=str(tmp_path / "other"))
    assert anywhere(lab.cache / "datasets")
    train(workspace, package, dataset(lab, "rest", **{"a.csv": b"nobody"}))
    assert not anywhere(lab.cache)
