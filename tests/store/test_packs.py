"""Packs: their bytes are these and no others, what is wrong with one is said by its name, and none is half there."""

from __future__ import annotations

import hashlib
import os
import resource
import signal
import struct
from collections.abc import Callable
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import pytest

from pkgrun.errors import Damaged, NotFound
from pkgrun.store import objects as objects_module
from pkgrun.store import packs, trees
from pkgrun.store.backend import Backend
from pkgrun.store.checkout import checkout
from pkgrun.store.intake import ingest
from pkgrun.store.objects import SMALL, Objects, digest_of
from pkgrun.store.packs import Filling, Pack, Part, contents_of
from pkgrun.store.root import Store, open_store
from pkgrun.store.sending import send
from pkgrun.store.sinks import Hashing
from tests.processes import apart, race
from tests.store.blobs import blobs, contents, flip, holds_packs, lacking, nodes

HELLO = hashlib.sha256(b"hello").digest()
EMPTY = hashlib.sha256(b"").digest()

NAME = "c5344f2e8e1d89187b9f5702a4054446a4e1a35c16d32445b0383b17a2becd97"
TINY = (
    "706b677061636b31"  # pkgpack1
    "68656c6c6f"  # hello, and the empty blob
    "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824000000000000000800000005"
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855000000000000000d00000000"
    "c5344f2e8e1d89187b9f5702a4054446a4e1a35c16d32445b0383b17a2becd970000000000000002706b677061636b31"
)  # fmt: skip


def filled(*pieces: bytes) -> Pack:
    """A pack of blobs."""
    filling = Filling()
    for piece in pieces:
        filling.add(hashlib.sha256(piece).digest(), piece)
    return filling.close()


def test_the_format_does_not_change() -> None:
    """Magic; blobs; index: digest, offset (8), length (4), by digest; foot: SHA-256 of the index, count (8), magic."""
    pack = filled(b"hello", b"")
    assert pack.data.hex() == TINY
    assert pack.name == NAME == hashlib.sha256(pack.data[13:-48]).hexdigest()
    assert packs.key_of(pack.name) == f"packs/{pack.name}.pack"
    assert packs.name_in(f"{pack.name}.pack") == pack.name
    for name in (pack.name, f".{pack.name}.pack.0a", f"{pack.name.upper()}.pack", "x.pack", ".pack"):
        assert packs.name_in(name) is None


def test_a_pack_is_called_by_all_that_is_in_it() -> None:
    assert filled(b"a", b"b") == filled(b"a", b"b", b"a")
    assert len({filled(*some).name for some in ((b"a",), (b"b",), (b"a", b"b"), (b"b", b"a"))}) == 4


def test_what_is_being_filled_can_be_read() -> None:
    one, other = Filling(), Filling()
    one.add(HELLO, b"hello")
    other.add(EMPTY, b"")
    one.join(other)
    assert (len(one), HELLO in one, b"x" in one) == (2, True, False)
    pieces = [one.get(digest) for digest in (HELLO, EMPTY, b"x" * 32)]
    assert pieces == [b"hello", b"", None]
    one.close()
    assert [one.get(digest) for digest in (HELLO, EMPTY, b"x" * 32)] == pieces


def test_a_pack_with_a_long_index(store: Store) -> None:
    """Longer than what is read at first."""
    pack = filled(*(b"%d" % number for number in range(30_000)))
    send(store.backend, pack)
    contents = contents_of(store.backend, pack.name)
    assert list(contents) == pack.parts
    assert [contents.find(part.digest) for part in pack.parts[::1000]] == pack.parts[::1000]
    assert contents.find(bytes(32)) is contents.find(b"\xff" * 32) is None
    assert store.objects.read(digest_of(b"29999")) == b"29999"


# ---------------------------------------------------------------------- damage


@pytest.fixture
def sent(store: Store) -> Pack:
    """A pack of three blobs in the store."""
    pack = filled(b"hello", b"", b"more")
    send(store.backend, pack)
    store.backend.flush()
    return pack


