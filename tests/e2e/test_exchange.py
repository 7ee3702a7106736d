"""Versions that leave a store and come into another: as a folder, as a zip, as AI Center's zip with what is told beside."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TypedDict

import pytest

import pkgrun
from pkgrun import Listing, Notice, Workspace
from pkgrun.errors import Conflict, InvalidName, NotFound, UsageError
from pkgrun.identity import Version
from pkgrun.observe import Event
from pkgrun.store.objects import digest_of
from pkgrun.workspace.stores import copy_store, fsck, repair

from .lab import Lab, until

SAID = Listing(display_name="Churn!", input_type="file", gpu=True, change_log="the first")


@pytest.fixture
def source(lab: Lab) -> Workspace:
    """A store with p 1.0 and what was trained from it, 1.1 and 1.2."""
    folder = lab.package("p", files={"lib/a.txt": "a", "run.sh": "#!/bin/sh\n"})
    (folder / "run.sh").chmod(0o755)
    (folder / "model").mkdir()
    workspace = lab.workspace()
    workspace.add(folder, description="who leaves", listing=SAID)
    workspace.train("p", version="1.0").wait(60)
    workspace.train("p", version="1.1").wait(60)
    return workspace


@pytest.fixture
def target(lab: Lab) -> Workspace:
    """Another store."""
    return pkgrun.open(lab.folder / "target")


class Files(TypedDict):
    """What `add` is given of an exported version."""

    package: str
    metadata: str


def exported(source: Workspace, name: str, lab: Lab) -> Files:
    """A version that was exported as AI Center does."""
    done = source.export(name, lab.folder / "out", form="aicenter")
    whole, metadata, _ = done.paths
    return {"package": whole, "metadata": metadata}


def messages(act: Callable[[Callable[[Event], None]], object]) -> list[str]:
    """What is noted while something is done."""
    heard: list[Event] = []
    act(heard.append)
    return [event.message for event in heard if isinstance(event, Notice)]


def test_a_round_trip_gives_the_same_content_and_the_same_bytes(
    source: Workspace, target: Workspace, lab: Lab
) -> None:
    record = target.add(**exported(source, "p@1.1", lab)).record
    assert record.tree == source.version("p@1.1").tree
    assert (record.package, record.version) == ("p", Version(1, 0))
    target.export("p@1.0", lab.folder / "again" / "p_v1.1.zip", form="zip")
    assert (lab.folder / "again/p_v1.1.zip").read_bytes() == (lab.folder / "out/p_v1.1.zip").read_bytes()
    files = dict(target.files("p@1.0"))
    assert files["run.sh"].executable
    assert files["model"].kind == "dir"


def test_what_was_said_of_it_comes_along(source: Workspace, target: Workspace, lab: Lab) -> None:
    record = target.add(**exported(source, "p@1.0", lab)).record
    assert record.description == "who leaves"
    assert record.listing is not None
    assert record.listing.said.items() >= SAID.said.items()
    other = target.add(
        **exported(source, "p@1.1", lab), description="mine", listing=Listing(input_type="json")
    ).record
    assert other.description == "mine"
    assert other.listing is not None
    assert (other.listing.input_type, other.listing.display_name) == ("json", "Churn!")


def test_what_is_said_of_a_version_holds_of_what_is_made_of_it_but_for_what_was_new(
    source: Workspace,
) -> None:
    record = source.version("p@1.2")
    assert record.listing == SAID.inherited()
    assert record.listing.change_log is None
    assert record.description == "who leaves"


def test_ancestry_survives_two_journeys(source: Workspace, target: Workspace, lab: Lab) -> None:
    digests = {
        minor: digest_of((lab.store / f"packages/p/00000001/{minor:08}.json").read_bytes())
        for minor in (0, 1, 2)
    }
    first = target.add(**exported(source, "p@1.2", lab)).record
    assert first.origin is not None
    assert (first.origin.package, first.origin.version) == ("p", Version(1, 2))
    assert first.origin.record == digests[2]
    assert first.origin.ancestors == (digests[1], digests[0])
    target.train("p@1.0").wait(60)
    third = pkgrun.open(lab.folder / "third")
    done = target.export("p@1.1", lab.folder / "out2", form="aicenter")
    last = third.add(done.paths[0]).record
    assert last.origin is not None
    here = digest_of((lab.folder / "target/packages/p/00000001/00000000.json").read_bytes())
    assert last.origin.ancestors == (here, digests[2], digests[1], digests[0])


def test_it_gets_the_next_minor_of_its_major_or_begins_it(
    source: Workspace, target: Workspace, lab: Lab
) -> None:
    first, second = exported(source, "p@1.1", lab), exported(source, "p@1.2", lab)
    assert target.add(**first, major=7).record.version == (7, 0)
    assert target.add(**second, major=7).record.version == (7, 1)
    assert target.add(**second, major=3).record.version == (3, 0)
    said = messages(lambda heard: target.add(**second, observer=heard))
    assert "exported as 1.2, it is p@1.0 here" in said
    assert target.add(lab.package("p")).record.version == (8, 0)
    target.train("p@3").wait(60)
    assert target.version("p@3").version == (3, 1)


def test_what_is_exported_and_comes_back_is_the_next_minor(source: Workspace, lab: Lab) -> None:
    """Of major 1, where 1.2 is the newest; as 7.3 comes back as 7.4."""
    back = source.add(**exported(source, "p@1.2", lab))
    assert (back.record.version, back.record.kind, back.new) == (Version(1, 3), "import", True)
    again = source.add(**exported(source, "p@1.3", lab))
    assert (again.record.version, again.new) == (Version(1, 3), False)


def test_majors_with_gaps_are_sound_and_can_be_repaired(
    source: Workspace, target: Workspace, lab: Lab
) -> None:
    files = exported(source, "p@1.1", lab)
    target.add(lab.package("p"))
    for major in (7, 3):
        target.add(**files, major=major)
    store = lab.folder / "target"
    assert fsck(store, read_data=True).sound
    for major in (1, 3, 7):
        path = store / f"packages/p/{major:08}/00000000.json"
        whole = path.read_bytes()
        path.unlink()
        assert not fsck(store).sound
        assert repair(store, execute=True).sound
        assert path.read_bytes() == whole
    assert target.add(lab.package("p", files={"more.txt": "x"})).record.version == (8, 0)
    copy_store(store, lab.folder / "copied")
    for place in (store, lab.folder / "copied"):
        assert fsck(place, read_data=True).sound
        assert [str(record.version) for record in pkgrun.open(place).versions("p")] == [
            "1.0",
            "3.0",
            "7.0",
            "8.0",
        ]


def test_an_import_that_was_decided_and_has_no_number_yet_keeps_its_content(
    source: Workspace, target: Workspace, lab: Lab
) -> None:
    """Also where the version of another major has the same content and was removed: it will not be that one."""
    first = exported(source, "p@1.1", lab)
    target.add(**first, major=6)
    target.add(**first, major=7)
    target.add(**exported(source, "p@1.2", lab), major=6)
    back = target.add(**exported(source, "p@1.0", lab), major=6).record
    store = lab.folder / "target"
    number = store / "packages/p/00000006/00000002.json"
    assert back.version == (6, 2)
    number.unlink()
    (store / "runs" / back.run / "run.json").unlink()
    target.remove("p@7.0", force=True)
    lab.pkgrun("store", "gc", "--grace", "0", "--yes", "--store", store)
    assert pkgrun.open(store).run(back.run).record().status == "successful"
    assert number.exists()
    assert fsck(store, read_data=True).sound


def _link(path: Path) -> None:
    path.unlink()
    path.symlink_to("p_v1.2_pkgrun.json")


CHANGED: dict[str, tuple[Callable[[Path], object], str]] = {
    "another record": (lambda path: _replace(path, r'"record":"sha256:.', '"record":"sha256:0'), "was changed since"),
    "another store": (lambda path: _replace(path, r'"store":"0', '"store":"1'), "was changed since"),
    "fewer ancestors": (lambda path: _replace(path, r'"ancestors":\[[^]]*\]', '"ancestors":[]'), "was changed since"),
    "no seal": (lambda path: _replace(path, r'"seal":"[^"]*",', ""), "does not say where the zip is from"),
    "no JSON": (lambda path: path.write_text("{"), "does not say where the zip is from"),
    "another version's": (lambda path: path.write_bytes((path.parent / "p_v1.2_pkgrun.json").read_bytes()), "is about p 1.1, and"),
    "a link": (_link, "p_v1.1_pkgrun.json"),
    "a flood": (lambda path: path.write_bytes(b" " * (2 << 20)), "larger than"),
}  # fmt: skip


def _replace(path: Path, pattern: str, by: str) -> None:
    text = path.read_text()
    changed = re.sub(pattern, by, text)
    assert changed != text
    path.write_text(changed)


def test_a_passport_that_was_changed_or_is_anothers_is_refused(
    source: Workspace, target: Workspace, lab: Lab
) -> None:
    exported(source, "p@1.2", lab)
    files = exported(source, "p@1.1", lab)
    passport = lab.folder / "out" / "p_v1.1_pkgrun.json"
    kept = passport.read_bytes()
    for what, (change, reason) in CHANGED.items():
        passport.unlink()
        passport.write_bytes(kept)
        change(passport)
        with pytest.raises(Exception, match=reason) as refused:
            target.add(**files)
        assert "p_v1.1_pkgrun.json" in str(refused.value), what
    passport.unlink()
    assert target.add(**files).record.origin is None


def test_a_zip_alone_is_a_new_major_under_its_folders_name(
    source: Workspace, target: Workspace, lab: Lab
) -> None:
    done = source.export("p@1.1", lab.folder / "churn.zip", form="zip")
    record = target.add(done.paths[0]).record
    assert (record.package, record.version, record.origin) == ("churn", Version(1, 0), None)
    exported(source, "p@1.1", lab)
    said = messages(lambda heard: target.add(lab.folder / "out/p_v1.1.zip", name="p", observer=heard))
    assert "p_v1.1_metadata.json lies beside the zip and is not asked" in said
    assert target.add(lab.folder / "out/p_v1.1.zip", name="p").record.origin is not None


def test_a_zip_can_be_trained_at_once(source: Workspace, lab: Lab) -> None:
    source.export("p@1.0", lab.folder / "fresh.zip", form="zip")
    lab.pkgrun("train", "./fresh.zip", "--environment", "current")
    assert source.version("fresh@1.1").parent == (1, 0)
    assert lab.leftovers() == []


def test_a_zip_of_somebody_elses_is_taken_as_it_is_but_for_compiled_code(lab: Lab) -> None:
    """What `.pkgrunignore` names stays: somebody chose what to pack, and a trained model is often ignored."""
    folder = lab.package(
        "p",
        files={".pkgrunignore": "*.bin\n", "model.bin": "x", "__pycache__/train.pyc": "x", ".git/HEAD": ""},
    )
    shutil.make_archive(str(lab.folder / "p"), "zip", folder.parent, "p")
    lab.workspace().add(lab.folder / "p.zip")
    assert set(lab.version_files("p@1.0")) == {
        ".git", ".git/HEAD", ".pkgrunignore", "main.py", "model.bin", "requirements.txt", "train.py",
    }  # fmt: skip


def test_what_does_not_fit_together_is_said(source: Workspace, target: Workspace, lab: Lab) -> None:
    files = exported(source, "p@1.1", lab)
    with pytest.raises(UsageError, match="is no zip, and metadata is of an exported zip"):
        target.add(lab.package("p"), metadata=files["metadata"])
    with pytest.raises(UsageError, match="a major is chosen for what was exported"):
        target.add(files["package"], major=3)
    for major in (0, 10**8, -1):
        with pytest.raises(UsageError, match="is no major"):
            target.add(**files, major=major)
    with pytest.raises(NotFound):
        target.add(files["package"], metadata=str(lab.folder / "nothing.json"))
    with pytest.raises(UsageError, match="larger than 64 KiB"):
        target.add(**files, listing=Listing(change_log="x" * 70_000))
    (lab.folder / "odd.json").write_text(
        json.dumps(json.loads(Path(files["metadata"]).read_text()) | {"name": "a/b"})
    )
    with pytest.raises(InvalidName, match="'a/b' cannot name a package"):
        target.add(files["package"], metadata=lab.folder / "odd.json")
    assert target.add(files["package"], metadata=lab.folder / "odd.json", name="c").record.package == "c"
    assert target.packages() == {"c": 1}


def test_a_package_that_cannot_be_trained_is_not_retrainable_whatever_is_said(
    target: Workspace, lab: Lab
) -> None:
    folder = lab.package("p")
    (folder / "train.py").unlink()
    shutil.make_archive(str(lab.folder / "p"), "zip", folder.parent, "p")
    (lab.folder / "m.json").write_text('{"name":"p","version":"2.5","retrainable":true,"color":"red"}')
    said = messages(
        lambda heard: target.add(lab.folder / "p.zip", metadata=lab.folder / "m.json", observer=heard)
    )
    assert "it is said to be retrainable, and no training of it can run" in said
    assert any("nothing here has the field 'color'" in one for one in said)
    assert target.version("p").version == (2, 0)


def test_nothing_is_written_over(source: Workspace, lab: Lab) -> None:
    out = lab.folder / "out"
    out.mkdir()
    (out / "p_v1.1_pkgrun.json").write_text("mine")
    with pytest.raises(Conflict, match=r"out/p_v1\.1_pkgrun\.json is there already"):
        source.export("p@1.1", out, form="aicenter")
    assert [path.name for path in out.iterdir()] == ["p_v1.1_pkgrun.json"]
    (lab.folder / "p.zip").mkdir()
    for place in (lab.folder / "p.zip", out / "p_v1.1_pkgrun.json" / "p.zip"):
        with pytest.raises(Conflict):
            source.export("p@1.1", place, form="zip")
    for name in ("p", ".zip", "a\\b.zip", "..zip/", "a\n.zip"):
        with pytest.raises(UsageError):
            source.export("p@1.1", f"{out}/{name}", form="zip")
    with pytest.raises(UsageError, match="'tar' is no form"):
        source.export("p@1.1", out / "x", form="tar")  # type: ignore[arg-type]
    assert (out / "p_v1.1_pkgrun.json").read_text() == "mine"


def test_a_pickle_bomb_travels_and_nobody_opens_it(target: Workspace, lab: Lab) -> None:
    bomb = b"cos\nsystem\n(S'touch opened'\ntR."
    (lab.package("p") / "model.pkl").write_bytes(bomb)
    lab.workspace().add(lab.package("p"))
    assert target.add(**exported(lab.workspace(), "p@1.0", lab)).new
    lab.pkgrun("package", "check", "out/p_v1.0.zip")
    target.export("p@1.0", lab.folder / "there")
    assert (lab.folder / "there/model.pkl").read_bytes() == bomb
    assert not list(lab.folder.rglob("opened"))


def test_an_import_that_is_killed_while_it_unpacks_leaves_what_the_next_one_removes(lone_lab: Lab) -> None:
    lab = lone_lab
    folder = lab.package("p")
    (folder / "model.bin").write_bytes(os.urandom(64 << 20))
    with zipfile.ZipFile(lab.folder / "p.zip", "w") as file:
        for path in sorted(folder.iterdir()):
            file.write(path, f"p/{path.name}")
    process = lab.start("package", "add", "p.zip")
    until(lambda: list(lab.cache.glob("work/*/.scratch/p")), what="unpacking")
    process.kill()
    process.wait(30)
    (folder / "model.bin").unlink()
    shutil.make_archive(str(lab.folder / "q"), "zip", folder.parent, "p")
    lab.pkgrun("package", "add", "q.zip")
    assert lab.leftovers() == []
    assert lab.workspace().packages() == {"p": 1}


def test_several_versions_go_into_one_folder(source: Workspace, lab: Lab) -> None:
    for version in ("1.0", "1.1"):
        source.export(f"p@{version}", lab.folder / "out", form="aicenter")
    assert len(list((lab.folder / "out").iterdir())) == 6


STOPS = """
import os, signal, sys
import pkgrun

