"""A store copied into another: all of it is there, once, under the same numbers, whatever breaks it off."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import pkgrun
from pkgrun.errors import Conflict, Damaged, NotFound, UsageError
from pkgrun.observe import Event, Notice
from pkgrun.runs import copying
from pkgrun.runs.here import actor
from pkgrun.runs.landing import land
from pkgrun.store.objects import Objects
from pkgrun.store.operations import new_run_id
from pkgrun.store.root import Store, open_store
from pkgrun.store.trees import Entry, write_node
from pkgrun.store.wrappers import Call
from pkgrun.testing import Counting, Faulty, Plan
from pkgrun.workspace.stores import copy_store, fsck, gc
from tests.servers import Server
from tests.store import entries
from tests.store.blobs import flip, put
from tests.store.test_collecting_races import Meanwhile

from .copies import LEARNS, copied, copied_into, everything, prepared, records, state, train
from .lab import Lab, chain_is_intact, minors

WRITES = {"create", "write", "delete", "flush", "upload", "upload.write", "upload.publish"}


@pytest.fixture
def history(lab: Lab) -> Lab:
    """Something to copy."""
    return prepared(lab)


def test_all_of_it_is_there_when_the_source_is_gone(history: Lab, tmp_path: Path) -> None:
    before, kept = everything(history.workspace(), tmp_path / "out"), records(history.store)
    said = history.document("store", "copy", history.store, "copy")
    shutil.rmtree(history.store)

    assert {name: said[name] for name in ("versions", "datasets", "runs", "open")} == {
        "versions": {"copied": 4, "there": 0},
        "datasets": {"copied": 2, "there": 0},
        "runs": {"copied": 7, "there": 0},
        "open": 0,
    }
    workspace = pkgrun.open(tmp_path / "copy", create=False)
    assert everything(workspace, tmp_path / "out") == before
    assert {name: data for name, data in records(tmp_path / "copy").items() if "/heartbeat" not in name} == {
        name: data for name, data in kept.items() if "/heartbeat" not in name
    }
    for file in (tmp_path / "copy").glob("runs/*/_results.json"):
        assert (
            str(tmp_path / "copy")
            in json.loads(file.read_bytes())["run_summary"]["outputs"]["artifacts_data"]
        )
    listed = history.document("run", "list", "--all", "--store", "copy")["runs"]
    assert [run["status"] for run in listed if run["run_id"] == said["run_id"]] == ["successful"]
    assert said["run_id"] not in str(history.document("run", "list", "--store", "copy"))


@pytest.mark.parametrize("first", [Call("read", "packs/"), Call("read", "runs/")], ids=str)
def test_what_is_removed_and_collected_meanwhile_is_copied_as_removed(
    lab: Lab, tmp_path: Path, first: Call
) -> None:
    workspace = lab.workspace()
    for name in ("p", "q"):
        workspace.add(lab.package(name, files={"weights": os.urandom(1 << 20).hex(), "small": name}))
    workspace.add(lab.package("r"))

    def happens() -> None:
        workspace.remove("q@1.0")
        assert gc(lab.store, grace=0.0).collected.deleted

    source, events = open_store(str(lab.store), create=False), list[Event]()
    meanwhile = Meanwhile(source.backend, first, happens)
    source = replace(source, backend=meanwhile, objects=Objects(meanwhile))
    target = open_store(str(tmp_path / "copy"), create=True)
    done = copying.copy(source, target, package=None, by=actor("0"), observer=events.append)
    assert meanwhile.happened
    assert (done.copied.versions.copied, done.copied.removals) == (3, 1)
    assert [event.message for event in events if isinstance(event, Notice)] == [
        "removed meanwhile, so that only the records are copied: q@1.0"
    ]
    assert fsck(target.url, read_data=True).sound
    assert copy_store(lab.store, target.url).run is None


def test_training_goes_on_where_the_source_ended(history: Lab) -> None:
    copied(history)
    first = history.workspace().versions("p")[1].run
    shutil.rmtree(history.store)

    workspace = pkgrun.open(history.folder / "copy")
    again = workspace.train(
        history.folder / "packages" / "p",
        data="rows@2",
        environment="current",
        env={"mark": "one"},
        idempotency_key="nightly",
    )
    assert again.id == first, "a key stands for the run that it stood for"
    assert train(workspace, "p@1.1", data="rows@1/rows.csv") == "1.3"
    assert not workspace.add(history.folder / "packages" / "p").new
    assert chain_is_intact(history.folder / "copy", "p", 1)
    assert workspace.datasets.add("rows", history.folder / "rows").record.number == 2


def test_copying_again_writes_nothing_and_later_only_what_is_new(history: Lab) -> None:
    copied(history)
    source, target, tally = counted(history)
    again = copied_into(source, target)
    assert (again.run, again.copied.versions.there, again.copied.runs.there) == (None, 4, 7)
    assert WRITES & {method for method, count in tally.calls.items() if count} == set()

    train(history.workspace(), "p", env={"mark": "three"})
    more = copied(history).copied
    assert (more.versions.copied, more.versions.there, more.runs.copied, more.runs.there) == (1, 4, 1, 7)
    assert 0 < more.bytes < 1 << 16
    assert minors(history.folder / "copy", "p") == [0, 1, 2, 3]


def counted(lab: Lab) -> tuple[Store, Store, Any]:
    """The lab's store, the copy of it, and what is asked of that."""
    source, target = (
        open_store(str(lab.store), create=False),
        open_store(str(lab.folder / "copy"), create=False),
    )
    counting = Counting(target.backend)
    return source, Store(counting, Objects(counting), target.id), counting.tally


