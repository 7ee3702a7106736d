"""What happens to a dataset, or to whoever copies it, while it is copied to `data/`."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import pkgrun
from pkgrun.errors import DataInvalid, Killed, NotFound, Temporary
from pkgrun.observe import Event, Progress
from pkgrun.store.checkout import checkout
from pkgrun.store.intake import ingest
from pkgrun.store.root import Store
from pkgrun.store.sinks import Hashing
from tests import folders
from tests.datasets.mounting import content, mounted
from tests.processes import kill_hands

# ---------------------------------------------------------------------- who stops it


class Enough(Exception):
    """Somebody has seen enough."""


@pytest.mark.parametrize("large", [False, True])
def test_whoever_is_told_may_end_it(tmp_path: Path, large: bool) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for number in range(1 if large else 20_000):
        (source / str(number)).write_bytes(b"x" * ((64 << 20) if large else 1))

    def report(done: int, total: int) -> None:
        raise Enough

    with pytest.raises(Enough):
        mounted(source, tmp_path / "data", wanted="copy", report=report)
    laid = [entry.stat().st_size for entry in os.scandir(tmp_path / "data")]
    assert sum(laid) < (48 << 20 if large else 15_000)


def test_a_run_that_is_stopped_copies_no_further(tmp_path: Path, cache: Path) -> None:
    source, package = tmp_path / "source", tmp_path / "package"
    source.mkdir()
    package.mkdir()
    for number in range(6_000):
        (source / str(number)).write_bytes(b"x")
    (package / "main.py").write_text("class Main:\n    def predict(self, text): pass\n")
    (package / "train.py").write_text(
        "class Main:\n    def train(self, folder): pass\n    def save(self): pass\n"
    )
    told: list[int] = []
    copying, stopped = threading.Event(), threading.Event()

    def observer(event: Event) -> None:
        if isinstance(event, Progress) and event.label == "data":
            told.append(event.done)
            copying.set()
            stopped.wait(30)

    run = pkgrun.open(tmp_path / "store").train(
        package, data=source, mount="copy", environment="current", observer=observer
    )
    assert copying.wait(30)
    run.kill()
    stopped.set()
    with pytest.raises(Killed, match="stopped while its dataset was being mounted"):
        run.wait(30)
    assert run.record().status == "killed"
    assert max(told) < 6_000


# ---------------------------------------------------------------------- a source that changes


def once(meddle: Callable[[], object]) -> Callable[[int, int], None]:
    """Does something to the source when the first files are done."""
    left = [meddle]

    def report(done: int, total: int) -> None:
        while left:
            left.pop()()

    return report


def test_many_files_are_copied_whoever_dies_meanwhile(tmp_path: Path, store: Store) -> None:
    """Processes of their own copy them; here those are killed when they have begun."""
    source = tmp_path / "source"
    for number in range(4_000):
        folder = source / str(number % 3)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.bin").write_bytes(b"%d" % number * (number % 500))
        (folder / f"{number}.bin").chmod(0o755 if number % 2 else 0o644)
    got = mounted(source, tmp_path / "data", keep=store.objects, wanted="copy", report=once(kill_hands))
    store.objects.flush()
    assert folders.look(os.fsencode(tmp_path / "data")) == folders.look(os.fsencode(source))
    assert content(got).tree == ingest(str(source), Hashing()).tree
    assert got.unstable == ()
    (tmp_path / "out").mkdir()
    checkout(store.objects, content(got).tree.digest, str(tmp_path / "out"))
    assert folders.look(os.fsencode(tmp_path / "out")) == folders.look(os.fsencode(source))


def test_many_files_are_copied_onto_nothing_that_is_there(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for number in range(2_000):
        (source / str(number)).write_bytes(b"x")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "1234").symlink_to("/nowhere")
    with pytest.raises(Temporary, match="data/1234: File exists"):
        mounted(source, tmp_path / "data", wanted="copy")
    assert (tmp_path / "data" / "1234").readlink() == Path("/nowhere")


def test_a_file_that_vanishes_is_named(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for number in range(5000):  # far more than all threads take at once
        (source / str(number)).write_bytes(b"x")
    last = [entry.name for entry in os.scandir(source)][-1]
    with pytest.raises(NotFound, match=f"source/{last} vanished while it was read"):
        mounted(source, tmp_path / "data", report=once((source / last).unlink))


def test_a_file_that_turns_into_something_else(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for number in range(5000):
        (source / str(number)).write_bytes(b"x")
    last = [entry.name for entry in os.scandir(source)][-1]

    def meddle() -> None:
        (source / last).unlink()
        os.mkfifo(source / last)

    with pytest.raises(DataInvalid, match=f"source/{last} is not a regular file"):
        mounted(source, tmp_path / "data", report=once(meddle))


def test_the_digest_is_of_what_was_given(tmp_path: Path, store: Store) -> None:
    """The source changes when all was looked at and not all is copied: the copy, its digest and the snapshot agree."""
    source = tmp_path / "source"
    source.mkdir()
    for number in range(5000):
        (source / str(number)).write_bytes(b"old")
    last = [entry.name for entry in os.scandir(source)][-1]
    report = once(lambda: (source / last).write_bytes(b"newer"))
    got = mounted(source, tmp_path / "data", keep=store.objects, report=report)
    store.objects.flush()
    assert (tmp_path / "data" / last).read_bytes() == b"newer"
    assert (got.unstable, content(got).unstable) == ((last,), (last,))
    assert content(got).tree == ingest(str(tmp_path / "data"), Hashing()).tree
    (tmp_path / "out").mkdir()
    checkout(store.objects, content(got).tree.digest, str(tmp_path / "out"))
    assert (tmp_path / "out" / last).read_bytes() == b"newer"
