"""From one store's objects to another's: the same bytes, only what is lacking, and never a directory without its content."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal

import pytest

from pkgrun.errors import Damaged, Temporary
from pkgrun.records import Blob, Tree
from pkgrun.store import trees
from pkgrun.store.backend import Backend
from pkgrun.store.checkout import checkout
from pkgrun.store.intake import ingest
from pkgrun.store.local import LocalBackend
from pkgrun.store.objects import SMALL, Objects, digest_of
from pkgrun.store.root import Store
from pkgrun.store.transfer import transfer
from pkgrun.store.trees import Entry, write_node
from pkgrun.testing import Counting, Fault, Faulty, MemoryBackend, Plan
from tests import folders
from tests.folders import File, Folder, Link
from tests.processes import open_folder
from tests.store.blobs import DAMAGE, put

LARGE = b"large" * (SMALL // 4)
PLAIN: Folder = {
    b"train.py": File(b"import this"),
    b"run.sh": File(b"#!/bin/sh", executable=True),
    b"weights": File(LARGE),
    b"data": {b"rows.csv": File(b"1,2"), b"deep": {b"x": File(b"x"), b"again": File(b"1,2")}},
    b"same": {
        b"deeper": {b"data": {b"rows.csv": File(b"1,2"), b"deep": {b"x": File(b"x"), b"again": File(b"1,2")}}}
    },
    b"link": Link(b"data/rows.csv"),
    b"empty": {},
    b"\xff%": File(b""),
}


def local(path: Path) -> Backend:
    path.mkdir()
    return LocalBackend(path)


PLACES: dict[str, Callable[[Path], Backend]] = {
    "a directory": local,
    "one that renames": lambda path: MemoryBackend(),
    "one that does not": lambda path: MemoryBackend(rename=False),
}


def taken_in(objects: Objects, content: Folder = PLAIN) -> Tree:
    """A folder's tree."""
    with open_folder() as root:
        folders.make(content, os.fsencode(root))
        tree = ingest(root, objects).tree
    objects.flush()
    return tree


def laid_out(objects: Objects, tree: Tree) -> Folder:
    """What a tree holds, read anew."""
    with open_folder() as root:
        checkout(objects, tree.digest, root)
        return folders.look(os.fsencode(root))


@pytest.mark.parametrize("here", PLACES)
@pytest.mark.parametrize("there", PLACES)
def test_what_goes_over_is_the_same_to_the_byte(here: str, there: str, tmp_path: Path) -> None:
    source, backend = Objects(PLACES[here](tmp_path / "a")), PLACES[there](tmp_path / "b")
    tree, lock = taken_in(source), put(source, b"lock==1")
    source.flush()
    target = Objects(backend)
    told: list[int] = []
    sent = transfer(source, target, [tree, tree], [lock, lock], progress=told.append)
    target.flush()

    assert laid_out(Objects(backend.apart()), tree) == PLAIN
    assert Objects(backend).read(lock.digest) == b"lock==1"
    assert (sent.files, sent.bytes) == (7, 11 + 9 + len(LARGE) + 3 + 1 + 0 + 7), "equal files go over once"
    assert sum(told) == 2 * tree.bytes + 2 * lock.bytes


def test_what_is_there_is_not_sent_again(store: Store) -> None:
    tree, backend = taken_in(store.objects), Counting(MemoryBackend())
    target = Objects(backend)
    transfer(store.objects, target, [tree])
    target.flush()
    assert backend.tally.sent["upload.write"] > len(LARGE)

    backend.tally.sent.clear()
    target, told = Objects(backend.apart()), list[int]()
    assert transfer(store.objects, target, [tree], progress=told.append).files == 0
    target.flush()
    assert (backend.tally.sent["upload.write"], sum(told)) == (0, tree.bytes)

    changed = taken_in(store.objects, {**PLAIN, b"train.py": File(b"import that")})
    sent = transfer(store.objects, target, [changed])
    assert (sent.files, sent.bytes) == (1, 11)


def test_large_directories_and_shared_ones_go_over(store: Store, tmp_path: Path) -> None:
    content = put(store.objects, b"x")
    entries = [Entry(f"{number:06}", "file", content.digest, 1, 1) for number in range(10_001)]
    split = write_node(entries, store.objects)
    inner = write_node([Entry("split", "dir", split.digest, split.files, split.bytes)], store.objects)
    names = [("inner", inner), ("split", split)]
    root = write_node(
        [Entry(name, "dir", one.digest, one.files, one.bytes) for name, one in names], store.objects
    )
    store.objects.flush()

    target = Objects(local(tmp_path / "b"))
    told: list[int] = []
    assert transfer(store.objects, target, [root], progress=told.append).files == 1
    target.flush()
    assert sum(told) == root.bytes
    walked = list(trees.walk(target, root.digest))
    assert len(walked) == 2 * 10_001 + 3


