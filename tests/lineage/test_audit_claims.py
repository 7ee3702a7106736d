"""`pkgrun audit` of what somebody only says: forged passports, impossible parents, made-up receipts, records that are gone."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import orjson
import pytest

from pkgrun.errors import NotFound, UsageError
from pkgrun.lineage.audited import Audit, Given
from pkgrun.records.passport import Passport
from pkgrun.store.objects import digest_of
from pkgrun.store.root import open_store
from pkgrun.workspace.stores import copy_store, fsck
from tests.e2e.copies import train
from tests.e2e.fsck.damages import change, flip
from tests.e2e.lab import Lab
from tests.lineage.audited import RECORD, audited, generations, kinds, run_of


@pytest.fixture(name="there")
def _there(lab: Lab, tmp_path: Path) -> Lab:
    """A lab with another store, beside one with `p@1.0` and `p@1.1`."""
    train(lab.workspace(), lab.package("p"), data=lab.package("data"))
    (tmp_path / "there").mkdir()
    return Lab(tmp_path / "there", lab.cache)


def exported(lab: Lab, name: str, out: Path) -> Path:
    lab.pkgrun("package", "export", name, str(out), "--format", "aicenter")
    return next(out.glob("*.zip"))


def forge(zip_: Path, **fields: Any) -> None:
    """Another passport beside a zip, with a seal that fits."""
    path = next(one for one in zip_.parent.iterdir() if b'"seal"' in one.read_bytes() and one != zip_)
    told = orjson.loads(path.read_bytes()) | fields | {"seal": "sha256:" + "0" * 64}
    blank = Passport.from_bytes(orjson.dumps(told, option=orjson.OPT_SORT_KEYS), key=str(path))
    path.write_bytes(blank.model_copy(update={"seal": digest_of(blank.to_bytes())}).to_bytes())


def tree_of(store: Path, number: int) -> str:
    return str(orjson.loads((store / RECORD.format(number)).read_bytes())["tree"]["digest"])


def asked(lab: Lab, other: Lab, name: str = "p@1.0") -> Audit:
    return audited(lab.store, name, other=open_store(str(other.store), create=False, cache=None))


# ---------------------------------------------------------------------- where imports came from


def test_a_passport_of_another_content_is_found_here_and_there(lab: Lab, there: Lab, tmp_path: Path) -> None:
    zip_ = exported(lab, "p@1.0", tmp_path / "out")
    true = orjson.loads((lab.store / RECORD.format(1)).read_bytes())
    record = digest_of((lab.store / RECORD.format(1)).read_bytes())
    assert true["tree"]["digest"] != tree_of(lab.store, 0)
    base = digest_of((lab.store / RECORD.format(0)).read_bytes())
    forge(zip_, version="1.1", record=record, ancestors=[base])
    there.pkgrun("package", "add", str(zip_), "--name", "p")
    lab.pkgrun("package", "add", str(zip_), "--name", "forged")
    here = audited(lab.store, "forged@1.0")
    assert [one.kind for one in here.findings] == ["origin-unfounded"]
    assert "of another content" in here.findings[0].message
    assert kinds(asked(there, lab), RECORD.format(0)) == {"origin-unfounded"}


def test_a_passport_with_ancestors_of_its_own_is_found(lab: Lab, there: Lab, tmp_path: Path) -> None:
    zip_ = exported(lab, "p@1.1", tmp_path / "out")
    forge(zip_, ancestors=["sha256:" + "7" * 64])
    there.pkgrun("package", "add", str(zip_), "--name", "p")
    lab.pkgrun("package", "add", str(zip_), "--name", "forged")
    for found in (audited(lab.store, "forged@1.0"), asked(there, lab)):
        assert ["other ancestors" in one.message for one in found.findings] == [True]


def test_the_other_store_is_audited_and_what_is_found_there_is_told(
    lab: Lab, there: Lab, tmp_path: Path
) -> None:
    there.pkgrun("package", "add", str(exported(lab, "p@1.1", tmp_path / "out")), "--name", "p")
    found = asked(there, lab)
    assert (found.verdict, found.reservations) == ("verified", ())
    (one,) = found.elsewhere
    whole = audited(lab.store, "p@1.1")
    assert (one.label, one.origin, one.verdict, one.fingerprint) == (
        "p@1.0",
        "p@1.1",
        "verified",
        whole.fingerprint,
    )
    told = there.pkgrun("audit", "p", "--from", str(lab.store))
    assert f"p@1.0 came from p@1.1 of {lab.store}: audited there, verified" in told.out
    flip(lab.store / "runs" / run_of(lab.store, 1) / "outcome.json", 30, 0x80)
    assert "that is broken in" in asked(there, lab).findings[0].message


def test_what_weakens_the_claim_there_weakens_it_here(lab: Lab, there: Lab, tmp_path: Path) -> None:
    there.pkgrun("package", "add", str(exported(lab, "p@1.1", tmp_path / "out")), "--name", "p")
    lab.workspace().remove("p@1.0", reason="old", force=True)
    lab.pkgrun("store", "gc", "--grace", "0", "--yes")
    found = asked(there, lab)
    assert [one.kind for one in found.reservations] == ["content-removed"]
    assert found.reservations[0].message.startswith(f"in {lab.store}: ")


def test_each_import_that_came_from_elsewhere_is_told_also_if_another_is_from_here(
    lab: Lab, there: Lab, tmp_path: Path
) -> None:
    there.pkgrun("package", "add", str(exported(lab, "p@1.1", tmp_path / "out")), "--name", "p")
    train(there.workspace(), "p@1.0", data=lab.package("more"))
    there.pkgrun("package", "add", str(exported(there, "p@1.1", tmp_path / "again")), "--name", "back")
    found = audited(there.store, "back@1.0")
    assert [step.label for step in found.steps] == ["back@1.0", "p@1.1", "p@1.0"]
    assert [(one.kind, one.about) for one in found.reservations] == [("origin-unchecked", "p@1.0")]


def test_an_ancestor_that_is_here_is_looked_at_though_the_origin_is_not(
    lab: Lab, there: Lab, tmp_path: Path
) -> None:
    """What `p@1.1` came from was copied here before it was made."""
    copy_store(lab.store, there.store)
    train(lab.workspace(), "p@1.1", data=lab.package("more"))
    there.pkgrun("package", "add", str(exported(lab, "p@1.2", tmp_path / "out")), "--name", "back")
    found = audited(there.store, "back@1.0")
    assert [step.label for step in found.steps] == ["back@1.0", "p@1.1", "p@1.0"]
    (one,) = found.reservations
    assert "an ancestor of that, p@1.1, which was" in one.message


def test_a_store_of_which_nothing_came_is_a_wrong_call(lab: Lab, there: Lab, tmp_path: Path) -> None:
    there.pkgrun("package", "add", str(exported(lab, "p@1.1", tmp_path / "out")), "--name", "p")
    with pytest.raises(UsageError, match="came from another store"):
        asked(lab, there, "p@1.1")
    with pytest.raises(UsageError, match="is the store"):
        asked(there, there)


# ---------------------------------------------------------------------- parents


@pytest.mark.parametrize("parent", ["1.2", "1.3"])
def test_a_parent_that_is_no_version_before_it_is_found(lab: Lab, parent: str) -> None:
    """All records of the run say it; the way from parent to parent would be a circle."""
    store = generations(lab).store
    run = store / "runs" / run_of(store, 2)
    tree = orjson.loads((store / RECORD.format(int(parent[-1]))).read_bytes())["tree"]
    change(store / RECORD.format(2), parent=parent)
    entry = orjson.loads((run / "outcome.json").read_bytes())["entry"]
    change(run / "outcome.json", entry=entry | {"parent": parent})
    request = orjson.loads((run / "intent.json").read_bytes())["training"]
    change(run / "intent.json", training=request | {"base": parent, "tree": tree})
    assert "number-unfounded" in kinds(audited(store), RECORD.format(2))
    assert "number-unfounded" in {one.kind for one in fsck(store).findings if RECORD.format(2) in one.key}


def test_a_version_that_was_trained_and_came_from_nothing_is_found(lab: Lab) -> None:
    store = generations(lab).store
    change(store / RECORD.format(2), parent=None)
    assert "number-unfounded" in kinds(audited(store, "p@1.2"), RECORD.format(2))


# ---------------------------------------------------------------------- receipts, and what is gone


def test_an_erasure_that_has_not_decided_excuses_nothing(lab: Lab) -> None:
    store = _erased(lab)
    found = audited(store)
    assert found.verdict == "verified-with-reservations"
    (rows,) = [check for step in found.steps if step.label == "rows@1" for check in step.checks[:1]]
    assert (rows.count, rows.erased) == (1, 1)
    assert "1 file, " in lab.pkgrun("audit", "p@1.3").out
    assert "; 1 erased" in lab.pkgrun("audit", "p@1.3").out
    (receipt,) = (store / "erased").iterdir()
    run = store / "runs" / str(orjson.loads(receipt.read_bytes())["run"])
    for name in ("outcome.json", "run.json"):
        (run / name).unlink()
    found = audited(store)
    assert "erased-unproven" in {one.kind for one in found.findings}
    assert not any(check.erased for step in found.steps for check in step.checks)
    shutil.rmtree(run)
    assert "erased-unproven" in {one.kind for one in audited(store).findings}


def _erased(lab: Lab) -> Path:
    generations(lab)
    (lab.folder / "rows.csv").write_text("a,b\n")
    lab.pkgrun("erase", "./rows.csv", "--reason", "asked for", "--yes")
    return lab.store


def test_a_receipt_that_came_with_a_copy_is_a_reservation(lab: Lab) -> None:
    """Of one package: the run of the erasure stays where it was. A copy of all has it."""
    copy_store(_erased(lab), lab.folder / "copy", package="p")
    found = audited(lab.folder / "copy")
    assert (found.verdict, found.findings) == ("verified-with-reservations", ())
    assert "a copy may have brought" in found.reservations[0].message


def test_a_receipt_of_a_directory_excuses_nothing_and_is_named(lab: Lab) -> None:
    store = _erased(lab)
    (receipt,) = (store / "erased").iterdir()
    tree = orjson.loads((store / "datasets/rows/00000002.json").read_bytes())["tree"]["digest"]
    forged = receipt.with_name(f"{tree[7:]}.json")
    shutil.copy(receipt, forged)
    change(forged, digest=tree)
    shutil.rmtree(store / "packs")
    for said in (lab.document("audit", "p@1.3", code=8), lab.document("store", "fsck", code=8)):
        named = {one["kind"] for one in said["findings"] if forged.name in one["key"]}
        assert "erased-unproven" in named


def test_data_that_was_given_up_or_erased_is_not_said_to_be_kept(lab: Lab) -> None:
    generations(lab)
    assert [(one.kept, one.gone) for one in _given(lab, "p@1.3")] == [(True, None)]
    (lab.folder / "large").write_bytes(b"\x07" * (3 << 20))
    lab.pkgrun("erase", "./large", "--reason", "asked for", "--yes")
    assert [(one.kept, one.gone) for one in _given(lab, "p@1.3")] == [(False, "erased")]
    lab.workspace().remove("p@1.3", reason="too large", force=True)
    assert [(one.kept, one.gone) for one in _given(lab, "p@1.3")] == [(False, "removed")]


def _given(lab: Lab, name: str) -> tuple[Given, ...]:
    return audited(lab.store, name).steps[0].given


# ---------------------------------------------------------------------- records that are gone


def test_whichever_record_is_gone_it_is_named_and_no_older_version_is_taken_for_the_newest(lab: Lab) -> None:
    store = generations(lab).store
    for number in range(4):
        data = (store / RECORD.format(number)).read_bytes()
        (store / RECORD.format(number)).unlink()
        for name in ("p", "p@1", f"p@1.{number}"):
            document = lab.document("audit", name, code=8)
            missing = [one["key"] for one in document["findings"] if one["kind"] == "record-missing"]
            assert RECORD.format(number) in missing
            assert document["version"] == (f"p@1.{number}" if "." in name else "p@1.3")
        (store / RECORD.format(number)).write_bytes(data)
    with pytest.raises(NotFound):
        audited(store, "p@1.4")


# ---------------------------------------------------------------------- what was kept, and what was asked


def test_what_is_not_as_expected_is_told_and_nothing_else_is_blamed(lab: Lab) -> None:
    generations(lab)
    found = audited(lab.store, expect="sha256:" + "5" * 64)
    assert (found.verdict, [one.kind for one in found.findings]) == ("broken", ["unexpected"])
    assert all(step.ok for step in found.steps)
    assert found.chain.ok
    assert "repair" not in found.findings[0].hint


@pytest.mark.parametrize("said", ["rows@9", "rows@2/nothing", "rows@2/rows.csv"])
@pytest.mark.parametrize("name", ["p@1.2", "p@1.3"])
def test_data_that_is_said_to_be_of_a_dataset_that_has_no_such_thing_is_found(
    lab: Lab, name: str, said: str
) -> None:
    """Of a training, and of the evaluation of `p@1.3`."""
    store = generations(lab).store
    steps = audited(store, name).steps
    run = next(one.run for one in steps if one.part == ("version" if name == "p@1.2" else "evaluation"))
    for file, field in (("intent.json", "training"), ("outcome.json", "facts")):
        path = store / "runs" / str(run) / file
        told = orjson.loads(path.read_bytes())[field]
        if field == "training":
            told["data"] = said
        else:
            told["data"]["source"] = said
        change(path, **{field: told})
    assert "record-altered" in kinds(audited(store, name), f"runs/{run}/outcome.json")


def test_data_that_was_not_what_was_asked_for_is_found(lab: Lab) -> None:
    store = generations(lab).store
    path = store / "runs" / run_of(store, 2) / "outcome.json"
    facts = orjson.loads(path.read_bytes())["facts"]
    facts["data"]["source"] = "rows@1"
    change(path, facts=facts)
    assert "and what was asked for is rows@2" in "".join(one.message for one in audited(store).findings)


def test_a_file_of_a_dataset_may_be_given(lab: Lab) -> None:
    workspace = generations(lab).workspace()
    train(workspace, "p@1.3", data="rows@2/sub", env={"mark": "four"})
    train(workspace, "p@1.4", data="rows@2/rows.csv", env={"mark": "five"})
    assert audited(lab.store, "p@1.5").findings == ()
