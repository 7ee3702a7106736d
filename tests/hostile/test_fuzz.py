"""What stands in stores and caches, damaged in every way that Hypothesis thinks of: each reader says Damaged, or reads what
was written. `HYPOTHESIS_PROFILE=search` looks for more (rows 2, 5, 10).
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pkgrun.datasets import manifest
from pkgrun.datasets.cache import Copies, Room
from pkgrun.datasets.remote.listing import Thing
from pkgrun.datasets.remote.notes import Notes
from pkgrun.datasets.stat_cache import Row, StatCache
from pkgrun.errors import Conflict, Damaged, NotFound
from pkgrun.records import Record, StoreRecord
from pkgrun.records.collecting import Removal, Sentence, Underway
from pkgrun.records.nodes import TreeNode
from pkgrun.records.schemas import STORED
from pkgrun.runs import journal
from pkgrun.store import names, packs, trees
from pkgrun.store.objects import Objects, digest_of
from pkgrun.store.packs import Filling
from pkgrun.store.root import KEY, open_store
from pkgrun.store.trees import Entry
from pkgrun.testing import MemoryBackend
from tests import examples
from tests.drawn import records
from tests.hostile.mutations import BIG, DEEP, changed, mutated, within

pytestmark = [pytest.mark.row(2), pytest.mark.row(10)]

KINDS: dict[str, type[Record]] = {
    **STORED,
    "sentence": Sentence,
    "underway": Underway,
    "removal": Removal,
}


@contextmanager
def folder() -> Iterator[Path]:
    """A fresh one for each example."""
    with tempfile.TemporaryDirectory() as path:
        yield Path(path)


@pytest.mark.parametrize("name", KINDS)
@given(data=st.data())
def test_a_record_is_damaged_or_can_be_written_again(name: str, data: st.DataObject) -> None:
    kind = KINDS[name]
    whole = data.draw(records(kind)).to_bytes()
    given_bytes = data.draw(st.one_of(changed(whole), st.binary(max_size=100), st.sampled_from(DEEP)))
    with within():
        try:
            record = kind.from_bytes(given_bytes, key="the/key.json")
        except Damaged as error:
            assert "the/key.json" in error.message  # noqa: PT017
            return
        assert kind.from_bytes(record.to_bytes(), key="") == record


@pytest.mark.parametrize("name", examples.FULL)
def test_no_number_is_too_large_to_be_written_again(name: str) -> None:
    """Each number of a record in turn: JSON's numbers have no end."""
    kind, whole = KINDS[name], examples.FULL[name].to_bytes()
    for found in re.finditer(rb"(?<=:)-?[0-9]+(?=[,}])", whole):
        for big in BIG:
            with within(), suppress(Damaged):
                record = kind.from_bytes(whole[: found.start()] + big + whole[found.end() :], key="")
                assert kind.from_bytes(record.to_bytes(), key="") == record


@given(data=st.data())
def test_a_store_says_what_its_own_record_is(data: st.DataObject) -> None:
    whole = data.draw(records(StoreRecord)).to_bytes()
    with folder() as place, within():
        (place / KEY).write_bytes(data.draw(st.one_of(changed(whole), st.binary(max_size=60))))
        with suppress(Damaged, Conflict):
            assert open_store(str(place), create=False).id


@given(data=st.data())
def test_a_directory_is_damaged_or_one(data: st.DataObject) -> None:
    whole = data.draw(records(TreeNode)).to_bytes()
    node = data.draw(st.one_of(changed(_canonical(whole)), changed(_directory()), st.binary(max_size=60)))
    objects = Objects(MemoryBackend())
    blob = objects.put(node)
    objects.flush()
    with within():
        try:
            entries = trees.read_node(objects, blob.digest)
        except Damaged:
            return
    assert all(names.is_entry(entry.name) for entry in entries)
    assert len({entry.name for entry in entries}) == len(entries)
    assert all(entry.kind == "symlink" or entry.digest.startswith("sha256:") for entry in entries)


def _canonical(node: bytes) -> bytes:
    found = {name: value for name, value in orjson.loads(node).items() if value is not None}
    return orjson.dumps(found, option=orjson.OPT_SORT_KEYS)


