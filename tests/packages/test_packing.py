"""A stored tree as a zip and back: the same content, and always the same bytes."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pkgrun.errors import PackageInvalid
from pkgrun.packages import archives
from pkgrun.packages.packing import pack
from pkgrun.records import Tree
from pkgrun.store.intake import ingest
from pkgrun.store.objects import Objects
from pkgrun.store.sinks import Hashing
from pkgrun.testing import MemoryBackend


def stored(folder: Path) -> tuple[Objects, Tree]:
    """The folder's tree, in a store of its own."""
    objects = Objects(MemoryBackend())
    tree = ingest(str(folder), objects).tree
    objects.flush()
    return objects, tree


def packed(folder: Path, root: str = "p_v1.1") -> bytes:
    objects, tree = stored(folder)
    out = io.BytesIO()
    pack(objects, tree.digest, root, out, label="p@1.1")
    return out.getvalue()


def unpacked(data: bytes, place: Path) -> Path:
    (place / "p.zip").write_bytes(data)
    (place / "fresh").mkdir()
    return Path(archives.unpack(str(place / "p.zip"), str(place / "fresh"), label="p.zip"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Something of everything that a zip can hold."""
    made = tmp_path / "p"
    (made / "lib" / "deep").mkdir(parents=True)
    (made / "empty" / "below").mkdir(parents=True)
    (made / "train.py").write_text("x" * 1000)
    (made / "lib" / "ä 文.txt").write_text("y")
    (made / "lib.txt").write_text("")
    (made / "lib" / "deep" / "model.bin").write_bytes(os.urandom(3 << 20))
    (made / "run.sh").write_text("#!/bin/sh\n")
    (made / "run.sh").chmod(0o755)
    return made


def test_what_comes_back_is_the_same_tree(folder: Path, tmp_path: Path) -> None:
    again = unpacked(packed(folder), tmp_path)
    assert again.name == "p_v1.1"
    assert stored(again)[1] == stored(folder)[1]


def test_the_same_tree_is_packed_as_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    once = packed(folder)
    for path in folder.rglob("*"):
        os.utime(path, (1, 1))
    assert packed(folder) == once
    assert packed(unpacked(once, tmp_path)) == once


def test_others_read_it(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "p.zip").write_bytes(packed(folder))
    subprocess.run(
        [sys.executable, "-m", "zipfile", "-t", tmp_path / "p.zip"], check=True, stdout=subprocess.DEVNULL
    )
    with zipfile.ZipFile(tmp_path / "p.zip") as file:
        names = file.namelist()
        modes = {head.filename: head.external_attr >> 16 for head in file.infolist()}
        assert {head.date_time for head in file.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert file.getinfo("p_v1.1/train.py").compress_size < 100
    assert names == [
        "p_v1.1/", "p_v1.1/empty/", "p_v1.1/empty/below/", "p_v1.1/lib/", "p_v1.1/lib/deep/",
        "p_v1.1/lib/deep/model.bin", "p_v1.1/lib/ä 文.txt", "p_v1.1/lib.txt", "p_v1.1/run.sh", "p_v1.1/train.py",
    ]  # fmt: skip
    assert stat.S_IMODE(modes["p_v1.1/run.sh"]) == 0o755
    assert stat.S_IMODE(modes["p_v1.1/train.py"]) == 0o644


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "link": (lambda path: (path / "l").symlink_to("train.py"), "is a symbolic link"),
    "case twins": (lambda path: (path / "TRAIN.py").write_text(""), "are one name"),
    "backslash": (lambda path: (path / "a\\b").write_text(""), "backslash"),
    "not UTF-8": (lambda path: Path(os.fsdecode(os.fsencode(path) + b"/\xff")).write_text(""), "not UTF-8"),
    "control characters": (lambda path: (path / "a\x1b").write_text(""), "control characters"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_would_not_be_taken_again_is_not_packed(folder: Path, what: str) -> None:
    make, reason = REFUSED[what]
    make(folder)
    with pytest.raises(PackageInvalid, match=r"p@1\.1 cannot be packed") as refused:
        packed(folder)
    assert reason in refused.value.message
    assert refused.value.hint == "export it with --format folder"


PATHS = st.lists(
    st.lists(st.text("aAbß.-_ä文 ", min_size=1, max_size=4), min_size=1, max_size=3).map("/".join), max_size=8
)


@given(PATHS, st.binary(max_size=200))
def test_whatever_is_packed_comes_back(
    tmp_path_factory: pytest.TempPathFactory, paths: list[str], data: bytes
) -> None:
    place = tmp_path_factory.mktemp("drawn")
    folder = place / "p"
    folder.mkdir()
    for path in paths:
        target = folder / path
        if not {".", ".."} & set(path.split("/")) and not target.exists():
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
            except (FileExistsError, NotADirectoryError):
                continue
            target.write_bytes(data)
    try:
        whole = packed(folder)
    except PackageInvalid:
        return
    assert ingest(str(unpacked(whole, place)), Hashing()).tree == ingest(str(folder), Hashing()).tree


@pytest.mark.slow
def test_more_than_four_gigabytes_go_in_and_out(tmp_path: Path) -> None:
    """Where 32 bits end."""
    folder = tmp_path / "p"
    folder.mkdir()
    with open(folder / "model.bin", "wb") as file:
        file.truncate((4 << 30) + 5)
    (folder / "train.py").write_text("after it")
    objects, tree = stored_on_disk(folder, tmp_path)
    with open(tmp_path / "p.zip", "wb") as out:
        pack(objects, tree.digest, "p", out, label="p@1.1")
    (tmp_path / "fresh").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(archives, "RATIO", 2000)  # nothing is packed as well as nothing
        again = archives.unpack(str(tmp_path / "p.zip"), str(tmp_path / "fresh"), label="p.zip")
    assert ingest(again, Hashing()).tree == tree


def stored_on_disk(folder: Path, place: Path) -> tuple[Objects, Tree]:
    from pkgrun.store.local import LocalBackend

    (place / "store").mkdir()
    objects = Objects(LocalBackend(place / "store"))
    tree = ingest(str(folder), objects).tree
    objects.flush()
    return objects, tree
