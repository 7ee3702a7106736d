"""Which pack holds what: derived from the packs, so that nothing one does to the cache can hide or falsify a blob."""

from __future__ import annotations

import gc
import hashlib
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from pkgrun.errors import Damaged
from pkgrun.store import index as index_module
from pkgrun.store import packs
from pkgrun.store.backend import Stat
from pkgrun.store.index import MANY, Index
from pkgrun.store.local import LocalBackend
from pkgrun.store.objects import digest_of
from pkgrun.store.root import Store, open_store
from pkgrun.store.sending import send
from tests.processes import open_folder, powerless, race
from tests.store.blobs import flip, holds_packs, in_turn, pack_of
from tests.store.test_packs import filled

COUNT = MANY + 12


class Counting(LocalBackend):
    """Counts what is asked of the packs."""

    reads = 0
    stats = 0
    lists = 0

    def read(self, key: str, start: int = 0, length: int | None = None) -> bytes:
        self.reads += 1
        return super().read(key, start, length)

    def stat(self, key: str) -> Stat | None:
        self.stats += 1
        return super().stat(key)

    def list(self, prefix: str) -> Iterator[str]:
        self.lists += 1
        return super().list(prefix)


def piece(number: int) -> bytes:
    return b"blob %d" % number


def raw(number: int) -> bytes:
    return hashlib.sha256(piece(number)).digest()


