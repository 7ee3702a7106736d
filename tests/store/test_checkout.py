"""Checking out: the right bytes with the right modes in the right place, or an error that names what is not."""

from __future__ import annotations

import os
import resource
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from pkgrun.errors import Damaged, Temporary
from pkgrun.store.checkout import checkout
from pkgrun.store.intake import ingest
from pkgrun.store.objects import SMALL, digest_of
from pkgrun.store.root import Store, open_store
from pkgrun.store.trees import Entry, write_node
from tests import folders
from tests.folders import File, Folder, Link
from tests.processes import apart, open_folder, powerless
from tests.store.blobs import DAMAGE, pack_of

EMPTY = digest_of(b'{"entries":[]}')
PLAIN: Folder = {
    b"train.py": File(b"import this"),
    b"run.sh": File(b"#!/bin/sh", executable=True),
    b"data": {b"rows.csv": File(b"1,2"), b"deep": {b"x": File(b"x")}},
    b"database": File(b"not data"),
    b"link": Link(b"data/rows.csv"),
    b"empty": {},
}


@pytest.fixture
def digest(store: Store) -> str:
    """The tree of `PLAIN`."""
    with open_folder() as root:
        folders.make(PLAIN, os.fsencode(root))
        tree = ingest(root, store.objects).tree
    store.objects.flush()
    return tree.digest


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def test_writes_what_was_taken_in(store: Store, digest: str, out: Path) -> None:
    sizes: list[int] = []
    checkout(store.objects, digest, str(out), progress=sizes.append)
    assert folders.look(os.fsencode(out)) == PLAIN
    assert sum(sizes) == sum(len(one.data) for one in folders.flat(PLAIN).values() if isinstance(one, File))


def test_leaves_out_what_is_to_be_skipped(store: Store, digest: str, out: Path) -> None:
    checkout(store.objects, digest, str(out), skip=["data", "empty", "none"])
    kept = {name: one for name, one in PLAIN.items() if name not in (b"data", b"empty")}
    assert folders.look(os.fsencode(out)) == kept


