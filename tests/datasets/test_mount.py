"""Mounting: the package's code gets the dataset, may do with it what it likes, and the source never notices."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from pkgrun.datasets.mount import Mounted
from pkgrun.errors import DataInvalid, PkgrunError, UsageError
from pkgrun.store.checkout import checkout
from pkgrun.store.intake import ingest
from pkgrun.store.objects import digest_of
from pkgrun.store.root import Store, open_store
from pkgrun.store.scan import scan
from pkgrun.store.sinks import Hashing
from tests import folders
from tests.datasets.mounting import content, mounted
from tests.folders import File, Folder, Link
from tests.processes import WRITABLE, apart, open_folder, powerless

PLAIN: Folder = {
    b"rows.csv": File(b"1,2\n" * 1000),
    b"tool": File(b"#!/bin/sh", executable=True),
    b"deep": {b"er": {b"x": File(b"x")}, b"link": Link(b"../rows.csv")},
    b"empty": {},
    b"nowhere": Link(b"missing"),
    b"Case": File(b"1"),
    b"case": File(b"2"),
    b"n" * 255: File(b"long"),
    b"\xff\n": File(b"odd"),
}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "source").mkdir()
    folders.make(PLAIN, os.fsencode(tmp_path / "source"))
    return tmp_path / "source"


@given(folders.folders())
def test_what_is_mounted_is_the_dataset(folder: Folder) -> None:
    with open_folder() as root:
        (Path(root) / "source").mkdir()
        folders.make(folder, os.fsencode(root) + b"/source")
        got = mounted(Path(root, "source"), Path(root, "data"))
        assert folders.look(os.fsencode(root) + b"/data") == folder
        assert content(got) == ingest(f"{root}/source", Hashing())
        assert got.laid is not None
        assert got.laid.content == scan(f"{root}/data").content
        assert folders.look(os.fsencode(root) + b"/source") == folder


def test_a_dataset_with_everything(source: Path, tmp_path: Path) -> None:
    got = mounted(source, tmp_path / "data")
    assert folders.look(os.fsencode(tmp_path / "data")) == PLAIN
    assert (got.method, got.unstable) == ("copy", ())
    assert content(got).unstable == ()
    assert content(got).tree.files == 7


def test_an_empty_dataset_is_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    got = mounted(tmp_path / "source", tmp_path / "data")
    assert (content(got).tree.files, content(got).tree.digest) == (0, digest_of(b'{"entries":[]}'))
    assert not list((tmp_path / "data").iterdir())


def test_an_overlay_takes_no_look_at_the_dataset(source: Path, tmp_path: Path) -> None:
    """Not even at a socket in it: that is for whoever hashes it, beside the code."""
    asked: list[str] = []
    _socket(source / "socket")
    for wanted in ("auto", "overlay"):
        got = mounted(
            source, tmp_path / wanted, wanted=wanted, why_no_overlay=lambda folder: asked.append(folder)
        )
        assert got == Mounted("overlay")
        assert not list((tmp_path / wanted).iterdir())
    assert asked == [str(source)] * 2


def test_only_the_way_that_is_wanted_is_taken(source: Path, tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match="source cannot be mounted by overlay: this test wants none"
    ) as caught:
        mounted(source, tmp_path / "data", wanted="overlay")
    assert caught.value.hint == "--mount auto takes another way"
    assert not list((tmp_path / "data").iterdir())
    got = mounted(source, tmp_path / "copy", wanted="copy", why_no_overlay=lambda folder: None)
    assert got.method == "copy"


def test_a_single_file_cannot_be_under_an_overlay(source: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the dataset is a single file"):
        mounted(source / "rows.csv", tmp_path / "data", wanted="overlay", why_no_overlay=lambda folder: None)
    got = mounted(source / "rows.csv", tmp_path / "data", why_no_overlay=lambda folder: None)
    assert got.method in {"copy", "reflink"}


def test_a_disk_that_does_not_clone_says_so(source: Path, tmp_path: Path) -> None:
    if (
        shutil.which("findmnt")
        and b"xfs"
        in subprocess.run(
            ["findmnt", "-no", "FSTYPE", "-T", tmp_path], capture_output=True, check=False
        ).stdout
    ):
        pytest.skip("the disk of the tests clones")
    with pytest.raises(UsageError, match="does not share blocks with it") as caught:
        mounted(source, tmp_path / "data", wanted="reflink")
    assert caught.value.hint == "--mount auto takes another way"


def test_a_single_file(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_bytes(b"1,2")
    got = mounted(tmp_path / "rows.csv", tmp_path / "data")
    assert folders.look(os.fsencode(tmp_path / "data")) == {b"rows.csv": File(b"1,2")}
    assert content(got) == ingest(str(tmp_path / "data"), Hashing())


def test_the_source_is_out_of_reach(source: Path, tmp_path: Path) -> None:
    before = snapshot(source)
    mounted(source, tmp_path / "data")
    spoil(tmp_path / "data")
    assert snapshot(source) == before


def spoil(data: Path) -> None:
    """All that the package's code might do there."""
    with open(data / "rows.csv", "r+b") as file:
        file.write(b"over")
    (data / "tool").write_bytes(b"")
    os.truncate(data / "case", 0)
    os.chmod(data / "Case", 0o000)
    os.utime(data / "deep", (1, 1))
    os.rename(data / "deep" / "er" / "x", data / "moved")
    (data / "deep" / "link").write_bytes(b"through the link")
    (data / "new").write_bytes(b"new")
    shutil.rmtree(data / "empty")
    shutil.rmtree(data)


