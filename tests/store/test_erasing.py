"""Erasure: a content goes wherever it lies, all else stays to the byte, and nobody brings it back by mistake."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeVar

import pytest

from pkgrun.errors import Erased
from pkgrun.store import erased, erasing, intake, operations, packs, trees
from pkgrun.store.listed import Listed
from pkgrun.store.objects import Objects
from pkgrun.store.root import Store
from pkgrun.store.sending import send
from pkgrun.store.sinks import Hashing, Made
from tests.store.blobs import blobs, contents, holds_packs
from tests.store.erasures import FILES, REST, SECRET, began, digest, erase, everywhere, raw, whole
from tests.store.test_collecting import (
    LARGE,
    again,
    begin,
    commit,
    decide,
    end,
    folder,
)

pytestmark = pytest.mark.row(14)

T = TypeVar("T")


def test_all_else_is_there_to_the_byte(store: Store, tmp_path: Path) -> None:
    tree = commit(store, begin(store), folder(tmp_path / "data", FILES))
    before = blobs(store)
    erase(store, SECRET)
    assert SECRET not in everywhere(store)
    assert blobs(store) == {name: data for name, data in before.items() if data != SECRET}
    whole(store, tree, REST)
    assert erasing.find(store.backend, {raw(SECRET)}) == erasing.Found()


def test_a_large_file_goes(store: Store, tmp_path: Path) -> None:
    tree = commit(store, begin(store), folder(tmp_path / "data", FILES))
    before = len(holds_packs(store))
    erase(store, FILES["b/large"])
    assert digest(FILES["b/large"]) not in blobs(store)
    assert len(holds_packs(store)) == before
    whole(store, tree, {path: data for path, data in FILES.items() if path != "b/large"})


def test_it_goes_out_of_every_pack_that_holds_it(store: Store, tmp_path: Path) -> None:
    made = []
    for number in range(3):
        backend = store.backend.apart()
        objects = Objects(backend)
        begun = begin(store)
        files = {"rows.csv": SECRET, "own": b"%d" % number}
        # Each as if it had looked before the others wrote.
        raws = [(raw(data), data) for data in files.values()]
        filling = packs.Filling()
        for one, data in raws:
            filling.add(one, data)
        send(backend, filling.close())
        backend.flush()
        found = intake.ingest(str(folder(tmp_path / str(number), files)), objects).tree
        objects.flush()
        decide(store, begun, found)
        made.append((found.digest, {"own": files["own"]}))
    assert sum(raw(SECRET) in {part.digest for part in one} for one in contents(store).values()) == 3
    erase(store, SECRET)
    assert SECRET not in everywhere(store)
    for tree, rest in made:
        whole(store, tree, rest)


def test_what_a_repair_has_set_aside_goes_if_it_holds_it_or_cannot_be_read(
    store: Store, tmp_path: Path
) -> None:
    commit(store, begin(store), folder(tmp_path / "data", FILES))
    pack = next(path for path in holds_packs(store) if SECRET in path.read_bytes())
    aside = Path(store.url, "gc", "quarantine", operations.new_run_id(), "packs")
    aside.mkdir(parents=True)
    (aside / pack.name).write_bytes(pack.read_bytes())
    (aside / ("0" * 64 + ".pack")).write_bytes(b"nobody knows" + SECRET)
    kept = packs.Filling()
    kept.add(raw(b"else"), b"else")
    other = kept.close()
    (aside / f"{other.name}.pack").write_bytes(other.data)
    erase(store, SECRET)
    assert SECRET not in everywhere(store)
    assert [path.name for path in aside.iterdir()] == [f"{other.name}.pack"]


def test_directories_go_on_to_vouch_for_all_that_is_left(store: Store, tmp_path: Path) -> None:
    tree = commit(store, begin(store), folder(tmp_path / "data", {"rows.csv": SECRET, "c": b"c"}))
    assert len(holds_packs(store)) == 1
    erase(store, SECRET)
    assert again(store).objects.holds_directory(tree)


def test_a_pack_that_held_nothing_else_just_goes(store: Store) -> None:
    begun = begin(store)
    backend = store.backend.apart()
    objects = Objects(backend)
    objects.begun(begun.run)
    objects.put(SECRET)
    objects.flush()
    end(store, begun)
    erase(store, SECRET)
    assert blobs(store) == {}


def test_it_is_refused_where_it_lies(store: Store, tmp_path: Path) -> None:
    erase(store, SECRET)
    path = folder(tmp_path / "data", {"a/rows.csv": SECRET, "c": b"c"})
    for sink in (again(store).objects, Hashing(again(store).objects.erased)):
        with pytest.raises(Erased, match=r"a/rows\.csv holds sha256:.* erased on .*: a test") as error:
            intake.ingest(str(path), sink)
        assert error.value.exit_code == 7
    objects = again(store).objects
    for add in (
        lambda: objects.keep([(raw(SECRET), SECRET)]),
        lambda: objects.holds(digest(SECRET), len(SECRET)),
    ):
        with pytest.raises(Erased):
            add()
    assert blobs(store) == {}


def test_a_large_one_is_never_published(store: Store, tmp_path: Path) -> None:
    erase(store, FILES["b/large"])
    with pytest.raises(Erased, match="b/large"):
        intake.ingest(str(folder(tmp_path / "data", FILES)), again(store).objects)
    assert list(store.backend.walk("objects")) == []
    assert list(store.backend.leftovers()) == []


def test_who_misses_it_is_told(store: Store, tmp_path: Path) -> None:
    commit(store, begin(store), folder(tmp_path / "data", FILES))
    early = again(store).objects
    assert early.read(digest(SECRET)) == SECRET  # it knows which pack
    erase(store, SECRET)
    for objects in (early, again(store).objects):
        with pytest.raises(Erased, match="was erased on"):
            objects.read(digest(SECRET))
        assert objects.read(digest(b"c")) == b"c"


def test_a_receipt_that_cannot_be_read_holds_too(store: Store) -> None:
    erase(store, SECRET)
    Path(store.url, erased.key(raw(SECRET))).write_bytes(b"{")
    with pytest.raises(Erased, match="cannot be read"):
        again(store).objects.keep([(raw(SECRET), SECRET)])


# ---------------------------------------------------------------------- directories

NO_FILES = b'{"entries":[]}'


@pytest.mark.parametrize("listing", [False, True], ids=["a directory", "a listing"])
def test_a_directory_stays_whatever_a_receipt_says(store: Store, tmp_path: Path, listing: bool) -> None:
    """Its digest was unknown when it was named, or a copy brought the receipt: readers find it, and writers may write it."""
    path = folder(tmp_path / "data", {"a/rows.csv": SECRET, "c": b"c"})
    (path / "empty").mkdir()
    made = Made()
    root = intake.ingest(str(path), made).tree.digest
    for data in made.made.values():
        began(store, data)
    begun, objects = begin(store), store.apart().objects
    objects.begun(begun.run)
    if listing:
        sink = Listed(objects)
        assert intake.ingest(str(path), sink).tree.digest == root
        assert sink.settle() is None
        objects.flush()
        end(store, begun)
    else:
        tree = intake.ingest(str(path), objects).tree
        objects.flush()
        decide(store, begun, tree)
    before = blobs(store)
    assert made.made.keys() <= before.keys()
    erase(store, b"anything")
    assert blobs(store) == before
    found = erasing.find(store.backend, erased.raws(store.backend))
    assert not found
    assert found.directories == {raw(data) for data in made.made.values()}
    assert sorted(path for path, _ in trees.walk(again(store).objects, root)) == [
        "a",
        "a/rows.csv",
        "c",
        "empty",
    ]
    assert not again(store).objects.erased.raws & found.directories


def test_a_file_of_the_bytes_of_a_directory_stays(store: Store, tmp_path: Path) -> None:
    """Nobody can tell them apart by their digest; and what is no directory but looks like one goes."""
    files = {
        "nodes.json": NO_FILES,
        "others.json": b'{"entries":[],"who":"Ada"}',
        "large.json": _large_node(),
    }
    tree = commit(store, begin(store), folder(tmp_path / "data", files))
    for data in files.values():
        erase(store, data)
    whole(store, tree, {name: data for name, data in files.items() if name != "others.json"})
    assert b"Ada" not in everywhere(store)


def _large_node() -> bytes:
    """More than a mebibyte, so that a file of these bytes is an object of its own."""
    names = sorted(f"{number:0200}" for number in range(5000))
    return _node([trees.Entry(name, "symlink", target="c") for name in names])


def _node(entries: list[trees.Entry]) -> bytes:
    made = Made()
    return made.made[trees.write_node(entries, made).digest]


def test_what_pkgrun_writes_itself_is_stopped_by_no_receipt(store: Store, tmp_path: Path) -> None:
    """A record, a lock, or a log, small or large."""
    large = os.urandom(LARGE)
    erase(store, SECRET)
    erase(store, large)
    objects = again(store).objects
    (tmp_path / "log").write_bytes(large)
    assert objects.put(SECRET).digest == digest(SECRET)
    assert objects.take(str(tmp_path / "log"), own=True).digest == digest(large)
    objects.flush()
    assert {digest(SECRET), digest(large)} <= blobs(store).keys()


@pytest.mark.parametrize("count", [1, 40])
def test_the_first_of_some_digests_that_was_erased(store: Store, count: int) -> None:
    for number in range(count):
        store.backend.create(erased.key(raw(b"%d" % number)), b"{}")
    known = again(store).objects.erased
    others = [raw(b"other %d" % number) for number in range(5)]
    assert known.first(b"".join(others)) is None
    assert known.first(b"") is None
    assert known.first(b"".join([*others, raw(b"0"), raw(b"0")])) == 5
    # Not where the end of one and the beginning of the next only look like it.
    across = b"\0" * 16 + raw(b"0") + b"\0" * 16
    assert known.first(across) is None
    assert known.first(across + raw(b"0")) == 2