def test_one_package_brings_its_lineage_along_and_nothing_else(history: Lab, tmp_path: Path) -> None:
    (tmp_path / "unused").mkdir()
    history.workspace().datasets.add("unused", tmp_path / "unused")
    history.workspace().datasets.add("rows", tmp_path / "unused")
    said = copied(history, package="p").copied
    assert (said.versions.copied, said.datasets.copied, said.runs.copied) == (3, 2, 6)

    workspace = pkgrun.open(history.folder / "copy")
    assert list(workspace.packages()) == ["p"]
    assert [one.label for one in workspace.datasets.all()] == ["rows@2"]
    assert {run.status for run in workspace.runs()} == {"successful", "failed"}
    shutil.rmtree(history.store)
    assert everything(workspace, tmp_path / "out")
    with pytest.raises(NotFound, match="no package q"):
        copy_store(history.folder / "copy", history.folder / "third", package="q")


def test_two_stores_come_together(history: Lab) -> None:
    other = pkgrun.open(history.folder / "other")
    other.add(history.package("third"))
    copied(history, "other")
    assert list(other.packages()) == ["other", "p", "third"]
    copy_store(history.folder / "other", history.store)
    assert list(history.workspace().packages()) == ["other", "p", "third"]


def test_another_version_under_the_same_number_is_a_conflict(history: Lab) -> None:
    copied(history)
    train(history.workspace(), "p", env={"mark": "here"})
    train(pkgrun.open(history.folder / "copy"), "p", env={"mark": "there"})
    before = state(history.folder / "copy")

    ended = history.pkgrun("store", "copy", history.store, "copy", code=7)
    assert all(word in ended.err for word in ("p@1.3", str(history.store), str(history.folder / "copy")))
    with pytest.raises(Conflict, match=r"p@1\.3"):
        copied(history, package="p")
    assert state(history.folder / "copy") == before
    assert copied(history, package="other").run is None


def test_another_dataset_under_the_same_number_is_a_conflict(history: Lab) -> None:
    other = pkgrun.open(history.folder / "copy")
    other.datasets.add("rows", history.package("q"))
    with pytest.raises(Conflict, match="dataset rows@1"):
        copied(history)
    assert list(other.packages()) == []


