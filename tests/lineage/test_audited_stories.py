"""`pkgrun audit` of versions with a longer story: removed, erased, exported, copied, moved; and the command."""

from __future__ import annotations

import shutil
from pathlib import Path

import orjson
import pytest

import pkgrun
from pkgrun.lineage.audited import Audit
from pkgrun.observe import Event, Progress
from pkgrun.store import packs
from pkgrun.store.backend import Backend
from pkgrun.store.fsck.reading import blobs_of
from pkgrun.store.root import open_store
from pkgrun.workspace.stores import copy_store, fsck
from tests.e2e.copies import train
from tests.e2e.fsck.damages import change, flip
from tests.e2e.lab import Lab
from tests.lineage.audited import RECORD, Walking, audited, generations, kinds, open_backend, others, run_of
from tests.servers import Server


def test_a_removed_version_is_verified_but_for_its_content(lab: Lab) -> None:
    generations(lab)
    lab.workspace().remove("p@1.1", reason="too large", force=True)
    lab.pkgrun("store", "gc", "--grace", "0", "--yes")
    found = audited(lab.store)
    assert (found.verdict, [one.kind for one in found.reservations]) == (
        "verified-with-reservations",
        ["content-removed"],
    )
    assert "too large" in found.reservations[0].message
    grave = lab.store / "packages/p/00000001/00000001.removed.json"
    data = grave.read_bytes()
    change(grave, version="1.2")
    assert kinds(audited(lab.store), "00000001.removed.json") == {"record-misplaced"}
    grave.write_bytes(b"{}")
    assert kinds(audited(lab.store), "00000001.removed.json") == {"record-malformed"}
    grave.unlink()
    assert "directory-missing" in {one.kind for one in audited(lab.store).findings}
    grave.write_bytes(data)
    assert audited(lab.store).verdict == "verified-with-reservations"


def test_an_import_that_came_from_elsewhere_is_as_good_as_the_store_it_came_from(
    lab: Lab, tmp_path: Path
) -> None:
    lab.workspace().add(lab.package("p"))
    lab.pkgrun("train", "p@1.0", "--data", str(lab.package("p")), "--environment", "current")
    lab.pkgrun("package", "export", "p@1.1", str(tmp_path / "out"), "--format", "aicenter")
    zip_ = next((tmp_path / "out").glob("*.zip"))
    (tmp_path / "there").mkdir()
    there = Lab(tmp_path / "there", lab.cache)
    there.pkgrun("package", "add", str(zip_), "--name", "p")
    found = audited(there.store, "p@1.0")
    assert [one.kind for one in found.reservations] == ["origin-unchecked"]
    assert audited_from(there, lab).verdict == "verified"
    change(lab.store / RECORD.format(0), description="another")
    assert "origin-unfounded" in kinds(audited_from(there, lab), RECORD.format(0))


def audited_from(there: Lab, other: Lab) -> Audit:
    return audited(there.store, "p@1.0", other=open_store(str(other.store), create=False, cache=None))


# ---------------------------------------------------------------------- what was erased


def test_what_was_erased_is_a_reservation_and_a_receipt_that_somebody_made_up_is_named(lab: Lab) -> None:
    generations(lab)
    (lab.folder / "rows.csv").write_text("a,b\n")
    lab.pkgrun("erase", "./rows.csv", "--reason", "asked for", "--yes")
    found = audited(lab.store)
    assert found.verdict == "verified-with-reservations", found.findings
    (one,) = found.reservations
    assert (one.kind, one.about) == ("content-erased", "rows@1")
    assert "asked for" in one.message
    assert "not of this store" not in one.message
    (receipt,) = (lab.store / "erased").iterdir()
    data = receipt.read_bytes()
    change(receipt, reason="another")
    assert kinds(audited(lab.store), f"erased/{receipt.name}") == {"record-altered", "erased-unproven"}
    receipt.write_bytes(b"{}")
    assert kinds(audited(lab.store), f"erased/{receipt.name}") == {"record-malformed", "erased-unproven"}
    receipt.write_bytes(data)
    change(receipt, run="01a1ffef-8577-7ca2-b910-29b06c2649f1")
    broken = audited(lab.store)
    assert f"erased/{receipt.name} is no excuse" in next(
        one.message for one in broken.findings if one.kind == "erased-unproven"
    )
    assert (broken.verdict, broken.reservations) == ("broken", ())
    receipt.unlink()
    assert "object-missing" in {one.kind for one in audited(lab.store).findings}


