"""The witness: it attests nothing that was not so from before the code could read until after it ended."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from pkgrun.datasets import snapshot, sources
from pkgrun.datasets import witness as witnesses
from pkgrun.datasets.mountpoints import on_this_machine
from pkgrun.datasets.stat_cache import for_dataset
from pkgrun.datasets.witness import Witness
from pkgrun.errors import DataInvalid, NotFound
from pkgrun.store.intake import ingest
from pkgrun.store.scan import Listing, scan
from pkgrun.store.sinks import Hashing, Sink

TURNS = 40


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    for number in range(20):
        path = folder / f"{number % 4}" / f"{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"%02d" % number)
    return folder


def witness(source: Path, sink: Sink | None = None, *, seen: Listing | None = None) -> Witness:
    cache = str(source.parent / "cache")
    return Witness(sources.find(str(source)), sink or Hashing(), cache, seen=seen, failed=lambda: None)


def digest(source: Path) -> str:
    return ingest(str(source), Hashing()).tree.digest


def seen_through(one: Witness) -> witnesses.Testimony:
    one.start()
    return one.finish()


def test_what_does_not_change_is_attested(source: Path) -> None:
    for _ in range(2):  # with the cache, too
        testimony = seen_through(witness(source))
        assert (testimony.attested, testimony.changed, testimony.doubt) == (True, (), None)
        assert testimony.content.tree.digest == digest(source)


def test_what_was_written_in_the_moment_before_is_attested_as_it_is(source: Path) -> None:
    for turn in range(TURNS):
        (source / "0" / "0").write_bytes(b"%02d" % turn)
        testimony = seen_through(witness(source))
        assert testimony.attested, testimony.changed
        assert testimony.content.tree.digest == digest(source)


def test_what_is_written_in_the_moment_after_is_told(source: Path) -> None:
    """Whether the look or the change comes first is chance, and is all the same."""
    for turn in range(TURNS):
        one = witness(source)
        one.start()
        (source / "0" / "0").write_bytes(b"%02d" % turn)
        assert one.finish().changed == ("0/0",)


def test_no_stamp_is_older_than_a_start_before_it(source: Path) -> None:
    """Of files that nobody has looked at yet: they get the time of the last tick, which lags behind the clock."""
    for number in range(20):
        since, path = witnesses._next_tick(), source / f"{number % 4}" / f"{number}"
        path.write_bytes(b"xx")
        assert os.stat(path).st_ctime_ns >= since


def test_what_changes_while_it_is_hashed_is_told(source: Path) -> None:
    reached, go = threading.Event(), threading.Event()

    class Waiting(Hashing):
        def keep(self, blobs: Sequence[tuple[bytes, bytes]]) -> None:
            reached.set()
            assert go.wait(30)

    one = witness(source, Waiting())
    one.start()
    assert reached.wait(30)
    (source / "0" / "new").write_bytes(b"")
    (source / "0" / "new").unlink()
    os.utime(source / "1" / "1")
    go.set()
    testimony = one.finish()
    assert testimony.changed == ("1/1",)
    assert "the folder 0 was touched" in str(testimony.doubt)


@pytest.mark.parametrize("looked", [False, True])
def test_a_folder_that_is_touched_is_a_doubt_and_no_changed_file(source: Path, looked: bool) -> None:
    """Its times tell as much when a file was made in it and removed again."""
    one = witness(source)
    one.start()
    if looked:
        one._thread.join()
    os.utime(source / "2")
    os.utime(source / "3")
    testimony = one.finish()
    assert (testimony.changed, testimony.attested) == ((), False)
    assert str(testimony.doubt).startswith("the folder 2 and 1 more was touched meanwhile")


def test_a_folder_in_which_a_file_changed_is_no_doubt_beside_it(source: Path) -> None:
    one = witness(source)
    one.start()
    one._thread.join()
    (source / "0" / "new").write_bytes(b"x")
    (source / "1" / "1").unlink()
    testimony = one.finish()
    assert (testimony.changed, testimony.doubt) == (("0/new", "1/1"), None)


def test_a_look_that_was_taken_before_counts(source: Path) -> None:
    """As of what was cloned: what changed since is told, though it changed before the start."""
    seen = sources.listing(sources.find(str(source)))
    (source / "0" / "0").write_bytes(b"xx")
    assert seen_through(witness(source, seen=seen)).changed == ("0/0",)


def test_what_cannot_be_kept_is_told_at_once(source: Path) -> None:
    os.mkfifo(source / "pipe")
    told = threading.Event()
    one = Witness(sources.find(str(source)), Hashing(), None, seen=None, failed=told.set)
    one.start()
    assert told.wait(30)
    with pytest.raises(DataInvalid, match="pipe: a named pipe cannot be kept"):
        one.finish()


def test_what_cannot_be_kept_and_comes_later_is_a_change(source: Path) -> None:
    one = witness(source)
    one.start()
    one._thread.join()
    os.mkfifo(source / "pipe")
    testimony = one.finish()
    assert not testimony.attested
    assert "the folder . was touched" in str(testimony.doubt)


def test_a_dataset_that_is_gone_is_not_attested(source: Path) -> None:
    one = witness(source)
    one.start()
    one._thread.join()
    shutil.rmtree(source)
    testimony = one.finish()
    assert not testimony.attested
    assert "vanished" in str(testimony.doubt)


def test_a_dataset_that_goes_at_once(source: Path) -> None:
    one = witness(source)
    one.start()
    shutil.rmtree(source, ignore_errors=True)
    try:
        testimony = one.finish()
    except NotFound:
        return
    assert not testimony.attested


def test_a_single_file(source: Path) -> None:
    file = source / "0" / "0"
    assert seen_through(witness(file)).attested
    one = witness(file)
    one.start()
    one._thread.join()
    os.utime(file, (1, 1))
    assert one.finish().changed == ("0",)
    (source / "0" / "4").write_bytes(b"a neighbour is no part of it")
    assert seen_through(witness(file)).attested


def test_an_empty_dataset(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    testimony = seen_through(witness(tmp_path / "empty"))
    assert testimony.attested
    assert testimony.content.tree.files == 0


def test_where_anybody_can_choose_a_ctime_nothing_is_remembered(tmp_path: Path) -> None:
    """As on an image that somebody made; what the kernel shows below /proc has such times, too."""
    assert not on_this_machine("/proc")
    assert on_this_machine(str(tmp_path))
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "f").write_bytes(b"x")
    for path, remembered in (("/proc/sys/kernel/pty", False), (str(tmp_path / "d"), True)):
        cache = for_dataset(str(tmp_path / "cache"), path)
        snapshot.take(scan(path), Hashing(), cache)
        again = for_dataset(str(tmp_path / "cache"), path).get(path)
        assert (again is not None) is remembered