def test_a_number_that_is_taken_meanwhile_is_a_conflict_and_nothing_of_it_is_copied(history: Lab) -> None:
    """Somebody trains at the target while the copy is about to be decided, or right after."""
    train(history.workspace(), "p", env={"mark": "three"})
    for moment in ("copy", "commit"):
        target = history.folder / moment
        copied(history, moment, package="other")

        def meanwhile(event: pkgrun.Event, moment: str = moment, target: Path = target) -> None:
            if isinstance(event, pkgrun.Phase) and event.name == moment:
                pkgrun.open(target).add(history.package("else", files={"x": "x"}), name="p")

        with pytest.raises(Conflict, match=r"p@1\.0"):
            copied(history, moment, observer=meanwhile)
        assert minors(target, "p") == [0]
        assert [str(one.source) for one in pkgrun.open(target).versions("p")] == [
            str(history.package("else"))
        ]
        [failed] = [run for run in pkgrun.open(target).runs(everything=True) if run.status == "failed"]
        assert failed.kind == "copy"
        assert failed.error is not None
        assert failed.error.kind == "conflict"


def test_a_conflict_after_the_decision_stops_that_package_and_its_runs(history: Lab) -> None:
    """The decision stands, and cannot be carried out: what it says of this package is not created, by nobody."""
    source, place = open_store(str(history.store), create=False), history.folder / "copy"
    target = open_store(str(place), create=True)

    class TakesTheNumber(Faulty):
        """Between the decision and what follows, somebody imports another package of that name."""

        def create(self, key: str, data: bytes) -> bool:
            done = super().create(key, data)
            if key.endswith("/outcome.json") and b'"copied":{' in data:
                pkgrun.open(place).add(history.package("else", files={"x": "x"}), name="p")
            return done

    wrapped = TakesTheNumber(target.backend, Plan())
    with pytest.raises(Conflict, match="p"):
        copied_into(source, Store(wrapped, Objects(wrapped), target.id))
    workspace = pkgrun.open(place)
    for _ in range(2):
        assert minors(place, "p") == [0]
        assert list(workspace.packages()) == ["other", "p"]
        runs = list(workspace.runs(everything=True))
        assert sorted(run.kind for run in runs) == ["copy", "dataset", "dataset", "import", "import"]
        assert [run.status for run in runs if run.kind == "copy"] == ["failed"]
        for run in runs:  # whoever comes next carries it out again, with the same result
            (place / "runs" / run.run / "run.json").unlink()


def test_what_each_store_was_given_by_itself_is_there_already(lab: Lab) -> None:
    """Each keeps its own record of it; the runs of both are in both then."""
    here, there = given_twice(lab)
    train(here, lab.package("q"), data="rows@1")
    mine, theirs = here.datasets.get("rows@1"), there.datasets.get("rows@1")
    brought = copied(lab).copied
    assert (brought.datasets.there, brought.versions.there, brought.versions.copied) == (1, 1, 2)
    assert there.datasets.get("rows@1") == theirs != mine
    for file in (lab.folder / "copy" / "runs").glob("*/run.json"):
        file.unlink()  # whoever reads it next carries it out again
    for run in (mine.run, theirs.run):
        assert there.run(run).record().number == 1
    for run in (here.versions("p")[0].run, there.versions("p")[0].run):
        assert str(there.run(run).record().version) == "1.0"
    assert (len(there.datasets.numbers("rows")), len(there.versions("p"))) == (1, 1)
    assert copied(lab).run is None
    copy_store(lab.folder / "copy", lab.store)
    assert here.datasets.get("rows@1") == mine
    assert here.run(theirs.run).record().number == 1


def given_twice(lab: Lab) -> tuple[pkgrun.Workspace, pkgrun.Workspace]:
    """Two stores, to each of which the same dataset and the same package were added."""
    both = lab.workspace(), pkgrun.open(lab.folder / "copy")
    (lab.folder / "rows").mkdir()
    (lab.folder / "rows" / "rows.csv").write_text("1,2\n")
    for workspace in both:
        workspace.datasets.add("rows", lab.folder / "rows", tags={"of": workspace.url})
        workspace.add(lab.package("p", LEARNS))
    return both


