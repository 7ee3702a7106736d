"""Erasure: a content goes wherever it lies, all else stays to the byte, and nobody brings it back by mistake."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import pytest

from pkgrun.errors import Erased
from pkgrun.records import ErasureRequest, Intent, Outcome
from pkgrun.store import collecting, erased, erasing, intake, operations, packs, sentences, sweeping, trees
from pkgrun.store.backend import Backend
from pkgrun.store.listed import Listed
from pkgrun.store.objects import Objects, digest_of, key_of
from pkgrun.store.root import Store, open_store
from pkgrun.store.sending import send
from pkgrun.store.sinks import Hashing, Made
from pkgrun.store.survey import survey
from pkgrun.store.wrappers import Call, Wrapper
from tests.store.blobs import blobs, contents, holds_packs, lacking
from tests.store.entries import intent
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
from tests.store.test_collecting_races import condemn

pytestmark = pytest.mark.row(14)

T = TypeVar("T")

SECRET = b"name,born\nAda,1815\n"
FILES = {"a/rows.csv": SECRET, "a/others.csv": b"x\n" * 50, "b/large": os.urandom(LARGE), "c": b"c"}
REST = {path: data for path, data in FILES.items() if data != SECRET}


def digest(data: bytes) -> str:
    return digest_of(data)


def raw(data: bytes) -> bytes:
    return bytes.fromhex(digest_of(data)[7:])


def began(store: Store, data: bytes) -> Intent:
    """An erasure whose receipt is there, and which has swept nothing yet."""
    run = operations.new_run_id()
    asked = ErasureRequest(digest=digest_of(data), reason="a test")
    made = intent(run, kind="erasure", package=None, erasure=asked)
    assert operations.begin(store.backend, made)
    receipt = erased.receipt_of(made)
    assert receipt is not None
    store.backend.create(erased.key(raw(data)), receipt.to_bytes())
    return made


def sweep(backend: Backend, begun: Intent) -> None:
    """The rest of an erasure."""

    def check() -> None:
        assert not operations.decided_already(backend, begun.run)

    erasing.sweep(backend, check=check)
    operations.decide(backend, Outcome(run=begun.run, decision="COMMIT", created=datetime.now(UTC)))


def erase(store: Store, data: bytes) -> None:
    sweep(store.backend, began(store, data))


def everywhere(store: Store) -> bytes:
    """All bytes of a store, whatever they are."""
    return b"\0".join(path.read_bytes() for path in sorted(Path(store.url).rglob("*")) if path.is_file())


def whole(store: Store, tree: str, files: dict[str, bytes]) -> None:
    """All of these files can be read by another process, and the store lacks nothing that was not erased."""
    objects = again(store).objects
    found = {
        path: entry for path, entry in trees.walk(objects, tree) if entry.kind == "file" and path in files
    }
    assert {path: b"".join(objects.stream(entry.digest)) for path, entry in found.items()} == files
    assert lacking(store) == set()


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


# ---------------------------------------------------------------------- beside others


class Before(Wrapper):
    """Something else happens, once, before the first call of a kind on a key that begins so."""

    def __init__(self, backend: Backend, first: Call, happens: Callable[[], object]) -> None:
        super().__init__(backend)
        self.capabilities = replace(backend.capabilities, paths=False)
        self._first, self._happens, self.happened = first, happens, False

    def around(self, call: Call, work: Callable[[], T]) -> T:
        if not self.happened and call.method == self._first.method and call.key.startswith(self._first.key):
            self.happened = True
            self._happens()
        return work()


def test_two_erasures_of_one_pack(store: Store, tmp_path: Path) -> None:
    """Each writes it anew, with what the other one takes out."""
    other = FILES["a/others.csv"]
    tree = commit(store, begin(store), folder(tmp_path / "data", FILES))
    first = began(store, SECRET)
    meanwhile = Before(store.backend, Call("upload.publish", "packs/"), lambda: erase(store, other))
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
    meanwhile = Before(store.backend, Call("delete", "packs/"), lambda: began(store, other))
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
    meanwhile = Before(store.backend, moment, lambda: collect(store))
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
    meanwhile = Before(store.backend, Call("stat", "packs/"), lambda: erase(store, SECRET))
    found = erasing.find(meanwhile, {raw(other)})
    assert meanwhile.happened
    assert len(found.packs) == 1


def test_who_surveys_while_a_pack_is_written_anew_sees_one_of_the_two(store: Store, tmp_path: Path) -> None:
    commit(store, begin(store), folder(tmp_path / "data", FILES))
    meanwhile = Before(store.backend, Call("read", "packs/"), lambda: erase(store, SECRET))
    stat = Before(meanwhile, Call("stat", "packs/"), lambda: erase(store, SECRET))
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