def _directory() -> bytes:
    """The node of a directory that holds one of each."""

    class Kept:
        def node(self, data: bytes) -> Any:
            self.data = data
            return type("Blob", (), {"digest": digest_of(data)})

    kept = Kept()
    digest = digest_of(b"")
    trees.write_node(
        [
            Entry("a\udcff%", "file", digest, 1, 5, True),
            Entry("b", "dir", digest, 3, 4),
            Entry("ä", "symlink", target="b"),
        ],
        kept,  # type: ignore[arg-type]
    )
    return kept.data


@given(st.one_of(st.text(), st.text(st.sampled_from("%0123456789ABCDEFabcdefä\udcff\ud800"))))
def test_a_name_in_a_directory_has_one_written_form(text: str) -> None:
    with suppress(Damaged):
        assert names.write(names.read(text)) == text


BLOBS = [b"", b"a", *(bytes([n]) * n for n in range(2, 30)), b"x" * 5000]


def _pack() -> packs.Pack:
    filling = Filling()
    for number, blob in enumerate(BLOBS):
        filling.add(hashlib.sha256(blob).digest(), blob, directory=number % 3 == 0)
    return filling.close()


PACK = _pack()
WHOLE = bytes(PACK.data)
ENDS = [0, 8, len(WHOLE) - packs.FOOT, len(WHOLE) - packs.FOOT - packs.ENTRY * len(BLOBS), len(WHOLE) - 8]
"""Where a pack's parts meet: what is wrong there is found elsewhere than in a blob."""


@st.composite
def damaged_packs(draw: st.DrawFn) -> bytes:
    if draw(st.booleans()):
        return draw(st.one_of(mutated(WHOLE), st.binary(max_size=200)))
    at = draw(st.sampled_from(ENDS)) + draw(st.integers(-50, 50))
    at = min(max(at, 0), len(WHOLE) - 1)
    return draw(
        st.one_of(
            st.just(WHOLE[:at]),
            st.just(WHOLE[at:]),
            st.binary(min_size=1, max_size=30).map(lambda put: WHOLE[:at] + put + WHOLE[at + len(put) :]),
        )
    )


@given(damaged_packs())
def test_a_pack_is_damaged_or_tells_the_truth(data: bytes) -> None:
    backend = MemoryBackend()
    backend.write(packs.key_of(PACK.name), data)
    with within(), suppress(Damaged):
        contents = packs.contents_of(backend, PACK.name)
        assert len(contents) == len(BLOBS)
        assert list(contents) == PACK.parts
    _all_or_damaged(Objects(backend))


def _all_or_damaged(objects: Objects) -> None:
    for blob in BLOBS:
        with within(), suppress(Damaged, NotFound):
            assert objects.read(digest_of(blob)) == blob


@pytest.fixture(scope="module")
def shelved(tmp_path_factory: pytest.TempPathFactory) -> tuple[MemoryBackend, Path]:
    """A store whose packs are in a database in the cache."""
    backend = MemoryBackend()
    backend.write(packs.key_of(PACK.name), WHOLE)
    cache = tmp_path_factory.mktemp("shelved")
    objects = Objects(backend, str(cache))
    _all(objects)
    assert [file.suffix for file in cache.iterdir() if "-" not in file.suffix] != []
    return backend, cache


def _all(objects: Objects) -> None:
    for blob in BLOBS:
        assert objects.read(digest_of(blob)) == blob


@given(data=st.data())
def test_an_index_that_is_damaged_is_read_anew_from_the_packs(
    shelved: tuple[MemoryBackend, Path], data: st.DataObject
) -> None:
    backend, kept = shelved
    with folder() as cache:
        shutil.copytree(kept, cache / "c")
        file = next(path for path in (cache / "c").iterdir() if path.suffix == ".sqlite")
        data.draw(
            spoiled(file, {"pack": ["name", "size"], "blob": ["digest", "pack", "offset", "length", "mark"]})
        )
        with within():
            _all(Objects(backend, str(cache / "c")))


ROW = Row(b"looks", b"d" * 64, b"b" * 32, b"n" * 32, 2, 10, 12345)