def snapshot(folder: Path) -> dict[str, tuple[Any, ...]]:
    """Content and every property of everything."""
    found = {}
    for above, inner, files in os.walk(folder):
        for name in (*inner, *files):
            path = os.path.join(above, name)
            status = os.lstat(path)
            data = Path(path).read_bytes() if stat.S_ISREG(status.st_mode) else b""
            found[path] = (
                data,
                status.st_mode,
                status.st_mtime_ns,
                status.st_ctime_ns,
                status.st_ino,
                status.st_nlink,
            )
    return found


def test_everything_can_be_written_and_run(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "sub").mkdir(parents=True)
    (source / "file").write_bytes(b"")
    (source / "sub" / "tool").write_bytes(b"#!/bin/sh\nexit 7\n")
    (source / "sub" / "tool").chmod(0o500)
    (source / "file").chmod(0o400)
    (source / "sub").chmod(0o500)
    try:
        mounted(source, tmp_path / "data")
    finally:
        (source / "sub").chmod(0o700)
    umask = os.umask(0)
    os.umask(umask)
    modes = {
        name: stat.S_IMODE((tmp_path / "data" / name).stat().st_mode) for name in ("file", "sub", "sub/tool")
    }
    assert modes == {"file": 0o666 & ~umask, "sub": 0o777 & ~umask, "sub/tool": 0o777 & ~umask}
    assert subprocess.run([tmp_path / "data" / "sub" / "tool"], check=False).returncode == 7


def test_a_snapshot_is_kept_besides(source: Path, tmp_path: Path, store: Store) -> None:
    got = mounted(source, tmp_path / "data", keep=store.objects)
    store.objects.flush()
    shutil.rmtree(source)
    (tmp_path / "out").mkdir()
    checkout(store.objects, content(got).tree.digest, str(tmp_path / "out"))
    assert folders.look(os.fsencode(tmp_path / "out")) == PLAIN


def test_nothing_is_kept_unless_asked(source: Path, tmp_path: Path, store: Store) -> None:
    mounted(source, tmp_path / "data")
    assert list(store.backend.list("objects")) == list(store.backend.list("packs")) == []


