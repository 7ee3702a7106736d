"""Looking at a folder: everything is found, and what cannot be kept is named."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from hypothesis import given

from pkgrun.errors import DataInvalid, NotFound
from pkgrun.store.scan import scan
from tests import folders
from tests.folders import File, Folder, Link
from tests.processes import open_folder, powerless


@given(folders.folders())
def test_finds_everything(folder: Folder) -> None:
    with open_folder() as root:
        folders.make(folder, os.fsencode(root))
        found = scan(root)
        leaves = folders.flat(folder)
        assert {os.fsencode(one.path): (one.executable, one.size) for one in found.files} == {
            path: (one.executable, len(one.data)) for path, one in leaves.items() if isinstance(one, File)
        }
        assert {os.fsencode(one.path): os.fsencode(one.target or "") for one in found.links} == {
            path: one.target for path, one in leaves.items() if isinstance(one, Link)
        }
        assert {os.fsencode(path) for path in found.folders} == (
            folders.paths(folder) - leaves.keys() | {b""}
        )
        for index, path in enumerate(found.folders[1:], 1):
            assert path.rpartition("/")[0] in found.folders[:index]


def test_what_cannot_be_kept_is_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "up").symlink_to("../../secret")
    (tmp_path / "absolute").symlink_to("/etc/passwd")
    (tmp_path / "dangling").symlink_to("../nowhere")
    (tmp_path / "tricky").symlink_to("in/../x")
    with socket.socket(socket.AF_UNIX) as server:
        here = os.getcwd()
        os.chdir(tmp_path)  # a socket's path has to be short
        try:
            server.bind("socket")
        finally:
            os.chdir(here)
        with pytest.raises(DataInvalid) as caught:
            scan(str(tmp_path))
    lines = caught.value.message.splitlines()
    assert lines[0] == f"{tmp_path} holds what cannot be kept:"
    assert {line.strip() for line in lines[1:]} == {
        "pipe: a named pipe cannot be kept",
        "socket: a socket cannot be kept",
        "in/up: a symbolic link that leads out of the folder, to ../../secret",
        "absolute: a symbolic link that leads out of the folder, to /etc/passwd",
        "dangling: a symbolic link that leads out of the folder, to ../nowhere",
        "tricky: a symbolic link that leads out of the folder, to in/../x",
    }


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes devices")
def test_devices_are_named(tmp_path: Path) -> None:
    try:
        os.mknod(tmp_path / "null", 0o020666, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("this root makes no devices")
    with pytest.raises(DataInvalid, match="null: a device"):
        scan(str(tmp_path))


def test_a_device_is_named(tmp_path: Path) -> None:
    """Also without root: everybody has one to look at."""
    with pytest.raises(DataInvalid, match="null: a device"):
        scan("/dev", lambda path, folder: path == "null")


def test_ten_of_many_are_named(tmp_path: Path) -> None:
    for number in range(25):
        os.mkfifo(tmp_path / str(number))
    with pytest.raises(DataInvalid) as caught:
        scan(str(tmp_path))
    lines = caught.value.message.splitlines()
    assert len(lines) == 12
    assert lines[-1].strip() == "… and 15 more"


def test_links_inside_are_kept_wherever_they_lead(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    (tmp_path / "nowhere").symlink_to("missing")
    (tmp_path / "self").symlink_to(".")
    found = scan(str(tmp_path))
    assert {one.path for one in found.links} == {"loop", "a", "b", "nowhere", "self"}
    assert found.folders == [""]


def test_keep_decides_before_anything_is_looked_at(tmp_path: Path) -> None:
    (tmp_path / "skip").mkdir()
    os.mkfifo(tmp_path / "skip" / "pipe")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").write_bytes(b"")
    asked = []

    def keep(path: str, folder: bool) -> bool:
        asked.append((path, folder))
        return path == "file"

    found = scan(str(tmp_path), keep)
    assert [one.path for one in found.files] == ["file"]
    assert sorted(asked) == [("file", False), ("pipe", False), ("skip", True)]


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="none vanished"):
        scan(str(tmp_path / "none"))


def test_a_folder_that_vanishes(tmp_path: Path) -> None:
    (tmp_path / "going").mkdir()

    def keep(path: str, folder: bool) -> bool:
        os.rmdir(tmp_path / path)
        return True

    with pytest.raises(NotFound, match="going vanished"):
        scan(str(tmp_path), keep)


def test_an_unreadable_folder_is_named() -> None:
    with open_folder() as root:
        os.mkdir(os.path.join(root, "closed"), 0o000)
        kind, message = powerless(lambda: scan(root))
        os.chmod(os.path.join(root, "closed"), 0o700)
    assert (kind, message) == ("permission", f"{root}/closed: Permission denied")