@given(data=st.data())
def test_a_stat_cache_that_is_damaged_knows_nothing_or_the_truth(data: st.DataObject) -> None:
    with folder() as cache:
        filled = StatCache(str(cache))
        filled.put((f"/data/{number}", ROW) for number in range(50))
        filled.close()
        file = next(path for path in cache.iterdir() if path.suffix == ".sqlite")
        data.draw(spoiled(file, {"folder": ["path", *Row._fields, "mark"]}))
        with within():
            read = StatCache(str(cache))
            assert read.get("/data/7") in (None, ROW)
            assert set(read.below("/data").values()) <= {ROW}
            read.put([("/data/7", ROW)])
            again = StatCache(str(cache))
            assert again.get("/data/7") in (None, ROW)
            read.close()
            again.close()


@st.composite
def spoiled(draw: st.DrawFn, file: Path, tables: dict[str, list[str]]) -> None:
    """A database in which bytes are wrong, or values of other kinds stand where its own should."""
    _checkpointed(file)
    if draw(st.booleans()):
        file.write_bytes(
            draw(st.one_of(mutated(file.read_bytes()), _bits(file.read_bytes()), st.binary(max_size=200)))
        )
        return
    table = draw(st.sampled_from(sorted(tables)))
    column = draw(st.sampled_from(tables[table]))
    value = draw(st.sampled_from([5, -1, 2.5, "text", b"bytes", b"", (1 << 62)]))
    with suppress(sqlite3.Error):
        database = sqlite3.connect(file)
        with database:
            database.execute(f"update or ignore {table} set {column} = ?", (value,))  # noqa: S608
        database.close()


def _bits(whole: bytes) -> st.SearchStrategy[bytes]:
    """Many bits flipped, all over."""

    def flip(places: list[int]) -> bytes:
        data = bytearray(whole)
        for place in places:
            data[place] ^= 1 << place % 8
        return bytes(data)

    return st.lists(st.integers(0, len(whole) - 1), min_size=1, max_size=60).map(flip)


def _checkpointed(file: Path) -> None:
    """All of it is in the one file."""
    database = sqlite3.connect(file)
    database.execute("pragma wal_checkpoint(truncate)")
    database.close()
    for end in ("-wal", "-shm"):
        Path(f"{file}{end}").unlink(missing_ok=True)


LINES = [
    b'{"event":"phase","name":"train","at":1.5}',
    b'{"event":"log","stream":"out","text":"t","at":1}',
    b'{"event":"notice","message":"m","hint":null}',
]


@given(st.one_of(*map(changed, LINES), st.binary(max_size=60)))
def test_a_line_of_a_log_is_damaged_or_an_event(line: bytes) -> None:
    with within(), suppress(Damaged):
        event = journal.decode(line)
        again = None if event is None else journal.encode(event)
        assert again is None or journal.decode(again) == event


@given(data=st.data())
def test_the_manifest_of_a_copy_vouches_for_no_other(data: st.DataObject) -> None:
    with folder() as place, within():
        content = place / "content"
        (content / "a").mkdir(parents=True)
        (content / "a" / "f\n%").write_text("x")
        (content / "l").symlink_to("a")
        path = str(place / "manifest")
        manifest.write(path, str(content), "state", {})
        whole = Path(path).read_bytes()
        first, rest = whole.split(b"\n", 1)
        spoilt = st.one_of(changed(first).map(lambda line: line + b"\n" + rest), mutated(whole))
        Path(path).write_bytes(data.draw(spoilt))
        head = manifest.head(path)
        if head is not None:
            (content / "a" / "f\n%").write_text("y")
            found = manifest.check(path, str(content), head)
            assert found.differs or found.extra


@given(data=st.data())
def test_notes_of_a_fetch_that_are_damaged_are_not_believed(data: st.DataObject) -> None:
    thing = Thing("f", "f", 4, "tag", ranges=True)
    line = json.dumps(["f", "tag", 4, 0, 4, hashlib.sha256(b"abcd").hexdigest(), True]).encode()
    with folder() as place, within():
        (place / "content").mkdir()
        (place / "content" / "f").write_bytes(b"abcx")
        (place / "notes").write_bytes(data.draw(st.lists(changed(line), max_size=3).map(b"\n".join)))
        notes = Notes(str(place / "notes"))
        room = Room(Copies(str(place), 0), str(place), 0, "", checked=False)
        try:
            kept = notes.kept(room, [thing])
        finally:
            notes.close()
        assert not any(whole for whole, _ in kept.values())
