"""What nobody means to do and everybody does: each gives what was meant, or an error that names the thing."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest

from pkgrun.errors import PkgrunError, UsageError
from tests.hostile.scene import Scene

TRAIN = "train pack --environment current"


@pytest.mark.parametrize("redirect", [">&-", "2>&-", "<&-", ">&- 2>&- <&-"])
@pytest.mark.parametrize("words", [TRAIN, f"{TRAIN} --json", "run list --all", "run list --json"])
def test_clumsy_closed_streams(scene: Scene, redirect: str, words: str) -> None:
    """What is done is done, but a page that nobody can be shown is a failure."""
    scene.added("print('x')")
    said = scene.shell(f"$P {words} {redirect}")
    unseen = "run list" in words and redirect.startswith(">&-")
    assert said.code == (75 if unseen else 0), said
    assert len(scene.workspace.versions("pack")) == (2 if "train" in words else 1)
    for path in scene.store.rglob("*.json"):
        assert path.read_bytes().startswith(b"{"), "something was printed into a record"


@pytest.mark.parametrize(
    "words", [TRAIN, f"{TRAIN} --json", "run list", "run logs $R", "run show $R", "package list"]
)
def test_clumsy_a_reader_that_leaves(scene: Scene, words: str) -> None:
    scene.added("for n in range(5000): print('line', n)")
    run = scene.train().record.run
    for pipe in ("| true", "2>&1 | true", "| head -1"):
        said = scene.shell(f"set -o pipefail; $P {words} {pipe}", R=run)
        assert said.code == 0, (pipe, said)
        assert "Traceback" not in said.err
        assert "bug" not in said.err
    assert len(scene.workspace.versions("pack")) == (5 if "train" in words else 2)


def test_clumsy_a_failed_run_is_one_though_nobody_reads(scene: Scene) -> None:
    scene.added("raise ValueError")
    for pipe in ("| true", "2>&1 | true", ">&- 2>&-"):
        for json in ("", "--json"):
            assert scene.shell(f"set -o pipefail; $P {TRAIN} {json} {pipe}").code == 1


def test_clumsy_a_full_disk_for_the_output(scene: Scene) -> None:
    scene.added()
    for words in (TRAIN, "run list --json", "package list"):
        said = scene.shell(f"$P {words} >/dev/full")
        assert said.code == 75
        assert "error: the output cannot be written: No space left on device" in said.err
        assert "Traceback" not in said.err


@pytest.mark.parametrize(
    "env",
    [{"LC_ALL": "C"}, {"LC_ALL": "POSIX", "PYTHONIOENCODING": "ascii"}, {"PYTHONIOENCODING": "latin-1"}],
)
def test_clumsy_a_terminal_without_unicode(scene: Scene, env: dict[str, str]) -> None:
    data = scene.root / "dä\udcff"
    data.mkdir()
    scene.added("print('→ ä')")
    variables = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", **env}
    said = scene.call(*TRAIN.split(), "--data", os.fsencode(data), env=variables)
    assert said.code == 0, said.err
    run = scene.call("run", "list", "--json", env=variables).document["runs"][0]["run_id"]
    for words in (["run", "list"], ["run", "show", run], ["run", "logs", run], ["package", "show", "pack"]):
        assert scene.call(*words, env=variables).code == 0


@pytest.mark.parametrize("name", ["with space", "\udcff\udcfe", "ä", "new\nline", "-rf", "$(x)", "\x1b[31m"])
def test_clumsy_a_store_at_an_odd_path(scene: Scene, name: str) -> None:
    store = os.fsencode(scene.root / "home" / name / "s")
    package = scene.package("mark('artifacts/x')")
    said = scene.call("--store", store, "train", package, "--environment", "current", "--json", store=False)
    assert said.code == 0, said.err
    run = said.document["run_id"]
    for words in (
        ["run", "show", run],
        ["run", "results", run],
        ["run", "list", "--json"],
        ["package", "show", "pack"],
    ):
        again = scene.call("--store", store, *words, store=False)
        assert again.code == 0, again.err
        assert "\x1b" not in again.out


def test_clumsy_a_current_directory_that_is_gone(scene: Scene) -> None:
    scene.added()
    for words, code in (("run list", 0), (TRAIN, 0), ("--store rel run list", 2), (f"{TRAIN} --data .", 6)):
        gone = f"mkdir g; cd g; rmdir ../g; $P {words}"
        said = scene.shell(gone)
        assert said.code in (code, 2), said
        assert "Traceback" not in said.err


@pytest.mark.parametrize("env", [{"HOME": None}, {"HOME": "/nonexistent"}, {"HOME": ""}, {"TMPDIR": "/nonexistent"},
                                 {"LOGNAME": "\udcff", "USER": "\x1b"}, {"TERM": None}, {"PATH": None}, {"COLUMNS": "x"}])  # fmt: skip
def test_clumsy_an_odd_environment(scene: Scene, env: dict[str, str | None]) -> None:
    scene.added()
    assert scene.call(*TRAIN.split(), env=env).code == 0
    assert scene.call("run", "list", env=env).code == 0


@pytest.mark.parametrize("cache", ["/dev/null", "/dev/null/x", "/proc/x", "file", "file/x"])
def test_clumsy_a_cache_that_cannot_be(scene: Scene, cache: str) -> None:
    scene.added()
    (scene.root / "home" / "file").write_text("")
    said = scene.call(*TRAIN.split(), env={"PKGRUN_CACHE": cache})
    assert said.code in (9, 75), said
    assert cache.rsplit("/", maxsplit=1)[-1] in said.err or "null" in said.err
    assert "Traceback" not in said.err
    assert scene.call("run", "list", "--json").document["runs"][0]["status"] == "failed"


@pytest.mark.parametrize("store", ["/dev/null", "/dev/null/x", "/proc/x", "full", "file", "file/x", "x\n"])
def test_clumsy_a_store_that_cannot_be(scene: Scene, store: str) -> None:
    (scene.root / "home" / "file").write_text("")
    (scene.root / "home" / "full").mkdir()
    (scene.root / "home" / "full" / "mine").write_text("")
    before = scene.outside()
    said = scene.call("--store", store, "run", "list", store=False)
    assert said.code in (2, 6, 7, 8), said
    assert "Traceback" not in said.err
    assert scene.outside() == before


def test_clumsy_the_store_in_the_package_and_the_package_in_the_store(scene: Scene) -> None:
    package = scene.package()
    for number in (1, 2):
        said = scene.call("train", ".", "--environment", "current", cwd=package, store=False)
        assert said.code == 0, said
        assert f"pack 1.{number}" in said.out
    files = scene.call("package", "files", "pack@1.0", cwd=package, store=False).out
    assert ".pkgrun" not in files
    said = scene.call("train", "./", "--environment", "current", "--data", ".", cwd=package, store=False)
    assert said.code == 2
    assert "holds the store" in said.err
    said = scene.call(
        "--store", ".pkgrun/inner", "train", ".", "--environment", "current", cwd=package, store=False
    )
    assert said.code == 0, said
    said = scene.call("--store", ".", "train", ".", cwd=package, store=False)
    assert said.code == 7, said
    assert scene.call("run", "list", "--json", cwd=package, store=False).code == 0


def test_clumsy_data_in_the_store_and_in_the_package(scene: Scene) -> None:
    scene.added("mark('artifacts/x')")
    run = scene.train().record.run
    for data in (
        scene.store / "runs" / run,
        scene.store / "packages",
        scene.root / "pack",
        scene.store / "pkgrun-store.json",
    ):
        ended = scene.train(data=data)
        assert ended.error is None, ended.error
    assert scene.workspace.runs()
    assert scene.call("run", "list").code == 0


@pytest.mark.parametrize("timeout", ["0", "-1", "nan", "inf", "-inf", "1e9", "x", ""])
def test_clumsy_timeouts(scene: Scene, timeout: str) -> None:
    scene.added()
    said = scene.call(*TRAIN.split(), f"--timeout={timeout}")
    assert said.code == 2
    assert "timeout" in said.err
    assert len(scene.workspace.versions("pack")) == 1


def test_clumsy_sizes(scene: Scene) -> None:
    scene.added()
    for given in (
        {"description": "x" * 70_000}, {"description": "\1" * 20_000}, {"tags": {f"k{n}": "v" * 10 for n in range(10_000)}},
        {"env": {"A": "x" * 130_000}}, {"env": {f"A{n}": "x" * 1000 for n in range(300)}}, {"env": {"A": "\1" * 100_000}},
    ):  # fmt: skip
        with pytest.raises(UsageError, match="larger than"):
            scene.train(**given)
    for fine in (
        {"description": "x" * 60_000}, {"tags": {f"k{n}": "v" for n in range(1000)}}, {"env": {"A": "x" * 120_000}},
        {"env": {"A": "\1" * 40_000}, "tags": {"t": "\1" * 10_000}, "description": "\1" * 10_000},
    ):  # fmt: skip
        assert scene.train(**fine).error is None


@pytest.mark.parametrize(
    "given",
    [
        {"env": {"A": 3}},
        {"env": {3: "a"}},
        {"tags": {"A": 3}},
        {"description": 3},
        {"tags": {"A": "\ud800"}},
        {"env": {"A": "\udcff"}},
    ],
)
def test_clumsy_values_that_are_no_text(scene: Scene, given: dict[str, Any]) -> None:
    scene.added()
    with pytest.raises(UsageError):
        scene.train(**given)


@pytest.mark.parametrize("data", ["", "s3://b/x", "https://user:pw@h/x", "no\0", "~nobody-of-that-name/x"])
def test_clumsy_data(scene: Scene, data: str) -> None:
    scene.added()
    try:
        error = scene.train(data=data).error  # of a URL only the fetching tells
    except PkgrunError as early:
        error = early
    assert error is not None
    assert re.search(r"dataset|URL|path|h/x|b/x", str(error))
    assert error.exit_code in (2, 6, 9, 75), error
    assert "pw" not in str(error)
    assert len(scene.workspace.versions("pack")) == 1


def test_clumsy_the_same_tag_twice_is_the_last(scene: Scene) -> None:
    scene.added()
    said = scene.call(
        *TRAIN.split(), "--tag", "a=1", "--tag", "a=2", "--env", "b=1", "--env", "b=2", "--json"
    )
    request = said.document["record"]["request"]
    assert (request["tags"], request["parameters"]) == ({"a": "2"}, {"b": "2"})


def test_clumsy_names_in_two_unicode_forms_are_two(scene: Scene) -> None:
    folder = scene.package()
    for name in ("ä", "a\u0308"):
        (folder / name).write_text(name)
    scene.workspace.add(folder)
    assert scene.train().error is None
    assert {"ä", "a\u0308"} <= set(dict(scene.workspace.files("pack@1.1")))


@pytest.mark.parametrize("file", ["pkgrun.toml", "pyproject.toml"])
def test_clumsy_a_settings_file_of_every_kind(scene: Scene, file: str) -> None:
    path = Path(scene.root, "home", file)
    for make, code in (
        (lambda: os.mkfifo(path), 6), (lambda: path.mkdir(), 6), (lambda: path.symlink_to("/dev/zero"), 6),
        (lambda: path.write_text("tool.pkgrun = ["), 2), (lambda: path.write_bytes(b"# tool.pkgrun \xff"), 2),
        (lambda: path.write_text("tool.pkgrun = 5\nstore = 5"), 2),
    ):  # fmt: skip
        make()
        said = scene.call("run", "list", store=False, timeout=10)
        assert said.code == code, said
        assert "Traceback" not in said.err
        path.rmdir() if path.is_dir() else path.unlink()
