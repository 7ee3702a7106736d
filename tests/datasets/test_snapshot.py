"""Snapshots: what the stat cache lets one skip, and that it never lets a changed byte by.

Each snapshot is exported and compared with the dataset byte by byte.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from pkgrun.datasets import snapshot, sources
from pkgrun.datasets.stat_cache import MARGIN, StatCache
from pkgrun.errors import Erased
from pkgrun.records import Blob
from pkgrun.store import erased
from pkgrun.store.checkout import checkout
from pkgrun.store.files import Look, Taken
from pkgrun.store.intake import Ingested, ingest
from pkgrun.store.listed import Listed
from pkgrun.store.objects import SMALL, digest_of
from pkgrun.store.root import Store, open_store
from pkgrun.store.sinks import Hashing, Sink
from tests import folders
from tests.folders import File, Folder, Link
from tests.processes import race
from tests.store.blobs import in_turn

PLAIN: Folder = {
    b"a.csv": File(b"1,2\n" * 100),
    b"tool": File(b"#!/bin/sh", executable=True),
    b"deep": {b"er": {b"x": File(b"x"), b"y": File(b"y")}, b"link": Link(b"../a.csv")},
    b"empty": {},
    b"nothing": File(b""),
    b"\xff\n": File(b"odd"),
    b"large": File(b"0123456789abcdef" * (SMALL // 16 + 1)),
}


class Noting:
    """A sink that counts what it is given to keep: nothing is read without that."""

    def __init__(self, inner: Sink) -> None:
        self._inner, self.small, self.large = inner, 0, 0
        self.room, self.vouches, self.erased = inner.room, inner.vouches, inner.erased
        self.node: Callable[[bytes], Blob] = inner.node
        self.holds: Callable[[str, int], bool] = inner.holds
        self.holds_directories = inner.holds_directories

    def keep(self, blobs: Sequence[tuple[bytes, bytes]]) -> None:
        self.small += len(blobs)
        self._inner.keep(blobs)

    def pack(self, place: memoryview, laid: Sequence[tuple[bytes, int, int]]) -> None:
        self.small += len(laid)
        self._inner.pack(place, laid)

    def take(self, path: str, watch: Look | None = None, *, known: bool = False) -> Taken:
        self.large += 1
        return self._inner.take(path, watch, known=known)


@dataclass
class Bench:
    """A dataset, a store and a cache. `shift`: nanoseconds by which a snapshot is said to be later than it is."""

    root: Path
    shift: int = 2 * MARGIN
    begun: int = 0
    exports: int = field(default=0)

    @property
    def source(self) -> Path:
        return self.root / "source"

    def store(self, name: str = "store") -> Store:
        return open_store(str(self.root / name), create=True, cache=str(self.root / "cache"))

    def take(self, sink: Sink | None = None, *, below: str = "") -> tuple[Ingested, int]:
        """A snapshot, and how many files were read for it."""
        store = self.store()
        noting = Noting(sink or store.objects)
        cache = StatCache(str(self.root / "cache"))
        listing = sources.listing(sources.find(str(self.source / below)))
        listing.at += self.shift  # as if the dataset had been at rest, so that no test has to wait

        def begin() -> None:
            self.begun += 1

        taken = snapshot.take(listing, noting, cache, begin=begin)
        cache.close()
        if sink is None:
            store.objects.flush()
        return taken, noting.small + noting.large

    def check(self, *, reads: int | None = None) -> None:
        """A snapshot is the dataset, byte by byte, whatever the cache knows."""
        taken, read = self.take()
        self.exports += 1
        out = self.root / f"out{self.exports}"
        out.mkdir()
        checkout(open_store(str(self.root / "store"), create=False).objects, taken.tree.digest, str(out))
        assert folders.look(os.fsencode(out)) == folders.look(os.fsencode(self.source))
        assert taken.tree == ingest(str(self.source), Hashing()).tree
        assert taken.unstable == ()
        if reads is not None:
            assert read == reads


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A dataset of everything, seen once."""
    (tmp_path / "source").mkdir()
    folders.make(PLAIN, os.fsencode(tmp_path / "source"))
    made = Bench(tmp_path)
    made.check(reads=7)
    return made


def test_an_unchanged_dataset_is_not_read(bench: Bench) -> None:
    begun = bench.begun
    for _ in range(2):
        bench.check(reads=0)
    assert bench.begun == begun, "nothing is begun when there is nothing new"


def test_what_was_only_just_written_is_not_believed(bench: Bench) -> None:
    """The clock's tick in which a file was read may also be the one in which it is changed."""
    shutil.rmtree(bench.root / "cache")
    bench.shift = 0
    assert bench.take(Hashing())[1] == 7
    taken, read = bench.take(Hashing())
    assert read == 7
    assert taken.tree == ingest(str(bench.source), Hashing()).tree


