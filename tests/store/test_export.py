"""Exporting: a folder that is there is whole, whatever breaks it off, and nothing is left lying about for good."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pkgrun.errors import Conflict, Damaged, UsageError
from pkgrun.store.export import export_tree
from pkgrun.store.intake import ingest
from pkgrun.store.root import Store, open_store
from tests import folders
from tests.folders import File, Folder, Link

CONTENT: Folder = {
    b"rows.csv": File(b"1,2"),
    b"deep": {b"x": File(b"x"), b"empty": {}},
    b"link": Link(b"rows.csv"),
    b"large": File(os.urandom(2 << 20), executable=True),
}

STOPS = """
import sys, time
from pkgrun.store.export import export_tree
from pkgrun.store.root import open_store

def stop(size):
    print(flush=True)
    time.sleep(600)

export_tree(open_store(sys.argv[1], create=False).objects, sys.argv[2], sys.argv[3], progress=stop)
"""


@pytest.fixture
def digest(store: Store, tmp_path: Path) -> str:
    """The tree of `CONTENT`."""
    (tmp_path / "source").mkdir()
    folders.make(CONTENT, os.fsencode(tmp_path / "source"))
    tree = ingest(str(tmp_path / "source"), store.objects).tree
    store.objects.flush()
    return tree.digest


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Where the exports go."""
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def stopped_within(store: Store, digest: str, out: Path) -> subprocess.Popen[str]:
    """A process that is exporting, and does not come to an end."""
    command = [sys.executable, "-c", STOPS, store.url, digest, str(out)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "\n"
    return process


def killed(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL


def look(folder: Path) -> Folder:
    return folders.look(os.fsencode(folder))


def test_a_new_folder_appears_whole_or_not_at_all(store: Store, digest: str, home: Path) -> None:
    process = stopped_within(store, digest, home / "out")
    try:
        assert not (home / "out").exists()
        export_tree(store.objects, digest, str(home / "other"))  # which leaves what is in use alone
        assert len(list(home.glob("pkgrun-export-*.unfinished"))) == 1
    finally:
        killed(process)
    assert not (home / "out").exists()
    export_tree(store.objects, digest, f"{home}/out/")
    assert sorted(os.listdir(home)) == ["other", "out"]
    assert look(home / "out") == look(home / "other") == CONTENT


def test_an_empty_folder_stays_the_one_that_it_is(store: Store, digest: str, home: Path) -> None:
    out = home / "out"
    out.mkdir(0o700)
    before = out.stat()
    process = stopped_within(store, digest, out)
    try:
        with pytest.raises(Conflict, match=r"another process is exporting into .*out"):
            export_tree(store.objects, digest, str(out))
    finally:
        killed(process)
    [left] = os.listdir(out)
    assert left.startswith("pkgrun-export-")
    export_tree(store.objects, digest, str(out))
    assert look(out) == CONTENT
    assert (out.stat().st_ino, out.stat().st_mode) == (before.st_ino, before.st_mode)
    assert os.listdir(home) == ["out"]


def test_the_current_folder_and_one_behind_a_link(
    store: Store, digest: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "here").mkdir()
    (home / "link").symlink_to("here")
    monkeypatch.chdir(home / "here")
    export_tree(store.objects, digest, ".")
    assert look(home / "here") == CONTENT
    with pytest.raises(Conflict, match="link is not empty"):
        export_tree(store.objects, digest, str(home / "link"))
    export_tree(store.objects, digest, "new/below")
    assert look(home / "here" / "new" / "below") == CONTENT


def test_what_came_halfway_into_a_folder_is_pointed_out(store: Store, digest: str, home: Path) -> None:
    """Killed while its entries moved up: nobody knows any more which of them is the user's."""
    left = home / "out" / f"pkgrun-export-{'0' * 16}.incomplete"
    left.mkdir(parents=True)
    (home / "out" / "rows.csv").write_text("1,2")
    with pytest.raises(Conflict, match="out is not empty") as caught:
        export_tree(store.objects, digest, str(home / "out"))
    assert "broken off" in str(caught.value.hint)
    assert left.exists()


@pytest.mark.parametrize("exists", [False, True])
def test_damage_leaves_nothing(store: Store, digest: str, home: Path, exists: bool) -> None:
    out = home / "out"
    if exists:
        out.mkdir()
    for large in Path(store.url).glob("objects/*/*"):
        large.write_bytes(b"other")
    with pytest.raises(Damaged):
        export_tree(open_store(store.url, create=False).objects, digest, str(out))
    assert os.listdir(home) == (["out"] if exists else [])
    assert not exists or os.listdir(out) == []


def test_what_is_no_place_for_a_folder(store: Store, digest: str, home: Path) -> None:
    (home / "file").write_text("x")
    (home / "nowhere").symlink_to("gone")
    for name in ("file", "file/below", "nowhere"):
        with pytest.raises(Conflict, match="is no folder"):
            export_tree(store.objects, digest, str(home / name))
    for name in ("", "a\0b"):
        with pytest.raises(UsageError, match="no path"):
            export_tree(store.objects, digest, name)
    assert sorted(os.listdir(home)) == ["file", "nowhere"]


def test_nothing_at_all_is_an_empty_folder(store: Store, home: Path) -> None:
    export_tree(store.objects, None, str(home / "out"))
    assert os.listdir(home / "out") == []
