"""Trees: content in, the same content out, and one digest for it whatever its history."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pkgrun.errors import Damaged, NotFound
from pkgrun.records import Blob, Tree
from pkgrun.store import names, trees
from pkgrun.store.checkout import checkout
from pkgrun.store.intake import ingest, take_all
from pkgrun.store.objects import SMALL, digest_of
from pkgrun.store.root import Store, open_store
from pkgrun.store.scan import scan
from pkgrun.store.sinks import Hashing
from pkgrun.store.trees import Entry, read_node, write_node
from tests import folders
from tests.folders import File, Folder, Link
from tests.processes import open_folder

EMPTY = digest_of(b'{"entries":[]}')
DIGEST = digest_of(b"")

EVERYTHING: Folder = {
    name: File(name, executable=bool(index % 2)) for index, name in enumerate(folders.ODD_NAMES)
}
EVERYTHING |= {
    b"d": {b"e": {}, b"up": Link(b"../%41"), b"\xff": {b"\xfe": Link(b"../../d")}},
    b"z": Link(b"no"),
}


def taken_in(folder: Folder, store: Store, *, backwards: bool = False) -> Tree:
    """The tree of a folder that is made for it, and gone afterwards."""
    with open_folder() as root:
        folders.make(folder, os.fsencode(root), backwards=backwards)
        return ingest(root, store.objects).tree


@given(folders.folders())
@example(EVERYTHING)
def test_what_goes_in_comes_out(folder: Folder) -> None:
    with open_folder() as root:
        store = open_store(os.path.join(root, "store"), create=True)
        tree = taken_in(folder, store)
        store.objects.flush()
        out = os.path.join(root, "out")
        os.mkdir(out)
        checkout(store.objects, tree.digest, out)
        assert folders.look(os.fsencode(out)) == folder
        assert ingest(out, Hashing()).tree == tree
        assert {os.fsencode(path) for path, _ in trees.walk(store.objects, tree.digest)} == folders.paths(
            folder
        )


@given(folders.folders())
@example(EVERYTHING)
def test_the_digest_is_of_the_content_alone(folder: Folder) -> None:
    with open_folder() as root:
        one, other = os.path.join(root, "one"), os.path.join(root, "other")
        os.mkdir(one)
        folders.make(folder, os.fsencode(one))
        before = os.umask(0o077)
        try:
            os.mkdir(other)
            folders.make(folder, os.fsencode(other), backwards=True)
        finally:
            os.umask(before)
        for path in folders.paths(folder):
            os.utime(os.path.join(os.fsencode(other), path), (1, 1), follow_symlinks=False)
        store = open_store(os.path.join(root, "store"), create=True)
        first = ingest(one, store.objects)
        assert ingest(other, Hashing()) == first
        leaves = folders.flat(folder).values()
        assert first.tree.files == sum(isinstance(one, File) for one in leaves)
        assert first.tree.bytes == sum(len(one.data) for one in leaves if isinstance(one, File))
        assert (first.unstable, first.flagged) == ((), ())


@given(folders.folders(), folders.folders())
def test_content_that_differs_has_another_digest(a: Folder, b: Folder) -> None:
    with open_folder() as root:
        store = open_store(root, create=True)
        assert (taken_in(a, store) == taken_in(b, store)) == (a == b)


@given(st.data())
def test_diff_agrees_with_a_model(data: st.DataObject) -> None:
    a = data.draw(folders.folders())
    b = data.draw(st.one_of(folders.folders(), changed(a)))
    with open_folder() as root:
        store = open_store(root, create=True)
        old, new = (taken_in(folder, store).digest for folder in (a, b))
        store.objects.flush()
        found = {(os.fsencode(one.path), one.how) for one in trees.diff(store.objects, old, new)}
    before, after = folders.flat(a), folders.flat(b)
    assert found == {
        (path, "added" if path not in before else "removed" if path not in after else "changed")
        for path in before.keys() | after.keys()
        if before.get(path) != after.get(path)
    }


@st.composite
def changed(draw: st.DrawFn, folder: Folder, depth: int = 0) -> Folder:
    """The folder, with some of it gone, changed or new."""
    result: Folder = {}
    for name, one in folder.items():
        if isinstance(one, dict) and draw(st.booleans()):
            result[name] = draw(changed(one, depth + 1))
        elif draw(st.integers(0, 3)):
            result[name] = one
        else:
            result[name] = draw(st.one_of(folders.files, st.just(one)))
    return result | (draw(folders.folders(depth)) if draw(st.booleans()) else {})


# ---------------------------------------------------------------------- the format


def test_the_format_does_not_change(store: Store, tmp_path: Path) -> None:
    """The bytes themselves, so that a tree of today has the same digest in ten years."""
    folder = tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "run.sh").write_bytes(b"#!/bin/sh\n")
    (folder / "sub" / "run.sh").chmod(0o755)
    Path(os.fsdecode(os.fsencode(folder) + b"/50%\xff")).write_bytes(b"hello")
    (folder / "link").symlink_to("sub/run.sh")
    tree = ingest(str(folder), store.objects).tree
    store.objects.flush()
    script = digest_of(b"#!/bin/sh\n")
    sub = f'{{"entries":[{{"digest":"{script}","executable":true,"kind":"file","name":"run.sh","size":10}}]}}'
    root = (
        f'{{"entries":[{{"digest":"{digest_of(b"hello")}","kind":"file","name":"50%25%FF","size":5}},'
        '{"kind":"symlink","name":"link","target":"sub/run.sh"},'
        f'{{"bytes":10,"digest":"{digest_of(sub.encode())}","files":1,"kind":"dir","name":"sub"}}]}}'
    )
    assert store.objects.read(tree.digest) == root.encode()
    assert tree == Tree(digest=digest_of(root.encode()), files=2, bytes=15)


def test_an_empty_folder_is_a_tree(tmp_path: Path) -> None:
    assert ingest(str(tmp_path), Hashing()).tree == Tree(digest=EMPTY, files=0, bytes=0)


def test_entries_are_in_the_order_of_their_bytes(store: Store) -> None:
    raw = sorted(folders.ODD_NAMES)
    tree = write_node(
        [Entry(os.fsdecode(name), "symlink", target="x") for name in reversed(raw)], store.objects
    )
    store.objects.flush()
    assert [os.fsencode(entry.name) for entry in read_node(store.objects, tree.digest)] == raw


def numbered(numbers: range) -> list[Entry]:
    return [Entry(f"{number:06}", "file", digest_of(b"%d" % number), 1, 3) for number in numbers]


def test_a_large_directory_is_split(store: Store) -> None:
    entries = numbered(range(50_000))
    tree = write_node(reversed(entries), store.objects)
    store.objects.flush()
    assert (tree.files, tree.bytes) == (50_000, 150_000)
    parts = json.loads(store.objects.read(tree.digest))["parts"]
    sizes = [part["files"] for part in parts]
    assert sum(sizes) == 50_000
    assert all(1_000 <= size <= 10_000 for size in sizes[:-1])
    for part in parts:
        inner = read_node(store.objects, part["digest"])
        assert (part["first"], part["files"], part["bytes"]) == (inner[0].name, len(inner), 3 * len(inner))
    assert read_node(store.objects, tree.digest) == entries


def test_a_directory_is_split_only_when_it_is_large(store: Store) -> None:
    for size, key in ((10_000, "entries"), (10_001, "parts")):
        tree = write_node(numbered(range(size)), store.objects)
        store.objects.flush()
        assert list(json.loads(store.objects.read(tree.digest))) == [key]


@settings(max_examples=15)
@given(st.integers(0, 39_999))
def test_one_more_name_changes_few_parts(where: int) -> None:
    nodes: list[set[bytes]] = [set(), set()]

    class Noting(Hashing):
        def __init__(self, noted: set[bytes]) -> None:
            self._noted = noted

        def node(self, data: bytes) -> Blob:
            self._noted.add(data)
            return super().node(data)

    entries = numbered(range(40_000))
    write_node(entries, Noting(nodes[0]))
    write_node([*entries, Entry(f"{where:06}x", "file", DIGEST, 1, 3)], Noting(nodes[1]))
    assert len(nodes[1] - nodes[0]) <= 4  # the node above, and up to three parts
    assert len(nodes[0]) > 8


def test_a_deep_folder(tmp_path: Path) -> None:
    """A thousand levels: nothing here calls itself once a level."""
    deep = tmp_path / "deep"
    deep.mkdir()
    path = os.fspath(deep)
    for _ in range(1_000):
        path = os.path.join(path, "d")
        os.mkdir(path)
    Path(path, "file").write_bytes(b"down here")
    store = open_store(str(tmp_path / "s"), create=True)
    tree = ingest(str(deep), store.objects).tree
    store.objects.flush()
    (tmp_path / "out").mkdir()
    checkout(store.objects, tree.digest, str(tmp_path / "out"))
    assert ingest(str(tmp_path / "out"), Hashing()).tree == tree
    assert (tree.files, tree.bytes) == (1, 9)
    other = write_node([], store.objects).digest
    store.objects.flush()
    assert [one.how for one in trees.diff(store.objects, tree.digest, other)] == ["removed"]
    for folder in (deep, tmp_path / "out"):
        remove(folder)


def remove(folder: Path) -> None:
    """Remove a chain of folders; `shutil.rmtree` and `os.walk` call themselves once a level."""
    levels = [folder]
    while (levels[-1] / "d").is_dir():
        levels.append(levels[-1] / "d")
    (levels[-1] / "file").unlink()
    for level in reversed(levels):
        level.rmdir()


# ---------------------------------------------------------------------- finding, grafting


def test_find(store: Store) -> None:
    tree = taken_in(EVERYTHING, store)
    store.objects.flush()
    assert trees.find(store.objects, tree.digest, "d/e").kind == "dir"
    assert trees.find(store.objects, tree.digest, os.fsdecode(b"d/\xff/\xfe")).target == "../../d"
    for path in ("", "x", "d/x", "A/x", "z/x", "..", ".", "d/../d", "/d"):
        with pytest.raises(NotFound):
            trees.find(store.objects, tree.digest, path)


def test_a_graft_stands_instead_of_what_lies_there(store: Store) -> None:
    plain: Folder = {b"a": File(b"a"), b"data": {b"new": File(b"n")}}
    grafted = Entry("data", "dir", EMPTY)
    deeper = Entry("test", "file", DIGEST, 1, 0)
    with open_folder() as root:
        folders.make(plain, os.fsencode(root))
        tree = ingest(root, store.objects, graft={"data": grafted, "dataset/test": deeper}).tree
    store.objects.flush()
    assert trees.find(store.objects, tree.digest, "data") == grafted
    assert trees.find(store.objects, tree.digest, "dataset/test") == deeper
    assert tree.files == 2


def test_what_a_watcher_flags_is_left_out(store: Store) -> None:
    plain: Folder = {b"a": File(b"a secret"), b"d": {b"secret": File(b""), b"c": File(b"c")}}
    with open_folder() as root:
        folders.make(plain, os.fsencode(root))
        taken = ingest(root, store.objects, watch=lambda: lambda chunk: b"secret" in chunk)
    assert set(taken.flagged) == {"a", "d/secret"}
    assert taken.tree == taken_in({b"d": {b"c": File(b"c")}}, store)


@pytest.mark.parametrize("size", [1, 2 * SMALL])
def test_a_file_that_vanishes_is_named(tmp_path: Path, size: int) -> None:
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / "a").write_bytes(b"a" * size)
    listing = scan(str(tmp_path / "f"))
    (tmp_path / "f" / "a").unlink()
    with pytest.raises(NotFound, match="f/a vanished while it was read"):
        take_all(listing, Hashing())


# ---------------------------------------------------------------------- hostile nodes

GOOD = {"name": "a", "kind": "file", "digest": DIGEST, "size": 0}


def node(*entries: dict[str, Any]) -> bytes:
    return orjson.dumps({"entries": entries}, option=orjson.OPT_SORT_KEYS)


def written(store: Store, data: bytes) -> str:
    digest = store.objects.put(data).digest
    store.objects.flush()
    return digest


NAMES = (
    "", ".", "..", "/", "a/b", "../a", "/etc/passwd", "a\0", "\0", "%2e%2e", "%2E%2E", "%2F", "%00", "%41",
    "%c3", "%C3%A4", "%", None, 5, True, ["a"], {"a": 1},
)  # fmt: skip
DIGESTS = (
    "", "sha256:", "/etc/passwd", "file:///etc/passwd", "https://example.com/x", "../../../etc/passwd", "s3://b/k",
    DIGEST.upper(), DIGEST + "0", DIGEST[:-1], DIGEST[7:], DIGEST + "\n", " " + DIGEST, "md5:" + DIGEST[7:],
    "sha256:" + "../" * 21 + "x", "sha256:" + "a" * 30 + "/../" + "a" * 30, "sha256:" + "０" * 64, None, 5,
    [DIGEST], {"$ref": DIGEST},
)  # fmt: skip
COUNTS: tuple[Any, ...] = (-1, 1.0, 1e30, 1 << 63, 10**30, "1", None, True, [1], {})

FLAGS: tuple[Any, ...] = (False, 1, 0, "yes", "", [], {})


def bad_entries() -> list[dict[str, Any]]:
    folder = {"name": "a", "kind": "dir", "digest": EMPTY, "files": 0, "bytes": 0}
    link = {"name": "a", "kind": "symlink", "target": "b"}
    return [
        *({**GOOD, "name": name} for name in NAMES),
        *({**one, "digest": digest} for digest in DIGESTS for one in (GOOD, folder)),
        *({**GOOD, "size": count} for count in COUNTS),
        *({**folder, "files": count} for count in COUNTS),
        *({**folder, "bytes": count} for count in COUNTS),
        *({**GOOD, "kind": kind} for kind in ("", "File", "link", "device", "fifo", None, 1, ["file"])),
        *({**GOOD, "executable": flag} for flag in FLAGS),
        *({**link, "target": target} for target in (None, 5, "%41", "%2e%2e", ["b"])),
        *({key: value for key, value in GOOD.items() if key != missing} for missing in GOOD),
        {"name": "a", "kind": "symlink"},
        {"name": "a", "kind": "dir", "digest": EMPTY},
    ]


@pytest.mark.parametrize("entry", bad_entries(), ids=repr)
def test_a_malformed_entry_is_refused(store: Store, entry: dict[str, Any]) -> None:
    try:
        data = node(entry)
    except TypeError:  # a whole number that orjson does not write
        data = json.dumps({"entries": [entry]}, separators=(",", ":"), sort_keys=True).encode()
    with pytest.raises(Damaged):
        read_node(store.objects, written(store, data))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b"5",
        b"{}",
        b'"x"',
        b"\xff",
        b'{"entries":null}',
        b'{"entries":{}}',
        b'{"entries":"ab"}',
        b'{"entries":[1]}',
        b'{"entries":[null]}',
        b'{"entries":[[]]}',
        b'{"parts":[1]}',
        b'{"parts":[{}]}',
        b'{"parts":null,"entries":[]}',
        b'{"parts":[{"digest":"/etc/passwd"}]}',
        b'{"entries": []}',
        b'{"entries":[]}\n',
        b'{"entries":[],"entries":[]}',
        b'\xef\xbb\xbf{"entries":[]}',
        b'{"entries":' + b"[" * 100_000,
        node(GOOD, GOOD),
        node({**GOOD, "name": "b"}, GOOD),
        node(GOOD)[:-3] + b',"name":"b"}]}',
        node(GOOD).replace(b'"name":"a"', b'"name":"..","name":"a"'),
        node(GOOD).replace(b'"name":"a"', rb'"name":"\ud800"'),
        node(GOOD).replace(b'"name":"a"', rb'"name":"\u0061"'),
        node(GOOD).replace(b'"size":0', b'"size":NaN'),
        node(GOOD).replace(b'"size":0', b'"size":-0'),
        node(GOOD).replace(b'"size":0', b'"size":00'),
    ],
)
def test_what_is_no_canonical_node_is_refused(store: Store, data: bytes) -> None:
    with pytest.raises(Damaged):
        read_node(store.objects, written(store, data))


def test_parts_that_do_not_fit_together_are_refused(store: Store) -> None:
    a, b = (written(store, node({**GOOD, "name": name})) for name in "ab")
    parts = written(store, orjson.dumps({"parts": []}))

    def above(*digests: str) -> str:
        return written(store, orjson.dumps({"parts": [{"digest": digest} for digest in digests]}))

    assert [entry.name for entry in read_node(store.objects, above(a, b))] == ["a", "b"]
    for digests in ((b, a), (a, a), (a, parts), (DIGEST,)):
        with pytest.raises(Damaged):
            read_node(store.objects, above(*digests))


def test_unknown_fields_are_passed_over(store: Store) -> None:
    data = orjson.dumps({"entries": [GOOD | {"later": 1.5}], "later": [True]}, option=orjson.OPT_SORT_KEYS)
    assert read_node(store.objects, written(store, data)) == [Entry("a", "file", DIGEST, 1, 0)]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(DIGESTS + NAMES),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.sampled_from((*GOOD, "files", "bytes", "target")), inner)
    ),
    max_leaves=8,
)


@given(st.lists(st.dictionaries(st.sampled_from((*GOOD, "files", "bytes", "target", "executable")), JSON)))
def test_whatever_a_node_holds_is_an_entry_or_refused(entries: list[Any]) -> None:
    data = json.dumps({"entries": entries}, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
    with open_folder() as root:
        store = open_store(root, create=True)
        digest = written(store, data.encode("utf-8", "surrogatepass"))
        try:
            found = read_node(store.objects, digest)
        except Damaged:
            return
    assert all(names.is_entry(entry.name) for entry in found)
