"""Directories of a dataset in the store, without its files: what the stat cache saves, and what it must not take for granted."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pkgrun.errors import Temporary
from pkgrun.records import Tree
from pkgrun.store import trees
from pkgrun.store.intake import ingest
from pkgrun.store.listed import Listed
from pkgrun.store.objects import SMALL, Objects, digest_of
from pkgrun.store.root import Store, open_store
from pkgrun.store.sinks import Hashing
from pkgrun.worker.secrets import Masker
from tests import folders
from tests.store.blobs import blobs, contents, lose

from .test_snapshot import PLAIN, Bench

FOLDERS = 4
"""Of PLAIN, with the root."""


def files(store: Store, tree: Tree) -> dict[str, str]:
    """What a listing tells."""
    return {
        path: entry.digest for path, entry in trees.walk(store.objects, tree.digest) if entry.kind == "file"
    }


def listed(bench: Bench, store: str = "store", *, below: str = "") -> tuple[dict[str, str], int]:
    """List the dataset in a store: what that tells then, and how many files were read for it."""
    into = bench.store(store)
    sink = Listed(into.objects)
    taken, read = bench.take(sink, below=below)
    assert sink.settle() is None
    into.objects.flush()
    assert taken.tree == ingest(str(bench.source / below), Hashing()).tree
    return files(bench.store(store), taken.tree), read


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A dataset of everything, never seen."""
    (tmp_path / "source").mkdir()
    folders.make(PLAIN, os.fsencode(tmp_path / "source"))
    return Bench(tmp_path)


def of(bench: Bench) -> dict[str, str]:
    store = open_store(str(bench.root / "whole"), create=True)
    return files(store, ingest(str(bench.source), store.objects).tree)


def test_every_file_is_told_and_none_is_kept(bench: Bench) -> None:
    found, read = listed(bench)
    assert found == of(bench)
    assert read == 7
    there = blobs(bench.store())
    assert len(there) == FOLDERS
    assert not any(part.directory for parts in contents(bench.store()).values() for part in parts)


def test_an_unchanged_dataset_is_not_read_and_nothing_is_made(bench: Bench) -> None:
    listed(bench)
    begun, before = bench.begun, contents(bench.store())
    assert listed(bench) == (of(bench), 0)
    assert (bench.begun, contents(bench.store())) == (begun, before)


def test_in_another_store_it_is_made_from_what_is_remembered(bench: Bench) -> None:
    listed(bench)
    assert listed(bench, "other") == (of(bench), 0)


@pytest.mark.parametrize("path", ["", "deep", "deep/er", "empty"])
def test_a_directory_that_is_lost_is_made_again(bench: Bench, path: str) -> None:
    """Also below one that is there: that says nothing of what is below it."""
    listed(bench)
    root, store = bench.take(Hashing())[0].tree.digest, bench.store()
    lose(store, trees.find(store.objects, root, path).digest if path else root)
    assert listed(bench) == (of(bench), 0)


def test_a_change_deep_below_is_read_and_nothing_else(bench: Bench) -> None:
    listed(bench)
    (bench.source / "deep/er/x").write_bytes(b"another")
    assert listed(bench) == (of(bench), 1)


def test_a_folder_of_it_is_there_with_it(bench: Bench) -> None:
    listed(bench)
    before = contents(bench.store())
    assert listed(bench, below="deep/er")[1] == 0
    assert contents(bench.store()) == before


def test_parts_of_a_large_directory_are_asked_for(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    for number in range(trees.PART_LIMIT + 1):
        (tmp_path / "source" / f"{number}").touch()
    bench = Bench(tmp_path)
    found, _ = listed(bench)
    assert len(found) == trees.PART_LIMIT + 1
    before = contents(bench.store())
    assert listed(bench) == (found, 0)
    assert contents(bench.store()) == before
    store = bench.store()
    root = bench.take(Hashing())[0].tree.digest
    lose(store, trees.parse(store.objects.read(root), root).parts[-1].digest)
    assert listed(bench) == (found, 0)


def test_what_is_listed_is_not_taken_for_what_is_kept(bench: Bench) -> None:
    listed(bench)
    bench.check(reads=7)
    assert listed(bench) == (of(bench), 0)


def test_what_is_kept_is_listed(bench: Bench) -> None:
    bench.check(reads=7)
    before = contents(bench.store())
    assert listed(bench) == (of(bench), 0)
    assert contents(bench.store()) == before


def test_a_secret_in_a_name_or_a_link_keeps_all_of_it_out(bench: Bench) -> None:
    (bench.source / "deep/link to").symlink_to("s3cret value")
    for secret in ("s3cret value", "link to", "a.csv"):
        store = bench.store(secret)
        sink = Listed(store.objects, Masker([secret]).watch)
        bench.take(sink)
        assert sink.settle() == "the name of a file or folder, or a link, holds a secret's value"
        store.objects.flush()
        assert blobs(store) == {}


class Away(Objects):
    """A store that is not there."""

    def keep(self, some: object) -> None:
        raise Temporary("the store is away")

    def there(self, some: object) -> set[bytes]:
        raise Temporary("the store is away")


def test_a_store_that_cannot_take_it_is_told_of_in_the_end(bench: Bench) -> None:
    sink = Listed(Away(bench.store().backend))
    taken, _ = bench.take(sink)
    assert taken.tree == ingest(str(bench.source), Hashing()).tree
    assert sink.settle() == "the store is away"


def test_directories_of_any_size_and_number_go_into_packs(bench: Bench) -> None:
    """More than one pack holds, and larger than what else would be an object of its own."""
    store = bench.store()
    sink = Listed(store.objects)
    made = [sink.node(bytes([number]) * (SMALL + 1)).digest for number in range(40)]
    assert sink.settle() is None
    store.objects.flush()
    again = bench.store()
    assert [digest_of(again.objects.read(digest)) for digest in made] == made
    assert len(contents(again)) > 1
    assert list(again.backend.list("objects")) == []
