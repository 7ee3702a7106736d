"""Erasure beside others, and broken off: collections, writers, readers, a second erasure, a death at every changing call."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from pkgrun.store import collecting, erasing, intake, operations, sentences, sweeping
from pkgrun.store.backend import Backend
from pkgrun.store.objects import Objects, key_of
from pkgrun.store.root import Store, open_store
from pkgrun.store.survey import survey
from pkgrun.store.wrappers import Call, Wrapper
from tests.store.blobs import blobs, contents, holds_packs, lacking
from tests.store.entries import intent
from tests.store.erasures import FILES, REST, SECRET, began, digest, erase, everywhere, raw, sweep, whole
from tests.store.test_collecting import (
    LARGE,
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
from tests.store.test_collecting_races import Meanwhile, condemn

pytestmark = pytest.mark.row(14)

T = TypeVar("T")


def test_two_erasures_of_one_pack(store: Store, tmp_path: Path) -> None:
    """Each writes it anew, with what the other one takes out."""
    other = FILES["a/others.csv"]
    tree = commit(store, begin(store), folder(tmp_path / "data", FILES))
    first = began(store, SECRET)
    meanwhile = Meanwhile(store.backend, Call("upload.publish", "packs/"), lambda: erase(store, other))
    sweep(meanwhile, first)
    assert meanwhile.happened
    assert SECRET not in everywhere(store)
    assert other not in everywhere(store)
    whole(store, tree, {path: data for path, data in REST.items() if data != other})


def test_the_receipt_of_another_erasure_that_comes_last_is_heeded(store: Store, tmp_path: Path) -> None:
    """The other one looked before ours had published what it wrote anew; ours looks again in the end."""
    other = FILES["a/others.csv"]
    commit(store, begin(store), folder(tmp_path / "data", FILES))
    first = began(store, SECRET)
    meanwhile = Meanwhile(store.backend, Call("delete", "packs/"), lambda: began(store, other))
    sweep(meanwhile, first)
    assert meanwhile.happened
    assert other not in everywhere(store)


@pytest.mark.parametrize(
    "moment",
    [Call("upload", "packs/"), Call("upload.publish", "packs/"), Call("flush"), Call("delete", "packs/")],
    ids=lambda call: call.method,
)
def test_a_collection_at_every_moment(store: Store, tmp_path: Path, moment: Call) -> None:
    tree = commit(store, begin(store), folder(tmp_path / "data", FILES))
    leave(store, folder(tmp_path / "left", {"l": b"left", "rows.csv": SECRET}))
    age(store)
    begun = began(store, SECRET)
    meanwhile = Meanwhile(store.backend, moment, lambda: collect(store))
    sweep(meanwhile, begun)
    assert meanwhile.happened
    assert SECRET not in everywhere(store)
    whole(store, tree, REST)
    collect(store)
    whole(store, tree, REST)


def test_a_condemned_pack_is_spared_while_it_is_written_anew(store: Store, tmp_path: Path) -> None:
    """A writer has spared it: what it relies on must be there when the sentence is carried out."""
    path = folder(tmp_path / "data", FILES)
    tree = leave(store, path)
    age(store)
    sentence = condemn(store)
    assert any(one.key.startswith("packs/") for one in sentence.objects)
    writer = begin(store)
    objects = again(store).apart().objects
    objects.begun(writer.run)
    found = intake.ingest(str(path), objects).tree
    assert found.digest == tree
    objects.flush()
    erase(store, SECRET)
    collect(store)
    decide(store, writer, found)
    collect(store)
    whole(store, tree, REST)


def test_what_a_sentence_leaves_because_a_directory_vouches_for_it_stays(
    store: Store, tmp_path: Path
) -> None:
    """The sentence names a file; a pack that it does not name has a directory above it, on which a writer relies. Then that pack is
    written anew: the new one must vouch for the file as the old one did."""
    files = {"large": os.urandom(LARGE), "rows.csv": SECRET}
    leave(store, folder(tmp_path / "large", {"large": files["large"]}))
    tree = leave(store, folder(tmp_path / "data", files))
    home = next(path for path in holds_packs(store) if SECRET in path.read_bytes())
    assert b'"rows.csv"' in home.read_bytes()
    age(store)
    mine = again(store)
    found = collecting.new(mine.objects, collecting.look(mine.backend, mine.objects))
    doomed = [one for one in found if not one.key.endswith(home.name)]
    assert key_of(digest(files["large"])) in {one.key for one in doomed}
    sweeping._condemn(store.backend, doomed, NOBODY, operations.new_run_id)
    sweeping._write_open(store.backend)
    writer = begin(store)
    objects = again(store).apart().objects
    objects.begun(writer.run)
    assert objects.holds_directory(tree)
    erase(store, SECRET)
    assert sentences.names(store.backend)
    collect(store)  # the sentence is due: it waits for nobody
    assert digest(files["large"]) in blobs(store)


def test_a_pack_that_is_just_being_deleted_is_not_written_anew(store: Store, tmp_path: Path) -> None:
    """Its directories vouch for files of which some are gone already: no new pack may say that they are there."""
    most = os.urandom(100_000)
    leave(store, folder(tmp_path / "most", {"most": most}))
    leave(store, folder(tmp_path / "data", {"most": most, "rows.csv": SECRET}))
    age(store)
    sentence = condemn(store)
    sweeping._write_open(store.backend)
    mine = Dying(store.backend, 1, after=False, method="delete")
    with pytest.raises(Dead):
        sweeping.collect(mine, Objects(mine), by=NOBODY, new_id=operations.new_run_id, grace=0.0)
    assert sentences.names(store.backend) == [sentence.id]
    assert digest(most) not in blobs(store)
    assert SECRET in everywhere(store)
    erase(store, SECRET)
    assert SECRET not in everywhere(store)
    assert lacking(store) == set()


def test_who_is_given_up_takes_nothing_away(store: Store, tmp_path: Path) -> None:
    commit(store, begin(store), folder(tmp_path / "data", FILES))
    before = blobs(store)
    begun = began(store, SECRET)
    end(store, begun)
    with pytest.raises(AssertionError):
        sweep(store.backend, begun)
    assert blobs(store) == before


def test_who_looks_while_a_pack_is_written_anew_sees_one_of_the_two(store: Store, tmp_path: Path) -> None:
    """Another erasure has listed the pack, and finds it gone."""
    other = FILES["a/others.csv"]
    commit(store, begin(store), folder(tmp_path / "data", FILES))
    meanwhile = Meanwhile(store.backend, Call("stat", "packs/"), lambda: erase(store, SECRET))
    found = erasing.find(meanwhile, {raw(other)})
    assert meanwhile.happened
    assert len(found.packs) == 1


def test_who_surveys_while_a_pack_is_written_anew_sees_one_of_the_two(store: Store, tmp_path: Path) -> None:
    commit(store, begin(store), folder(tmp_path / "data", FILES))
    meanwhile = Meanwhile(store.backend, Call("read", "packs/"), lambda: erase(store, SECRET))
    stat = Meanwhile(meanwhile, Call("stat", "packs/"), lambda: erase(store, SECRET))
    found = survey(stat)
    assert stat.happened
    assert set(found.packs) == set(contents(store))


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_killed_at_every_call_it_can_be_asked_for_again(tmp_path: Path, after: bool) -> None:
    """Whatever an erasure came to, all else is there, and the next one brings it to its end."""
    at = 0
    while True:
        store = open_store(str(tmp_path / f"{at}-{after}"), create=True)
        files = {**FILES, "again": SECRET, "more": b"more"}
        tree = commit(store, begin(store), folder(tmp_path / "data", files))
        begun = began(store, SECRET)
        dying = Dying(store.backend, at, after=after)
        try:
            sweep(dying, begun)
        except Dead:
            end(store, begun)
        else:
            break
        whole(store, tree, REST)
        collect(store)
        whole(store, tree, REST)
        again_ = intent(operations.new_run_id(), kind="erasure", package=None)
        assert operations.begin(store.backend, again_)
        sweep(again(store).backend, again_)
        assert SECRET not in everywhere(store)
        whole(store, tree, REST)
        at += 1
    assert at > 5


class Dead(BaseException):
    """It is as if the process had died."""


class Dying(Wrapper):
    """After so many calls that change something no more is done."""

    def __init__(self, backend: Backend, at: int, *, after: bool, method: str = "") -> None:
        super().__init__(backend)
        self._at, self._after, self._calls, self._method = at, after, 0, method

    def around(self, call: Call, work: Callable[[], T]) -> T:
        if self._method and not (call.method == self._method and call.key.startswith("packs/")):
            return work()
        if call.method in ("read", "stream", "stat", "list", "walk", "leftovers", "upload.discard"):
            return work()
        self._calls += 1
        if self._calls <= self._at:
            return work()
        if self._calls == self._at + 1 and self._after:
            work()
        raise Dead