def test_leaves_out_a_nested_folder(store: Store, digest: str, out: Path) -> None:
    checkout(store.objects, digest, str(out), skip=["data/deep"])
    assert folders.look(os.fsencode(out)) == PLAIN | {b"data": {b"rows.csv": File(b"1,2")}}


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077])
def test_respects_the_umask(store: Store, digest: str, out: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        checkout(store.objects, digest, str(out))
    finally:
        os.umask(before)
    assert stat.S_IMODE((out / "train.py").stat().st_mode) == 0o666 & ~umask
    assert stat.S_IMODE((out / "run.sh").stat().st_mode) == 0o777 & ~umask
    assert stat.S_IMODE((out / "data").stat().st_mode) == 0o777 & ~umask


# ---------------------------------------------------------------------- damage


LARGE = b"1,2\n" * SMALL


@pytest.mark.parametrize("data", [b"1,2", LARGE], ids=["packed", "alone"])
@pytest.mark.parametrize("damage", ["flipped", "another's"])
def test_a_damaged_file_is_named_and_not_left(store: Store, out: Path, damage: str, data: bytes) -> None:
    rows = store.objects.put(data)
    tree = write_node([Entry("rows.csv", "file", rows.digest, 1, rows.bytes)], store.objects)
    store.objects.flush()
    DAMAGE[damage](store, rows.digest)
    with pytest.raises(Damaged, match=rows.digest) as caught:
        checkout(store.objects, tree.digest, str(out))
    assert "is damaged" in caught.value.message
    if data is LARGE:
        assert f"while writing {out}/rows.csv" in caught.value.__notes__
    assert not (out / "rows.csv").exists()


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_large_file_that_is_damaged_is_named_and_not_left(store: Store, out: Path, damage: str) -> None:
    rows = store.objects.put(LARGE)
    tree = write_node([Entry("rows.csv", "file", rows.digest, 1, rows.bytes)], store.objects)
    store.objects.flush()
    DAMAGE[damage](store, rows.digest)
    with pytest.raises(Damaged, match=rows.digest) as caught:
        checkout(store.objects, tree.digest, str(out))
    assert f"while writing {out}/rows.csv" in caught.value.__notes__
    assert not list(out.iterdir())


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_node_is_named(store: Store, digest: str, out: Path, damage: str) -> None:
    found = pack_of(store.backend, digest)
    assert found is not None
    DAMAGE[damage](store, digest)
    again = open_store(store.url, create=False)
    with pytest.raises(Damaged, match=f"{digest}|{found[0]}"):
        checkout(again.objects, digest, str(out))
    assert not list(out.iterdir())


# ---------------------------------------------------------------------- hostile trees


def hostile(store: Store, *entries: dict[str, Any]) -> str:
    """A tree that `ingest` would never make."""
    digest = store.objects.put(orjson.dumps({"entries": entries}, option=orjson.OPT_SORT_KEYS)).digest
    store.objects.flush()
    return digest


@pytest.mark.parametrize("name", ["../planted", "/tmp/planted", "..", "a/../../planted", "%2E%2E", "a\0b"])
def test_no_name_leads_out(store: Store, out: Path, name: str) -> None:
    blob = store.objects.put(b"x")
    for entry in (
        {"name": name, "kind": "file", "digest": blob.digest, "size": 1},
        {"name": name, "kind": "dir", "digest": digest_of(b""), "files": 0, "bytes": 0},
        {"name": name, "kind": "symlink", "target": "x"},
    ):
        with pytest.raises(Damaged):
            checkout(store.objects, hostile(store, entry), str(out))
    assert not list(out.iterdir())
    assert {path.name for path in out.parent.iterdir()} == {"out", "store"}


@pytest.mark.parametrize("target", ["/etc/passwd", "..", "../store", "a/../..", "", "a\0b", "%00"])
def test_no_link_leads_out(store: Store, out: Path, target: str) -> None:
    with pytest.raises(Damaged):
        checkout(store.objects, hostile(store, {"name": "l", "kind": "symlink", "target": target}), str(out))
    assert not list(out.iterdir())


def test_nothing_is_written_through_a_link(store: Store, out: Path) -> None:
    """A link and a folder of one name: the second would lead the file elsewhere."""
    blob = store.objects.put(b"x")
    inner = hostile(store, {"name": "x", "kind": "file", "digest": blob.digest, "size": 1})
    link = {"name": "a", "kind": "symlink", "target": "b"}
    folder = {"name": "a", "kind": "dir", "digest": inner, "files": 1, "bytes": 1}
    for entries in ((link, folder), (folder, link)):
        with pytest.raises(Damaged, match="order"):
            checkout(store.objects, hostile(store, *entries), str(out))


def test_what_is_there_is_never_overwritten(store: Store, digest: str, out: Path) -> None:
    outside = out.parent / "outside"
    outside.write_bytes(b"mine")
    (out / "train.py").symlink_to(outside)
    with pytest.raises(Temporary, match=r"train\.py: File exists"):
        checkout(store.objects, digest, str(out))
    assert outside.read_bytes() == b"mine"


# ---------------------------------------------------------------------- the system refuses


@pytest.mark.parametrize(
    "entry",
    [Entry("x", "symlink", target="y"), Entry("x", "dir", EMPTY), Entry("x", "file", digest_of(b""), 1)],
    ids=lambda entry: entry.kind,
)
def test_a_folder_that_may_not_be_written(entry: Entry) -> None:
    with open_folder() as root:
        store = open_store(f"{root}/store", create=True)
        store.objects.put(b"")
        write_node([], store.objects)
        tree = write_node([entry], store.objects)
        store.objects.flush()
        kind, message = powerless(lambda: checkout(store.objects, tree.digest, root))
    assert (kind, message) == ("permission", f"{root}/x: Permission denied")


def test_a_file_that_does_not_fit_is_not_left(store: Store, out: Path) -> None:
    """A disk that is almost full takes the first bytes of a write and says so only by their number."""
    blob = store.objects.put(b"x" * 100_000)
    tree = write_node([Entry("f", "file", blob.digest, 1, blob.bytes)], store.objects)
    store.objects.flush()

    def full() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
        checkout(store.objects, tree.digest, str(out))

    kind, message = apart(full)
    assert (kind, message.startswith(f"{out}/f: ")) == ("temporary", True)
    assert not list(out.iterdir())


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    if os.geteuid() != 0 or sys.platform != "linux":
        pytest.skip("only root mounts")
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], check=False).returncode:
        pytest.skip("this root mounts nothing")
    try:
        yield disk
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_full_disk(store: Store, small_disk: Path) -> None:
    blob = store.objects.put(b"x" * 100_000)
    tree = write_node([Entry("f", "file", blob.digest, 1, blob.bytes)], store.objects)
    store.objects.flush()
    with pytest.raises(Temporary, match="No space left") as caught:
        checkout(store.objects, tree.digest, str(small_disk))
    assert caught.value.hint == "free some space and try again"
    assert not list(small_disk.iterdir())