def test_a_receipt_of_what_is_there_is_named(lab: Lab) -> None:
    generations(lab)
    (lab.folder / "rows.csv").write_text("a,b\n")
    lab.pkgrun("erase", "./rows.csv", "--reason", "asked for", "--yes")
    (receipt,) = (lab.store / "erased").iterdir()
    other = str(orjson.loads((lab.store / RECORD.format(0)).read_bytes())["tree"]["digest"])
    file = next(entry for path, entry in lab.workspace().files("p@1.0") if path == "train.py")
    assert other != file.digest
    forged = receipt.with_name(f"{file.digest[7:]}.json")
    shutil.copy(receipt, forged)
    change(forged, digest=file.digest)
    found = audited(lab.store)
    assert [(one.kind, one.key) for one in found.findings if "erased" in one.key] == [
        ("record-altered", f"erased/{forged.name}"),
        ("erased-present", f"erased/{forged.name}"),
    ]


# ---------------------------------------------------------------------- several majors


def test_a_major_that_hides_what_was_before_it_is_found(lab: Lab, tmp_path: Path) -> None:
    """Its first record names none before it, as if its number had been asked for."""
    workspace = lab.workspace()
    for text in "ab":
        workspace.add(lab.package("p", files={"text": text}))
    out = tmp_path / "out"
    lab.pkgrun("package", "export", "p@2.0", str(out), "--format", "aicenter")
    workspace.add(out / "p_v2.0.zip", metadata=out / "p_v2.0_metadata.json", major=7)
    assert [audited(lab.store, name).verdict for name in ("p@2.0", "p@7.0")] == ["verified", "verified"]
    second = "packages/p/00000002/00000000.json"
    change(lab.store / "packages/p/00000001/00000000.json", description="another")
    assert "record-altered" not in kinds(audited(lab.store, "p@2.0"), second)
    assert "chain-broken" in kinds(audited(lab.store, "p@2.0"), second)
    change(lab.store / second, previous=None)
    assert kinds(audited(lab.store, "p@2.0"), second) == {"chain-broken"}
    assert "chain-broken" in {one.kind for one in fsck(lab.store).findings}


# ---------------------------------------------------------------------- the command


def test_the_command_tells_the_fingerprint_and_ends_with_8_if_something_is_wrong(lab: Lab) -> None:
    generations(lab)
    document = lab.document("audit", "p")
    assert (document["version"], document["verdict"], document["findings"]) == ("p@1.3", "verified", [])
    assert [step["label"] for step in document["steps"][:4]] == ["p@1.3", "p@1.2", "p@1.1", "p@1.0"]
    assert set(document["steps"][0]["checks"]) == {"bytes", "directories", "run", "decision", "record"}
    told = lab.pkgrun("audit", "p@1.3", "--expect", document["fingerprint"])
    assert "✓ p@1.3 is verified" in told.out
    assert document["fingerprint"] in told.out
    assert "it is as expected" in told.err
    wrong = lab.pkgrun("audit", "p@1.2", "--expect", document["fingerprint"], code=8)
    assert "is not what was expected" in wrong.out
    flip(lab.store / RECORD.format(1), 30, 0x80)
    broken = lab.pkgrun("audit", "p@1.3", code=8)
    assert "✗ p@1.3 is broken" in broken.out
    assert f"record-malformed: {RECORD.format(1)}" in broken.out
    assert "what p@1.1 came from cannot be told" in broken.out
    document = lab.document("audit", "p@1.3", code=8)
    assert (document["fingerprint"], document["chain"]["ok"]) == (None, False)