def file_of(store: Store, pack: Pack) -> Path:
    return Path(store.url, packs.key_of(pack.name))


@pytest.mark.row(10)
def test_a_pack_that_is_cut_off_is_named(store: Store, sent: Pack) -> None:
    for length in range(len(sent.data)):
        file_of(store, sent).write_bytes(sent.data[:length])
        with pytest.raises(Damaged, match=sent.name):
            list(contents_of(store.backend, sent.name))


@pytest.mark.row(10)
def test_every_bit_of_the_index_and_the_foot_counts(store: Store, sent: Pack) -> None:
    start = len(sent.data) - 48 - 44 * 3
    for at in range(start, len(sent.data)):
        if start + 44 * 3 <= at < start + 44 * 3 + 32:
            continue  # the index's own sum is for people; what counts is the name
        flip(file_of(store, sent), at)
        with pytest.raises(Damaged, match=sent.name):
            list(contents_of(store.backend, sent.name))
        file_of(store, sent).write_bytes(sent.data)


@pytest.mark.row(10)
def test_every_bit_of_a_blob_counts(store: Store, sent: Pack) -> None:
    for digest, offset, length, _ in sent.parts:
        for at in range(offset, offset + length):
            flip(file_of(store, sent), at)
            with pytest.raises(Damaged, match=f"{sent.name}.* is damaged: .*{digest.hex()}"):
                store.objects.read("sha256:" + digest.hex())
            file_of(store, sent).write_bytes(sent.data)


@pytest.mark.parametrize("count", [0, 1, 4, 1 << 32, (1 << 64) - 1])
def test_a_foot_that_lies_about_the_index(store: Store, sent: Pack, count: int) -> None:
    lying = bytes(sent.data[:-16]) + struct.pack(">Q", count) + bytes(sent.data[-8:])
    file_of(store, sent).write_bytes(lying)
    with pytest.raises(Damaged, match=sent.name):
        list(contents_of(store.backend, sent.name))


def test_a_pack_that_is_not_there(store: Store) -> None:
    with pytest.raises(NotFound):
        contents_of(store.backend, "0" * 64)


def test_a_pack_under_another_packs_name(store: Store, sent: Pack) -> None:
    other = filled(b"other")
    file_of(store, sent).rename(file_of(store, other))
    with pytest.raises(Damaged, match=other.name):
        list(contents_of(store.backend, other.name))


def test_an_index_that_names_other_bytes_gives_none_of_them(store: Store) -> None:
    """As a hostile store may have: well-formed, and what is read is not what was asked for."""
    index = b"".join(struct.pack(">32sQI", HELLO, offset, 5) for offset in (1 << 40,))
    name = hashlib.sha256(index).hexdigest()
    data = packs.MAGIC + b"jello" + index + struct.pack(">32sQ8s", bytes.fromhex(name), 1, packs.MAGIC)
    send(store.backend, Pack(name, bytearray(data), [Part(HELLO, 1 << 40, 5)]))
    with pytest.raises(Damaged):
        open_store(store.url, create=False).objects.read("sha256:" + HELLO.hex())


# ---------------------------------------------------------------------- writing


def test_writers_at_once_of_the_same_blobs(tmp_path: Path) -> None:
    location = str(tmp_path / "store")
    open_store(location, create=True)
    pieces = [b"%d" % number * 100 for number in range(500)]

    def work(number: int, barrier: Barrier) -> list[str]:
        store = open_store(location, create=False)
        barrier.wait()
        for piece in pieces:
            store.objects.put(piece)
        store.objects.flush()
        return [digest_of(store.objects.read(digest_of(piece))) for piece in pieces]

    assert race(8, work) == [[digest_of(piece) for piece in pieces]] * 8
    store = open_store(location, create=False)
    assert len(holds_packs(store)) == 1  # the same blobs in the same order are the same pack
    assert len(blobs(store)) == 500
    assert not list(Path(location).rglob(".*"))


