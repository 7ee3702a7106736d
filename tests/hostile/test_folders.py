"""Row 5: folders that hold more than files, as a dataset and as a package: each special thing is named, nothing hangs."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pkgrun.errors import PkgrunError
from pkgrun.observe import Progress
from tests.hostile.scene import Scene, tree
from tests.processes import powerless

pytestmark = pytest.mark.row(5)

root = pytest.mark.skipif(os.geteuid() != 0, reason="only root makes devices and becomes somebody else")


def _socket(path: Path) -> None:
    before = os.getcwd()
    os.chdir(path.parent)
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(path.name)
    os.chdir(before)


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "pipe": (lambda path: os.mkfifo(path), "a named pipe"),
    "socket": (_socket, "a socket"),
    "link out": (lambda path: path.symlink_to("/etc/passwd"), "leads out of the folder, to /etc/passwd"),
    "link up": (lambda path: path.symlink_to("../../x"), "leads out of the folder, to ../../x"),
    "link by a detour": (lambda path: path.symlink_to("a/../../../x"), "leads out of the folder"),
}
KEPT: dict[str, str] = {
    "inside": "file",
    "dangling": "nowhere",
    "loop": "odd",
    "self": ".",
    "folder": "below",
}


def _folder(scene: Scene) -> Path:
    folder = scene.root / "d"
    (folder / "below").mkdir(parents=True)
    (folder / "below/file").write_text("x")
    return folder


def _both(scene: Scene, fill: Callable[[Path], object]) -> list[PkgrunError | None]:
    """What comes of it as a dataset, and as a package."""
    scene.added("open('seen', 'w').write(repr(sorted(os.listdir(folder))))")
    fill(_folder(scene))
    package = scene.package(name="other")
    fill(package)
    found: list[PkgrunError | None] = [scene.train(data=scene.root / "d").error]
    try:
        scene.workspace.add(package)
        found.append(None)
    except PkgrunError as error:
        found.append(error)
    return found


@pytest.mark.parametrize("what", REFUSED)
def test_row_5_what_cannot_be_kept_is_named(scene: Scene, what: str) -> None:
    make, reason = REFUSED[what]
    for error in _both(scene, lambda folder: make(folder / "odd\x1b[31m")):
        assert error is not None
        assert error.exit_code in (2, 4)
        assert "odd" in error.message
        assert reason in error.message
    assert scene.workspace.packages().keys() == {"pack"}
    scene.goes_on()


@root
def test_row_5_a_device_is_named(scene: Scene) -> None:
    try:
        os.mknod(scene.root / "probe", 0o20666, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("no devices can be made here")
    for error in _both(scene, lambda folder: os.mknod(folder / "zero", 0o20666, os.makedev(1, 5))):
        assert error is not None
        assert "zero: a device" in error.message


@pytest.mark.parametrize("target", KEPT.values(), ids=KEPT.keys())
def test_row_5_links_that_stay_inside_are_kept_as_links(scene: Scene, target: str) -> None:
    assert _both(scene, lambda folder: (folder / "odd").symlink_to(target)) == [None, None]
    assert dict(scene.workspace.files("other"))["odd"].target == target


def test_row_5_up_to_ten_are_named_and_the_others_counted(scene: Scene) -> None:
    def fill(folder: Path) -> None:
        for number in range(25):
            os.mkfifo(folder / f"pipe{number}")

    for error in _both(scene, fill):
        assert error is not None
        assert error.message.count("a named pipe") == 10
        assert "15 more" in error.message


@pytest.mark.parametrize("path", ["/dev/null", "/dev/zero", "/dev/full", "pipe", "socket"])
def test_row_5_a_dataset_that_is_neither_file_nor_folder(scene: Scene, path: str) -> None:
    scene.added()
    here = scene.root / "home" / path
    if path == "pipe":
        os.mkfifo(here)
    if path == "socket":
        _socket(here)
    said = scene.call("train", "pack", "--environment", "current", "--data", here)
    assert said.code == 2
    assert f"{here} is neither a file nor a folder" in said.err


@root
@pytest.mark.parametrize("what", ["file", "folder"])
def test_row_5_what_cannot_be_read_is_named(scene: Scene, what: str) -> None:
    scene.added()
    data = _folder(scene)
    package = scene.package(name="other")
    for folder in (data, package):
        (folder / "shut").mkdir() if what == "folder" else (folder / "shut").write_text("x")
        (folder / "shut").chmod(0)
    for path in (*scene.root.parents, scene.root, data, package):
        path.chmod(path.stat().st_mode | 0o5)
    scene.train(data=scene.root / "pack")  # nobody can read the modules that are imported late
    for folder in [scene.store, *(path for path in scene.store.rglob("*") if path.is_dir())]:
        folder.chmod(0o777)
    scene.cache.chmod(0o777)
    (scene.cache / "work").chmod(0o777)
    for work in (lambda: scene.train(data=data).error, lambda: scene.workspace.add(package)):
        found = powerless(work)
        if not isinstance(found, tuple):
            found = (found.kind, found.message)
        assert found[0] == "permission"
        assert "shut: Permission denied" in found[1]


def test_row_5_a_thousand_folders_deep(scene: Scene) -> None:
    deep = "/".join(["d"] * 1000)

    def fill(folder: Path) -> None:
        here = folder
        for _ in range(1000):
            here = here / "d"
            os.mkdir(here)
        (here / "f").write_text("x")

    assert _both(scene, fill) == [None, None]
    assert f"{deep}/f" in dict(scene.workspace.files("other"))
    assert scene.train("other").error is None
    scene.goes_on()


def test_row_5_deeper_than_a_path_can_be(scene: Scene) -> None:
    """Python code can make such a folder by walking down; it is refused with its beginning named."""
    scene.added()
    data = _folder(scene)
    here = os.getcwd()
    os.chdir(data)
    try:
        for _ in range(30):
            os.mkdir("n" * 200)
            os.chdir("n" * 200)
    finally:
        os.chdir(here)
    ended = scene.train(data=data)
    assert ended.error is not None
    assert "File name too long" in ended.error.message
    scene.goes_on()


def test_row_5_names_of_every_kind(scene: Scene) -> None:
    names = [
        b"n" * 255,
        b"\xff\xfe",
        b"\xed\xa0\x80",
        "ä".encode(),
        "a\u0308".encode(),
        b"A",
        b"a",
        b"%41",
        b"\n",
        b"-",
    ]

    def fill(folder: Path) -> None:
        for name in names:
            with open(os.path.join(os.fsencode(folder), name), "wb") as file:
                file.write(name)
        (folder / "empty").mkdir()

    assert _both(scene, fill) == [None, None]
    found = {os.fsencode(path) for path, _ in scene.workspace.files("other")}
    assert {*names, b"empty"} <= found


def test_row_5_a_file_that_vanishes(scene: Scene) -> None:
    """Between the look at the folder and the reading: the first file is being copied while the others go."""
    scene.added()
    data = _folder(scene)
    for number in range(2000):
        (data / f"f{number:04}").write_bytes(b"x" * 1000)

    def observer(event: Any) -> None:
        if isinstance(event, Progress) and event.label == "data":
            for file in data.glob("f1*"):
                file.unlink(missing_ok=True)

    ended = scene.train(data=data, observer=observer, mount="copy")
    assert ended.error is not None
    assert ended.error.kind == "not-found"
    assert "vanished while it was read" in ended.error.message
    assert len(scene.workspace.versions("pack")) == 1
    scene.goes_on()


@pytest.mark.parametrize("mount", ["auto", "copy"])
def test_row_5_a_file_that_changes_is_told(scene: Scene, mount: str) -> None:
    scene.added()
    data = _folder(scene)
    big = data / "big"
    big.write_bytes(b"x" * (64 << 20))
    stop = threading.Event()

    def grow() -> None:
        with big.open("ab") as file:
            while not stop.wait(0.0005):
                file.write(b"y")
                file.flush()

    thread = threading.Thread(target=grow)
    thread.start()
    try:
        ended = scene.train(data=data, mount=mount)
    finally:
        stop.set()
        thread.join()
    facts = ended.record.facts
    assert ended.error is None
    assert facts is not None
    assert facts.data is not None
    assert facts.data.unstable.names == ("big",)
    assert facts.data.attested == (facts.data.mount == "copy")
    said = (
        "changed while they were copied" if facts.data.mount == "copy" else "changed while the code ran on it"
    )
    assert any(said in warning for warning in facts.warnings)


def test_row_5_the_source_is_never_written(scene: Scene) -> None:
    body = "for name in os.listdir(folder): os.chmod(f'{folder}/{name}', 0o777)\nopen(f'{folder}/below/file', 'w').write('y')\nos.symlink('/', f'{folder}/l')"
    scene.added(body)
    data = _folder(scene)
    before = scene.outside()
    assert scene.train(data=data).error is None
    assert scene.outside() == before


@pytest.mark.parametrize(
    "name", ["train.py", "main.py", "requirements.txt", ".pkgrunignore", "train_requirements.txt"]
)
@pytest.mark.parametrize("kind", ["pipe", "zero", "folder", "loop"])
def test_row_5_our_own_files_of_a_package_of_every_kind(scene: Scene, name: str, kind: str) -> None:
    folder = scene.package()
    file = folder / name
    file.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(file)
    elif kind == "folder":
        file.mkdir()
    else:
        file.symlink_to("/dev/zero" if kind == "zero" else name)
    calls: tuple[list[str | bytes | Path], ...]
    calls = (["package", "check", folder], ["package", "add", folder], ["train", folder])
    for words in calls:
        said = scene.call(*words, timeout=20)
        assert "Traceback" not in said.err
        assert said.code in (0, 2, 4), said
        if kind == "zero" and words[1] == "add":
            assert said.code == 4
            assert name in said.err


@pytest.mark.parametrize("what", [*REFUSED, "device"])
def test_row_5_a_registered_dataset_keeps_no_more(scene: Scene, what: str) -> None:
    """By the command, and by the library; what is refused gets no number, and the next one is 1."""
    data = _folder(scene)
    if what == "device":
        try:
            os.mknod(data / "odd", 0o20666, os.makedev(1, 5))
        except PermissionError:
            pytest.skip("no devices can be made here")
    make, reason = REFUSED.get(what, (lambda path: None, "a device"))
    make(data / "odd")
    said = scene.call("dataset", "add", "rows", data)
    assert said.code == 2
    assert reason in said.err
    with pytest.raises(PkgrunError, match="odd"):
        scene.workspace.datasets.add("rows", data)
    (data / "odd").unlink()
    assert scene.workspace.datasets.add("rows", data).record.number == 1


def test_row_5_a_registered_dataset_comes_out_as_it_was(scene: Scene) -> None:
    data = _folder(scene)
    for name in (
        b"n" * 255,
        b"\xff\xfe",
        b"A",
        b"a",
        "\u00e4".encode(),
        "a\u0308".encode(),
        b"\n",
        b"-rf",
        b"%41",
    ):
        with open(os.path.join(os.fsencode(data), name), "wb") as file:
            file.write(name)
    for kind, target in KEPT.items():
        (data / f"link-{kind}").symlink_to(target)
    deep = data / "/".join(["d"] * 200)
    deep.mkdir(parents=True)
    (data / "empty").mkdir()
    (data / "below" / "file").chmod(0o755)
    assert scene.call("dataset", "add", "rows", data).code == 0
    out = scene.root / "home" / "out"
    assert scene.call("dataset", "export", "rows", out).code == 0
    assert tree(out) == tree(data)
    assert os.access(out / "below" / "file", os.X_OK)
    assert scene.workspace.datasets.add("rows", out).new is False


def test_row_5_a_file_that_vanishes_or_changes_while_it_is_registered(scene: Scene) -> None:
    """The number that it gets is of bytes that were there; or it gets none."""
    data = _folder(scene)
    for number in range(500):
        (data / f"f{number:03}").write_bytes(b"x" * 5000)
    stop = threading.Event()

    def disturb() -> None:
        number = 0
        while not stop.is_set():
            file = data / f"f{number % 500:03}"
            file.unlink() if number % 3 else file.write_bytes(b"y" * (number % 9000))
            file.write_bytes(b"z" * 5000)
            number += 1

    thread = threading.Thread(target=disturb)
    thread.start()
    added = []
    try:
        for _ in range(5):
            try:
                added.append(scene.workspace.datasets.add("rows", data).record)
            except PkgrunError as error:
                assert error.exit_code in (6, 8, 75), error  # noqa: PT017
                assert str(data) in error.message or "f" in error.message  # noqa: PT017
    finally:
        stop.set()
        thread.join()
    final = scene.workspace.datasets.add("rows", data).record
    for record in [*added, final]:
        out = scene.root / "home" / f"out{record.number}"
        if not out.exists():
            scene.workspace.datasets.export(record.label, out)
            assert {path.stat().st_size > 0 for path in out.glob("f*")} <= {True, False}
    assert [one.number for one in scene.workspace.datasets.numbers("rows")] == list(
        range(1, final.number + 1)
    )
    assert scene.call("dataset", "diff", "rows@1", f"rows@{final.number}").code == 0