def test_what_is_chained_to_the_others_record_is_a_conflict_with_a_way_out(lab: Lab) -> None:
    here, there = given_twice(lab)
    (lab.folder / "rows" / "rows.csv").write_text("3,4\n")
    here.datasets.add("rows", lab.folder / "rows")
    ended = lab.pkgrun("store", "copy", lab.store, "copy", code=7)
    assert f"the dataset rows@1 has the same content in {lab.store}" in ended.err
    assert "registered in each by itself, and the dataset rows@2 is chained to the record in" in ended.err
    assert "export the dataset rows@2 and add it in" in ended.err

    here.datasets.export("rows@2", lab.folder / "out")
    there.datasets.add("rows", lab.folder / "out")
    assert copied(lab).copied.datasets.there == 2
    train(here, "p")
    with pytest.raises(Conflict, match=r"p@1\.0 .* imported in each by itself, and p@1\.1 is chained"):
        copied(lab)


def test_the_same_model_trained_in_both_stores_is_a_conflict(lab: Lab) -> None:
    """A training's version tells of its own run, with its own parameters and log."""
    here, there = lab.workspace(), pkgrun.open(lab.folder / "copy")
    here.add(lab.package("p", LEARNS))
    copied(lab)
    assert [train(workspace, "p") for workspace in (here, there)] == ["1.1", "1.1"]
    with pytest.raises(Conflict, match=r"p@1\.1 has the same content .*, but another run made it in each"):
        copied(lab)


@pytest.mark.parametrize("moment", ["copy", "commit", "decided"])
def test_what_is_given_to_the_target_meanwhile_with_the_same_content_stays(lab: Lab, moment: str) -> None:
    here = lab.workspace()
    data, place = lab.package("data"), lab.folder / "copy"
    made = here.datasets.add("rows", data).record
    target = open_store(str(place), create=True)
    added: list[str] = []

    def add() -> None:
        added.append(pkgrun.open(place).datasets.add("rows", data).record.run)

    class Decides(Faulty):
        def create(self, key: str, data: bytes) -> bool:
            done = super().create(key, data)
            if moment == "decided" and key.endswith("/outcome.json") and b'"copied":{' in data:
                add()
            return done

        def apart(self) -> Decides:
            return self

    wrapped = Decides(target.backend, Plan())
    copying.copy(
        open_store(str(lab.store), create=False),
        Store(wrapped, Objects(wrapped), target.id),
        package=None,
        by=actor("0"),
        observer=lambda event: add() if isinstance(event, pkgrun.Phase) and event.name == moment else None,
    )
    there = pkgrun.open(place)
    assert [record.run for record in there.datasets.numbers("rows")] == added
    assert there.run(made.run).record().number == 1


def test_damage_in_the_source_is_named_and_nothing_is_seen_of_the_copy(history: Lab) -> None:
    packs = sorted((history.store / "packs").iterdir(), key=lambda path: path.stat().st_mtime)
    flip(packs[-1], 20)
    ended = history.pkgrun("store", "copy", history.store, "copy", code=8)
    assert packs[-1].name in ended.err
    workspace = pkgrun.open(history.folder / "copy")
    assert not workspace.packages()
    assert [run.status for run in workspace.runs(everything=True)] == ["failed"]
    flip(packs[-1], 20)
    copied(history)
    assert list(workspace.packages()) == ["other", "p"]


def test_a_source_that_somebody_forged_brings_nothing_to_other_keys(history: Lab) -> None:
    run, backend = new_run_id(), history.workspace()._store.backend
    backend.create(f"runs/{run}/outcome.json", entries.outcome(run, "LOST").to_bytes())
    backend.create(f"runs/{run}/intent.json", entries.intent(run).to_bytes())
    for name in ("x.json", "00000000.jsonl.sh", "00000001.jsonl"):
        backend.write(f"runs/{run}/events/{name}", b"\n")
    copied(history)
    assert os.listdir(history.folder / "copy" / "runs" / run / "events") == ["00000001.jsonl"]

    backend.write("packages/p/00000001/00000002.json", backend.read("packages/p/00000001/00000001.json"))
    with pytest.raises(Damaged, match=r"is the record of p@1\.1"):
        copied(history, "another")


