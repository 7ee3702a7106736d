"""The names and digests of all data are in the store, also of data that is not kept: by them is known, years later, which
versions were trained on a file."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

import pkgrun
from pkgrun import RunRecord
from pkgrun.errors import Damaged
from pkgrun.records import Data
from pkgrun.store import trees
from pkgrun.store.fsck.findings import Finding
from pkgrun.store.objects import digest_of
from pkgrun.store.root import Store, open_store
from pkgrun.workspace.stores import copy_store, fsck, gc, repair
from tests.store.blobs import blobs, contents, file_of, lacking, lose

from .lab import Lab
from .scripted import SCRIPTED, SPLIT, dataset, evaluated, full

FILES = {"rows.csv": "1,2\n", "deep/er/other.csv": "3,4\n", "deep/more.csv": "5,6\n"}
MOUNTS = ["overlay", "copy"]


def train(lab: Lab, data: Path | str, package: Path | str | None = None, **more: Any) -> RunRecord:
    """A training without a snapshot, unless that is asked for."""
    run = lab.workspace().train(
        package or lab.package(),
        data=str(data),
        environment="current",
        **{"save_training_data": False, **more},
    )
    run.wait(60)
    return run.ended()


def given(record: RunRecord) -> Data:
    assert record.facts is not None
    assert record.facts.data is not None
    return record.facts.data


def store_of(lab: Lab, name: str = "store") -> Store:
    return open_store(str(lab.folder / name), create=False, cache=str(lab.cache))


def listed(store: Store, record: RunRecord) -> dict[str, str]:
    """The files that the store says a run was given, with their digests."""
    assert given(record).listed
    found = trees.walk(store.objects, given(record).tree.digest)
    return {path: entry.digest for path, entry in found if entry.kind == "file"}


def of(folder: Path) -> dict[str, str]:
    """The files of a folder, likewise."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): digest_of(path.read_bytes()) for path in files}


def lost(lab: Lab) -> list[Finding]:
    """What fsck finds that is not as it should be."""
    return [found for found in fsck(lab.store, read_data=True).findings if found.severity == "hole"]


# ---------------------------------------------------------------- what a run leaves


@pytest.mark.parametrize("mount", MOUNTS)
def test_a_training_without_a_snapshot_leaves_the_names_and_digests_of_its_files(
    lab: Lab, mount: Any
) -> None:
    data = dataset(lab, files=FILES)
    record = train(lab, data, mount=mount)
    store = store_of(lab)
    assert given(record).mount == mount
    assert listed(store, record) == of(data)
    assert blobs(store).keys().isdisjoint(of(data).values()), "the files themselves are not kept"
    assert lacking(store) == set()
    assert fsck(lab.store, read_data=True).findings == ()


def test_what_is_trained_on_next_is_listed_too_and_what_did_not_change_is_not_written_again(lab: Lab) -> None:
    data = dataset(lab, files=FILES)
    first = train(lab, data)
    (data / "deep/more.csv").write_text("7,8\n")
    second = train(lab, data, "p@1.0")
    third = train(lab, data, "p@1.0")
    store = store_of(lab)
    assert listed(store, second) == listed(store, third) == of(data)
    assert listed(store, first)["deep/more.csv"] == digest_of(b"5,6\n")
    written = [part.digest for parts in contents(store).values() for part in parts]
    assert len(written) == len(set(written))


