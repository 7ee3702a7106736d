"""Collection: what nothing refers to goes, in two steps; what anybody needs or might need stays."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pkgrun.errors import Damaged
from pkgrun.records import Actor, DatasetEntry, Head, Intent, Outcome, Tree
from pkgrun.store import collecting, intake, operations, registry, sweeping, trees
from pkgrun.store.collecting import Plan
from pkgrun.store.root import Store, open_store
from pkgrun.store.sweeping import Collected
from tests.store.blobs import blobs, holds_packs, lacking
from tests.store.entries import intent

pytestmark = pytest.mark.row(14)

NOBODY = Actor(user="nobody", host="nowhere", pkgrun="0")
LARGE = 2 << 20


def again(store: Store) -> Store:
    """The store as another process sees it."""
    return open_store(store.url, create=False)


def folder(path: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def begin(store: Store) -> Intent:
    made = intent(operations.new_run_id(), kind="dataset", package=None, dataset="data")
    assert operations.begin(store.backend, made)
    return made


def commit(store: Store, begun: Intent, path: Path) -> str:
    """Register a folder, by an operation that has begun; the digest of its tree."""
    mine = store.apart()
    tree = intake.ingest(str(path), mine.objects).tree
    mine.objects.flush()
    decide(store, begun, tree)
    return tree.digest


def decide(store: Store, begun: Intent, tree: Tree) -> None:
    """Give a tree that is in the store its number."""
    entry = DatasetEntry(dataset="data", run=begun.run, tree=tree, source="x", created=datetime.now(UTC))
    outcome = Outcome(run=begun.run, decision="COMMIT", created=datetime.now(UTC), dataset=entry)
    assert operations.decide(store.backend, outcome) == outcome
    registry.take(store.backend, entry, Head(major=registry.newest_number(store.backend, "data")))


def end(store: Store, begun: Intent) -> None:
    operations.decide(store.backend, Outcome(run=begun.run, decision="FAILED", created=datetime.now(UTC)))


def leave(store: Store, path: Path) -> str:
    """What an operation that died has left: blobs to which no record refers; the digest of the tree."""
    begun = begin(store)
    mine = store.apart()
    tree = intake.ingest(str(path), mine.objects).tree
    mine.objects.flush()
    end(store, begun)
    return tree.digest


def age(store: Store) -> None:
    """Let an hour go by."""
    for path in Path(store.url).rglob("*"):
        if path.is_file() and "runs" not in path.parts:
            os.utime(path, (path.stat().st_mtime - 3600,) * 2)


def collect(store: Store, grace: float = 0.0) -> Collected:
    mine = again(store)
    return sweeping.collect(mine.backend, mine.objects, by=NOBODY, new_id=operations.new_run_id, grace=grace)


def plan(store: Store) -> Plan:
    mine = again(store)
    return collecting.plan(mine.backend, mine.objects)


def whole(store: Store, tree: str, files: dict[str, bytes]) -> None:
    """All of a tree is there."""
    seen = again(store)
    found = {path: entry for path, entry in trees.walk(seen.objects, tree) if entry.kind == "file"}
    assert {path: b"".join(seen.objects.stream(entry.digest)) for path, entry in found.items()} == files
    assert lacking(store) == set()


FILES = {"a/small": b"small", "a/b/large": os.urandom(LARGE), "c": b"c" * 5000}
OTHERS = {"a/small": b"small", "x/y": b"other", "x/large": os.urandom(LARGE)}


def test_nothing_is_done_where_all_is_needed(store: Store, tmp_path: Path) -> None:
    tree = commit(store, begin(store), folder(tmp_path / "data", FILES))
    before = blobs(store)
    found = plan(store)
    assert (found.condemn, found.rewrite, found.due, found.waiting) == ((), (), (), ())
    assert 0 < found.needed <= found.total
    assert collect(store) == Collected(0, 0, 0, 0, 0, 0, ())
    assert blobs(store) == before
    whole(store, tree, FILES)


def test_what_nothing_refers_to_goes_and_the_rest_stays(store: Store, tmp_path: Path) -> None:
    tree = commit(store, begin(store), folder(tmp_path / "data", FILES))
    before = blobs(store)
    leave(store, folder(tmp_path / "other", OTHERS))
    found = plan(store)
    assert {one.reason for one in found.condemn} == {"nothing refers to it"}
    assert {one.key.partition("/")[0] for one in found.condemn} == {"objects", "packs"}
    done = collect(store)
    assert done.deleted == done.condemned == len(found.condemn)
    assert done.deleted_bytes == sum(one.bytes for one in found.condemn)
    assert blobs(store) == before
    whole(store, tree, FILES)
    assert list(store.backend.walk("gc")) == [("gc/clock.json", store.backend.stat("gc/clock.json"))]


def test_a_plan_writes_nothing(store: Store, tmp_path: Path) -> None:
    leave(store, folder(tmp_path / "other", OTHERS))
    before = sorted(store.backend.walk(""), key=lambda one: one[0])
    plan(store)
    assert sorted(store.backend.walk(""), key=lambda one: one[0]) == before


def test_nothing_is_deleted_before_the_grace_is_over(store: Store, tmp_path: Path) -> None:
    leave(store, folder(tmp_path / "other", OTHERS))
    before = blobs(store)
    first = collect(store, grace=1000.0)
    assert first.condemned
    assert not first.deleted
    (waiting,) = first.waiting
    assert 900 < waiting.seconds <= 1000
    assert blobs(store) == before
    second = collect(store, grace=1000.0)
    assert (second.condemned, second.deleted) == (0, 0)
    third = collect(store)
    assert third.deleted == first.condemned
    assert blobs(store) == {}


def test_nothing_is_deleted_while_an_operation_may_use_it(store: Store, tmp_path: Path) -> None:
    leave(store, folder(tmp_path / "other", OTHERS))
    age(store)
    begun = begin(store)
    done = collect(store)
    assert done.condemned
    assert not done.deleted
    (waiting,) = done.waiting
    assert waiting.runs == (begun.run,)
    end(store, begun)
    assert collect(store).deleted == done.condemned


def test_what_an_operation_that_goes_on_has_written_is_not_even_condemned(
    store: Store, tmp_path: Path
) -> None:
    begun = begin(store)
    mine = store.apart()
    tree = intake.ingest(str(folder(tmp_path / "data", FILES)), mine.objects).tree
    mine.objects.flush()
    assert plan(store).condemn == ()
    assert plan(store).open == (begun.run,)
    assert collect(store).condemned == 0
    whole(store, tree.digest, FILES)


def test_an_operation_that_began_before_keeps_what_it_found(store: Store, tmp_path: Path) -> None:
    path = folder(tmp_path / "other", OTHERS)
    leave(store, path)
    age(store)
    begun = begin(store)
    assert collect(store).condemned
    tree = commit(again(store), begun, path)
    done = collect(store)
    assert done.waiting == ()
    whole(store, tree, OTHERS)


def test_one_that_began_after_spares_what_it_needs(store: Store, tmp_path: Path) -> None:
    path = folder(tmp_path / "other", OTHERS)
    leave(store, path)
    assert collect(store, grace=1000.0).condemned
    tree = commit(again(store), begin(store), path)
    collect(store)
    whole(store, tree, OTHERS)


def test_one_that_began_after_and_is_not_decided_spares_it_too(store: Store, tmp_path: Path) -> None:
    path = folder(tmp_path / "other", OTHERS)
    leave(store, path)
    assert collect(store, grace=1000.0).condemned
    begun = begin(store)
    mine = again(store).apart()
    tree = intake.ingest(str(path), mine.objects).tree
    mine.objects.flush()
    collect(store)
    whole(store, tree.digest, OTHERS)
    end(store, begun)
    collect(store)
    assert blobs(store) == {}


def test_a_directory_that_was_left_vouches_for_nothing_that_is_gone(store: Store, tmp_path: Path) -> None:
    """It lies in a pack that is needed for something else; what is below it lies in one that is not."""
    leave(store, folder(tmp_path / "left", {"f": b"left"}))
    files = {"sub/f": b"left", "h": b"h"}
    begun = begin(store)
    mine = store.apart()
    stale = intake.ingest(str(folder(tmp_path / "stale", files)), mine.objects).tree
    tree = intake.ingest(str(folder(tmp_path / "kept", {"h": b"h"})), mine.objects).tree
    mine.objects.flush()
    assert len(holds_packs(store)) == 2
    decide(store, begun, tree)
    (rewrite,) = plan(store).rewrite
    assert rewrite.reason == "it holds directories that nothing refers to"
    assert collect(store).deleted == 2
    whole(store, tree.digest, {"h": b"h"})
    assert commit(again(store), begin(store), tmp_path / "stale") == stale.digest
    whole(store, stale.digest, files)


def test_small_packs_are_merged(store: Store, tmp_path: Path) -> None:
    kept = {}
    for number in range(20):
        files = {"sub/f": b"%d" % number, "same": b"same"}
        kept[commit(store, begin(store), folder(tmp_path / str(number), files))] = files
    assert len(holds_packs(store)) == 20
    before, size = blobs(store), size_of(store)
    assert {one.reason for one in plan(store).rewrite} == {"it is small"}
    done = collect(store)
    assert done.freed_bytes == size - size_of(store) < done.deleted_bytes
    assert (done.rewritten, done.deleted) == (20, 20)
    assert len(holds_packs(store)) == 1
    assert blobs(store) == before
    for tree, files in kept.items():
        whole(store, tree, files)
    assert collect(store).rewritten == 0


def test_what_is_written_anew_takes_space_until_the_rest_is_deleted(store: Store, tmp_path: Path) -> None:
    for number in range(20):
        commit(store, begin(store), folder(tmp_path / str(number), {"f": b"%d" % number * 1000}))
    before = size_of(store)
    first = collect(store, grace=1000.0)
    assert first.freed_bytes == before - size_of(store) < 0
    second = collect(store)
    assert first.freed_bytes + second.freed_bytes == before - size_of(store) > 0


def size_of(store: Store) -> int:
    return sum(stat.size for folder in ("packs", "objects") for _, stat in store.backend.walk(folder))


def test_no_empty_folder_stays_of_what_was_spared(store: Store, tmp_path: Path) -> None:
    path = folder(tmp_path / "other", OTHERS)
    leave(store, path)
    assert collect(store, grace=1000.0).condemned
    commit(again(store), begin(store), path)
    (spared,) = Path(store.url, "gc/spared").iterdir()
    assert list(spared.iterdir())
    collect(store)
    assert not spared.exists()


def test_who_had_the_store_open_finds_what_was_merged(store: Store, tmp_path: Path) -> None:
    kept = {}
    for number in range(20):
        files = {"sub/f": b"%d" % number}
        kept[commit(store, begin(store), folder(tmp_path / str(number), files))] = files
    reader = again(store)
    for tree in kept:
        assert len(list(trees.walk(reader.objects, tree))) == 2
    collect(store)
    for tree, files in kept.items():
        found = {
            path: reader.objects.read(entry.digest)
            for path, entry in trees.walk(reader.objects, tree)
            if entry.kind == "file"
        }
        assert found == files


def test_who_had_it_open_uses_nothing_that_is_gone(store: Store, tmp_path: Path) -> None:
    path = folder(tmp_path / "other", OTHERS)
    leave(store, path)
    assert collect(again(store)).deleted
    tree = commit(store, begin(store), path)
    whole(store, tree, OTHERS)


def test_nothing_is_deleted_from_a_store_that_is_damaged(store: Store, tmp_path: Path) -> None:
    tree = commit(store, begin(store), folder(tmp_path / "data", FILES))
    leave(store, folder(tmp_path / "other", OTHERS))
    (pack,) = [path for path in holds_packs(store) if path.stem == packs_of(store, tree)]
    pack.unlink()
    before = blobs(store)
    with pytest.raises(Damaged, match="nothing was deleted"):
        collect(store)
    assert blobs(store) == before


def packs_of(store: Store, tree: str) -> str:
    place = again(store).objects.place(tree)
    assert place is not None
    return place.pack


def test_what_a_dead_writer_left_is_deleted_when_it_is_old(store: Store, tmp_path: Path) -> None:
    young, old = (
        Path(store.url, "packs/.x.0123456789abcdef"),
        Path(store.url, "objects/.new.0123456789abcdef"),
    )
    mine = Path(store.url, "objects/.DS_Store")
    for path in (young, old, mine):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"xyz")
    os.utime(old, (0, 0))
    os.utime(mine, (0, 0))
    (left,) = plan(store).leftovers
    assert (left.key, left.bytes) == ("objects/.new.0123456789abcdef", 3)
    collect(store)
    assert [path.exists() for path in (young, old, mine)] == [True, False, True]