def nodes_of_a_large_directory(store: Store) -> Tree:
    """A directory that is a large blob itself, over one that is small."""
    content = put(store.objects, b"x")
    below = write_node([Entry("x", "file", content.digest, 1, 1)], store.objects)
    entries = [Entry(f"{number:0200}", "dir", below.digest, 1, 1) for number in range(3_500)]
    tree = write_node(entries, store.objects)
    store.objects.flush()
    return tree


@pytest.mark.parametrize("make", [lambda store: taken_in(store.objects), nodes_of_a_large_directory])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_directory_is_never_there_without_its_content(
    store: Store, make: Callable[[Store], Tree], when: Literal["before", "after"]
) -> None:
    """Whichever call fails; and the next attempt ends the work."""
    tree, failed = make(store), 0
    while fails(store, tree, Fault(None, failed + 1, when, Temporary("it fails"))):
        failed += 1
    assert failed > 4


def fails(store: Store, tree: Tree, fault: Fault) -> bool:
    """Whether there is a call that this fails; what is there afterwards is whole, and a second attempt ends the work."""
    place, plan = MemoryBackend(), Plan(fault)
    target = Objects(Faulty(place, plan))
    with suppress(Temporary):
        transfer(store.objects, target, [tree])
        target.flush()
    for digest in held(store.objects, Objects(place), tree):
        assert not lacking(Objects(place), digest)
    again = Objects(place.apart())
    transfer(store.objects, again, [tree])
    again.flush()
    assert not lacking(Objects(place), tree.digest)
    return bool(plan.fired)


def held(source: Objects, target: Objects, tree: Tree) -> Iterator[str]:
    """The directories of a tree that a store says it holds with all below."""
    below = {entry.digest for _, entry in trees.walk(source, tree.digest) if entry.kind == "dir"}
    for digest in {tree.digest, *below}:
        if target.holds_directory(digest):
            yield digest


def lacking(objects: Objects, digest: str) -> list[str]:
    """What is not there of a directory."""
    try:
        found = [entry for _, entry in trees.walk(objects, digest) if entry.kind == "file"]
    except Damaged as error:
        return [error.message]
    return [entry.digest for entry in found if not objects.holds(entry.digest, entry.bytes)]


@pytest.mark.parametrize("how", DAMAGE)
@pytest.mark.parametrize("what", ["small", "large", "node"])
def test_damage_is_named_and_goes_no_further(store: Store, what: str, how: str, tmp_path: Path) -> None:
    tree = taken_in(store.objects)
    digest = {"small": digest_of(b"import this"), "large": digest_of(LARGE), "node": tree.digest}[what]
    DAMAGE[how](store, digest)

    target = Objects(local(tmp_path / "b"))
    with pytest.raises(Damaged) as caught:
        transfer(Objects(store.backend), target, [tree])
    # Of a pack that is gone as a whole, whatever is looked for first.
    gone = how in ("deleted", "without its folder") and what == "small"
    assert any(name in caught.value.message for name in ("sha256:" if gone else digest[7:], ".pack"))
    assert not Objects(LocalBackend(tmp_path / "b")).holds_directory(tree.digest)


def test_a_blob_that_is_lacking_is_named(store: Store) -> None:
    nowhere = Blob(digest=digest_of(b"nowhere"), bytes=7)
    with pytest.raises(Damaged, match=nowhere.digest):
        transfer(store.objects, Objects(MemoryBackend()), [], [nowhere])


@pytest.mark.parametrize("there", PLACES)
def test_listings_go_over_without_their_files_and_vouch_for_none(there: str, tmp_path: Path) -> None:
    """Also below one that is there, for that says nothing of what is below it."""
    source, place = Objects(MemoryBackend()), PLACES[there](tmp_path / "there")
    tree = taken_in(source)
    below = dict(trees.walk(source, tree.digest))
    half = Objects(place)
    half.keep([(bytes.fromhex(tree.digest[7:]), source.read(tree.digest))])
    half.flush()

    target = Objects(place)
    transfer(source, target, [], listings=[tree])
    target.flush()
    target = Objects(place)
    assert dict(trees.walk(target, tree.digest)) == below
    assert not target.holds_directory(tree.digest)
    assert not any(target.holds(one.digest, one.bytes) for one in below.values() if one.kind == "file")

    transfer(source, target, [tree])
    target.flush()
    assert laid_out(Objects(place), tree) == PLAIN


def test_the_listing_of_what_is_there_with_all_below_it_is_not_even_read() -> None:
    target = Objects(MemoryBackend())
    tree = taken_in(target)
    assert transfer(Objects(MemoryBackend()), target, [], listings=[tree]).files == 0
