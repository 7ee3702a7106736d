"""What is only pending or rubbish, what others do meanwhile, shares of the bytes, the command line, and stores on S3."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest

from pkgrun import open as open_workspace
from pkgrun.errors import Temporary, UsageError
from pkgrun.observe import Progress
from pkgrun.records import Head, Intent
from pkgrun.records.collecting import Sentence
from pkgrun.runs.here import actor, sign_of_life
from pkgrun.store import operations
from pkgrun.workspace.stores import copy_store, fsck, gc, repair
from tests.e2e.copies import prepared, state, train
from tests.e2e.fsck.damages import NEWEST, VERSION, flip_code, kinds, seen
from tests.e2e.lab import Lab
from tests.servers import Server

# ---------------------------------------------------------------------- what is only pending, and rubbish


def test_a_decision_that_nobody_carried_out_is_pending_and_repair_does_it(whole: Path, store: Path) -> None:
    run = orjson.loads((store / NEWEST).read_bytes())["run"]
    (store / "runs" / run / "run.json").unlink()
    (store / NEWEST).unlink()
    report = fsck(store)
    assert (report.sound, kinds(report)) == (True, {"decision-pending"})
    assert repair(store, execute=True).sound
    assert (store / NEWEST).read_bytes() == (whole / "store" / NEWEST).read_bytes()


def test_a_run_that_died_is_pending(lab: Lab) -> None:
    workspace = lab.workspace()
    workspace.add(lab.package("p"))
    run = operations.new_run_id()
    died = sign_of_life(run, "running", "train").model_copy(update={"pid": 1 << 22})
    begun = {
        "run": run,
        "kind": "training",
        "created": died.at,
        "by": actor("0"),
        "head": Head(major=1),
        "alive": died,
    }
    folder = lab.store / "runs" / run
    folder.mkdir()
    (folder / "intent.json").write_bytes(Intent(**begun, package="p").to_bytes())
    assert kinds(fsck(lab.store)) == {"run-dead"}
    assert repair(lab.store, execute=True).sound
    assert workspace.run(run).record().status == "lost"
    assert fsck(lab.store).findings == ()


def test_rubbish_is_told_and_is_no_failure(store: Path) -> None:
    packs, run = store / "packs", operations.new_run_id()
    (packs / f".{'0' * 64}.{'0' * 16}").write_bytes(b"half")
    (store / "objects/00").mkdir(exist_ok=True)
    (store / "objects/00" / ("00" + "1" * 62)).write_bytes(b"?" * (1 << 20))
    (store / "notes.txt").write_text("mine")
    (store / "runs" / run).mkdir()
    (store / "runs" / run / "heartbeat.json").write_text("{}")
    (store / "gc/open").mkdir(parents=True)
    (store / "gc/open" / f"{run}.json").write_text("{}")
    report = fsck(store)
    assert kinds(report, "rubbish") == {"leftover", "unreferenced", "strange", "run-without-intent"}
    assert len(report.findings) - report.counts["rubbish"] == report.counts["damage"]


def test_a_sentence_that_is_not_legible_is_set_aside_so_that_others_can_go_on(store: Path) -> None:
    path = store / "gc/condemned" / f"{operations.new_run_id()}.json"
    path.parent.mkdir(parents=True)
    path.write_text("{")
    assert kinds(fsck(store)) == {"record-malformed"}
    assert repair(store, execute=True).sound
    assert not path.exists()
    assert train(open_workspace(store), "p@1.0") == "1.3"


def test_a_verdict_that_is_not_legible_is_set_aside_when_nobody_can_go_by_it_any_more(
    lab: Lab, store: Path
) -> None:
    run, hour = operations.new_run_id(), 3600
    sentence = Sentence(id=run, created=datetime.now(UTC), by=actor("0"), objects=())
    for folder, data in (("condemned", sentence.to_bytes()), ("sweeping", b"{}"), ("verdict", b"{")):
        (store / "gc" / folder).mkdir(parents=True, exist_ok=True)
        (store / "gc" / folder / f"{run}.json").write_bytes(data)
    verdict = store / "gc/verdict" / f"{run}.json"
    (found,) = fsck(store).findings
    assert (found.kind, found.key) == ("record-malformed", f"gc/verdict/{run}.json")
    assert "`pkgrun store repair` can set it aside in 60 min" in found.hint
    told = lab.pkgrun("store", "repair", "--store", store, "--yes", code=8)
    assert "can set it aside in 60 min" in told.out
    collecting = lab.pkgrun("store", "gc", "--store", store, "--yes", code=8)
    assert f"gc/verdict/{run}.json is not a valid Verdict" in collecting.err
    assert "`pkgrun store repair` says when it can be set aside" in collecting.err
    for path in (verdict, store / "gc/sweeping" / f"{run}.json"):
        os.utime(path, (path.stat().st_mtime - hour,) * 2)
    assert repair(store, execute=True).sound
    assert not verdict.exists()
    gc(store, grace=0.0)
    assert kinds(fsck(store)) == {"quarantined"}


@pytest.mark.parametrize("left", ["nothing", "a part"])
def test_a_store_that_has_lost_its_own_record_gets_it_back(lab: Lab, store: Path, left: str) -> None:
    record = store / "pkgrun-store.json"
    before = orjson.loads(record.read_bytes())["store"]
    if left == "nothing":
        record.unlink()
    else:
        record.write_bytes(record.read_bytes()[:-1])
    told = lab.pkgrun("package", "list", "--store", store, code=8)
    assert f"`pkgrun store repair --store {store}` writes it anew" in told.err
    (found,) = fsck(store).findings
    assert found.key == "pkgrun-store.json"
    assert (found.kind, found.severity) == (
        "record-missing" if left == "nothing" else "record-malformed",
        "damage",
    )
    plan = lab.pkgrun("store", "repair", "--store", store)
    assert ("a NEW id" in plan.out) == (left == "nothing")
    lab.pkgrun("store", "repair", "--store", store, "--yes")
    assert fsck(store, read_data=True).sound
    after = orjson.loads(record.read_bytes())["store"]
    assert (after == before) == (left == "a part")
    assert train(open_workspace(store), "p@1.0") == "1.3"


def test_what_others_do_meanwhile_is_no_finding(lab: Lab) -> None:
    """Somebody registers, somebody collects, and a third one repairs what is not broken."""
    lab.workspace().add(lab.package("p"))
    over, failures = threading.Event(), []

    def until_over(work: Callable[[int], object]) -> None:
        for number in itertools.count():
            if over.is_set():
                return
            try:
                work(number)
            except Temporary:  # what was to be used has just been condemned
                continue
            except Exception as error:
                failures.append(error)

    def register(number: int) -> None:
        data = lab.folder / "data"
        data.mkdir(exist_ok=True)
        (data / f"{number % 7}.txt").write_text(f"{number}" * 500)
        lab.workspace().datasets.add("d", data)

    workers = [
        threading.Thread(target=until_over, args=(work,))
        for work in (register, lambda number: gc(lab.store, grace=0.0))
    ]
    for worker in workers:
        worker.start()
    try:
        for number in range(12):
            report = (
                fsck(lab.store, read_data=True) if number % 3 else repair(lab.store, execute=True).plan.report
            )
            assert report.sound, report.findings
    finally:
        over.set()
        for worker in workers:
            worker.join()
    assert failures == []
    assert fsck(lab.store, read_data=True).sound


# ---------------------------------------------------------------------- reading, and the command line


def test_a_share_of_the_bytes_is_read_and_the_same_again_by_its_seed(store: Path) -> None:
    told: list[Progress] = []
    report = fsck(
        store, sample=0.2, observer=lambda event: told.append(event) if isinstance(event, Progress) else None
    )
    assert report.scope.seed is not None
    assert report.scope.read > 0
    assert told[-1].done == told[-1].total == report.scope.read
    assert fsck(store, sample=0.2, seed=report.scope.seed).scope == report.scope
    with pytest.raises(UsageError, match="no share"):
        fsck(store, sample=0.0)


def test_the_command_says_it_in_a_table_in_json_and_by_its_code(lab: Lab, store: Path) -> None:
    lab.pkgrun("store", "fsck", "--store", store)
    flip_code(store)
    assert lab.document("store", "fsck", "--store", store)["sound"]
    page = lab.pkgrun("store", "fsck", "--store", store, "--read-data", code=8)
    assert "pack-damaged" in page.out
    assert "needed by" in page.out
    assert "hint: " in page.out
    document = lab.document("store", "fsck", "--store", store, "--sample", "100%", code=8)
    assert document["counts"]["hole"] >= 1
    assert document["findings"][0]["needed_by"]
    lab.pkgrun("store", "fsck", "--store", store, "--read-data", "--sample", "5", code=2)


def test_the_command_shows_the_plan_and_does_it_with_yes(lab: Lab, store: Path, whole: Path) -> None:
    lab.pkgrun("store", "repair", "--store", store)
    flip_code(store)
    before = state(store)
    plan = lab.pkgrun("store", "repair", "--store", store, code=8)
    assert "what cannot be repaired" in plan.out
    assert state(store) == before
    document = lab.document("store", "repair", "--store", store, "--from", whole / "copy")
    assert {step["action"] for step in document["steps"]} == {"rewrite"}
    assert document["run_id"] is None
    done = lab.document("store", "repair", "--store", store, "--from", whole / "copy", "--yes")
    assert (done["sound"], done["hopeless"]) == (True, [])
    lab.pkgrun("store", "fsck", "--store", store, "--read-data")
    lab.pkgrun("store", "repair", "--store", store, "--from", store, code=2)
    shown = lab.document("run", "show", done["run_id"], "--store", store)
    assert (shown["kind"], shown["status"]) == ("repair", "successful")


def test_a_store_on_s3_is_checked_and_repaired(
    lab: Lab, ministack: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in ministack.env.items():
        monkeypatch.setenv(name, value)
    prepared(lab)
    url = f"{ministack.url}/store"
    copy_store(lab.store, url)
    assert fsck(url, read_data=True).findings == ()
    from pkgrun.store.root import open_store

    backend = open_store(url, create=False).backend
    pack = next(f"packs/{name}" for name in backend.list("packs"))
    data = bytearray(backend.read(pack))
    data[700] ^= 1
    backend.write(pack, bytes(data))
    backend.delete(next(key for key, _ in backend.walk("objects")))
    backend.write(VERSION, b"{}")
    report = fsck(url, read_data=True)
    assert kinds(report, "hole") >= {"pack-damaged", "object-missing", "record-malformed"}
    done = repair(url, source=lab.store, execute=True)
    assert done.sound, done.after
    assert fsck(url, read_data=True).sound
    assert seen(url, lab.folder / "out") == seen(lab.store, lab.folder / "out")
