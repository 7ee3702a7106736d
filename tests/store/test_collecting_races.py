"""Collection beside writers: a whole collection, at the one moment where it would do harm if anything were out of order.

`tests/protocol` goes through all moments of a model; these are some of the same stories, on the real code.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest

from pkgrun.errors import RunLost, Temporary
from pkgrun.records import Tree
from pkgrun.records.collecting import Sentence
from pkgrun.store import collecting, intake, operations, packs, sentences, sweeping, trees
from pkgrun.store.backend import Backend
from pkgrun.store.collecting import read_all
from pkgrun.store.objects import Objects, digest_of
from pkgrun.store.root import Store
from pkgrun.store.sinks import Hashing
from pkgrun.store.wrappers import Call, Wrapper
from tests.store.blobs import pack_of, put
from tests.store.test_collecting import (
    NOBODY,
    again,
    age,
    begin,
    collect,
    commit,
    decide,
    end,
    folder,
    leave,
)

pytestmark = pytest.mark.row(14)

T = TypeVar("T")

FILES = {"a/small": b"small", "c": b"c" * 100}


class Meanwhile(Wrapper):
    """A place far away; before the first call of a kind, on a key that begins so, something else happens."""

    def __init__(self, backend: Backend, first: Call, happens: Callable[[], object]) -> None:
        super().__init__(backend)
        # What is on this machine is looked for once more before it is used.
        self.capabilities = replace(backend.capabilities, paths=False)
        self._first, self._happens = first, happens
        self.happened = False

    def around(self, call: Call, work: Callable[[], T]) -> T:
        if not self.happened and call.method == self._first.method and call.key.startswith(self._first.key):
            self.happened = True
            self._happens()
        return work()


def intact(store: Store, tree: str, files: dict[str, bytes]) -> None:
    """Another process can read all of a tree."""
    seen = again(store)
    found = {path: entry for path, entry in trees.walk(seen.objects, tree) if entry.kind == "file"}
    assert {path: b"".join(seen.objects.stream(entry.digest)) for path, entry in found.items()} == files


def ingested(path: Path, objects: Objects) -> Tree:
    """A folder in the store, of which nothing is flushed."""
    return intake.ingest(str(path), objects).tree


def reused(store: Store, tree: Tree) -> None:
    """An operation that finds a directory looks at nothing below it, and commits."""
    begun = begin(store)
    objects = again(store).apart().objects
    objects.begun(begun.run)
    assert objects.holds_directory(tree.digest)
    objects.flush()
    decide(store, begun, tree)


def condemn(store: Store) -> Sentence:
    """All that is not needed now, as a collector does that has just looked."""
    mine = again(store)
    doomed = collecting.new(mine.objects, collecting.look(mine.backend, mine.objects))
    before = set(sentences.names(store.backend))
    sweeping._condemn(store.backend, doomed, NOBODY, operations.new_run_id)
    (sentence,) = [one for one in read_all(store.backend) if one.id not in before]
    return sentence


def key_with(store: Store, data: bytes) -> str:
    """The pack in which a small file lies."""
    found = pack_of(store.backend, digest_of(data))
    assert found is not None
    return packs.key_of(found[0])


def test_what_is_collected_just_before_a_writer_looks_is_written_anew(store: Store, tmp_path: Path) -> None:
    path = folder(tmp_path / "data", FILES)
    leave(store, path)
    assert collect(store, grace=1000.0).condemned
    begun = begin(store)
    meanwhile = Meanwhile(store.backend, Call("list", sentences.FOLDER), lambda: collect(store))
    objects = Objects(meanwhile)
    tree = ingested(path, objects)
    objects.flush()
    assert meanwhile.happened
    decide(store, begun, tree)
    intact(store, tree.digest, FILES)


def test_who_found_something_before_the_beginning_is_told_that_it_is_gone(
    store: Store, tmp_path: Path
) -> None:
    tree = leave(store, folder(tmp_path / "data", FILES))
    objects = again(store).apart().objects
    assert objects.holds_directory(tree)
    assert collect(store).deleted
    with pytest.raises(Temporary, match=r"has taken .* away"):
        objects.begun(begin(store).run)


def test_who_found_something_before_the_beginning_is_told_that_it_is_condemned(
    store: Store, tmp_path: Path
) -> None:
    tree = leave(store, folder(tmp_path / "data", FILES))
    objects = again(store).apart().objects
    assert objects.holds_directory(tree)
    assert collect(store, grace=1000.0).condemned
    with pytest.raises(Temporary, match=r"has taken .* away"):
        objects.begun(begin(store).run)


def test_one_that_was_given_up_and_wakes_publishes_no_directory(store: Store, tmp_path: Path) -> None:
    path = folder(tmp_path / "data", {"c": b"c" * 100})
    file = begin(store)
    alone = again(store).apart().objects
    put(alone, b"c" * 100)
    alone.flush()
    end(store, file)
    asleep = begin(store)
    zombie = again(store).apart().objects
    zombie.begun(asleep.run)
    tree = ingested(path, zombie)  # the file is there
    end(store, asleep)
    assert collect(store).deleted
    with pytest.raises(RunLost):
        zombie.flush()
    begun = begin(store)
    assert not again(store).objects.holds_directory(tree.digest)
    assert commit(store, begun, path) == tree.digest
    intact(store, tree.digest, {"c": b"c" * 100})


def test_what_two_sentences_name_is_spared_from_both(store: Store, tmp_path: Path) -> None:
    path = folder(tmp_path / "data", FILES)
    leave(store, path)
    mine = again(store)
    doomed = collecting.new(mine.objects, collecting.look(mine.backend, mine.objects))
    for _ in range(2):  # two collectors that looked at the same time
        sweeping._condemn(store.backend, doomed, NOBODY, operations.new_run_id)
    sweeping._write_open(store.backend)
    begun = begin(store)
    objects = again(store).apart().objects
    tree = ingested(path, objects)
    objects.flush()
    collect(store)
    decide(store, begun, tree)
    intact(store, tree.digest, FILES)
    assert read_all(store.backend) == []


def test_a_directory_that_another_sentence_names_vouches_for_what_is_below(
    store: Store, tmp_path: Path
) -> None:
    """It was written after what is below it was condemned, and lies in a pack that somebody has spared."""
    files = {"f": b"f" * 60, "h": b"h" * 50}
    path = folder(tmp_path / "data", files)
    leave_file(store, b"f" * 60)
    age(store)
    open_ = begin(store)
    late = again(store).apart().objects
    late.begun(open_.run)
    tree = ingested(path, late)  # `f` is there
    lower = condemn(store)
    sweeping._write_open(store.backend)
    late.flush()
    end(store, open_)
    upper = condemn(store)
    sweeping._write_open(store.backend)
    assert not {one.key for one in lower.objects} & {one.key for one in upper.objects}
    begun = begin(store)
    objects = again(store).apart().objects
    put(objects, b"h" * 50)  # spares what lies beside it
    objects.flush()
    collect(store)
    end(store, begun)
    reused(store, tree)
    intact(store, tree.digest, files)


def leave_file(store: Store, data: bytes) -> None:
    """A small file that nobody needs."""
    begun = begin(store)
    objects = again(store).apart().objects
    put(objects, data)
    objects.flush()
    end(store, begun)


def test_a_collector_that_follows_a_dead_one_keeps_to_its_verdict(store: Store, tmp_path: Path) -> None:
    """Else it would keep a directory that was spared too late, above what is gone already."""
    below = {"f": b"f" * 60, "z": os.urandom(5000)}
    path = folder(tmp_path / "a", {"g": b"g" * 50} | {f"B/{name}": data for name, data in below.items()})
    leave(store, folder(tmp_path / "b", below))
    leave(store, path)
    upper, lower = key_with(store, b"g" * 50), key_with(store, b"f" * 60)
    assert upper != lower
    sentence = condemn(store)
    sweeping._write_open(store.backend)
    mine = again(store)
    store.backend.create(sentences.key(sentence.id, sentences.SWEEPING), b"{}")
    doomed = sweeping._settled(mine.backend, mine.objects, sentence)
    assert {one.key for one in doomed} == {upper, lower}
    store.backend.create(sentences.spared_key(sentence.id, upper), b"{}")  # by one that waits now
    store.backend.delete(lower)  # and here it dies
    collect(store)
    tree = intake.ingest(str(path), Hashing()).tree
    assert not again(store).objects.holds_directory(tree.digest)
    assert commit(store, begin(store), path) == tree.digest


def test_a_directory_that_is_written_anew_too_late_vouches_for_nothing(store: Store, tmp_path: Path) -> None:
    """A collector sleeps over it; meanwhile nobody needs it any more, and what is below it is collected."""
    files = {"f": b"f" * 60}
    leave_file(store, files["f"])
    begun = begin(store)
    objects = again(store).apart().objects
    ingested(folder(tmp_path / "other", {"sub/f": files["f"]}), objects)
    tree = ingested(folder(tmp_path / "data", files | {"g": b"g"}), objects)
    objects.flush()
    decide(store, begun, tree)

    def removed() -> None:
        for name in ("runs", "datasets"):  # as if it had been a version, and were removed
            shutil.rmtree(Path(store.url, name))
        assert collect(store).deleted == 2

    asleep = Meanwhile(store.backend, Call("upload", packs.FOLDER), removed)
    sweeping.collect(asleep, Objects(asleep), by=NOBODY, new_id=operations.new_run_id, grace=1000.0)
    assert asleep.happened
    assert again(store).objects.place(tree.digest) is not None
    assert not again(store).objects.holds_directory(tree.digest)
