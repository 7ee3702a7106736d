"""Records that are missing or altered: what fsck says, and that repair puts back what is proven, and nothing else."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from pkgrun.workspace.stores import fsck, repair
from tests.e2e.fsck.damages import NEWEST, VERSION, change, flip, kinds, named, one, spoil
from tests.e2e.lab import Lab


def _remove(path: Path) -> None:
    path.unlink()


RECORDS: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "a version is gone": (VERSION, _remove, "record-missing"),
    "the newest version is gone": (NEWEST, _remove, "record-missing"),
    "a version is not legible": (VERSION, lambda path: flip(path, 30, 0x80), "record-malformed"),
    "a version is empty": (VERSION, lambda path: path.write_bytes(b""), "record-malformed"),
    "a version says something else": (VERSION, lambda path: change(path, description="no"), "record-altered"),
    "the newest version says something else": (
        NEWEST,
        lambda path: change(path, description="no"),
        "record-altered",
    ),
    "a version names another before it": (
        NEWEST,
        lambda path: change(path, previous="sha256:" + "0" * 64),
        "chain-broken",
    ),
    "a version is another's": (VERSION, lambda path: change(path, package="other"), "record-misplaced"),
    "a dataset is gone": ("datasets/rows/00000001.json", _remove, "record-missing"),
    "the newest dataset is gone": ("datasets/rows/00000002.json", _remove, "record-missing"),
    "a dataset says something else": (
        "datasets/rows/00000002.json",
        lambda path: change(path, source="no"),
        "record-altered",
    ),
}


@pytest.mark.parametrize("what", RECORDS)
def test_a_number_follows_from_the_records_that_are_left(whole: Path, store: Path, what: str) -> None:
    key, damage, kind = RECORDS[what]
    damage(store / key)
    report = fsck(store)
    assert kind in {found.kind for found in named(report, key) if found.severity == "hole"}, report.findings
    assert repair(store, execute=True).sound
    assert fsck(store, read_data=True).sound
    assert (store / key).read_bytes() == (whole / "store" / key).read_bytes()


@pytest.mark.parametrize("name", ["intent.json", "outcome.json"])
@pytest.mark.parametrize("damage", ["gone", "not legible", "altered"])
def test_what_was_asked_and_decided_comes_from_a_copy_only(
    whole: Path, store: Path, name: str, damage: str
) -> None:
    run = orjson.loads((store / VERSION).read_bytes())["run"]
    path = store / "runs" / run / name
    spoil(path, damage, 30, **({"package": "q"} if name == "intent.json" else {"decision": "FAILED"}))
    report = fsck(store)
    assert not report.sound
    assert named(report, f"runs/{run}/{name}")
    alone = repair(store, execute=True)
    assert name == "intent.json" or not alone.sound
    done = repair(store, source=whole / "copy", execute=True)
    assert done.sound, done.after
    assert path.read_bytes() == (whole / "store" / "runs" / run / name).read_bytes() or damage == "altered"


def test_nothing_is_put_back_that_does_not_fit(whole: Path, store: Path, tmp_path: Path) -> None:
    """Another store that says something else of the same run is of no help."""
    liar = Path(shutil.copytree(whole / "copy", tmp_path / "liar"))
    run = orjson.loads((store / VERSION).read_bytes())["run"]
    (store / "runs" / run / "outcome.json").unlink()
    path = liar / "runs" / run / "outcome.json"
    document = orjson.loads(path.read_bytes())
    document["entry"]["description"] = "lies"
    path.write_bytes(orjson.dumps(document, option=orjson.OPT_SORT_KEYS))
    done = repair(store, source=liar, execute=True)
    assert not done.sound
    assert not (store / "runs" / run / "outcome.json").exists()
    assert "p@1.1" in {need.label for found in done.plan.hopeless for need in found.needed_by}


@pytest.mark.parametrize("name", ["run.json", "_results.json", "heartbeat.json"])
@pytest.mark.parametrize("damage", ["not legible", "altered", "gone"])
def test_what_follows_from_others_is_written_anew(whole: Path, store: Path, name: str, damage: str) -> None:
    run = orjson.loads((store / VERSION).read_bytes())["run"]
    path = store / "runs" / run / name
    spoil(path, damage, 5, **({"status": "failed"} if name == "run.json" else {"run": "x", "parameters": {}}))
    report = fsck(store)
    assert report.sound == (damage == "gone" and name != "_results.json")
    assert all(found.severity in ("damage", "pending") for found in report.findings)
    assert repair(store, execute=True).sound
    assert kinds(fsck(store, read_data=True)) <= {"quarantined"}
    if name == "run.json":
        assert path.read_bytes() == (whole / "store" / "runs" / run / name).read_bytes()


@pytest.mark.parametrize("damage", ["not legible", "gone"])
def test_a_claim_to_a_key_comes_back_from_a_copy(whole: Path, store: Path, damage: str) -> None:
    path = one(store, "keys/*/*")
    if damage == "gone":
        path.unlink()
    else:
        flip(path, 3, 0x80)
    assert kinds(fsck(store)) == {"record-missing" if damage == "gone" else "record-malformed"}
    assert not repair(store, execute=True).sound
    assert repair(store, source=whole / "copy", execute=True).sound
    assert fsck(store).sound


def test_a_removed_version_that_never_was_and_a_tombstone_that_is_not_legible(store: Path) -> None:
    (store / "packages/p/00000001/00000007.removed.json").write_text("{}")
    found = fsck(store)
    assert {"record-malformed", "tombstone-unfounded"} <= kinds(found, "hole")


def test_a_removed_version_is_not_missed(lab: Lab) -> None:
    lab.workspace().add(lab.package("p"))
    lab.pkgrun("package", "remove", "p@1.0", "--yes")
    lab.pkgrun("store", "gc", "--grace", "0", "--yes")
    report = fsck(lab.store, read_data=True)
    assert report.sound, report.findings
    assert "object-missing" not in kinds(report)


@pytest.mark.parametrize("lost", [1, 2, 3, 4])
def test_a_major_that_is_gone_comes_back_and_its_neighbours_stay_as_they_are(lab: Lab, lost: int) -> None:
    for text in "abcd":
        lab.workspace().add(lab.package("p", files={"text": text}))
    lab.workspace().train("p@2.0", environment="current").wait()
    before = {path: path.read_bytes() for path in Path(lab.store, "packages").rglob("*.json")}
    key = f"packages/p/{lost:08}/00000000.json"
    Path(lab.store, key).unlink()
    assert {found.key for found in fsck(lab.store).findings if found.severity == "hole"} == {key}
    assert repair(lab.store, execute=True).sound
    assert {path: path.read_bytes() for path in before} == before
    assert not Path(lab.store, "gc", "quarantine").exists()