def test_an_evaluation_and_what_a_full_pipeline_passes_on_are_listed(lab: Lab) -> None:
    found = evaluated(lab, data=dataset(lab, files=FILES))
    assert found.record.facts is not None
    assert found.record.facts.data is not None
    assert found.record.facts.data.listed
    held_out = dataset(lab, "held-out", {"b.csv": "2\n"})
    options: dict[str, Any] = {"save_training_data": False, "save_test_data": False}
    both = full(lab, data=dataset(lab, files=FILES), evaluation_data=held_out, **options)
    assert both.facts.data is not None
    assert both.facts.data.listed
    assert both.facts.evaluation_data is not None
    assert both.facts.evaluation_data.listed
    made = full(lab, data=dataset(lab), env={"on_process_data": SPLIT}, **options)
    store = store_of(lab)
    names = {
        one.role: [path for path, _ in trees.walk(store.objects, one.tree.digest)]
        for one in made.facts.passed
    }
    assert all(one.listed and not one.kept for one in made.facts.passed)
    assert names == {"trained": ["a.csv"], "evaluated": ["b.csv"]}
    assert lacking(store) == set()


def test_a_snapshot_that_is_kept_is_listed_too(lab: Lab) -> None:
    data = dataset(lab, files=FILES)
    record = train(lab, data, save_training_data=True)
    assert listed(store_of(lab), record) == of(data)


def test_a_failed_run_tells_what_it_was_given(lab: Lab) -> None:
    data = dataset(lab, files=FILES)
    package = lab.package("p", SCRIPTED)
    run = lab.workspace().train(
        package, data=str(data), environment="current", env={"on_train": "raise ValueError('no')"}
    )
    record = run.ended(60)
    assert record.status == "failed"
    assert listed(store_of(lab), record) == of(data)


def test_the_same_dataset_is_listed_in_another_store_too(lab: Lab) -> None:
    data = dataset(lab, files=FILES)
    train(lab, data)
    elsewhere = pkgrun.open(lab.folder / "other")
    record = elsewhere.train(lab.package(), data=str(data), environment="current").ended(60)
    other = store_of(lab, "other")
    assert listed(other, record) == of(data)
    assert lacking(other) == set()


@pytest.mark.parametrize("mount", MOUNTS)
def test_a_folder_of_more_files_than_one_directory_holds(lab: Lab, mount: Any) -> None:
    data = dataset(lab, files={f"many/{number}": "" for number in range(10_001)})
    first = train(lab, data, mount=mount)
    store = store_of(lab)
    assert listed(store, first) == of(data)
    [many] = [
        entry for _, entry in trees.walk(store.objects, given(first).tree.digest) if entry.kind == "dir"
    ]
    [part, *_] = trees.parse(store.objects.read(many.digest), "").parts
    lose(store, part.digest)
    again = train(lab, data, "p@1.0", mount=mount)
    assert listed(store_of(lab), again) == of(data), "the part that was lost is there again"


# ---------------------------------------------------------------- secrets


@pytest.mark.parametrize("mount", MOUNTS)
def test_a_secret_in_a_file_name_does_not_come_into_the_store(lab: Lab, mount: Any) -> None:
    data = dataset(lab, files={"deep/squeamish-ossifrage.csv": "1\n"})
    record = train(lab, data, secrets={"TOKEN": "squeamish-ossifrage"}, mount=mount)
    assert record.status == "successful"
    assert not given(record).listed
    assert record.facts is not None
    assert any("were not kept: the name of a file" in warning for warning in record.facts.warnings)
    for path in lab.store.rglob("*"):
        assert not path.is_file() or b"squeamish" not in path.read_bytes(), path


# ---------------------------------------------------------------- how long it stays


def test_a_collection_keeps_it_also_of_a_version_that_was_removed(lab: Lab) -> None:
    data = dataset(lab, files=FILES)
    kept, plain = train(lab, data, save_training_data=True), train(lab, dataset(lab, "b", FILES), "p@1.0")
    lab.workspace().remove(f"p@{kept.version}")
    lab.workspace().remove(f"p@{plain.version}")
    gc(lab.store, grace=0)
    gc(lab.store, grace=0)
    store = store_of(lab)
    assert listed(store, kept) == listed(store, plain) == of(data)
    assert blobs(store).keys().isdisjoint(of(data).values()), "the files of the snapshot are gone"
    assert lacking(store) == set()
    assert fsck(lab.store, read_data=True).sound
    again = train(lab, data, "p@1.0", save_training_data=True)
    store = store_of(lab)
    assert blobs(store).keys() >= set(of(data).values()), "what is listed is not taken for what is kept"
    assert listed(store, again) == of(data)


