"""`store fsck` finds whatever is wrong with bytes and names it, `store repair` mends what can be mended.

Hostile input, row 10: one byte flipped in every kind of stored file.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pkgrun.errors import Damaged
from pkgrun.workspace.stores import fsck, repair
from tests.e2e.copies import state
from tests.e2e.fsck.damages import flip, keys, kinds, named, one, seen
from tests.e2e.lab import Lab

pytestmark = pytest.mark.row(10)


def test_a_store_without_fault_has_no_findings(whole: Path) -> None:
    for name in ("store", "copy"):
        report = fsck(whole / name, read_data=True)
        assert (report.findings, report.sound) == ((), True)
        assert report.scope.read > 3 << 20
        assert report.scope.records > 30


def test_looking_changes_nothing(store: Path) -> None:
    flip(one(store, "packs/*"), 20)
    before = state(store)
    assert not fsck(store, read_data=True).sound
    assert repair(store).run is None
    assert state(store) == before


# ---------------------------------------------------------------------- row 10


def test_row_10_a_byte_that_is_flipped_in_any_file_is_found_and_the_file_is_named(
    whole: Path, tmp_path: Path
) -> None:
    """The first bit of a byte, so that no record stays legible; and any byte of packs and objects, the very last ones too."""
    for name in ("store", "copy"):
        store = Path(shutil.copytree(whole / name, tmp_path / name))
        for key in keys(store):
            path = store / key
            size = path.stat().st_size
            for at in {0, size // 2, size - 1} | (
                {size - 60, size - 47, size - 12} if key.startswith("packs") else set()
            ):
                flip(path, at, 0x80)
                assert _said(store, key), f"{name}: byte {at} of {key}"
                flip(path, at, 0x80)
        assert fsck(store).findings == ()


def _said(store: Path, key: str) -> bool:
    """Whether damage is told that names a file."""
    try:
        report = fsck(store, read_data=True)
    except Damaged as error:  # of the store's own record, without which nothing can be opened
        return key == "pkgrun-store.json" and key in str(error)
    return not report.sound and bool(named(report, key))


UNTOLD = (
    '"alive":{',
    '"created":"',
    '"asked":"',
    '"store":"',
    '"artifacts_data":"',
    '"train_data":"',
    '"source":"',
)
"""Fields that are told nowhere a second time, so that nothing shows what they were while they are legible."""


def test_row_10_a_letter_that_became_another_is_found_unless_it_is_told_nowhere_else(copy: Path) -> None:
    """The last bit: of a digit another digit, of a letter another letter, so that records stay legible."""
    chosen = random.Random(10)
    records = [key for key in keys(copy) if key.endswith(".json")]
    for key in chosen.sample(records, 24):
        data = (copy / key).read_bytes()
        for at in chosen.sample(range(len(data)), 4):
            flip(copy / key, at)
            told = _said(copy, key)
            (copy / key).write_bytes(data)
            assert told or _untold(data, at), f"byte {at} of {key}: {data[max(0, at - 40) : at + 9]!r}"


def _untold(data: bytes, at: int) -> bool:
    """Whether a byte is in a value of one of these fields; `alive` ends with its brace."""
    text = data.decode()
    for field in UNTOLD:
        start = text.rfind(field, 0, at + 1)
        end = text.find("}" if field.endswith("{") else '"', start + len(field))
        if start >= 0 and at <= end:
            return True
    return False


# ---------------------------------------------------------------------- each kind of damage


def _cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 100)


def _longer(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\n")


def _inserted(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[:500] + b"x" + data[500:])


CONTENT: dict[str, tuple[str, Callable[[Path], object], str, bool]] = {
    "a pack is gone": ("packs/*", Path.unlink, "object-missing directory-missing", False),
    "a pack is cut off": ("packs/*", _cut, "pack-damaged", False),
    "a pack is longer": ("packs/*", _longer, "pack-damaged", False),
    "a pack has a byte too many": ("packs/*", _inserted, "pack-damaged", False),
    "a pack's index is altered": ("packs/*", lambda path: flip(path, -60), "pack-damaged", False),
    "a pack's foot is altered": ("packs/*", lambda path: flip(path, -3), "pack-damaged", False),
    "a byte in a pack is altered": ("packs/*", lambda path: flip(path, 700), "pack-damaged", True),
    "a pack's first byte is altered": ("packs/*", lambda path: flip(path, 0), "pack-damaged", True),
    "an object is gone": ("objects/*/*", Path.unlink, "object-missing", False),
    "an object is shorter": ("objects/*/*", _cut, "object-altered", False),
    "an object is longer": ("objects/*/*", _longer, "object-altered", False),
    "a byte in an object is altered": (
        "objects/*/*",
        lambda path: flip(path, 1 << 20),
        "object-altered",
        True,
    ),
}
"""The file, what is done to it, what it is called (one of), and whether only reading the bytes shows it."""


@pytest.mark.parametrize("what", CONTENT)
def test_damaged_contents_are_found_and_brought_back_from_a_copy(
    whole: Path, copy: Path, tmp_path: Path, what: str
) -> None:
    form, damage, called, unseen = CONTENT[what]
    path = one(copy, form)
    damage(path)
    report = fsck(copy, read_data=unseen)
    assert set(called.split()) & kinds(report)
    assert not report.sound
    done = repair(
        copy, source=whole / "copy", execute=True
    )  # the store itself lacks what the copy has of the copying
    assert done.plan.hopeless == ()
    assert done.lost == ()
    after = fsck(copy, read_data=True)
    assert after.sound, after.findings
    assert kinds(after) <= {"quarantined"}
    assert seen(copy, tmp_path / "out") == seen(whole / "copy", tmp_path / "out")


@pytest.mark.parametrize(
    "what", ["a pack's index is altered", "a pack's foot is altered", "a pack's first byte is altered"]
)
def test_what_only_the_index_has_lost_is_found_again_without_any_copy(
    copy: Path, whole: Path, tmp_path: Path, what: str
) -> None:
    form, damage, _, _ = CONTENT[what]
    damage(one(copy, form))
    done = repair(copy, execute=True)
    assert (done.sound, done.plan.hopeless, done.lost) == (True, (), ())
    assert fsck(copy, read_data=True).sound
    assert seen(copy, tmp_path / "out") == seen(whole / "copy", tmp_path / "out")


def test_a_hole_says_who_needs_what_and_under_which_path(store: Path) -> None:
    one(store, "objects/*/*").unlink()
    (found,) = fsck(store).findings
    assert (found.kind, found.severity) == ("object-missing", "hole")
    assert {(need.label, need.path) for need in found.needed_by} >= {
        ("rows@1", "large.bin"),
        ("rows@2", "large.bin"),
    }
    assert "--from" in found.hint


def test_what_is_lost_for_good_is_said_and_adding_the_same_again_brings_it_back(lab: Lab) -> None:
    """A damaged pack must not stand in the way of adding its content again, nor a directory that was whole."""
    data = lab.folder / "data"
    (data / "deep" / "er").mkdir(parents=True)
    (data / "deep" / "er" / "a.txt").write_text("some content" * 50)
    (data / "b.txt").write_text("other")
    lab.workspace().datasets.add("d", data)
    (pack,) = lab.store.glob("packs/*")
    flip(pack, pack.read_bytes().index(b"some content"))
    done = repair(lab.store, execute=True)
    assert not done.sound
    assert len(done.lost) == 1
    assert done.after is not None
    assert done.after.affected == ("d@1",)
    (data / "new.txt").write_text("so that it is another number")
    lab.workspace().datasets.add("d", data)
    report = fsck(lab.store, read_data=True)
    assert report.sound, report.findings
    lab.workspace().datasets.export("d@1", lab.folder / "out")
    assert (lab.folder / "out" / "deep" / "er" / "a.txt").read_text() == "some content" * 50


def test_a_large_object_that_is_lost_comes_back_when_it_is_added_again(lab: Lab) -> None:
    data = lab.folder / "data"
    (data / "deep").mkdir(parents=True)
    (data / "deep" / "large.bin").write_bytes(b"\x05" * (2 << 20))
    lab.workspace().datasets.add("d", data)
    flip(one(lab.store, "objects/*/*"), 9)
    assert len(repair(lab.store, execute=True).lost) == 1
    lab.workspace().datasets.add("e", data)
    assert fsck(lab.store, read_data=True).sound