def stop(event):
    print("writing", flush=True)
    signal.pause()

pkgrun.open(sys.argv[1]).export("p@1.1", sys.argv[2], form="aicenter", observer=stop)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_who_stops_an_export_finds_nothing_of_it(source: Workspace, lab: Lab, how: signal.Signals) -> None:
    out = lab.folder / "out"
    process = lab.python(STOPS, lab.store, out, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    assert process.stdout.readline() == "writing\n"
    process.send_signal(how)
    process.wait(30)
    assert not [path for path in out.iterdir() if path.is_file()]
    source.export("p@1.1", out, form="aicenter")
    assert sorted(os.listdir(out)) == ["p_v1.1.zip", "p_v1.1_metadata.json", "p_v1.1_pkgrun.json"]


def test_the_console_says_the_same(source: Workspace, lab: Lab) -> None:
    done = lab.document("package", "export", "p@1.1", "out", "--format", "aicenter")
    assert done == {
        "files": 6,
        "out": "out",
        "paths": ["out/p_v1.1.zip", "out/p_v1.1_metadata.json", "out/p_v1.1_pkgrun.json"],
    }
    with zipfile.ZipFile(lab.folder / "out/p_v1.1.zip") as file:
        assert file.testzip() is None
    words = ["--metadata", "out/p_v1.1_metadata.json", "--change-log", "came back", "--major", "5"]
    found = lab.document("package", "add", "out/p_v1.1.zip", *words)
    assert (found["package"], found["version"], found["new"]) == ("p", "5.0", True)
    assert (found["listing"]["change_log"], found["listing"]["display_name"]) == ("came back", "Churn!")
    assert found["origin"]["version"] == "1.1"
    page = lab.pkgrun("package", "show", "p@5.0").out
    for row in ("display name", "change log", "exported from", "with 1 ancestor"):
        assert row in page
    assert lab.pkgrun("package", "export", "p@1.1", "x", code=0).err.startswith("6 files written")
    (lab.folder / "cut.zip").write_bytes((lab.folder / "out/p_v1.1.zip").read_bytes()[:-30])
    said = lab.pkgrun("package", "add", "cut.zip", code=4).err
    assert said.startswith("error: cut.zip: the zip is cut off")


def test_what_an_import_leaves_out_is_told(lab: Lab) -> None:
    package = lab.package("p", files={".pkgrunignore": "*.log\n", "model/best.log": "weights", "a.pyc": ""})
    assert "note: left out: model/best.log\n" in lab.pkgrun("package", "add", package).err
    assert "left out" not in lab.pkgrun("package", "add", package).err
