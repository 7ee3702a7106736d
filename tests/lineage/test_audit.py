"""`pkgrun audit`: one version from every byte up. Whatever is altered, removed or swapped is found, and the file is named."""

from __future__ import annotations

import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import orjson
import pytest

from pkgrun.errors import NotFound, PkgrunError, UsageError
from pkgrun.workspace.stores import fsck
from tests.e2e.fsck.damages import change, flip, keys
from tests.e2e.lab import Lab
from tests.lineage.audited import (
    RECORD,
    Walking,
    audited,
    generations,
    kinds,
    naming,
    open_backend,
    others,
    run_of,
)


class Kept(NamedTuple):
    """A folder with a store that nobody changes, and the keys of what concerns `p@1.3` in it."""

    folder: Path
    keys: tuple[str, ...]

    @property
    def store(self) -> Path:
        return self.folder / "store"


@pytest.fixture(name="kept", scope="module")
def _kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    folder = tmp_path_factory.mktemp("audit")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PKGRUN_CACHE", str(folder / "cache"))
        patch.delenv("PKGRUN_STORE", raising=False)
        patch.chdir(folder)
        lab = generations(Lab(folder, folder / "cache"))
        concerned = tuple(key for key in keys(lab.store) if key != "pkgrun-store.json")
        others(lab)
        yield Kept(folder, concerned)


@pytest.fixture(name="store")
def _store(kept: Kept, tmp_path: Path) -> Path:
    """The same store, to be damaged."""
    return Path(shutil.copytree(kept.store, tmp_path / "store"))


def test_a_version_with_all_that_it_came_from_is_verified(kept: Kept) -> None:
    found = audited(kept.store)
    assert (found.verdict, found.findings, found.reservations) == ("verified", (), ())
    assert [(step.label, step.part) for step in found.steps[:6]] == [
        ("p@1.3", "version"),
        ("p@1.2", "parent"),
        ("p@1.1", "parent"),
        ("p@1.0", "parent"),
        ("rows@2", "dataset"),
        ("rows@1", "dataset"),
    ]
    assert [step.part for step in found.steps[6:]] == ["evaluation"]
    assert all(step.ok for step in found.steps)
    large = next(check for check in found.steps[0].checks if check.what == "bytes")
    assert large.bytes > 3 << 20
    assert found.scope.read > 3 << 20


def test_what_has_nothing_to_do_with_it_is_not_read(kept: Kept, store: Path) -> None:
    """Whatever else is damaged: it is no concern of this version, and costs nothing."""
    whole = audited(kept.store)
    for key in set(keys(store)) - {*kept.keys, "pkgrun-store.json"}:
        if not key.startswith("runs/"):  # which the relations of this test read, all of them
            flip(store / key, 0, 0x80)
    relations = Walking(open_backend(kept.store))
    found = audited(store, relations=relations)
    assert found == whole


# ---------------------------------------------------------------------- every file


