"""Blobs: what goes in comes out or is refused, by name; what fails on its way leaves nothing."""

from __future__ import annotations

import hashlib
import os
import resource
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pkgrun.errors import Damaged, DataInvalid, NotFound, Temporary
from pkgrun.store.files import shown, take
from pkgrun.store.objects import SMALL, Hashing, Objects, Sink, digest_of, key_of
from pkgrun.store.root import Store, open_store
from tests.processes import apart, open_folder, powerless

HELLO = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
SIZES = (0, 1, SMALL - 1, SMALL, SMALL + 1, 3 * SMALL + 7)


def hidden(store: Store) -> list[Path]:
    """Temporary files that are left."""
    return list(Path(store.url).rglob(".*"))


def place(store: Store, digest: str) -> Path:
    return Path(store.url, key_of(digest))


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
def test_put_says_what_it_kept(store: Store, sink: str) -> None:
    into: Sink = store.objects if sink == "store" else Hashing()
    blob = into.put(b"hello")
    assert (blob.digest, blob.bytes) == (HELLO, 5)


def test_the_same_content_is_kept_once(store: Store, tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(b"x" * SMALL)
    for objects in (store.objects, store.objects, Objects(store.backend)):
        objects.put(b"hello")
        objects.take(str(tmp_path / "big"))
        objects.flush()
    kept = [path for path in Path(store.url, "objects").rglob("*") if path.is_file()]
    assert len(kept) == 2
    assert hidden(store) == []


# ---------------------------------------------------------------------- damage


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "flipped": flip,
    "truncated": lambda path: os.truncate(path, path.stat().st_size - 1),
    "emptied": lambda path: os.truncate(path, 0),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"\n"),
    "deleted": Path.unlink,
    "without its folder": lambda path: shutil.rmtree(path.parent),
    "another's": lambda path: path.write_bytes(b"y" * path.stat().st_size),
}


@pytest.mark.parametrize("size", [5, SMALL + 5])
@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_named(store: Store, tmp_path: Path, damage: str, size: int) -> None:
    (tmp_path / "file").write_bytes(b"x" * size)
    digest = store.objects.take(str(tmp_path / "file")).digest
    store.objects.flush()
    DAMAGE[damage](place(store, digest))
    for read in (store.objects.read, lambda digest: list(store.objects.stream(digest))):
        with pytest.raises(Damaged, match=digest) as caught:
            read(digest)
        assert "restore" in str(caught.value.hint)


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
    path.write_bytes(b"x" * 3 * SMALL)
    seen = bytearray()

    def consume(chunk: bytes) -> None:
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
    taken = store.objects.take(str(path), lambda: lambda chunk: b"secret" in chunk)
    assert taken.flagged
    assert taken.digest == digest_of(path.read_bytes())
    store.objects.flush()
    assert not place(store, taken.digest).exists()
    assert hidden(store) == []


@pytest.mark.parametrize("size", [10, SMALL + 10])
def test_a_watcher_that_fails_leaves_nothing(store: Store, tmp_path: Path, size: int) -> None:
    (tmp_path / "file").write_bytes(b"x" * size)

    def watch(chunk: bytes) -> bool:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        store.objects.take(str(tmp_path / "file"), lambda: watch)
    assert hidden(store) == []


# ---------------------------------------------------------------------- a full disk


@pytest.mark.parametrize("size", [100_000, SMALL + 10])
def test_a_full_disk_leaves_nothing(store: Store, tmp_path: Path, size: int) -> None:
    (tmp_path / "file").write_bytes(b"x" * size)

    def full() -> str:
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
        store.objects.take(str(tmp_path / "file"))
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
    place(first, digest).unlink()
    place(first, digest).parent.rmdir()
    with pytest.raises(NotFound):  # its folder is synced, and so is missed
        second.objects.flush()