@pytest.fixture
def many(tmp_path: Path) -> Store:
    """A store of many packs, two blobs each: one of its own, one that it shares with its neighbour."""
    store = open_store(str(tmp_path / "store"), create=True, cache=str(tmp_path / "cache"))
    for number in range(COUNT):
        send(store.backend, filled(piece(number), b"shared %d" % (number // 2)))
    store.backend.flush()
    return store


def database(store: Store) -> Path:
    assert store.cache is not None
    return Path(store.cache, "stores", store.id, "packs-3.sqlite")


def again(store: Store) -> Store:
    """As another process opens it."""
    return open_store(store.url, create=False, cache=store.cache)


def all_is_found(store: Store) -> None:
    for number in range(COUNT):
        assert store.objects.read(digest_of(piece(number))) == piece(number)
        shared = b"shared %d" % (number // 2)
        assert store.objects.read(digest_of(shared)) == shared


def test_few_packs_need_no_database(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"), create=True, cache=str(tmp_path / "cache"))
    for number in range(3):
        send(store.backend, filled(piece(number)))
    assert again(store).objects.read(digest_of(piece(2))) == piece(2)
    assert not (tmp_path / "cache").exists()


def test_many_packs_are_learnt_once(many: Store) -> None:
    folder = str(database(many).parent)
    first, second = Counting(Path(many.url)), Counting(Path(many.url))
    assert Index(first, folder).find(raw(5)) is not None
    assert database(many).exists()
    assert first.reads >= COUNT
    index = Index(second, folder)
    assert all(index.find(raw(number)) is not None for number in range(COUNT))
    assert (second.reads, second.lists) == (0, 0)
    assert index.find(b"x" * 32) is None
    assert (second.reads, second.lists) == (0, 1)
    all_is_found(again(many))


SPOIL: dict[str, Callable[[Path], object]] = {
    "deleted": Path.unlink,
    "emptied": lambda path: path.write_bytes(b""),
    "cut off": lambda path: os.truncate(path, path.stat().st_size // 2),
    "garbage": lambda path: path.write_bytes(os.urandom(100_000)),
    "a folder": lambda path: in_turn(path.unlink, path.mkdir),
    "another's": lambda path: in_turn(
        path.unlink, lambda: sqlite3.connect(path).execute("create table pack (x)")
    ),
    "its folder gone": lambda path: shutil.rmtree(path.parent),
    "a file for the folder": lambda path: in_turn(
        lambda: shutil.rmtree(path.parent), lambda: path.parent.write_bytes(b"")
    ),
}


@pytest.mark.parametrize("how", SPOIL)
def test_whatever_becomes_of_the_database_all_is_found(many: Store, how: str) -> None:
    all_is_found(again(many))
    gc.collect()  # nobody has it open
    for end in ("-wal", "-shm"):
        Path(f"{database(many)}{end}").unlink(missing_ok=True)
    SPOIL[how](database(many))
    for _ in range(2):
        all_is_found(again(many))


@pytest.mark.parametrize(
    "lie",
    [
        "update blob set offset = offset + 1",
        "update blob set length = length - 1",
        "update blob set pack = (pack + 1) % 60",
        "delete from blob",
        "delete from blob where rowid_is_gone(digest)",
        "update blob set offset = offset + 1, mark = 0",
    ],
)
def test_a_database_that_lies_or_forgets_is_made_anew(many: Store, lie: str) -> None:
    """As a power cut may leave it, which is not synced: what it says of a place is no more than a hint."""
    all_is_found(again(many))
    with sqlite3.connect(database(many)) as connection:
        connection.create_function("rowid_is_gone", 1, lambda digest: digest[0] % 2)
        connection.execute(lie)
    connection.close()
    for _ in range(2):
        all_is_found(again(many))


def test_a_database_that_names_what_was_never_stored_is_not_believed(many: Store) -> None:
    all_is_found(again(many))
    digest = digest_of(b"never stored")
    with sqlite3.connect(database(many)) as connection:
        connection.execute(
            "insert into blob select ?, pack, offset, length, directory, mark from blob limit 1",
            (bytes.fromhex(digest[7:]),),
        )
    connection.close()
    found = again(many)
    assert not found.objects.holds(digest, len(b"never stored"))
    found.objects.put(b"never stored")
    found.objects.flush()
    assert again(many).objects.read(digest) == b"never stored"


def test_a_copied_store_has_the_same_id_and_other_packs(many: Store, tmp_path: Path) -> None:
    all_is_found(again(many))
    shutil.copytree(many.url, tmp_path / "copy")
    copy = open_store(str(tmp_path / "copy"), create=False, cache=many.cache)
    assert copy.id == many.id
    for store, text in ((copy, b"only in the copy"), (many, b"only in the first")):
        for number in range(COUNT):
            send(store.backend, filled(text + b"%d" % number))
    for _ in range(2):
        for store, text, other in (
            (copy, b"only in the copy", b"only in the first"),
            (many, b"only in the first", b"only in the copy"),
        ):
            found = again(store)
            all_is_found(found)
            assert found.objects.read(digest_of(text + b"7")) == text + b"7"
            assert not found.objects.holds(digest_of(other + b"7"), len(other) + 1)
            with pytest.raises(Damaged, match="lacks"):
                found.objects.read(digest_of(other + b"7"))


def test_a_cache_that_may_not_be_written() -> None:
    with open_folder() as root:
        store = open_store(f"{root}/store", create=True)
        for number in range(COUNT):
            send(store.backend, filled(piece(number)))
        os.mkdir(f"{root}/cache", 0o555)

        def work() -> bytes:
            closed = open_store(f"{root}/store", create=False, cache=f"{root}/cache")
            return b"".join(closed.objects.read(digest_of(piece(number))) for number in range(COUNT))

        assert powerless(work) == b"".join(piece(number) for number in range(COUNT))


def test_processes_at_once_learn_the_same(many: Store) -> None:
    def work(number: int, barrier: Barrier) -> bool:
        store = again(many)
        barrier.wait()
        all_is_found(store)
        return True

    assert all(race(8, work))
    all_is_found(again(many))


# ---------------------------------------------------------------------- packs that come and go


@pytest.mark.parametrize("learnt", ["in memory", "in the database"])
def test_a_blob_of_a_pack_that_vanished_is_found_in_another(
    many: Store, monkeypatch: pytest.MonkeyPatch, learnt: str
) -> None:
    """Two packs hold it, and whichever was noted goes, as when packs are merged."""
    if learnt == "in memory":
        monkeypatch.setattr(index_module, "MANY", 10 * COUNT)
    all_is_found(again(many))
    opened = again(many)
    all_is_found(opened)
    for number in range(0, COUNT, 2):
        shared = b"shared %d" % (number // 2)
        place = opened.objects.place(digest_of(shared))
        assert place is not None
        Path(many.url, packs.key_of(place.pack)).unlink()
        assert again(many).objects.read(digest_of(shared)) == shared
        opened.objects.place(b"sha256:".decode() + "0" * 64)
    fresh = again(many)
    assert [fresh.objects.holds(digest_of(b"shared %d" % (n // 2)), 8) for n in range(COUNT)] == [
        True
    ] * COUNT


def test_what_only_a_vanished_pack_held_is_written_again(many: Store) -> None:
    all_is_found(again(many))
    found = pack_of(many.backend, digest_of(piece(3)))
    assert found is not None
    Path(many.url, packs.key_of(found[0])).unlink()
    lacking = again(many)
    with pytest.raises(Damaged, match=digest_of(piece(3))):
        lacking.objects.read(digest_of(piece(3)))
    store = again(many)
    assert not store.objects.holds(digest_of(piece(3)), len(piece(3)))
    store.objects.put(piece(3))
    store.objects.flush()
    assert again(many).objects.read(digest_of(piece(3))) == piece(3)


def test_a_pack_that_was_cut_off_after_it_was_learnt_holds_nothing(many: Store) -> None:
    all_is_found(again(many))
    found = pack_of(many.backend, digest_of(piece(3)))
    assert found is not None
    path = Path(many.url, packs.key_of(found[0]))
    os.truncate(path, path.stat().st_size - 1)
    store = again(many)
    assert not store.objects.holds(digest_of(piece(3)), len(piece(3)))
    store.objects.put(piece(3))
    store.objects.flush()
    assert again(many).objects.read(digest_of(piece(3))) == piece(3)


def test_a_pack_that_another_published_after_we_looked(store: Store) -> None:
    assert not store.objects.holds(digest_of(b"late"), 4)  # so it has looked
    other = open_store(store.url, create=False)
    other.objects.put(b"late")
    other.objects.flush()
    assert store.objects.read(digest_of(b"late")) == b"late"


def test_strangers_among_the_packs_are_passed_over(many: Store) -> None:
    folder = Path(many.url, "packs")
    for name in ("README", f"{'a' * 63}.pack", f".{'a' * 64}.pack.00ff", "Thumbs.db"):
        (folder / name).write_bytes(b"x")
    (folder / "lost+found").mkdir()
    all_is_found(again(many))


@pytest.mark.parametrize("which", ["few", "many"])
def test_a_damaged_pack_is_named_and_hides_no_other(tmp_path: Path, which: str) -> None:
    """Its blobs are refused by its name, until it is restored; all others are read, and what it held can be kept again."""
    cache = str(tmp_path / "cache")
    store = open_store(str(tmp_path / "store"), create=True, cache=cache)
    count = 3 if which == "few" else COUNT
    for number in range(count):
        send(store.backend, filled(piece(number)))
    found = pack_of(store.backend, digest_of(piece(1)))
    assert found is not None
    path = Path(store.url, packs.key_of(found[0]))
    whole = path.read_bytes()
    flip(path, -60)
    for _ in range(2):
        opened = again(store)
        for number in range(count):
            if number != 1:
                assert opened.objects.read(digest_of(piece(number))) == piece(number)
        with pytest.raises(Damaged, match=rf"{digest_of(piece(1))}, and packs/{found[0]}.pack is damaged"):
            opened.objects.read(digest_of(piece(1)))
    path.write_bytes(whole)
    assert again(store).objects.read(digest_of(piece(1))) == piece(1)
    assert len(holds_packs(store)) == count
