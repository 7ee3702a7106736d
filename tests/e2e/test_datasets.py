"""Datasets by name, as a user has them: added, numbered, listed, compared, taken out again byte by byte."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
from pathlib import Path

import pytest

import pkgrun
from pkgrun.errors import Conflict, Damaged, DataInvalid, InvalidName, NotFound
from pkgrun.store.root import open_store
from tests import folders
from tests.folders import File, Folder, Link
from tests.store.blobs import DAMAGE, blobs, lacking

from .lab import Lab

PLAIN: Folder = {
    b"rows.csv": File(b"1,2\n" * 100),
    b"tool": File(b"#!/bin/sh", executable=True),
    b"deep": {b"x": File(b"x"), b"link": Link(b"../rows.csv")},
    b"empty": {},
    b"large": File(os.urandom(3 << 20)),
    **{name: File(name) for name in folders.ODD_NAMES},
}

ADDS = """
    import sys
    import pkgrun
    store, folder, out = sys.argv[1:]
    made = pkgrun.open(store).datasets.add("rows", folder)
    print(made.record.number, made.new)
"""

DIES = """
    import os, signal, sys
    import pkgrun
    from pkgrun.store.objects import Objects
    from pkgrun.store.root import Store, open_store
    sys.path.insert(0, sys.argv[4])
    from tests.store.test_packs import Mortal

    class Backend(Mortal):
        def apart(self):
            return Backend(self._inner.apart(), self._at, after=self._after, calls=self._calls)

    store = open_store(sys.argv[1], create=False)
    backend = Backend(store.backend, int(sys.argv[3]), after=True, calls=[])
    pkgrun.Workspace(Store(backend, Objects(backend), store.id)).datasets.add("rows", sys.argv[2])
