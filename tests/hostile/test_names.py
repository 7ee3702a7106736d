"""Row 1: what must not name anything, in every place that takes a name; and odd names that are legal and must work."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pkgrun.errors import Conflict, InvalidName, NotFound, PackageInvalid, PkgrunError, UsageError
from tests.hostile.scene import Scene

pytestmark = pytest.mark.row(1)

BAD = [
    "..", "../x", "/etc/passwd", "%2e%2e", "%252e", "..;/", "a\\b", "a\0b", "a//b", "a#b", "a?b", "a\nb", "a\n",
    "-rf", "$(touch pwned)", ";touch pwned", "`touch pwned`", "a b", "", ".", ".hidden", "ä", "a" * 129, "\u202ea",
    "a\u0308", "\udcff", "a/../../x", "con:", "a@1.0\n",
]  # fmt: skip

ODD = [
    "new\nline", "-rf", "--help", "$(touch pwned)", ";touch pwned", "'quotes\"", " spaces ", "%2e%2e", "a\\b", "*",
    "tab\t", "ä", "a\u0308", "\udcff\udcfe", "...", "~", "#", "&", "|x", "n" * 255, "\x1b[31m", "\u202e",
]  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_row_1_no_package_gets_a_bad_name(scene: Scene, name: str) -> None:
    folder = scene.package()
    before = scene.outside()
    with pytest.raises(InvalidName) as caught:
        scene.workspace.add(folder, name=name)
    assert repr(name) in caught.value.message
    assert scene.workspace.packages() == {}
    assert scene.outside() == before


@pytest.mark.parametrize("name", BAD)
def test_row_1_no_bad_name_is_looked_up(scene: Scene, name: str) -> None:
    scene.added()
    before = scene.outside()
    for look in (
        scene.workspace.version,
        scene.workspace.versions,
        lambda text: list(scene.workspace.files(text)),
        scene.workspace.run,
        lambda text: scene.workspace.version(f"{text}@1.0"),
        lambda text: scene.workspace.version(f"pack@{text}"),
        lambda text: scene.workspace.train(f"{text}@1.0"),
        lambda text: scene.workspace.train("pack", version=text or "0"),
        lambda text: scene.workspace.run(text).export_artifacts("out"),
    ):
        with pytest.raises((UsageError, NotFound)):
            look(name)
    assert not (scene.root / "home" / "out").exists() or os.listdir(scene.root / "home" / "out") == []
    assert {path for path in scene.outside() if path != "home/out"} == set(before)


@pytest.mark.parametrize("name", [name for name in BAD if "\0" not in name and name])
def test_row_1_a_bad_word_is_at_most_a_folder_that_is_missing(scene: Scene, name: str) -> None:
    scene.added()
    before = scene.outside()
    with pytest.raises((NotFound, PackageInvalid, UsageError)):
        scene.workspace.train(name, environment="current")
    assert scene.outside() == before


@pytest.mark.parametrize(
    "version",
    ["1", "0.1", "1.00", "01.0", "1.0.0", "-1.0", "1.-0", "１.0", "1.0 ", " 1.0", "1e0.0", "999999999.0"],
)
def test_row_1_versions_are_written_in_one_way(scene: Scene, version: str) -> None:
    scene.added()
    for what in (f"pack@{version}", f"pack@{version}.json"):
        if what == "pack@1":
            continue
        with pytest.raises((UsageError, NotFound)):
            scene.workspace.version(what)


@pytest.mark.parametrize(
    "run",
    ["..", "0000/../..", "00000000-0000-7000-8000-000000000000", "00000000-0000-7000-8000-000000000000\n",
     "0000%2f", "0000\0", "0000;touch pwned", "-0000", "FFFF", "0" * 37],
)  # fmt: skip
def test_row_1_run_ids(scene: Scene, run: str) -> None:
    scene.added()
    with pytest.raises((InvalidName, NotFound)):
        scene.workspace.run(run)


@pytest.mark.parametrize("name", ODD)
def test_row_1_odd_folders_and_files_work(scene: Scene, name: str) -> None:
    """As data, as a file given as data, as package folder, as a file of the package, and in the artifacts."""
    folder = scene.package("import shutil; shutil.copytree(folder, 'artifacts/copy', symlinks=True)")
    inner = os.path.join(folder, name)
    with open(inner, "w") as file:
        file.write("of the package")
    data = os.path.join(scene.root, "d", name)
    os.makedirs(data)
    with open(os.path.join(data, name), "w") as file:
        file.write("of the data")
    twin = os.path.join(scene.root, "p", name)
    os.makedirs(os.path.dirname(twin))
    os.rename(folder, twin)
    before = scene.outside()
    scene.workspace.add(twin, name="pack")
    ended = scene.train(data=data)
    assert ended.error is None, ended.error
    assert ("copy/" + name) in dict(scene.workspace.run(ended.record.run).artifacts())
    scene.workspace.run(ended.record.run).export_artifacts(scene.root / "home" / "out")
    assert Path(scene.root, "home/out/copy", name).read_text() == "of the data"
    assert scene.train(data=os.path.join(data, name)).error is None
    assert name in dict(scene.workspace.files("pack@1.1"))
    assert {path for path in scene.outside() if not path.startswith("home/out")} == set(before)


@pytest.mark.parametrize("name", ["$(touch pwned)", ";touch pwned", "-rf", "--help", "new\nline", "a'b\"c"])
def test_row_1_the_console_script_takes_odd_paths(scene: Scene, name: str) -> None:
    scene.package()
    (scene.root / "home" / name).mkdir()
    (scene.root / "home" / name / name).write_text("1")
    said = scene.call("train", "../pack", "--environment", "current", f"--data=./{name}", "--json")
    assert said.code == 0, said.err
    assert said.document["record"]["facts"]["data"]["source"] == str(scene.root / "home" / name)
    run = said.document["run_id"]
    assert scene.call("run", "show", run).code == 0
    assert scene.call("run", "artifacts", run, f"--out=out/{name}").code == 0
    assert (scene.root / "home/out" / name).is_dir()
    assert "pwned" not in {os.path.basename(path) for path in scene.outside()}


@pytest.mark.parametrize(
    "words",
    [
        ["package", "show", "--", "-rf"],
        ["package", "show", "$(touch pwned)"],
        ["package", "show", "../../x"],
        ["package", "files", "pack@../1.0"],
        ["run", "show", ";touch pwned"],
        ["run", "logs", "../runs"],
        ["run", "results", "%2e%2e"],
        ["run", "artifacts", "..", "--out", "out"],
        ["train", "$(touch pwned)"],
        ["train", "pack@1.0;touch pwned"],
        ["train", "pack", "--env", "a b=c"],
        ["train", "pack", "--env", "$(touch pwned)=c"],
        ["train", "pack", "--env", "A"],
        ["train", "pack", "--env", "=A"],
        ["train", "pack", "--tag", "A"],
        ["train", "pack", "--secret", "a b"],
        ["train", "pack", "--secret", "$(touch pwned)"],
        ["train", "pack", "--data", "no/such;touch pwned"],
        ["package", "add", "no;touch pwned"],
        ["package", "add", "../pack", "--name", "../x"],
        ["--store", "s3://user:hunter22@host/x", "run", "list"],
        ["--store", "x\n$(touch pwned)", "run", "list"],
    ],
)
def test_row_1_the_console_script_refuses(scene: Scene, words: list[str]) -> None:
    scene.added()
    before = scene.outside()
    said = scene.call(*words)
    assert said.code in (2, 6), said
    assert "error: " in said.err
    assert "Traceback" not in said.err
    assert "hunter22" not in said.err
    assert scene.outside() == before


@pytest.mark.parametrize(
    "folder",
    ["..", "../x", "/tmp/x", "a/../..", "data", "data/x", "./data/", ".", "", "a/../data", "a\0b", "train.py", "train.py/x",
     "link", "link/x", "n" * 256],
)  # fmt: skip
def test_row_1_the_artifacts_folder_stays_inside(scene: Scene, folder: str) -> None:
    package = scene.package()
    (package / "inner").mkdir()
    (package / "link").symlink_to("inner")
    scene.workspace.add(package)
    before = scene.outside()
    if folder == "link":
        # What the run's own folder hides comes back: the link is not followed.
        assert scene.train(env={"artifacts_directory": folder}).error is None
        assert dict(scene.workspace.files("pack@1.1"))["link"].kind == "symlink"
        return
    with pytest.raises(UsageError):
        _trained(scene, {"artifacts_directory": folder})
    assert scene.outside() == before
    scene.goes_on()


def _trained(scene: Scene, env: dict[str, str]) -> None:
    ended = scene.train(env=env)
    if ended.error is not None:
        raise ended.error


@pytest.mark.parametrize("folder", ["out", "a/b/c", "./x/", "$(touch pwned)", "new\nline", "-rf", "..."])
def test_row_1_odd_artifacts_folders_work(scene: Scene, folder: str) -> None:
    scene.added("mark(os.path.join(os.environ['artifacts_directory'], 'f'))")
    ended = scene.train(env={"artifacts_directory": folder})
    assert ended.error is None, ended.error
    assert [path for path, _ in scene.workspace.run(ended.record.run).artifacts()] == ["f"]
    assert "pwned" not in {os.path.basename(path) for path in scene.outside()}


@pytest.mark.parametrize("key", [*BAD, *ODD, "k" * 1_000_000, "\ud800"])
def test_row_1_any_text_is_an_idempotency_key(scene: Scene, key: str) -> None:
    scene.added()
    first = scene.workspace.train("pack", environment="current", idempotency_key=key)
    first.wait()
    again = scene.workspace.train("pack", environment="current", idempotency_key=key)
    assert again.id == first.id
    assert len(os.listdir(scene.store / "keys")) == 1
    with pytest.raises(Conflict):
        scene.workspace.train("pack", environment="current", idempotency_key=key, env={"a": "b"})


@pytest.mark.parametrize("name", ["a b", "1a", "a-b", "a=b", "", "a\0", "a\n", "ä", "\udcff", "$(x)"])
def test_row_1_names_of_variables(scene: Scene, name: str) -> None:
    scene.added()
    with pytest.raises(UsageError):
        scene.workspace.train("pack", environment="current", env={name: "value"})


@pytest.mark.parametrize(
    "name", ["name.lock", "x.json", "events.jsonl", "pkgrun-store.json", "0", "a.", "A" * 128]
)
def test_row_1_legal_package_names_do_not_meet_our_own_files(scene: Scene, name: str) -> None:
    scene.workspace.add(scene.package(), name=name)
    assert scene.train(name).error is None
    assert scene.workspace.packages().keys() == {name}
    assert str(scene.workspace.version(name).version) == "1.1"


@pytest.mark.parametrize(
    "lines",
    [
        "../*",
        "/",
        "!",
        "\\",
        "[",
        "***/a",
        "**/" * 40 + "x",
        "a\0b",
        "#",
        "*\n!main.py\n!train.py",
        "$(touch pwned)",
    ],
)
def test_row_1_what_an_ignore_file_may_say(scene: Scene, lines: str) -> None:
    folder = scene.package()
    (folder / ".pkgrunignore").write_text(lines)
    before = scene.outside()
    try:
        files = dict(scene.workspace.files(f"pack@{scene.workspace.add(folder).record.version}"))
    except PkgrunError as error:
        assert ".pkgrunignore" in f"{error.message}{error.hint}" or "pack" in error.message  # noqa: PT017
    else:
        assert all(not path.startswith(("/", "..")) for path in files)
    assert scene.outside() == before


@pytest.mark.parametrize(
    "line",
    ["-r ../outside.txt", "-r /etc/passwd", "-e ../x", "./../x", "file:///etc", "-c ../c.txt", "-r a\0b", "-r .",
     "--index-url", "-r %2e%2e/x", "; touch pwned", "$(touch pwned)", "x @ file:../../y", "-r link.txt"],
)  # fmt: skip
def test_row_1_requirements_stay_inside_the_package(scene: Scene, line: str) -> None:
    folder = scene.package()
    (folder / "requirements.txt").write_text(line + "\n")
    (scene.root / "outside.txt").write_text("six\n")
    (folder / "inside.txt").write_text("")
    (folder / "link.txt").symlink_to("inside.txt")
    scene.workspace.add(folder)
    before = scene.outside()
    ended = scene.train(environment="isolated", env={"UV_OFFLINE": "1"})
    assert ended.error is None or ended.error.exit_code in (4, 75), ended.error
    if line.startswith(("-r ../", "-r /", "-e", "-c", "./..", "file:", "x @")):
        assert ended.error is not None
        assert "requirements.txt:1" in ended.error.message
    assert scene.outside() == before
    assert scene.left() == []
