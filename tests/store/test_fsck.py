"""What `fsck` makes of a store's contents, and what mending them leaves: hostile trees, and what goes on meanwhile."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import pytest

from pkgrun.errors import Temporary
from pkgrun.records import Tree
from pkgrun.records.collecting import Doomed, Sentence
from pkgrun.store import operations, packs, registry, sentences, sweeping, trees
from pkgrun.store.fsck import chains, contents, ledger, proceedings, restoring, salvage
from pkgrun.store.fsck.contents import Contents
from pkgrun.store.fsck.findings import Finding, Need
from pkgrun.store.fsck.ledger import Ledger, Operation
from pkgrun.store.fsck.reading import Choice
from pkgrun.store.fsck.salvage import Source
from pkgrun.store.root import Store, open_store
from pkgrun.store.trees import Entry
from pkgrun.store.wrappers import Call, Wrapper
from pkgrun.workspace import stores
from tests.store.blobs import flip, holds_packs, lacking, put
from tests.store.test_collecting import NOBODY, again, begin, commit, decide, folder, leave, whole

T = TypeVar("T")

ALL = Choice(1.0, 0)


def nothing(*said: object) -> None:
    pass


def looked(store: Store, choice: Choice | None = ALL) -> tuple[Contents, list[Finding]]:
    """What is wrong with the contents of a store, as another process sees it."""
    store = again(store)
    known = ledger.load(store.backend, _look)
    proceedings.read(known)
    found = contents.look(store.backend, store.objects, known.roots(), choice, nothing)
    said = [*known.findings, *chains.check(known)]
    return found, said + list(contents.findings(store.backend, store.objects, found, float("inf")))


def _look(known: Ledger, operation: Operation) -> Iterator[Finding]:
    return chains.founded(known, operation)


def mend(store: Store, other: Store | None = None) -> restoring.Mended:
    store = again(store)
    found, _ = looked(store)
    source = Source(other.backend, other.objects) if other else Source(None, None)
    return restoring.mend(store.backend, store.objects, found, source, nothing, "gc/quarantine/test")


def kinds(store: Store) -> list[str]:
    return sorted(one.kind for one in looked(store)[1])


def kept(store: Store, entries: list[Entry]) -> Tree:
    """A directory that was written, whatever it says."""
    return trees.write_node(entries, store.objects)


def file(store: Store, name: str, data: bytes, **said: int) -> Entry:
    blob = put(store.objects, data)
    return Entry(name, "file", blob.digest, 1, said.get("size", blob.bytes))


def below(name: str, tree: Tree, **said: int) -> Entry:
    return Entry(name, "dir", tree.digest, said.get("files", tree.files), said.get("bytes", tree.bytes))


def register(store: Store, tree: Tree) -> None:
    begun = begin(store)
    store.objects.flush()
    decide(store, begun, tree)


def test_a_tree_whose_paths_nobody_could_count_is_looked_through_once(store: Store) -> None:
    """Forty levels, each of which holds the next one twice: a billion paths and forty directories."""
    tree = kept(store, [file(store, "leaf", b"x"), file(store, "other", b"y")])
    for _ in range(40):
        tree = kept(store, [below("a", tree), below("b", tree)])
    register(store, tree)
    assert kinds(store) == []
    (pack,) = holds_packs(store)
    flip(pack, packs.HEAD)
    found, (said,) = looked(store)
    assert (said.kind, said.severity) == ("pack-damaged", "hole")
    assert 1 <= len(said.needed_by) <= 3
    assert said.needed_by[0].label == "data@1"
    assert len(found.missing) == 1


@pytest.mark.parametrize(
    "said", [{"files": 2}, {"bytes": 7}, {"files": 0, "bytes": 0}], ids=["too many", "too large", "nothing"]
)
def test_a_directory_that_miscounts_what_is_in_it_is_named(store: Store, said: dict[str, int]) -> None:
    inner = kept(store, [file(store, "leaf", b"x")])
    register(store, kept(store, [below("in", inner, **said)]))
    _, (found,) = looked(store)
    assert (found.kind, found.severity) == ("counts-wrong", "hole")
    assert found.needed_by == (Need("data@1"),)


def test_a_record_that_miscounts_its_tree_is_named(store: Store) -> None:
    tree = kept(store, [file(store, "leaf", b"x")])
    register(store, tree.model_copy(update={"files": 3}))
    assert {(one.kind, one.key.partition("/")[0]) for one in looked(store)[1]} == {
        ("counts-wrong", "datasets"),
        ("counts-wrong", "runs"),
    }


def test_a_directory_that_says_a_wrong_size_of_a_file_is_named(store: Store) -> None:
    register(store, kept(store, [file(store, "leaf", b"x", size=2)]))
    _, found = looked(store)
    assert {one.kind for one in found} == {"counts-wrong"}
    assert found[0].needed_by == (Need("data@1", "leaf"),)


def test_a_part_that_has_parts_and_a_directory_that_is_none_are_named(store: Store) -> None:
    malformed = store.objects.node(b'{"entries":[{"kind":"door","name":"x"}]}')
    register(store, Tree(digest=malformed.digest, files=0, bytes=0))
    leaf = kept(store, [file(store, "leaf", b"x")])
    line = b'{"bytes":1,"digest":"%b","files":1,"first":"leaf"}'
    part = store.objects.node(b'{"parts":[' + line % leaf.digest.encode() + b"]}")
    split = store.objects.node(b'{"parts":[' + line % part.digest.encode() + b"]}")
    register(store, Tree(digest=split.digest, files=1, bytes=1))
    found = looked(store)[1]
    assert {one.kind for one in found if one.severity == "hole"} == {"directory-malformed", "counts-wrong"}
    assert {need.label for one in found for need in one.needed_by} >= {"data@1", "data@2"}


def test_a_large_directory_of_parts_is_right(store: Store) -> None:
    blob = put(store.objects, b"x")
    entries = [Entry(f"{number:05}", "file", blob.digest, 1, 1) for number in range(trees.PART_LIMIT + 5)]
    register(store, kept(store, entries))
    assert kinds(store) == []


def test_one_record_that_cannot_be_read_does_not_stop_the_rest(store: Store, tmp_path: Path) -> None:
    commit(store, begin(store), folder(tmp_path / "a", {"a": b"1"}))
    commit(store, begin(store), folder(tmp_path / "b", {"b": b"2" * 5000}))
    record = Path(store.url, registry.key("data", 1))
    record.write_bytes(b"{")
    for pack in holds_packs(store):
        data = pack.read_bytes()
        if b"22222" in data:
            flip(pack, data.index(b"22222"))
    assert kinds(store) == ["pack-damaged", "record-malformed"]


def test_numbers_that_somebody_made_up_take_no_time(store: Store, tmp_path: Path) -> None:
    """A hundred million numbers are missing before the last one that there can be."""
    commit(store, begin(store), folder(tmp_path / "a", {"a": b"1"}))
    record = Path(store.url, registry.key("data", 1))
    (record.parent / "99999999.json").write_bytes(record.read_bytes())
    found = looked(store)[1]
    assert {one.kind for one in found} == {"record-missing", "record-misplaced"}
    assert len(found) < 2000


# ---------------------------------------------------------------------- mending, and who else is there


def damaged(store: Store, data: bytes) -> str:
    """Damage a content in a pack; the pack's key."""
    for pack in holds_packs(store):
        if (at := pack.read_bytes().find(data)) > 0:
            flip(pack, at)
            return f"packs/{pack.name}"
    raise AssertionError(data)