"""


def dataset(lab: Lab, name: str = "dataset", content: Folder = PLAIN) -> Path:
    folder = lab.folder / name
    folder.mkdir()
    folders.make(content, os.fsencode(folder))
    return folder


def test_added_and_exported_byte_by_byte(lone_lab: Lab) -> None:
    folder = dataset(lone_lab)
    datasets = lone_lab.workspace().datasets
    made = datasets.add("rows", folder, description="all of them", tags={"stage": "test"})
    assert (made.new, made.record.number, made.record.label) == (True, 1, "rows@1")
    shutil.rmtree(folder)
    shutil.rmtree(lone_lab.cache, ignore_errors=True)
    datasets = lone_lab.workspace().datasets
    record = datasets.export("rows", lone_lab.folder / "out")
    assert record == made.record == datasets.get("rows@1")
    assert (record.description, record.tags, record.source) == ("all of them", {"stage": "test"}, str(folder))
    assert folders.look(os.fsencode(lone_lab.folder / "out")) == PLAIN
    assert {os.fsencode(path) for path, _ in datasets.files("rows")} == folders.paths(PLAIN)
    with pytest.raises(Conflict, match="is not empty"):
        datasets.export("rows", lone_lab.folder / "out")


def test_the_same_content_gets_no_new_number(lone_lab: Lab) -> None:
    folder = dataset(lone_lab)
    workspace = lone_lab.workspace()
    workspace.datasets.add("rows", folder)
    before = blobs(workspace._store)
    for _ in range(2):
        again = workspace.datasets.add("rows", folder)
        assert (again.new, again.record.number) == (False, 1)
    shutil.copytree(folder, lone_lab.folder / "copy", symlinks=True)
    elsewhere = workspace.datasets.add("rows", lone_lab.folder / "copy")
    assert (elsewhere.new, elsewhere.record.number) == (False, 1)
    assert blobs(open_store(str(lone_lab.store), create=False)) == before
    assert len(workspace.datasets.numbers("rows")) == 1


def test_numbers_and_what_lies_between_them(lone_lab: Lab) -> None:
    folder, datasets = dataset(lone_lab), lone_lab.workspace().datasets
    datasets.add("rows", folder)
    (folder / "rows.csv").write_bytes(b"others")
    (folder / "deep" / "x").unlink()
    (folder / "new").mkdir()
    (folder / "new" / "y").write_bytes(b"y")
    assert datasets.add("rows", folder).record.number == 2
    datasets.add("other", folder / "new")
    found = [(one.path, one.how) for one in datasets.diff("rows@1", "rows@2")]
    assert found == [("deep/x", "removed"), ("new/y", "added"), ("rows.csv", "changed")]
    assert datasets.diff("rows@2", "rows") == []
    assert [record.number for record in datasets.numbers("rows")] == [1, 2]
    assert [record.label for record in datasets.all()] == ["other@1", "rows@2"]
    datasets.export("rows@1", lone_lab.folder / "out")
    assert folders.look(os.fsencode(lone_lab.folder / "out")) == PLAIN
    files = [lone_lab.store / "datasets" / "rows" / f"{number:08}.json" for number in (1, 2)]
    previous = json.loads(files[1].read_bytes())["previous"]
    assert previous == "sha256:" + hashlib.sha256(files[0].read_bytes()).hexdigest()


@pytest.mark.slow
def test_sixteen_processes_at_once(lone_lab: Lab) -> None:
    """Eight contents, each added by two of them: every number once, and no content lost."""
    store = lone_lab.store
    lone_lab.workspace()
    all_folders = [
        dataset(lone_lab, f"d{number}", {b"x": File(b"%d" % number), b"same": File(b"s")})
        for number in range(8)
    ]
    started = [lone_lab.python(ADDS, store, folder, "-") for folder in [*all_folders, *all_folders]]
    said = [process.communicate(timeout=120)[0].split() for process in started]
    assert [process.returncode for process in started] == [0] * 16
    datasets = lone_lab.workspace().datasets
    numbers = [record.number for record in datasets.numbers("rows")]
    assert numbers == list(range(1, len(numbers) + 1))
    assert 8 <= len(numbers) <= 16
    assert sum(new == "True" for _, new in said) == len(numbers)
    for number, _ in said:
        out = lone_lab.folder / f"out{number}"
        if not out.exists():
            datasets.export(f"rows@{number}", out)
    for (number, _), folder in zip(said, [*all_folders, *all_folders], strict=True):
        assert folders.look(os.fsencode(lone_lab.folder / f"out{number}")) == folders.look(
            os.fsencode(folder)
        )


@pytest.mark.row(8)
def test_death_while_adding_leaves_nothing_half(lone_lab: Lab) -> None:
    folder = dataset(lone_lab)
    lone_lab.workspace()
    root = str(Path(__file__).parents[2])
    for at in range(1, 40):
        process = lone_lab.python(DIES, lone_lab.store, folder, str(at), root)
        code = process.wait(60)
        store = open_store(str(lone_lab.store), create=False)
        assert lacking(store) == set()
        open_runs = (
            [
                run
                for run in os.listdir(lone_lab.store / "runs")
                if pkgrun.open(lone_lab.store).run(run).record().status not in {"lost", "successful"}
            ]
            if (lone_lab.store / "runs").exists()
            else []
        )
        assert open_runs == []
        if code == 0:
            break
        assert code == -signal.SIGKILL
    assert at > 3
    made = lone_lab.workspace().datasets.add("rows", folder)
    lone_lab.workspace().datasets.export("rows", lone_lab.folder / "out")
    assert made.record.number == 1
    assert folders.look(os.fsencode(lone_lab.folder / "out")) == PLAIN


@pytest.mark.row(1)
@pytest.mark.parametrize("name", ["", "..", "../x", "a/b", "-x", "a@1", "a" * 129, "ä", "a\0b"])
def test_hostile_names(lone_lab: Lab, name: str) -> None:
    folder, datasets = dataset(lone_lab), lone_lab.workspace().datasets
    with pytest.raises(InvalidName):
        datasets.add(name, folder)
    for ask in (datasets.numbers, datasets.get if "@" not in name else datasets.numbers):
        with pytest.raises((InvalidName, NotFound)):
            ask(name)
    assert not (lone_lab.store / "datasets").exists()


def test_a_dataset_that_cannot_be_kept_gets_no_number(lone_lab: Lab) -> None:
    folder, datasets = dataset(lone_lab), lone_lab.workspace().datasets
    os.mkfifo(folder / "pipe")
    with pytest.raises(DataInvalid, match="pipe: a named pipe cannot be kept"):
        datasets.add("rows", folder)
    with pytest.raises(NotFound):
        datasets.get("rows")


@pytest.mark.row(10)
@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("which", [b"large", b"rows.csv"])
def test_damage_is_found_on_the_way_out(lone_lab: Lab, which: bytes, damage: str) -> None:
    folder = dataset(lone_lab)
    workspace = lone_lab.workspace()
    workspace.datasets.add("rows", folder)
    entry = dict(workspace.datasets.files("rows"))[os.fsdecode(which)]
    DAMAGE[damage](workspace._store, entry.digest)
    with pytest.raises(Damaged) as caught:
        lone_lab.workspace().datasets.export("rows", lone_lab.folder / "out")
    assert caught.value.exit_code == 8
    assert not (lone_lab.folder / "out" / os.fsdecode(which)).exists()


def test_a_path_with_an_at_sign_is_pointed_out(tmp_path: Path) -> None:
    workspace = pkgrun.open(tmp_path / "store")
    (tmp_path / "a@1").mkdir()
    here = os.getcwd()
    os.chdir(tmp_path)
    try:
        with pytest.raises(NotFound, match="no dataset a@1") as caught:
            workspace.datasets.add("b", "a@1")
        assert caught.value.hint == "./a@1 means the path"
        assert workspace.datasets.add("b", "./a@1").record.tree.files == 0
    finally:
        os.chdir(here)
