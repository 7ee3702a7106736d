"""What an overlay's upper layer says was written is what a look at the folder, before and after, says."""

from __future__ import annotations

import os
import random
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pkgrun.datasets.overlay import written
from pkgrun.datasets.written import Written
from pkgrun.worker.child import mounts, system
from pkgrun.worker.namespaces import Overlay, overlay
from tests.processes import apart
from tests.worker.mounted import USERS, Ground, ground

PR_SET_DUMPABLE = 4
Seen = dict[str, object]
"""None for a folder; for a file its content and mode, for a link its target."""


@pytest.fixture(params=USERS, scope="module")
def place(request: pytest.FixtureRequest) -> Iterator[Ground]:
    with ground(request.param) as made:
        if isinstance(made, str):
            pytest.skip(made)
        yield made


def look(folder: Path) -> Seen:
    found: Seen = {}
    for path in folder.rglob("*"):
        status = path.lstat()
        if stat.S_ISLNK(status.st_mode):
            what: object = os.readlink(path)
        elif stat.S_ISDIR(status.st_mode):
            what = None
        else:
            what = (path.read_bytes(), status.st_mode)
        found[str(path.relative_to(folder))] = what
    return found


def compared(before: Seen, after: Seen) -> Written:
    """By the definition of `Written`, but for files that were touched and are equal."""

    def kept(path: str) -> bool:
        return path in after and (before[path] is None) == (after[path] is None)

    def above(path: str) -> str:
        return os.path.dirname(path)

    removed = [
        path + ("/" if before[path] is None else "")
        for path in before
        if not kept(path) and (not above(path) or kept(above(path)))
    ]
    full = {above(path) for path in after}
    added = [
        path + ("/" if after[path] is None else "")
        for path in after
        if not (path in before and (before[path] is None) == (after[path] is None))
        and (after[path] is not None or path not in full)
    ]
    changed = [path for path in after if path in before and kept(path) and before[path] != after[path]]
    return Written.of(added, changed, removed)


def mounted(place: Ground, fill: Callable[[Path], object] = lambda _: None) -> Overlay:
    """A fresh overlay, for this process only."""
    system.prctl(PR_SET_DUMPABLE, 1)  # it has become a user, and the kernel hides such a process from itself
    folder = Path(tempfile.mkdtemp(dir=place.root / "scratch"))
    (folder / "lower").mkdir()
    (folder / "target").mkdir()
    fill(folder / "lower")
    layers = overlay(folder / "lower", folder, folder / "target")
    mounts.enter(layers.spelt(), [])
    return layers


def overlaid(place: Ground, fill: Callable[[Path], object], act: Callable[[Path], object]) -> list[object]:
    """What an overlay looks like before and after `act`, and what its upper layer says of it."""

    def work() -> list[object]:
        layers = mounted(place, fill)
        before = look(layers.target)
        act(layers.target)
        # Read while it is mounted, since only this process sees the mount.
        said = written(str(layers.upper), str(layers.lower))
        return [before, look(layers.target), look(layers.lower), said]

    done = place.as_user(work)
    assert isinstance(done, list), done
    return done


def _scribble(seed: int) -> Callable[[Path], None]:
    """Sixty acts, drawn; those that make no sense, or that an overlay refuses, do nothing."""

    def act(folder: Path) -> None:
        draw = random.Random(seed)

        def somewhere() -> Path:
            return folder.joinpath(*(draw.choice("abc") for _ in range(draw.randint(1, 3))))

        acts: tuple[Callable[[], object], ...] = (
            lambda: somewhere().write_text(str(draw.random())),
            lambda: somewhere().mkdir(),
            lambda: os.rename(somewhere(), somewhere()),
            lambda: os.rename(somewhere(), somewhere()),
            lambda: os.unlink(somewhere()),
            lambda: os.rmdir(somewhere()),
            lambda: shutil.rmtree(somewhere()),
            lambda: os.symlink("a", somewhere()),
            lambda: os.link(somewhere(), somewhere(), follow_symlinks=False),
            lambda: os.chmod(somewhere(), 0o700),
        )
        for _ in range(60):
            try:
                draw.choice(acts)()
            except OSError:
                continue

    return act


@pytest.mark.parametrize("seed", range(40))
def test_the_upper_layer_tells_what_was_done(place: Ground, seed: int) -> None:
    before, after, lower, said = overlaid(place, _scribble(seed), _scribble(seed + 1000))
    assert isinstance(before, dict)
    assert isinstance(after, dict)
    assert isinstance(said, Written)
    assert lower == before
    expected = compared(before, after)
    assert (said.added, said.removed) == (expected.added, expected.removed)
    assert set(expected.changed) <= set(said.changed)
    assert all(before.get(path) is not None and after.get(path) is not None for path in said.changed)


def _tree(folder: Path) -> None:
    for name in ("a/x", "a/in/y", "a/in/deeper/z", "b/x", "c/w"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)


@pytest.mark.parametrize("place", ["root"], indirect=True)
@pytest.mark.parametrize(
    ("moves", "expected"),
    [
        ("a>new new/in>new/out", Written(("new/out/deeper/z", "new/out/y", "new/x"), (), ("a/",))),
        ("a/in>in in/deeper>a/deeper", Written(("a/deeper/z", "in/y"), (), ("a/in/",))),
        ("b> a>b", Written(("b/in/deeper/z", "b/in/y"), ("b/x",), ("a/",))),
        ("a>t b>a t>b", Written(("b/in/deeper/z", "b/in/y"), ("a/x", "b/x"), ("a/in/",))),
        ("a>t t>a", Written()),
        ("c>a/in/deeper/c a/in/deeper/c/w>", Written(("a/in/deeper/c/",), (), ("c/",))),
    ],
)
def test_folders_that_were_renamed(place: Ground, moves: str, expected: Written) -> None:
    def act(folder: Path) -> None:
        for move in moves.split():
            old, _, new = move.partition(">")
            if new:
                os.rename(folder / old, folder / new)
            else:
                subprocess.run(["rm", "-r", folder / old], check=True)

    assert overlaid(place, _tree, act)[3] == expected


def test_a_folder_deeper_than_any_path_is_named(place: Ground) -> None:
    def act(folder: Path) -> None:
        os.chdir(folder)
        for _ in range(100):
            os.mkdir("n" * 200)
            os.chdir("n" * 200)
        Path("file").write_text("x")
        os.chdir(folder)

    def work() -> Written:
        layers = mounted(place)
        act(layers.target)
        return written(str(layers.upper), str(layers.lower))

    said = place.as_user(work)
    assert len(said.added) == 1
    assert said.added[0].startswith("n" * 200 + "/" + "n" * 200)
    assert said.added[0].endswith("n/")


def test_a_layer_that_is_not_there_is_said() -> None:
    def work() -> bool:
        try:
            written("/nonexistent/upper", "/nonexistent/lower")
        except FileNotFoundError:
            return True
        return False

    assert apart(work)