def _replaced(path: Path, data: bytes) -> None:
    """As rsync and `cp -p` do: a new file with the old size and times, over the old one."""
    status = path.stat()
    new = path.with_name(".new")
    new.write_bytes(data)
    os.utime(new, ns=(status.st_atime_ns, status.st_mtime_ns))
    os.rename(new, path)


def _in_place(path: Path, data: bytes) -> None:
    """The times are put back, the inode is the same."""
    status = path.stat()
    with path.open("r+b") as file:
        file.write(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def _by_another_name(path: Path, data: bytes) -> None:
    other = path.parent.parent.parent.parent / "another"
    os.link(path, other)
    _in_place(other, data)


CHANGES: dict[str, tuple[Callable[[Path], object], int]] = {
    "edited": (lambda source: (source / "deep/er/x").write_bytes(b"z"), 1),
    "edited in place, times put back": (lambda source: _in_place(source / "deep/er/x", b"z"), 1),
    "replaced, times and size kept": (lambda source: _replaced(source / "deep/er/x", b"z"), 1),
    "edited by another name": (lambda source: _by_another_name(source / "deep/er/x", b"z"), 1),
    "two swapped": (
        lambda source: in_turn(
            lambda: os.rename(source / "deep/er/x", source / "t"),
            lambda: os.rename(source / "deep/er/y", source / "deep/er/x"),
            lambda: os.rename(source / "t", source / "deep/er/y"),
        ),
        2,
    ),
    "large, times put back": (lambda source: _in_place(source / "large", b"X"), 1),
    "removed": (lambda source: (source / "deep/er/x").unlink(), 0),
    "added": (lambda source: (source / "deep/new").write_bytes(b"new"), 1),
    "empty folder": (lambda source: (source / "deep/er/none").mkdir(), 0),
    "empty folder gone": (lambda source: (source / "empty").rmdir(), 0),
    "link": (lambda source: (source / "empty/link").symlink_to("x"), 0),
    "link's target": (
        lambda source: in_turn(
            (source / "deep/link").unlink, lambda: (source / "deep/link").symlink_to("er")
        ),
        0,
    ),
    "executable": (lambda source: (source / "a.csv").chmod(0o700), 1),
    "a file for a folder": (lambda source: in_turn((source / "empty").rmdir, (source / "empty").touch), 1),
    "a folder for a file": (lambda source: in_turn((source / "tool").unlink, (source / "tool").mkdir), 0),
    "a folder renamed": (lambda source: (source / "deep").rename(source / "other"), 2),
    "all gone": (lambda source: in_turn(lambda: shutil.rmtree(source), source.mkdir), 0),
}


@pytest.mark.parametrize("how", CHANGES)
def test_a_change_is_seen_and_only_it_is_read(bench: Bench, how: str) -> None:
    change, reads = CHANGES[how]
    change(bench.source)
    bench.check(reads=reads)
    bench.check(reads=0)


def test_one_percent_changed(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    for number in range(500):
        path = tmp_path / "source" / f"{number % 5}" / f"{number}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"%d" % number)
    bench = Bench(tmp_path)
    bench.check(reads=500)
    for number in range(0, 500, 100):
        (tmp_path / "source" / "0" / f"{number}").write_bytes(b"new %d" % number)
    bench.check(reads=5)
    bench.check(reads=0)


def test_same_second_edits(tmp_path: Path) -> None:
    """Written, read and written again at once, size and times alike, without any pause: every time the last is kept."""
    (tmp_path / "source").mkdir()
    bench, path = Bench(tmp_path, shift=0), tmp_path / "source" / "file"
    for turn in range(30):
        path.write_bytes(b"%02d" % turn)
        os.utime(path, ns=(1, 1))
        bench.check()


def test_a_file_of_the_future_is_never_believed(bench: Bench) -> None:
    """As after a clock that was wrong and was put right: its stamp says nothing about when it was read."""
    bench.shift = -3600 * 10**9
    (bench.source / "deep/er/x").write_bytes(b"1")
    bench.check()
    assert bench.take()[1] >= 1
    _in_place(bench.source / "deep/er/x", b"2")
    bench.check()


def test_a_file_that_changes_while_it_is_read_is_named_and_not_remembered(bench: Bench) -> None:
    path = bench.source / "deep/er/x"
    path.write_bytes(b"old")

    listing = sources.listing(sources.find(str(bench.source)))
    listing.at += bench.shift
    path.write_bytes(b"newer")  # after the look and before the reading
    cache = StatCache(str(bench.root / "cache"))
    taken = snapshot.take(listing, Hashing(), cache)
    cache.close()
    assert taken.unstable == ("deep/er/x",)
    assert taken.tree == ingest(str(bench.source), Hashing()).tree
    bench.check(reads=1)


# ---------------------------------------------------------------------- the cache itself

SPOIL: dict[str, Callable[[Path], object]] = {
    "deleted": Path.unlink,
    "emptied": lambda path: path.write_bytes(b""),
    "cut off": lambda path: os.truncate(path, path.stat().st_size // 2),
    "garbage": lambda path: path.write_bytes(os.urandom(100_000)),
    "a folder": lambda path: in_turn(path.unlink, path.mkdir),
    "another form": lambda path: in_turn(
        path.unlink, lambda: sqlite3.connect(path).execute("create table folder (x)")
    ),
}


@pytest.mark.parametrize("how", SPOIL)
def test_a_cache_that_was_spoilt_is_begun_anew(bench: Bench, how: str) -> None:
    SPOIL[how](bench.root / "cache" / "looks-1.sqlite")
    bench.check()
    bench.check()


def test_no_bit_of_the_cache_can_falsify_a_digest(bench: Bench) -> None:
    """The database does not check its pages, and a sink that only hashes has nothing to compare with."""
    expected = ingest(str(bench.source), Hashing()).tree
    path = bench.root / "cache" / "looks-1.sqlite"
    whole = path.read_bytes()
    for at in range(0, len(whole), 97):
        for end in ("-wal", "-shm"):
            Path(f"{path}{end}").unlink(missing_ok=True)
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
        assert bench.take(Hashing())[0].tree == expected, at


def test_a_store_that_lacks_what_the_cache_knows_gets_it(bench: Bench) -> None:
    """Also when the digests were learnt by a training that kept no snapshot."""
    shutil.rmtree(bench.root / "store")
    bench.check(reads=7)
    shutil.rmtree(bench.root / "store")
    shutil.rmtree(bench.root / "cache")
    assert bench.take(Hashing())[1] == 7
    assert bench.take(Hashing())[1] == 0
    bench.check(reads=7)
    bench.check(reads=0)


def test_one_cache_serves_two_stores(bench: Bench) -> None:
    other = bench.store("other")
    assert bench.take(other.objects)[1] == 7
    other.objects.flush()
    assert bench.take(bench.store("other").objects)[1] == 0
    bench.check(reads=0)


def test_a_folder_of_the_dataset_shares_what_is_known(bench: Bench) -> None:
    taken, read = bench.take(below="deep/er")
    assert (read, taken.tree) == (0, ingest(str(bench.source / "deep/er"), Hashing()).tree)
    taken, read = bench.take(below="a.csv")
    assert taken.tree.files == 1
    bench.check()
    bench.check(reads=0)


def test_processes_at_once_share_a_cache(bench: Bench) -> None:
    shutil.rmtree(bench.root / "cache")
    expected = ingest(str(bench.source), Hashing()).tree

    def work(number: int, barrier: Barrier) -> list[str]:
        barrier.wait()
        return [bench.take(Hashing())[0].tree.digest for _ in range(10)]

    assert race(8, work) == [[expected.digest] * 10] * 8
    bench.check()


def test_a_cache_that_cannot_be_made_is_done_without(bench: Bench) -> None:
    shutil.rmtree(bench.root / "cache")
    (bench.root / "cache").write_bytes(b"a file")
    taken, read = bench.take(Hashing())
    assert (read, taken.tree) == (7, ingest(str(bench.source), Hashing()).tree)


def test_reading_nothing_means_reading_nothing(bench: Bench) -> None:
    """As the kernel counts it."""
    counted = Path("/proc/self/io")
    if not counted.exists():
        pytest.skip("only Linux counts")
    big = bench.source / "big"
    big.write_bytes(b"x" * (32 << 20))
    bench.check()

    def read() -> int:
        return int(counted.read_text().split()[1])

    before = read()
    bench.take()
    assert read() - before < 8 << 20


@pytest.mark.parametrize("sink", ["store", "hash", "listed"])
def test_what_was_erased_is_refused_though_nothing_has_to_be_read(bench: Bench, sink: str) -> None:
    store = bench.store()
    raw = bytes.fromhex(digest_of(b"y")[7:])
    store.backend.create(erased.key(raw), b"{}")
    sinks: dict[str, Callable[[], Sink]] = {
        "store": lambda: store.objects,
        "hash": lambda: Hashing(store.objects.erased),
        "listed": lambda: Listed(store.objects),
    }
    with pytest.raises(Erased, match="deep/er/y holds"):
        bench.take(sinks[sink]())