def test_what_a_damaged_pack_held_besides_stays_also_what_no_record_needs_yet(
    store: Store, tmp_path: Path
) -> None:
    """A writer may just be using it."""
    working = begin(store)
    writer = again(store).apart()
    tree = kept(writer, [file(writer, "good", b"good" * 100), file(writer, "bad", b"bad!" * 100)])
    writer.objects.flush()
    commit(store, begin(store), folder(tmp_path / "a", {"bad": b"bad!" * 100}))
    other = open_store(str(tmp_path / "other"), create=True)
    put(other.objects, b"bad!" * 100)
    other.objects.flush()
    key = damaged(store, b"bad!")
    done = mend(store, open_store(other.url, create=False))
    assert (done.lost, done.retired) == (frozenset(), (key,))
    decide(again(store), working, tree)
    assert [one for one in looked(store)[1] if one.severity in ("hole", "damage")] == []
    assert lacking(store) == set()


def test_a_file_that_was_damaged_is_kept_apart(store: Store, tmp_path: Path) -> None:
    commit(store, begin(store), folder(tmp_path / "a", {"a": b"aaaa" * 100, "b": b"bbbb" * 100}))
    key = damaged(store, b"aaaa")
    before = Path(store.url, key).read_bytes()
    done = mend(store)
    assert len(done.lost) == 1
    assert not Path(store.url, key).exists()
    assert Path(store.url, "gc/quarantine/test", key).read_bytes() == before
    assert kinds(store).count("quarantined") == 1
    assert "object-missing" in kinds(store)


def test_no_directory_vouches_for_what_is_lost_however_far_below(store: Store, tmp_path: Path) -> None:
    files = {"deep/er/lost": b"lost" * 100, "deep/er/there": b"there" * 100, "other/file": b"other" * 100}
    digest = commit(store, begin(store), folder(tmp_path / "a", files))
    damaged(store, b"lostlost")
    mend(store)
    seen = again(store)
    entries = {entry.name: entry for entry in trees.read_node(seen.objects, digest)}
    assert not seen.objects.holds_directory(digest)
    assert not seen.objects.holds_directory(entries["deep"].digest)
    assert not seen.objects.holds_directory(entries["other"].digest), "who mends vouches for nothing"
    commit(store, begin(store), tmp_path / "a")
    assert lacking(store) == set()
    assert seen.objects.holds_directory(digest) or again(store).objects.holds_directory(digest)