def test_progress_reaches_the_whole(source: Path, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    mounted(source, tmp_path / "data", report=lambda *now: told.append(now))
    size = sum(len(one.data) for one in folders.flat(PLAIN).values() if isinstance(one, File))
    assert max(told) == (size, size)
    assert {total for _, total in told} == {size}


def test_what_is_there_is_never_overwritten(source: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "rows.csv").symlink_to(source / "tool")
    with pytest.raises(PkgrunError, match=r"rows\.csv"):
        mounted(source, tmp_path / "data")
    assert (source / "tool").read_bytes() == b"#!/bin/sh"


# ---------------------------------------------------------------------- what cannot be kept


def _socket(path: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)  # its path has to be short
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    finally:
        os.chdir(here)


ODD: dict[str, Callable[[Path], object]] = {
    "pipe": os.mkfifo,
    "socket": _socket,
    "absolute": lambda path: path.symlink_to("/etc/hostname"),
    "outside": lambda path: path.symlink_to("../../../x"),
    "dangling": lambda path: path.symlink_to("../../none"),
    "tricky": lambda path: path.symlink_to("er/../../.."),
}


@pytest.mark.parametrize("kind", ODD)
def test_what_cannot_be_kept_is_named(source: Path, tmp_path: Path, kind: str) -> None:
    ODD[kind](source / "deep" / kind)
    with pytest.raises(DataInvalid, match=f"deep/{kind}: "):
        mounted(source, tmp_path / "data")
    assert not list((tmp_path / "data").iterdir())


def test_what_may_not_be_read_is_named() -> None:
    with open_folder() as root:
        path = os.path.join(root, "source", "deep")
        os.makedirs(path)
        Path(path, "closed").write_bytes(b"x")
        os.chmod(os.path.join(path, "closed"), 0o000)
        os.mkdir(os.path.join(root, "data"))
        os.chmod(os.path.join(root, "data"), WRITABLE)
        answer = powerless(lambda: mounted(Path(root, "source"), Path(root, "data")))
    assert answer == ("permission", f"{path}/closed: Permission denied")


def test_a_deep_dataset(tmp_path: Path) -> None:
    path = tmp_path / "source"
    path.mkdir()
    for _ in range(300):
        path /= "d"
        path.mkdir()
    (path / "x").write_bytes(b"x")
    got = mounted(tmp_path / "source", tmp_path / "data")
    assert content(got) == ingest(str(tmp_path / "source"), Hashing())


def test_a_path_that_is_too_long_is_named(tmp_path: Path) -> None:
    """The source fits; below the longer target it does not."""
    room = os.pathconf(tmp_path, "PC_PATH_MAX") - len(str(tmp_path))
    path = tmp_path / "s"
    path.mkdir()
    while len(str(path)) - len(str(tmp_path)) < room - 300:
        path /= "n" * 200
        path.mkdir()
    (tmp_path / "target").mkdir()
    with pytest.raises(DataInvalid, match="too long"):
        mounted(tmp_path / "s", _long(tmp_path / "target"))


def _long(folder: Path) -> Path:
    inner = folder / ("t" * 250)
    inner.mkdir()
    return inner / ("u" * 250)


# ---------------------------------------------------------------------- a full disk, a disk that clones


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    import resource

    (tmp_path / "file").write_bytes(b"x" * 100_000)

    def full() -> object:
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
        return mounted(tmp_path / "file", tmp_path / "data")

    kind, message = apart(full)
    assert kind == "temporary"
    assert message.startswith(f"{tmp_path}/data/file: ")


@pytest.fixture
def cloning_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system that can share blocks between files."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root mounts")
    if not shutil.which("mkfs.xfs"):
        pytest.skip("mkfs.xfs is not installed")
    image, disk = tmp_path / "image", tmp_path / "disk"
    with open(image, "wb") as file:
        file.truncate(320 << 20)
    disk.mkdir()
    subprocess.run(["mkfs.xfs", "-q", "-m", "reflink=1", image], check=True)
    if subprocess.run(["mount", "-o", "loop", image, disk], check=False).returncode:
        pytest.skip("this root mounts nothing")
    try:
        yield disk
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_clone_is_as_good_as_a_copy(cloning_disk: Path) -> None:
    source = cloning_disk / "source"
    source.mkdir()
    folders.make(PLAIN, os.fsencode(source))
    before = snapshot(source)
    store = open_store(str(cloning_disk / "store"), create=True)
    got = mounted(source, cloning_disk / "data", keep=store.objects)
    assert (got.method, got.content, got.unstable) == ("reflink", None, ())
    assert got.source is not None
    assert got.laid is not None
    assert got.source.content == scan(str(source)).content
    assert got.laid.content == scan(str(cloning_disk / "data")).content
    digest = ingest(str(source), store.objects).tree.digest
    assert ingest(str(cloning_disk / "data"), Hashing()).tree.digest == digest
    assert folders.look(os.fsencode(cloning_disk / "data")) == PLAIN
    spoil(cloning_disk / "data")
    assert snapshot(source) == before
    store.objects.flush()
    (cloning_disk / "out").mkdir()
    checkout(store.objects, digest, str(cloning_disk / "out"))
    assert folders.look(os.fsencode(cloning_disk / "out")) == PLAIN


def test_a_clone_is_not_made_across_disks(cloning_disk: Path, tmp_path: Path, source: Path) -> None:
    got = mounted(source, cloning_disk / "data")
    assert got.method == "copy"
    assert folders.look(os.fsencode(cloning_disk / "data")) == PLAIN
