"""Blobs: what goes in comes out or is refused, by name; what fails on its way leaves nothing."""

from __future__ import annotations

import hashlib
import os
import resource
import shutil
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pkgrun.errors import Damaged, DataInvalid, NotFound, Temporary
from pkgrun.store.files import shown, take
from pkgrun.store.objects import SMALL, Objects, digest_of, key_of
from pkgrun.store.root import Store, open_store
from pkgrun.store.sinks import Hashing, Sink
from tests.processes import apart, open_folder, powerless
from tests.store.blobs import DAMAGE, blobs, file_of, holds_packs, pack_of

HELLO = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
SIZES = (0, 1, SMALL - 1, SMALL, SMALL + 1, 3 * SMALL + 7)


def hidden(store: Store) -> list[Path]:
    """Temporary files that are left."""
    return list(Path(store.url).rglob(".*"))


def test_a_digest_is_what_sha256sum_says() -> None:
    assert digest_of(b"hello") == HELLO
    assert key_of(HELLO) == f"objects/2c/{HELLO[7:]}"


@pytest.mark.parametrize("size", SIZES)
def test_a_file_comes_back(store: Store, tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    (tmp_path / "file").write_bytes(data)
    taken = store.objects.take(str(tmp_path / "file"))
    assert taken.digest == "sha256:" + hashlib.sha256(data).hexdigest()
    assert (taken.size, taken.stable, taken.flagged) == (size, True, False)
    assert taken == Hashing().take(str(tmp_path / "file"))
    store.objects.flush()
    assert store.objects.read(taken.digest) == data
    assert b"".join(store.objects.stream(taken.digest)) == data
    assert hidden(store) == []


@pytest.mark.parametrize("sink", ["store", "hash"])
def test_a_sink_says_what_a_directory_is_called(store: Store, sink: str) -> None:
    into: Sink = store.objects if sink == "store" else Hashing()
    blob = into.node(b"hello")
    assert (blob.digest, blob.bytes) == (HELLO, 5)
    assert store.objects.put(b"hello") == blob


@pytest.mark.parametrize("size", SIZES)
def test_small_blobs_lie_in_packs_and_large_ones_alone(store: Store, size: int) -> None:
    blob = store.objects.put(os.urandom(size))
    store.objects.flush()
    alone = Path(store.url, key_of(blob.digest)).exists()
    assert alone == (size >= SMALL)
    assert (pack_of(store.backend, blob.digest) is None) == alone


def test_what_is_not_flushed_yet_can_be_read_here(store: Store) -> None:
    small, large = (store.objects.put(os.urandom(size)) for size in (5, SMALL))
    for blob in (small, large):
        assert digest_of(store.objects.read(blob.digest)) == blob.digest
        assert store.objects.holds(blob.digest, blob.bytes)
    assert holds_packs(store) == []


def test_the_same_content_is_kept_once(store: Store, tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(b"x" * SMALL)
    for objects in (store.objects, store.objects, Objects(store.backend)):
        objects.put(b"hello")
        objects.take(str(tmp_path / "big"))
        objects.flush()
    assert len(blobs(store)) == 2
    kept = [path for path in Path(store.url, "objects").rglob("*") if path.is_file()]
    assert (len(kept), len(holds_packs(store))) == (1, 1)
    assert hidden(store) == []


# ---------------------------------------------------------------------- damage


@pytest.mark.parametrize("size", [5, SMALL + 5])
@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_named(store: Store, tmp_path: Path, damage: str, size: int) -> None:
    (tmp_path / "file").write_bytes(b"x" * size)
    digest = store.objects.take(str(tmp_path / "file")).digest
    store.objects.flush()
    file = file_of(store, digest)
    DAMAGE[damage](store, digest)
    again = open_store(store.url, create=False).objects
    for read in (again.read, lambda digest: list(again.stream(digest))):
        with pytest.raises(Damaged, match=digest) as caught:
            read(digest)
        assert "restore" in str(caught.value.hint)
        if file.exists():
            assert str(file.relative_to(store.url)) in caught.value.message


# ---------------------------------------------------------------------- reading files


def test_only_regular_files_are_read(store: Store, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    (tmp_path / "folder").mkdir()
    for sink in (store.objects, Hashing()):
        for name in ("pipe", "folder"):
            with pytest.raises(DataInvalid, match=f"{name} is not a regular file"):
                sink.take(str(tmp_path / name))
        with pytest.raises(Temporary, match="link"):  # it was a file a moment ago
            sink.take(str(tmp_path / "link"))
        with pytest.raises(NotFound, match="none vanished"):
            sink.take(str(tmp_path / "none"))
    assert hidden(store) == []


def test_unreadable_files_are_named() -> None:
    with open_folder() as root:
        path = os.path.join(root, "closed")
        Path(path).write_bytes(b"x")
        os.chmod(path, 0o000)
        assert powerless(lambda: Hashing().take(path)) == ("permission", f"{path}: Permission denied")


@pytest.mark.parametrize("change", ["grow", "shrink", "touch"])
def test_a_file_that_changes_meanwhile_is_not_stable(tmp_path: Path, change: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 8 * SMALL)
    seen = bytearray()

    def consume(chunk: memoryview) -> None:
        if not seen:
            size = path.stat().st_size
            {
                "grow": lambda: os.truncate(path, size + 1),
                "shrink": lambda: os.truncate(path, 2 * SMALL),
                "touch": lambda: os.utime(path, ns=(1, 1)),
            }[change]()
        seen.extend(chunk)

    taken = take(str(path), consume)
    assert not taken.stable
    assert (taken.digest, taken.size) == (digest_of(bytes(seen)), len(seen))


@given(st.lists(st.binary(max_size=5), max_size=5))
def test_a_path_can_always_be_printed(parts: list[bytes]) -> None:
    shown(os.fsdecode(b"/".join(parts).replace(b"\0", b""))).encode()


# ---------------------------------------------------------------------- watching


@pytest.mark.parametrize("size", [10, SMALL + 10])
def test_what_a_watcher_flags_is_not_kept(store: Store, tmp_path: Path, size: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * size + b"secret")
    taken = store.objects.take(str(path), lambda: lambda chunk: b"secret" in bytes(chunk))
    assert taken.flagged
    assert taken.digest == digest_of(path.read_bytes())
    store.objects.flush()
    assert blobs(store) == {}
    assert hidden(store) == []


@pytest.mark.parametrize("size", [10, SMALL + 10])
def test_a_watcher_that_fails_leaves_nothing(store: Store, tmp_path: Path, size: int) -> None:
    (tmp_path / "file").write_bytes(b"x" * size)

    def watch(chunk: memoryview) -> bool:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        store.objects.take(str(tmp_path / "file"), lambda: watch)
    assert hidden(store) == []


# ---------------------------------------------------------------------- a full disk


@pytest.mark.parametrize("size", [100_000, SMALL + 10, 3 * SMALL])
def test_a_full_disk_leaves_nothing(store: Store, tmp_path: Path, size: int) -> None:
    (tmp_path / "file").write_bytes(b"x" * size)

    def full() -> str:
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
        data = (tmp_path / "file").read_bytes()
        if size < SMALL:
            store.objects.put(data)
        else:
            store.objects.take(str(tmp_path / "file"))
        store.objects.flush()
        return "kept"

    kind, message = apart(full)
    assert kind == "temporary"
    assert store.url in message
    assert hidden(store) == []


def test_an_object_that_was_there_already_is_synced_too(tmp_path: Path) -> None:
    """Its writer may not have come so far; whoever refers to it cannot rely on that."""
    first, second = (open_store(str(tmp_path / "store"), create=True) for _ in range(2))
    digest = first.objects.put(b"hello").digest
    first.objects.flush()
    assert second.objects.put(b"hello").digest == digest
    shutil.rmtree(file_of(first, digest).parent)
    with pytest.raises(NotFound):  # its folder is synced, and so is missed
        second.objects.flush()


def test_a_file_with_the_bytes_of_a_directory_is_no_directory(store: Store) -> None:
    """Else a snapshot would take what the directory refers to for kept."""
    line = {"digest": digest_of(b"elsewhere"), "kind": "file", "name": "f", "size": 9}
    node = orjson.dumps({"entries": [line]}, option=orjson.OPT_SORT_KEYS)
    digest = store.objects.put(node).digest
    assert store.objects.holds(digest, len(node))
    assert not store.objects.holds_directory(digest)
    store.objects.flush()
    fresh = open_store(store.url, create=False).objects
    assert fresh.holds(digest, len(node))
    assert not fresh.holds_directory(digest)

    fresh.put(b"elsewhere")
    fresh.node(node)
    assert fresh.holds_directory(digest)
    fresh.flush()
    for objects in (fresh, open_store(store.url, create=False).objects):
        assert objects.holds_directory(digest)
        assert objects.read(digest) == node
