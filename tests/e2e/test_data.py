"""A training's data: attested or not, whatever happens to it meanwhile; never changed by the code; told what it wrote.

The package's code and the test wait for each other by named pipes, so that everything happens in a known order.
"""

from __future__ import annotations

import os
import shutil
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from pkgrun import Run, RunRecord
from pkgrun.errors import DataInvalid, DataUnstable, NotFound, PkgrunError, UsageError
from pkgrun.records import Data
from pkgrun.store.intake import ingest
from pkgrun.store.sinks import Hashing
from tests.datasets.test_mount import cloning_disk
from tests.store.blobs import lacking

from .lab import Lab

__all__ = ["cloning_disk"]

READS = """
import os

class Main:
    def train(self, folder):
        for name in ("before", "after"):
            if name in os.environ:
                with open(os.environ[name], "w") as began:
                    began.write("here")
                with open(os.environ[name]) as go:
                    go.read()
            self.seen = {}
            for above, _, names in os.walk(folder):
                for one in names:
                    path = os.path.join(above, one)
                    if os.path.exists(path):
                        with open(path) as file:
                            self.seen[path] = file.read()
    def save(self):
        with open("model.txt", "w") as file:
            file.write(repr(sorted(self.seen.items())))
"""

WRITES = """
import os, shutil

class Main:
    def train(self, folder):
        here = os.getcwd()
        os.chdir(folder)
        with open("overwritten.csv", "r+") as file:
            file.write("over")
        os.truncate("truncated.csv", 0)
        os.rename("renamed.csv", "new name.csv")
        os.chmod("closed.csv", 0)
        os.remove("deep/deleted.csv")
        shutil.rmtree("gone")
        os.makedirs("made/below")
        with open("made/new.csv", "w") as file:
            file.write("new")
        os.makedirs("hollow")
        os.chdir(here)
    def save(self):
        with open("model.txt", "w") as file:
            file.write("done")
"""


def dataset(lab: Lab) -> Path:
    folder = lab.folder / "dataset"
    for name in ("rows.csv", "deep/other.csv"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"1,2 {name}\n")
    return folder


def pipe(lab: Lab, name: str) -> Path:
    path = lab.mark(name)
    os.mkfifo(path)
    return path


def met(path: Path, do: Callable[[], object]) -> None:
    """Wait until the code is there, do something, and let it go on; unless that has ended the code."""
    assert path.read_text() == "here"
    do()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with suppress(OSError):  # nobody reads: the code is not there yet, or not any more
            os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
            return
        time.sleep(0.01)


def given(record: RunRecord) -> Data:
    assert record.facts is not None
    assert record.facts.data is not None
    return record.facts.data


def start(lab: Lab, data: str | Path, code: str = READS, **more: Any) -> Run:
    return lab.workspace().train(lab.package("p", code), data=data, environment="current", timeout=60, **more)


def ended(run: Run) -> tuple[RunRecord, PkgrunError | None]:
    try:
        run.wait(60)
    except PkgrunError as error:
        return run.record(), error
    return run.record(), None


@pytest.mark.parametrize("mount", ["auto", "copy"])
def test_an_unchanged_dataset_is_attested(lone_lab: Lab, mount: Any) -> None:
    folder = dataset(lone_lab)
    record, error = ended(start(lone_lab, folder, mount=mount, require_stable_data=True))
    assert (error, record.status) == (None, "successful")
    data = given(record)
    assert (data.attested, data.doubt, data.unstable.count) == (True, None, 0)
    assert data.tree == ingest(str(folder), Hashing()).tree
    assert data.written is not None
    assert (data.written.added.count, data.written.changed.count, data.written.removed.count) == (0, 0, 0)


def _edit(folder: Path) -> None:
    (folder / "rows.csv").write_text("3,4\n")


def _put_back(folder: Path) -> None:
    """The same size, and the time put back."""
    path = folder / "rows.csv"
    status = path.stat()
    path.write_text(path.read_text().replace("1", "7"))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def _made_and_removed(folder: Path) -> None:
    (folder / "deep" / "new").write_text("x")
    (folder / "deep" / "new").unlink()


CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "edited": (_edit, "rows.csv"),
    "edited, time put back": (_put_back, "rows.csv"),
    "made and removed again": (_made_and_removed, "deep"),
    "added": (lambda folder: (folder / "new").write_text("x"), "new"),
    "removed": (lambda folder: (folder / "deep" / "other.csv").unlink(), "deep/other.csv"),
    "a folder removed": (lambda folder: shutil.rmtree(folder / "deep"), "deep/"),
}


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("how", CHANGES)
def test_a_source_that_changes_meanwhile_is_told(lone_lab: Lab, how: str, when: str) -> None:
    """Before the code reads, or after; the run commits, the lineage is recorded and says so."""
    folder, change = dataset(lone_lab), CHANGES[how]
    meeting = pipe(lone_lab, when)
    run = start(lone_lab, folder, env={when: str(meeting)})
    met(meeting, lambda: change[0](folder))
    record, error = ended(run)
    if isinstance(error, NotFound):  # it vanished under the hands of whoever hashed it
        assert "removed" in how
        return
    assert (error, record.status) == (None, "successful")
    data = given(record)
    if data.mount != "overlay" and data.attested:
        pytest.skip("copied before the code began: what it was given is what was hashed")
    assert not data.attested
    assert data.tree.files >= 1
    assert record.facts is not None
    said = " ".join(record.facts.warnings)
    if data.unstable.count:
        assert any(name.startswith(change[1]) for name in data.unstable.names)
        assert "changed while the code ran on it" in said
    else:  # only the folder tells, and it is no file that changed
        assert (how, f"the folder {change[1]} was touched" in said) == ("made and removed again", True)


def test_what_changed_before_the_run_is_what_is_attested(lone_lab: Lab) -> None:
    folder = dataset(lone_lab)
    first = given(ended(start(lone_lab, folder))[0])
    _put_back(folder)
    second = given(ended(start(lone_lab, folder))[0])
    assert (first.attested, second.attested) == (True, True)
    assert first.tree != second.tree == ingest(str(folder), Hashing()).tree


def test_stable_data_can_be_required(lone_lab: Lab) -> None:
    folder, meeting = dataset(lone_lab), pipe(lone_lab, "before")
    run = start(lone_lab, folder, mount="overlay", env={"before": str(meeting)}, require_stable_data=True)
    met(meeting, lambda: _edit(folder))
    record, error = ended(run)
    assert isinstance(error, DataUnstable)
    assert (error.kind, error.exit_code, record.status) == ("data-unstable", 8, "failed")
    assert "rows.csv" in error.message
    assert record.version is None
    assert len(lone_lab.workspace().versions("p")) == 1
    assert not given(record).attested


def test_a_dataset_that_cannot_be_kept_stops_the_code(lone_lab: Lab) -> None:
    """It is found out beside the code, which waits for somebody who never comes."""
    folder = dataset(lone_lab)
    os.mkfifo(folder / "deep" / "pipe")
    never = pipe(lone_lab, "before")
    record, error = ended(start(lone_lab, folder, mount="overlay", env={"before": str(never)}))
    assert isinstance(error, DataInvalid)
    assert "deep/pipe: a named pipe cannot be kept" in error.message
    assert record.version is None
    assert lone_lab.processes() == []
    assert len(lone_lab.workspace().versions("p")) == 1


# ---------------------------------------------------------------------- what the code does there


def to_write_to(folder: Path) -> Path:
    names = (
        "overwritten.csv", "truncated.csv", "renamed.csv", "closed.csv", "deep/deleted.csv", "gone/a", "gone/b/c", "kept",
    )  # fmt: skip
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"content of {name}\n")
    return folder


def looks(folder: Path) -> dict[str, tuple[Any, ...]]:
    """Every byte and every property but the time of the last reading."""
    found = {}
    for path in [folder, *folder.rglob("*")]:
        status = path.lstat()
        data = path.read_bytes() if stat.S_ISREG(status.st_mode) else b""
        numbers = status.st_mode, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_nlink
        found[str(path)] = data, *numbers, status.st_uid
    return found


def wrote(lab: Lab, source: Path, mount: Any) -> Data:
    before = looks(source)
    record, error = ended(start(lab, source, WRITES, mount=mount, save_training_data=True))
    assert error is None, error
    assert looks(source) == before, "the source is as it was, to the last property"
    assert given(record).attested
    return given(record)