def test_a_copy_lays_nothing_under_keys_that_are_none(store: Store) -> None:
    """What it is said to have copied may be a forgery too, if it was copied itself."""
    file = Entry("pkgrun-store.json", "file", put(store.objects, b"{}").digest, 1, 2)
    folder = write_node([file], store.objects)
    records = write_node([file, Entry("packages", "dir", folder.digest, 1, 2)], store.objects)
    store.objects.flush()
    assert land(store, records) == []
    assert open_store(store.url, create=False).id == store.id
    assert not (Path(store.url) / "packages").exists()


def test_an_open_run_is_left_for_the_next_time(history: Lab) -> None:
    run = new_run_id()
    history.workspace()._store.backend.create(
        f"runs/{run}/intent.json", entries.intent(run, alive=entries.heartbeat(run)).to_bytes()
    )
    said = history.pkgrun("store", "copy", history.store, "copy")
    assert "1 run left out" in said.err
    assert run not in os.listdir(history.folder / "copy" / "runs")


def test_a_lost_run_keeps_what_it_had_logged(history: Lab) -> None:
    run, backend = new_run_id(), history.workspace()._store.backend
    backend.create(f"runs/{run}/outcome.json", entries.outcome(run, "LOST").to_bytes())
    backend.create(f"runs/{run}/intent.json", entries.intent(run).to_bytes())
    backend.write(f"runs/{run}/events/00000000.jsonl", b'{"event":"log","stream":"out","text":"x","at":1}\n')
    copied(history)
    assert list(pkgrun.open(history.folder / "copy").run(run).log()) == [pkgrun.Log("out", "x", 1)]


@pytest.mark.parametrize("target", ["store", "store/inside", "./store/", "."])
def test_a_store_is_no_copy_of_itself(history: Lab, target: str) -> None:
    with pytest.raises(UsageError):
        copy_store("store", target)
    os.symlink(history.store, "link")
    with pytest.raises(UsageError):
        copy_store("link", target)


def test_two_copies_at_once_make_one(history: Lab, tmp_path: Path) -> None:
    before = everything(history.workspace(), tmp_path / "out")
    copied(history, package="other")
    both = [history.start("store", "copy", history.store, "copy", "--json") for _ in range(3)]
    for process in both:
        process.communicate(timeout=120)
    assert [process.returncode for process in both] == [0, 0, 0]
    assert everything(pkgrun.open(tmp_path / "copy"), tmp_path / "out") == before


def test_there_and_back_by_way_of_s3(
    history: Lab, ministack: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in ministack.env.items():
        monkeypatch.setenv(name, value)
    before = everything(history.workspace(), tmp_path / "out")
    there, other = f"{ministack.url}/one", f"{ministack.url}/two"
    copied(history, package="other")
    copy_store(history.store, there)
    shutil.rmtree(history.store)
    assert copy_store(there, other).copied.versions.copied == 4
    assert copy_store(other, history.store).copied.versions.copied == 4
    assert everything(pkgrun.open(history.store), tmp_path / "out") == before
    assert copy_store(there, history.store).copied.versions.there == 4
    with pytest.raises(UsageError):
        copy_store(there, f"{there}/")


def test_progress_ends_with_all_of_it(history: Lab) -> None:
    told: list[pkgrun.Event] = []
    copied(history, observer=told.append)
    assert [event.name for event in told if isinstance(event, pkgrun.Phase)] == ["compare", "copy", "commit"]
    last = [event for event in told if isinstance(event, pkgrun.Progress)][-1]
    assert last.done == last.total