def test_a_copy_brings_it_also_of_a_version_that_was_removed(lab: Lab) -> None:
    data = dataset(lab, files=FILES)
    record = train(lab, data)
    many = train(lab, dataset(lab, "many", {f"x/{number}": "" for number in range(10_001)}), "p@1.0")
    lab.workspace().remove(f"p@{record.version}")
    copy_store(lab.store, lab.folder / "copy")
    shutil.rmtree(lab.store)
    copy = store_of(lab, "copy")
    assert listed(copy, record) == of(data)
    assert len(listed(copy, many)) == 10_001
    assert lacking(copy) == set()
    assert fsck(lab.folder / "copy", read_data=True).sound


# ---------------------------------------------------------------- when it is lost


def test_a_directory_that_is_lost_is_found_named_and_brought_back(lab: Lab) -> None:
    data = dataset(lab, files=FILES)
    record = train(lab, data)
    copy_store(lab.store, lab.folder / "copy")
    store = store_of(lab)
    deep = trees.find(store.objects, given(record).tree.digest, "deep")
    lose(store, deep.digest)

    [found] = lost(lab)
    assert found.kind == "listing-missing"
    assert (
        f"the listing, by which is known which files a run was given, {deep.digest} is missing"
        in found.message
    )
    assert [(need.label, need.path) for need in found.needed_by] == [
        (f"run {record.run}", "(in what it was given: deep)")
    ]
    done = repair(lab.store, source=lab.folder / "copy", execute=True)
    assert done.sound
    assert lost(lab) == []
    assert listed(store_of(lab), record) == of(data)


def test_what_lies_below_it_comes_back_with_it(lab: Lab) -> None:
    data = dataset(lab, files=FILES)
    record = train(lab, data)
    copy_store(lab.store, lab.folder / "copy")
    store = store_of(lab)
    for path in ("deep/er", "deep"):
        digest = trees.find(store.objects, given(record).tree.digest, path).digest
        lose(store, digest)
        store = store_of(lab)
    assert repair(lab.store, source=lab.folder / "copy", execute=True).sound
    assert listed(store_of(lab), record) == of(data)


def test_one_that_is_altered_stops_collections_until_it_is_repaired(lab: Lab) -> None:
    """It may come back, and with it what it leads to."""
    data = dataset(lab, files=FILES)
    record = train(lab, data)
    copy_store(lab.store, lab.folder / "copy")
    root = given(record).tree.digest
    path, data_of = file_of(store_of(lab), root), store_of(lab).objects.read(root)
    path.write_bytes(path.read_bytes().replace(data_of, data_of.replace(b"rows", b"cows")))

    [found] = lost(lab)
    assert found.kind == "pack-damaged"
    assert f"run {record.run}" in [need.label for need in found.needed_by]
    with pytest.raises(Damaged, match=f"nothing was deleted.*run {record.run}"):
        gc(lab.store, grace=0)
    assert repair(lab.store, source=lab.folder / "copy", execute=True).sound
    gc(lab.store, grace=0)
    assert listed(store_of(lab), record) == of(data)


def test_one_that_is_lost_for_ever_does_not_stop_collections_and_training_again_brings_it_back(
    lab: Lab,
) -> None:
    data = dataset(lab, files=FILES)
    record = train(lab, data)
    store = store_of(lab)
    lose(store, given(record).tree.digest)
    assert not repair(lab.store, execute=True).sound
    gc(lab.store, grace=0)
    again = train(lab, data, "p@1.0")
    assert listed(store_of(lab), again) == listed(store_of(lab), record) == of(data)
    assert lost(lab) == []