def test_damage_that_is_no_concern_of_it_makes_no_difference(lab: Lab) -> None:
    """Though the index of the store, which tells what measured it, cannot be made then."""
    generations(lab)
    others(lab)
    flip(lab.store / "packages/q/00000001/00000000.json", 30, 0x80)
    document = lab.document("audit", "p@1.3")
    assert document["verdict"] == "verified-with-reservations"
    assert [one["kind"] for one in document["reservations"]] == ["evaluations-unknown"]


def test_of_a_long_history_what_is_wrong_is_shown_wherever_it_is(lab: Lab) -> None:
    workspace, data = lab.workspace(), lab.package("data")
    workspace.add(lab.package("p"))
    for _ in range(14):
        train(workspace, "p", data=data)
    told = lab.pkgrun("audit", "p")
    assert "… and 3 more, nothing wrong with them; -v shows all" in told.out
    change(lab.store / RECORD.format(1), description="another")
    told = lab.pkgrun("audit", "p", code=8)
    assert [line.split()[0] for line in told.out.splitlines() if line.startswith("p@") and "✗" in line] == [
        "p@1.1"
    ]


# ---------------------------------------------------------------------- elsewhere


def test_a_copy_has_the_same_fingerprint(lab: Lab) -> None:
    generations(lab)
    copy_store(lab.store, lab.folder / "copy")
    here, there = audited(lab.store), audited(lab.folder / "copy")
    assert (there.verdict, there.fingerprint) == ("verified", here.fingerprint)


def test_an_origin_that_is_here_is_part_of_it(lab: Lab, tmp_path: Path) -> None:
    """It came back under another name, as what it was exported from; and the fingerprint does not hang on what else is here."""
    train(lab.workspace(), lab.package("p"), data=lab.package("data"))
    lab.pkgrun("package", "export", "p@1.1", str(tmp_path / "out"), "--format", "aicenter")
    zip_ = next((tmp_path / "out").glob("*.zip"))
    lab.pkgrun("package", "add", str(zip_), "--name", "back")
    found = lab.workspace().audit("back")
    assert [(step.label, step.part) for step in found.steps] == [
        ("back@1.0", "version"),
        ("p@1.1", "origin"),
        ("p@1.0", "parent"),
    ]
    assert (found.verdict, len(found.records)) == ("verified", 3)
    run = run_of(lab.store, 1)
    flip(lab.store / "runs" / run / "outcome.json", 9, 0x80)
    broken = lab.workspace().audit("back")
    assert broken.verdict == "broken"
    assert broken.fingerprint == found.fingerprint


def test_a_store_on_s3_is_audited(lab: Lab, ministack: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ministack.env.items():
        monkeypatch.setenv(name, value)
    generations(lab)
    url = f"{ministack.url}/store"
    copy_store(lab.store, url)
    found = pkgrun.open(url, create=False).audit("p@1.3")
    assert (found.verdict, found.fingerprint) == ("verified", audited(lab.store).fingerprint)
    backend = open_store(url, create=False).backend
    backend.delete(next(key for key, _ in backend.walk("objects")))
    assert "object-missing" in {one.kind for one in pkgrun.open(url, create=False).audit("p@1.3").findings}


def test_what_a_collection_moves_meanwhile_is_found_where_it_is_then(lab: Lab) -> None:
    """Everything goes into another pack while the old ones are about to be read."""
    generations(lab)
    backend = open_backend(lab.store)
    merged: list[str] = []

    def merge(event: Event) -> None:
        if isinstance(event, Progress) and event.label == "contents" and not merged:
            merged.append(merged_packs(backend))

    found = audited(lab.store, relations=Walking(backend), observer=merge)
    assert [path.name for path in (lab.store / "packs").iterdir()] == merged
    assert found.verdict == "verified", found.findings


def merged_packs(backend: Backend) -> str:
    """Put all small contents into one pack, as a collection does; its file's name."""
    filling, old = packs.Filling(), list(backend.list("packs"))
    for name in old:
        contents = packs.contents_of(backend, packs.name_in(name) or "")
        for part, data in blobs_of(backend, contents, lambda size: None):
            filling.add(part.digest, bytes(data), directory=part.directory)
    pack = filling.close()
    backend.write(packs.key_of(pack.name), bytes(pack.data))
    for name in old:
        backend.delete(f"packs/{name}")
    return f"{pack.name}.pack"