def test_a_byte_that_is_flipped_in_any_file_is_found_and_the_file_is_named(kept: Kept, store: Path) -> None:
    relations = Walking(open_backend(kept.store))
    for key in kept.keys:
        path = store / key
        size = path.stat().st_size
        ends = {size - 60, size - 47, size - 12} if key.startswith("packs") else set()
        for at in {0, size // 2, size - 1} | ends:
            flip(path, at, 0x80)
            found = audited(store, relations=relations)
            assert naming(found, key), f"byte {at} of {key}: {found.findings}"
            assert found.verdict == "broken"
            flip(path, at, 0x80)
    assert audited(store, relations=relations).verdict == "verified"


def test_a_file_that_is_removed_is_named(kept: Kept, store: Path) -> None:
    relations, whole = Walking(open_backend(kept.store)), audited(kept.store)
    for key in kept.keys:
        data = (store / key).read_bytes()
        (store / key).unlink()
        told = _told(store, relations, whole.fingerprint)
        derived = key.endswith(
            ("/heartbeat.json", "/run.json")
        )  # nobody needs the one, the other is written anew
        assert key in told or derived or _of_contents(key, told), key
        (store / key).write_bytes(data)


def _told(store: Path, relations: Walking, expected: str) -> str:
    """All that is said, whether it is found out or refused."""
    try:
        found = audited(store, relations=relations, expect=expected)
    except PkgrunError as error:
        return error.message.replace("p@1.3", RECORD.format(3))
    return "\n".join(
        [*(one.key + one.message for one in found.findings), *(r.message for r in found.reservations)]
    )


def _of_contents(key: str, told: str) -> bool:
    """Of a pack that is gone nobody knows what it was: what lay in it is named."""
    return key.startswith("packs/") and ("the content sha256:" in told or "the directory sha256:" in told)


UNTOLD = (
    '"alive":{',
    '"created":"',
    '"asked":"',
    '"store":"',
    '"artifacts_data":"',
    '"train_data":"',
    '"source":"',
)
"""What no look can find: fields that are told nowhere a second time (schemas/README.md)."""


def test_a_letter_that_became_another_is_found_by_the_fingerprint_where_no_look_can(
    kept: Kept, store: Path
) -> None:
    chosen, whole = random.Random(6), audited(kept.store)
    relations = Walking(open_backend(kept.store))
    for key in (key for key in kept.keys if key.endswith(".json") and "heartbeat" not in key):
        data = (store / key).read_bytes()
        for at in chosen.sample(range(len(data)), 2):
            flip(store / key, at)
            told = _told(store, relations, whole.fingerprint)
            (store / key).write_bytes(data)
            expected = key in whole.records and "not what was expected" in told
            near = data[max(0, at - 40) : at + 9]
            assert key in told or expected or _untold(data, at), f"byte {at} of {key}: {near!r}"


def _untold(data: bytes, at: int) -> bool:
    """Whether a byte is in a value of one of these fields; `alive` ends with its brace."""
    text = data.decode()
    for field in UNTOLD:
        start = text.rfind(field, 0, at + 1)
        end = text.find("}" if field.endswith("{") else '"', start + len(field))
        if start >= 0 and at <= end:
            return True
    return False


# ---------------------------------------------------------------------- what somebody might do on purpose


def test_a_swapped_parent_is_found_however_far_the_swap_goes(kept: Kept, store: Path) -> None:
    """In the version's record; in the decision, too; in what follows from it; and in what was asked."""
    run, whole = run_of(store, 3), audited(kept.store)
    record, outcome, told, intent = (
        store / RECORD.format(3),
        *(store / "runs" / run / name for name in ("outcome.json", "run.json", "intent.json")),
    )
    change(record, parent="1.1")
    assert kinds(audited(store), RECORD.format(3)) == {"record-altered"}
    entry = orjson.loads(outcome.read_bytes())["entry"]
    change(outcome, entry=entry | {"parent": "1.1"})
    assert kinds(audited(store), f"runs/{run}/intent.json") >= {"record-altered"}
    change(told, parent="1.1")
    assert "record-altered" in {
        one.kind for one in fsck(store).findings
    }  # which looks at all of it, likewise
    assert kinds(audited(store), f"runs/{run}/intent.json") >= {"record-altered"}
    asked = orjson.loads(intent.read_bytes())["training"]
    change(intent, training=asked | {"base": "1.1"})
    change(told, request=orjson.loads(told.read_bytes())["request"] | {"base": "1.1"})
    assert kinds(audited(store), f"runs/{run}/intent.json") >= {"record-altered"}
    tree = orjson.loads((store / RECORD.format(1)).read_bytes())["tree"]
    change(intent, training=asked | {"base": "1.1", "tree": tree})
    change(
        told, request=orjson.loads(told.read_bytes())["request"] | {"base": "1.1", "tree": tree}, input=tree
    )
    results = store / "runs" / run / "_results.json"
    parameters = orjson.loads(results.read_bytes())["parameters"]
    change(results, parameters=parameters | {"inputs": parameters["inputs"] | {"version": "1.1"}})
    assert (
        audited(store).verdict == "verified"
    )  # all that was ever said of it, rewritten: nothing in the store knows better
    for kept_elsewhere in (whole.record, whole.fingerprint):
        assert kinds(audited(store, expect=kept_elsewhere), RECORD.format(3)) == {"unexpected"}


def test_a_rewritten_record_is_found_by_the_one_after_it(store: Path) -> None:
    change(store / RECORD.format(1), previous="sha256:" + "1" * 64)
    for name in ("p@1.1", "p@1.2", "p@1.3"):
        assert kinds(audited(store, name), RECORD.format(1)) == {"chain-broken"}


def test_the_newest_but_one_that_is_rewritten_with_its_decision_is_found_by_the_one_after_it(
    store: Path,
) -> None:
    run = run_of(store, 2)
    outcome = store / "runs" / run / "outcome.json"
    change(store / RECORD.format(2), description="another")
    change(outcome, entry=orjson.loads(outcome.read_bytes())["entry"] | {"description": "another"})
    assert "chain-broken" in kinds(audited(store, "p@1.2"), RECORD.format(3))


def test_a_record_in_anothers_place_is_found(store: Path) -> None:
    shutil.copy(store / RECORD.format(1), store / RECORD.format(2))
    assert "record-misplaced" in kinds(audited(store), RECORD.format(2))
    run, other = run_of(store, 1), run_of(store, 3)
    shutil.copy(store / "runs" / other / "outcome.json", store / "runs" / run / "outcome.json")
    assert "record-misplaced" in kinds(audited(store), f"runs/{run}/outcome.json")


def test_a_dataset_that_is_said_to_be_what_was_given_and_is_not_is_found(store: Path) -> None:
    """The run and all that follows from it say another content."""
    run = run_of(store, 2)
    outcome, told = (store / "runs" / run / name for name in ("outcome.json", "run.json"))
    tree = orjson.loads((store / "datasets/rows/00000001.json").read_bytes())["tree"]
    facts = orjson.loads(outcome.read_bytes())["facts"]
    facts["data"]["tree"] = tree
    change(outcome, facts=facts)
    change(told, facts=facts)
    assert "record-altered" in kinds(audited(store), f"runs/{run}/outcome.json")


def test_data_that_was_not_attested_is_a_reservation_and_no_fault(store: Path) -> None:
    run = run_of(store, 2)
    outcome, told = (store / "runs" / run / name for name in ("outcome.json", "run.json"))
    facts = orjson.loads(outcome.read_bytes())["facts"]
    facts["data"] |= {"attested": False, "doubt": "it changed"}
    change(outcome, facts=facts)
    change(told, facts=facts)
    found = audited(store)
    assert found.verdict == "verified-with-reservations"
    assert [(one.kind, one.about) for one in found.reservations] == [("data-unattested", "p@1.2")]


# ---------------------------------------------------------------------- what was never there


@pytest.mark.parametrize("name", ["p@1.9", "nothing@1.0", "p@7"])
def test_a_version_that_never_was_is_not_found(kept: Kept, name: str) -> None:
    with pytest.raises(NotFound):
        audited(kept.store, name)


@pytest.mark.parametrize("expect", ["", "sha256:", "0" * 64, "sha256:" + "g" * 64])
def test_what_is_no_digest_is_refused(kept: Kept, expect: str) -> None:
    with pytest.raises(UsageError):
        audited(kept.store, expect=expect)


def test_the_fingerprint_is_what_sha256sum_says(kept: Kept) -> None:
    """And it does not change when versions are made and data is registered after it."""
    found = audited(kept.store, "p@1.1")
    lines = subprocess.run(["sha256sum", *found.records], cwd=kept.store, capture_output=True, check=True)
    summed = subprocess.run(["sha256sum"], input=lines.stdout, capture_output=True, check=True)
    assert found.fingerprint == "sha256:" + summed.stdout.decode().split()[0]
    assert audited(kept.store, "p@1.1", expect=found.fingerprint).verdict == "verified"


def test_looking_changes_nothing(store: Path) -> None:
    before = {path: path.read_bytes() for path in store.rglob("*") if path.is_file()}
    audited(store)
    assert {path: path.read_bytes() for path in store.rglob("*") if path.is_file()} == before
