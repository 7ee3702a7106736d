"""Row 6, a disk that fills up: by the package's code, by its artifacts, by the store itself. The run ends and says why, what was
there stays whole, and the next run works once there is room.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import pkgrun
from tests.hostile.scene import Scene
from tests.store.blobs import lacking

pytestmark = pytest.mark.row(6)

FILL = """
block = b'x' * 65536
with open({path!r}, 'wb', buffering=0) as file:
    while True: file.write(block)
"""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MB."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root mounts")
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", place], check=False)
    if mounted.returncode:
        pytest.skip("this root mounts nothing")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)


@pytest.fixture
def cramped(scene: Scene, disk: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    """A scene whose cache, and with it every work directory, lies on a small disk."""
    monkeypatch.setenv("PKGRUN_CACHE", str(disk / "cache"))
    return scene


@pytest.mark.parametrize("path", ["big", "artifacts/big", "data/big", "../big"])
def test_row_6_code_that_fills_the_disk_fails_by_itself(cramped: Scene, disk: Path, path: str) -> None:
    scene = cramped
    (scene.root / "d").mkdir()
    (scene.root / "d" / "a").write_text("x")
    scene.added(f"print('before', flush=True)\n{FILL.format(path=path)}")
    ended = scene.train(data=scene.root / "d")
    assert ended.error is not None
    assert ended.record.status == "failed"
    assert ended.record.final
    assert "No space left on device" in ended.error.message or ended.error.kind == "temporary", ended.error
    assert ended.record.version is None
    assert [str(one.version) for one in scene.workspace.versions("pack")] == ["1.0"]
    assert os.listdir(disk / "cache" / "work") == []
    assert lacking(scene.workspace._store) == set()
    name = scene.added(name="next")
    assert scene.train(name).error is None


def test_row_6_code_that_swallows_it_makes_a_version_of_what_is_there(cramped: Scene, disk: Path) -> None:
    """Nothing is left for what we write beside it; either all of it is kept, or the run says that it is not."""
    body = (
        f"try:\n    exec({FILL.format(path='big')!r})\nexcept OSError: print('full')\nos.truncate('big', 100)"
    )
    cramped.added(body)
    ended = cramped.train()
    if ended.error is None:
        assert dict(cramped.workspace.files("pack@1.1"))["big"].bytes == 100
    assert ended.record.final
    assert os.listdir(disk / "cache" / "work") == []


@pytest.mark.parametrize("room", [0, 1 << 16, 1 << 20])
def test_row_6_a_store_that_is_full_takes_all_or_nothing(scene: Scene, disk: Path, room: int) -> None:
    workspace = pkgrun.open(disk / "store")
    workspace.add(scene.package("pass", save="open('model', 'wb').write(os.urandom(3 << 20))"))
    filler = disk / "filler"
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
    filler.write_bytes(b"x" * max(0, free - room))
    line = ["--store", str(disk / "store"), "train", "pack@1.0", "--environment", "current"]
    said = scene.call(*line, store=False)
    assert said.code in (1, 75), said
    assert "No space left on device" in said.err
    assert "Traceback" not in said.err
    filler.unlink()
    again = pkgrun.open(disk / "store")
    assert [str(one.version) for one in again.versions("pack")] == ["1.0"]
    assert lacking(again._store) == set()
    assert scene.call(*line, store=False).code == 0
    assert [str(one.version) for one in again.versions("pack")] == ["1.0", "1.1"]
    # What the code made and the store did not take stays, and it is said where.
    assert all(f"/{run}/" in said.err or run.endswith(".lock") for run in scene.left()), said.err
