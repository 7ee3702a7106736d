"""Exporting: a folder that is there is whole, whatever breaks it off, and nothing is left lying about for good."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import pkgrun
from pkgrun.errors import Conflict, Damaged, UsageError
from pkgrun.store.export import export_files, export_tree
from pkgrun.store.intake import ingest
from pkgrun.store.root import Store, open_store
from tests import folders
from tests.folders import File, Folder, Link
from tests.processes import apart

CONTENT: Folder = {
    b"rows.csv": File(b"1,2"),
    b"deep": {b"x": File(b"x"), b"empty": {}},
    b"link": Link(b"rows.csv"),
    b"large": File(os.urandom(2 << 20), executable=True),
}

STOPS = """
import sys, time
from pkgrun.store.export import export_files, export_tree
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
    (home / "out").mkdir()
    killed(stopped_within(store, digest, home / "out"))
    [left] = (home / "out").iterdir()
    (left / "tree" / "deep").rename(home / "out" / "deep")
    with pytest.raises(Conflict, match="out is not empty") as caught:
        export_tree(store.objects, digest, str(home / "out"))
    assert "broken off" in str(caught.value.hint)
    assert left.exists()


def precious(folder: Path) -> Path:
    """A user's file in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "f").write_text("precious")
    return folder / "f"


def test_what_only_has_the_name_of_an_unfinished_export_stays(
    store: Store, digest: str, home: Path, tmp_path: Path
) -> None:
    beside = precious(home / f"pkgrun-export-{'0' * 16}.unfinished")
    export_tree(store.objects, digest, str(home / "new"))
    inside = precious(home / "out" / f"pkgrun-export-{'1' * 16}.incomplete")
    with pytest.raises(Conflict, match="out is not empty") as caught:
        export_tree(store.objects, digest, str(home / "out"))
    assert inside.parent.name in str(caught.value.hint)
    assert (beside.read_text(), inside.read_text()) == ("precious", "precious")
    again = ingest(str(home / "out"), store.objects).tree
    store.objects.flush()
    export_tree(store.objects, again.digest, str(home / "copy"))
    with pytest.raises(Conflict, match="copy is not empty"):
        export_tree(store.objects, digest, str(home / "copy"))
    assert look(home / "copy") == look(home / "out")


@pytest.mark.parametrize("kind", ["copied", "added"])
def test_what_an_export_left_is_the_users_once_somebody_took_it_over(
    store: Store, digest: str, home: Path, kind: str
) -> None:
    killed(stopped_within(store, digest, home / "out"))
    [left] = home.iterdir()
    if kind == "copied":
        shutil.copytree(left, home / "copy")
        shutil.rmtree(left)
        (home / "copy").rename(left)
    else:
        precious(left)
    before = look(left)
    export_tree(store.objects, digest, str(home / "out"))
    assert look(left) == before


@pytest.mark.parametrize("exists", [False, True])
def test_a_failure_names_the_place_that_was_asked_for(
    store: Store, digest: str, home: Path, exists: bool
) -> None:
    out = home / "out"
    if exists:
        out.mkdir()

    def full() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
        export_tree(store.objects, digest, str(out))

    assert apart(full) == ("temporary", f"{out}/large: File too large")
    assert os.listdir(home) == (["out"] if exists else [])


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a dataset of many files, `m`."""
    folder = tmp_path_factory.mktemp("many")
    for number in range(12_000):
        if number % 1000 == 0:
            (folder / "source" / f"{number // 1000}").mkdir(parents=True)
        (folder / "source" / f"{number // 1000}" / f"{number}").write_bytes(b"%d" % number * 100)
    pkgrun.open(folder / "store").datasets.add("m", folder / "source")
    return folder / "store"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("exists", [False, True])
def test_who_stops_an_export_finds_nothing_of_it(
    many: Path, home: Path, cache: Path, exists: bool, number: signal.Signals
) -> None:
    out = home / "out"
    if exists:
        out.mkdir()
    script = Path(sys.executable).parent / "pkgrun"
    command = [str(script), "--store", str(many), "dataset", "export", "m", str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        while not any(home.rglob("pkgrun-export-*/tree/*/*")):
            assert process.poll() is None
        process.send_signal(number)
        said, _ = process.communicate(timeout=30)
    assert process.returncode == 128 + number, said
    assert os.listdir(home) == (["out"] if exists else [])
    assert not exists or os.listdir(out) == []


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


def test_files_appear_all_or_none_and_over_nothing(home: Path) -> None:
    def write(folder: str) -> None:
        for name in "ab":
            Path(folder, name).write_text(name)

    export_files(str(home / "new" / "out"), ["a", "b"], write)
    assert sorted(path.name for path in (home / "new" / "out").iterdir()) == ["a", "b"]
    (home / "new" / "out" / "a").unlink()
    with pytest.raises(Conflict, match="out/b is there already"):
        export_files(str(home / "new" / "out"), ["a", "b"], write)
    assert sorted(path.name for path in (home / "new" / "out").iterdir()) == ["b"]


def test_what_comes_to_be_there_meanwhile_stays_and_nothing_else_appears(home: Path) -> None:
    def write(folder: str) -> None:
        for name in "ab":
            Path(folder, name).write_text(name)
        (home / "b").write_text("another's")

    with pytest.raises(Conflict, match="came to be there"):
        export_files(str(home), ["a", "b"], write)
    assert look(home) == {b"b": File(b"another's")}


def test_what_fails_leaves_no_file_and_no_trace(home: Path) -> None:
    def write(folder: str) -> None:
        Path(folder, "a").write_text("a")
        raise Damaged(f"{folder}/a is not well")

    with pytest.raises(Damaged, match=f"^{home}/a is not well"):
        export_files(str(home), ["a"], write)
    assert look(home) == {}


def test_what_is_no_place_for_files(home: Path) -> None:
    (home / "file").write_text("")
    with pytest.raises(Conflict, match="is no folder"):
        export_files(str(home / "file"), ["a"], lambda folder: None)
    for place in ("", "a\0b"):
        with pytest.raises(UsageError):
            export_files(place, ["a"], lambda folder: None)