def test_memory_is_bounded(tmp_path: Path) -> None:
    """A quarter of a gigabyte of small files, and a disk that is slower than the hash."""

    def work() -> int:
        store = open_store(str(tmp_path / "store"), create=True)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for _ in range(256):
            store.objects.put(os.urandom(SMALL - 1))
        store.objects.flush()
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before

    grown = apart(work)
    assert grown < 200 << 10
    assert len(holds_packs(open_store(str(tmp_path / "store"), create=False))) >= 8


# ---------------------------------------------------------------------- closure


class Mortal:
    """A backend, or an upload of one, that kills the process at its k-th writing call."""

    def __init__(self, inner: Any, at: int, *, after: bool, calls: list[str]) -> None:
        self._inner, self._at, self._after, self._calls = inner, at, after, calls

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._inner, name)
        if name not in {"upload", "publish", "flush", "write"}:
            return value

        def call(*arguments: Any) -> Any:
            self._calls.append(name)
            dying = len(self._calls) == self._at
            if dying and not self._after:
                os.kill(os.getpid(), signal.SIGKILL)
            answer = value(*arguments)
            if dying:
                os.kill(os.getpid(), signal.SIGKILL)
            return (
                Mortal(answer, self._at, after=self._after, calls=self._calls) if answer is not None else None
            )

        return call


def dies(work: Callable[[], object]) -> bool:
    """Whether `work`, in a process of its own, is killed."""
    pid = os.fork()
    if not pid:
        try:
            work()
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(pid, 0)[1])


def of_small_packs(backend: Backend) -> Objects:
    """Blobs in packs of some kilobytes, so that a small folder takes many."""
    vars(objects_module)["SIZE"] = 3000
    return Objects(backend)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_directory_in_the_store_is_there_with_all_below_it(tmp_path: Path, after: bool) -> None:
    """Killed at every call that writes, then again with what was left; each directory has all that it names."""
    folder = tmp_path / "folder"
    for number in range(30):
        below = folder / f"{number % 5}" / f"{number}"
        below.mkdir(parents=True)
        for name in range(6):
            (below / f"{name}").write_bytes(b"%d-%d" % (number, name) * 20)
    (folder / "3" / "large").write_bytes(os.urandom(SMALL + 1))
    expected = ingest(str(folder), Hashing()).tree
    seen, at = 0, 0
    while True:
        at += 1
        store = open_store(str(tmp_path / f"store{at % 2}"), create=True)  # two, so that some of it is there

        def work(at: int = at, store: Store = store) -> None:
            objects = of_small_packs(Mortal(store.backend, at, after=after, calls=[]))
            ingest(str(folder), objects)
            objects.flush()

        died = dies(work)
        again = open_store(store.url, create=False)
        assert lacking(again) == set()
        seen += len(nodes(blobs(again)))
        if not died:
            break
    assert at > 15
    assert seen > 2 * len(nodes(blobs(again)))  # there was something to see before the end
    (tmp_path / "out").mkdir()
    checkout(again.objects, expected.digest, str(tmp_path / "out"))
    assert ingest(str(tmp_path / "out"), Hashing()).tree == expected


def test_a_directory_that_is_an_object_of_its_own_is_the_last_to_come(tmp_path: Path) -> None:
    """One of 9,000 long names has more than a mebibyte."""
    folder = tmp_path / "folder"
    (folder / "below").mkdir(parents=True)
    for number in range(9000):
        (folder / f"{number:060}").touch()
    (folder / "below" / "file").write_bytes(b"below")
    for at in range(1, 100):
        store = open_store(str(tmp_path / f"store{at}"), create=True)

        def work(at: int = at, store: Store = store) -> None:
            objects = Objects(Mortal(store.backend, at, after=True, calls=[]))
            ingest(str(folder), objects)
            objects.flush()

        died = dies(work)
        assert lacking(open_store(store.url, create=False)) == set(), at
        if not died:
            break
    assert at >= 5
    assert any(len(below) == 2 for below in nodes(blobs(store)).values())
    assert sum(1 for _ in trees.walk(store.objects, ingest(str(folder), Hashing()).tree.digest)) == 9002
    assert contents(store)