def test_writing_never_reaches_the_source_and_is_told_alike(
    cloning_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = Lab(cloning_disk, cloning_disk / "cache")
    monkeypatch.setenv("PKGRUN_CACHE", str(lab.cache))
    monkeypatch.chdir(cloning_disk.parent)
    source = to_write_to(cloning_disk / "dataset")
    found = [wrote(lab, source, mount) for mount in ("overlay", "reflink", "copy")]
    assert [data.mount for data in found] == ["overlay", "reflink", "copy"]
    assert len({data.tree.digest for data in found}) == 1
    first = found[0].written
    assert first is not None
    assert first.added.names == ("hollow/", "made/below/", "made/new.csv", "new name.csv")
    assert {"overwritten.csv", "truncated.csv", "closed.csv"} == set(first.changed.names)
    assert first.removed.names == ("deep/deleted.csv", "gone/", "renamed.csv")
    assert [data.written for data in found] == [first] * 3


@pytest.mark.parametrize("mount", ["overlay", "copy"])
def test_writing_never_reaches_the_store(lone_lab: Lab, mount: Any) -> None:
    """A registered dataset lies in a cache: that, and the store's packs, are as they were."""
    workspace = lone_lab.workspace()
    workspace.datasets.add("rows", to_write_to(lone_lab.folder / "dataset"))
    shutil.rmtree(lone_lab.folder / "dataset")
    expected = workspace.datasets.get("rows").tree
    for _ in range(2):
        packs = {path: looks(path.parent)[str(path)] for path in lone_lab.store.glob("packs/*")}
        record, error = ended(start(lone_lab, "rows@1", WRITES, mount=mount))
        assert error is None
        assert given(record).tree == expected
        assert {path: looks(path.parent)[str(path)] for path in packs} == packs
    assert lacking(workspace._store) == set()
    workspace.datasets.export("rows@1", lone_lab.folder / "out")
    assert ingest(str(lone_lab.folder / "out"), Hashing()).tree == expected


def test_a_single_file_is_not_mounted_by_overlay(lone_lab: Lab) -> None:
    file = dataset(lone_lab) / "rows.csv"
    record, error = ended(start(lone_lab, file, mount="overlay"))
    assert isinstance(error, UsageError)
    assert "the dataset is a single file" in error.message
    assert "--mount auto" in str(error.hint)
    assert record.version is None
    record, error = ended(start(lone_lab, file))
    assert error is None
    assert given(record).mount in {"copy", "reflink"}


# ---------------------------------------------------------------------- what one may name


@pytest.mark.parametrize(
    ("said", "label", "files"),
    [
        ("rows", "rows@2", 3),
        ("rows@1", "rows@1", 2),
        ("rows@2/deep", "rows@2/deep", 1),
        ("rows/deep/other.csv", "rows@2/deep/other.csv", 1),
        ("./rows", None, 1),
    ],
)
def test_data_by_name(lone_lab: Lab, said: str, label: str | None, files: int) -> None:
    workspace, folder = lone_lab.workspace(), dataset(lone_lab)
    workspace.datasets.add("rows", folder)
    (folder / "more.csv").write_text("5\n")
    workspace.datasets.add("rows", folder)
    (lone_lab.folder / "rows").mkdir()
    (lone_lab.folder / "rows" / "local.csv").write_text("local")
    record, error = ended(start(lone_lab, said))
    assert error is None
    data = given(record)
    assert (data.source, data.tree.files, data.attested) == (
        label or str(lone_lab.folder / "rows"),
        files,
        True,
    )


@pytest.mark.parametrize("said", ["rows@3", "rows@1/none", "rows/deep/none", "other@1", "other"])
def test_data_by_a_name_that_is_none(lone_lab: Lab, said: str) -> None:
    lone_lab.workspace().datasets.add("rows", dataset(lone_lab))
    with pytest.raises(NotFound):
        start(lone_lab, said)


def test_a_dataset_that_holds_the_cache_or_the_store_is_refused(lone_lab: Lab) -> None:
    lone_lab.workspace()
    lone_lab.cache.mkdir(exist_ok=True)
    for folder, what in (
        (lone_lab.folder, "the cache"),
        (lone_lab.cache, "the cache"),
        (lone_lab.store, "the store"),
    ):
        with pytest.raises(UsageError, match=f"holds {what}") as caught:
            start(lone_lab, folder)
        assert "name a folder beside it" in str(caught.value.hint)
        with pytest.raises(UsageError, match=f"holds {what}"):
            lone_lab.workspace().datasets.add("rows", folder)
    assert list(lone_lab.workspace().runs()) == []
