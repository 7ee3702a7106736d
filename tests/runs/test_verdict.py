"""Whose fault an end was, and what to do: where an overlay is not quite a folder, where a limit lets not even Python start."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pkgrun.errors import UsageError, UserCodeFailed
from pkgrun.records import RunError
from pkgrun.runs.verdict import verdict
from pkgrun.worker.limits import Confines, Limits
from tests.worker.mounted import Ground, ground
from tests.worker.trial import package, trained, tried


@pytest.fixture
def place() -> Iterator[Ground]:
    with ground("user") as made:
        if isinstance(made, str):
            pytest.skip(made)
        yield made


def hint(place: Ground, body: str, *, overlay: bool = True) -> str | None:
    workdir = str(place.root / "work")
    error = verdict(place.run(body).exit, workdir=workdir, timeout=None, dataset=True, overlay=overlay)
    assert error is not None
    return error.hint


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("os.rename('data/folder', 'data/other')", "renames no folder of the dataset"),
        ("os.rename('./data/folder/x', 'x')", "nothing across its border"),
        ("os.rename(os.path.abspath('data/folder'), os.path.abspath('data/other'))", "renames no folder"),
        ("os.rename('data', 'other')", "itself stays where it is"),
        ("import shutil; shutil.rmtree('data')", "itself stays where it is"),
        (
            "try: os.rename('data/folder', 'data/o')\nexcept OSError as error: raise ValueError('no') from error",
            "renames no folder of the dataset",
        ),
        ("subprocess.run(['mv', '-T', 'data', 'other'], check=True)", None),
        ("raise OSError(16, 'Device or resource busy', '/dev/gpu')", None),
        ("raise PermissionError('Permission denied: no data for you')", None),
        ("raise ValueError('data/folder is empty')", None),
        ("raise ValueError('Value too large')", None),
    ],
)
def test_a_seam_of_the_overlay_names_the_way_out(place: Ground, body: str, words: str | None) -> None:
    place.fill({"folder/x": "1"})
    said = hint(place, body)
    assert said is not None
    assert ("--mount copy" in said) == (words is not None)
    assert words is None or words in said


@pytest.mark.skipif(os.geteuid() != 0, reason="only root owns what is not the user's")
@pytest.mark.parametrize("mode", [0o755, 0o777])
@pytest.mark.parametrize(
    "body",
    [
        "open('data/theirs/x', 'a')",
        "os.rename('data/theirs/x', 'data/y')",
        "os.chmod('data/theirs', 0o700)",
        "import shutil; shutil.rmtree('data/theirs')",
        "import shutil; os.chdir('data'); shutil.rmtree('theirs')",
    ],
)
def test_files_of_others_are_still_theirs(place: Ground, body: str, mode: int) -> None:
    """Closed to the user, or open to all: then it is the system that cannot say whose the copy would be."""
    folder = place.source / "theirs"
    folder.mkdir()
    (folder / "x").write_text("x")
    (folder / "x").chmod(mode & 0o666)
    folder.chmod(mode)
    said = hint(place, body)
    assert said is not None
    assert "the dataset's owners" in said
    assert "--mount copy" in said


def test_no_overlay_no_such_hint(place: Ground) -> None:
    place.fill({"folder/x": "1"})
    said = hint(place, "os.rename('data/folder', 'data/other')", overlay=False)
    assert said is not None
    assert "--mount" not in said


def confined(folder: Path, source: str, memory: int) -> RunError:
    """Why a package ended that has so many bytes of address space."""
    limits = Limits(memory=memory)
    workdir = package(folder, source)
    ended = tried(workdir, confines=Confines(limits, rlimits={"AS": memory}, memory="address-space")).exit
    error = verdict(ended, workdir=str(workdir), timeout=None, dataset=True, limits=limits)
    assert error is not None
    return error


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux bounds address spaces")
@pytest.mark.parametrize("memory", [1, 4_000_000])
def test_a_limit_below_what_python_needs_is_the_callers(tmp_path: Path, memory: int) -> None:
    error = confined(tmp_path, trained("pass"), memory)
    assert error.kind == UsageError.kind
    assert error.message.endswith("is too little memory for Python itself")
    assert "none of the package's code has run" in str(error.hint)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux bounds address spaces")
def test_a_package_that_takes_too_much_while_it_is_loaded_is_its_own_fault(tmp_path: Path) -> None:
    error = confined(tmp_path, "x = bytearray(10**9)\n" + trained("pass"), 200_000_000)
    assert (error.kind, error.phase) == (UserCodeFailed.kind, "init")
    assert error.message == "loading train.py took more memory than the limit of 200 MB"