def test_what_a_collection_may_delete_any_moment_is_no_copy_of_what_is_damaged(
    store: Store, tmp_path: Path
) -> None:
    """The only good copy is condemned, because another is there, which nobody has read: mending keeps it from being deleted."""
    commit(store, begin(store), folder(tmp_path / "a", {"a": b"aaaa" * 100, "b": b"1"}))
    second = again(store).apart()
    filling = packs.Filling()
    filling.add(bytes.fromhex(put(second.objects, b"aaaa" * 100).digest[7:]), b"aaaa" * 100)
    pack = filling.close()
    upload = store.backend.upload(packs.key_of(pack.name))
    upload.write(pack.data)
    upload.publish(packs.key_of(pack.name))
    store.backend.flush()
    _condemn(store, packs.key_of(pack.name), len(pack.data))
    for path in holds_packs(store):
        if path.stem != pack.name:
            flip(path, path.read_bytes().index(b"aaaa"))
    assert mend(store).lost == frozenset()
    _age(store)
    store = again(store)
    sweeping.collect(store.backend, store.objects, by=NOBODY, new_id=operations.new_run_id, grace=0)
    assert [one for one in looked(store)[1] if one.severity in ("hole", "damage")] == []
    assert lacking(store) == set()


def _condemn(store: Store, key: str, size: int) -> None:
    name = operations.new_run_id()
    doomed = (Doomed(key=key, bytes=size, reason="it is there twice"),)
    sentence = Sentence(id=name, created=datetime.now(UTC), by=NOBODY, objects=doomed)
    store.backend.write(sentences.key(name), sentence.to_bytes())


def _age(store: Store) -> None:
    for path in Path(store.url).rglob("*"):
        if path.is_file() and "runs" not in path.parts:
            os.utime(path, (path.stat().st_mtime - 3600,) * 2)


class Breaking(Wrapper):
    """A backend that breaks off after so many changes."""

    left = 0

    def around(self, call: Call, work: Callable[[], T]) -> T:
        if call.method in ("upload.publish", "delete", "flush"):
            if self.left == 0:
                raise Temporary("broken off")
            self.left -= 1
        return work()


def test_a_mending_that_is_broken_off_anywhere_loses_nothing_and_the_next_one_ends_it(
    store: Store, tmp_path: Path
) -> None:
    files = {f"f{number}": b"%d" % number * 500 for number in range(9)}
    commit(store, begin(store), folder(tmp_path / "a", files | {"bad": b"bad!" * 100}))
    other = open_store(str(tmp_path / "other"), create=True)
    commit(other, begin(other), tmp_path / "a")
    damaged(store, b"bad!")
    for left in range(12):
        found, _ = looked(store)
        backend = Breaking(again(store).backend)
        backend.left = left
        try:
            restoring.mend(
                backend,
                again(store).objects,
                found,
                Source(other.backend, other.objects),
                nothing,
                "gc/quarantine/x",
            )
        except Temporary:
            assert {one.kind for one in looked(store)[1]} <= {
                "pack-damaged",
                "unreferenced",
                "quarantined",
                "leftover",
            }
        else:
            break
    else:
        pytest.fail("it never ended")
    assert [one for one in looked(store)[1] if one.severity in ("hole", "damage")] == []


def test_a_bit_that_is_flipped_behind_the_blobs_of_a_pack_loses_none_of_them(store: Store) -> None:
    chosen = random.Random(3)
    for turn in range(200):
        filling = packs.Filling()
        for _ in range(chosen.randint(1, 12)):
            data = chosen.randbytes(chosen.choice([0, 1, 5, 300]))
            filling.add(hashlib.sha256(data).digest(), data)
        pack = filling.close()
        behind = packs.FOOT + (packs.ENTRY * len(pack.parts) if turn % 2 else 0)
        damaged_one = bytearray(pack.data)
        damaged_one[-chosen.randint(1, behind)] ^= 1 << chosen.randrange(8)
        key = packs.key_of(pack.name)
        store.backend.write(key, bytes(damaged_one))
        wanted = {part.digest for part in pack.parts}
        assert {blob.raw for blob in salvage.good_in(store.backend, key, None, wanted)} == wanted


def test_what_is_below_a_directory_that_was_guessed_is_fetched_too(store: Store, tmp_path: Path) -> None:
    """The index of its pack is damaged, and the pack with all that it holds is gone: one repair brings both back."""
    leave(store, folder(tmp_path / "low", {"f": b"f" * 500, "deep/g": b"g" * 500}))
    low = set(holds_packs(store))
    files = {"sub/f": b"f" * 500, "sub/deep/g": b"g" * 500, "top": b"top"}
    digest = commit(store, begin(store), folder(tmp_path / "all", files))
    copy = open_store(str(shutil.copytree(store.url, tmp_path / "copy")), create=False)
    (high,) = set(holds_packs(store)) - low
    flip(high, high.stat().st_size - packs.FOOT - 20)
    for path in low:
        path.unlink()
    assert stores.repair(store.url, source=copy.url, execute=True).sound
    whole(store, digest, files)
