"""What may be named as a dataset, and what it is then called."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pkgrun.datasets import sources
from pkgrun.errors import DataInvalid, NotFound, PkgrunError, UsageError
from tests.processes import open_folder, powerless


def test_a_folder(tmp_path: Path) -> None:
    (tmp_path / "data" / "deep").mkdir(parents=True)
    (tmp_path / "data" / "deep" / "rows.csv").write_bytes(b"1,2")
    found = sources.find(str(tmp_path / "data"))
    assert (found.path, found.folder, found.label) == (str(tmp_path / "data"), True, str(tmp_path / "data"))
    listing = sources.listing(found)
    assert (listing.root, listing.folders) == (str(tmp_path / "data"), ["", "deep"])
    assert (listing.files[0].path, listing.files[0].size) == ("deep/rows.csv", 3)


def test_a_file_keeps_its_name(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(b"1,2")
    path.chmod(0o700)
    found = sources.find(str(path))
    assert (found.name, found.folder) == ("rows.csv", False)
    listing = sources.listing(found)
    assert (listing.folders, listing.content[0].place(0)) == ([""], str(path))
    assert (listing.files[0].path, listing.files[0].executable, listing.files[0].size) == (
        "rows.csv",
        True,
        3,
    )


def test_a_link_to_a_file_is_called_as_the_link(tmp_path: Path) -> None:
    (tmp_path / "v2.csv").write_bytes(b"1")
    (tmp_path / "latest.csv").symlink_to("v2.csv")
    found = sources.find(str(tmp_path / "latest.csv"))
    assert (found.name, found.path) == ("latest.csv", str(tmp_path / "v2.csv"))


def test_a_link_to_a_folder_is_the_folder(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert sources.find(f"{tmp_path}/link/").path == str(tmp_path / "real")


def test_relative_paths_and_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rows.csv").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for path in ("rows.csv", "./rows.csv", "~/rows.csv"):
        assert sources.find(path).path == str(tmp_path / "rows.csv")
    assert sources.find(".").folder
    assert sources.find("~").folder


def test_a_name_that_is_no_text_can_be_told(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/\xff.csv"
    Path(os.fsdecode(path)).write_bytes(b"")
    found = sources.find(os.fsdecode(path))
    assert found.label == f"{tmp_path}/\\xff.csv"


@pytest.mark.parametrize("path", ["", "a\0b"])
def test_what_is_no_path(path: str) -> None:
    with pytest.raises(UsageError, match="is no path of a dataset"):
        sources.find(path)


def test_what_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "dangling").symlink_to("none")
    for name in ("none", "file/below", "dangling"):
        with pytest.raises(NotFound, match=f"there is no dataset at {tmp_path}/{name}"):
            sources.find(str(tmp_path / name))


def test_what_is_neither_file_nor_folder(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (str(tmp_path / "pipe"), os.devnull):
        with pytest.raises(DataInvalid, match="is neither a file nor a folder"):
            sources.find(path)


def test_a_loop_of_links(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(PkgrunError, match="loop"):
        sources.find(str(tmp_path / "loop"))


def test_a_folder_that_may_not_be_entered() -> None:
    with open_folder() as root:
        os.mkdir(os.path.join(root, "closed"), 0o000)
        kind, message = powerless(lambda: sources.find(f"{root}/closed/x"))
    assert (kind, message) == ("permission", f"{root}/closed/x: Permission denied")


def test_a_file_that_vanishes_after_it_was_found(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    found = sources.find(str(tmp_path / "file"))
    (tmp_path / "file").unlink()
    with pytest.raises(NotFound, match="file vanished"):
        sources.listing(found)
