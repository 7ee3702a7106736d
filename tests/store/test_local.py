"""A directory as a store's place: creating is atomic, reading is whole, failing leaves nothing."""

from __future__ import annotations

import errno
import os
import resource
import stat
from collections.abc import Callable
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from pkgrun.errors import Bug, DataInvalid, NotFound, PermissionDenied, Temporary
from pkgrun.store.backend import RECORD_LIMIT
from pkgrun.store.local import CHUNK, LocalBackend, translate
from tests.processes import OPEN, READ_ONLY, apart, open_folder, powerless, race

KEY = "objects/aa/" + "a" * 64


@pytest.fixture
def backend(tmp_path: Path) -> LocalBackend:
    return LocalBackend(tmp_path)


def files(root: str | Path) -> set[str]:
    """All files below, hidden ones too."""
    return {
        os.path.relpath(os.path.join(folder, name), root)
        for folder, _, found in os.walk(root)
        for name in found
    }


# ---------------------------------------------------------------------- reading


def test_reads_ranges(backend: LocalBackend) -> None:
    backend.create("runs/r/a.json", b"0123456789")
    assert backend.read("runs/r/a.json") == b"0123456789"
    assert backend.read("runs/r/a.json", 3) == b"3456789"
    assert backend.read("runs/r/a.json", 3, 4) == b"3456"
    assert backend.read("runs/r/a.json", 0, 0) == b""
    assert backend.read("runs/r/a.json", 8, 100) == b"89"
    assert backend.read("runs/r/a.json", 100) == b""


def test_streams_in_pieces(backend: LocalBackend) -> None:
    data = os.urandom(2 * CHUNK + 5)
    backend.write("blob", data)
    pieces = list(backend.stream("blob"))
    assert b"".join(pieces) == data
    assert max(map(len, pieces)) <= CHUNK


@pytest.mark.parametrize("key", ["none", "no/folder/here", "file/below", "file/below/deeper"])
def test_missing_keys_are_not_found(backend: LocalBackend, key: str) -> None:
    backend.create("file", b"{}")
    with pytest.raises(NotFound, match=key.rpartition("/")[2]):
        backend.read(key)
    with pytest.raises(NotFound):
        list(backend.stream(key))
    assert backend.stat(key) is None
    assert list(backend.list(key)) == []
    backend.delete("none")


def test_a_folder_is_no_key(backend: LocalBackend) -> None:
    backend.create("runs/r/a.json", b"{}")
    assert backend.stat("runs/r") is None


def test_stat_tells_size_and_time(backend: LocalBackend, tmp_path: Path) -> None:
    backend.create("a", b"four")
    os.utime(tmp_path / "a", (1.5, 1.5))
    found = backend.stat("a")
    assert found is not None
    assert (found.size, found.modified) == (4, 1.5)


def test_lists_one_level_without_what_is_temporary(backend: LocalBackend, tmp_path: Path) -> None:
    for key in ("runs/a/x.json", "runs/b/x.json", "runs/b/y.json"):
        backend.create(key, b"{}")
    (tmp_path / "runs" / ".left.0123").write_bytes(b"half")
    assert sorted(backend.list("runs")) == ["a", "b"]
    assert sorted(backend.list("runs/b")) == ["x.json", "y.json"]


# ---------------------------------------------------------------------- creating


def test_create_says_whether_the_key_was_free(backend: LocalBackend) -> None:
    assert backend.create("runs/r/intent.json", b"first")
    assert not backend.create("runs/r/intent.json", b"second")
    assert backend.read("runs/r/intent.json") == b"first"


def test_a_record_has_a_limit(backend: LocalBackend, tmp_path: Path) -> None:
    assert backend.create("most", b"x" * RECORD_LIMIT)
    with pytest.raises(Bug, match=str(RECORD_LIMIT)):
        backend.create("more", b"x" * (RECORD_LIMIT + 1))
    assert files(tmp_path) == {"most"}


def test_of_sixteen_processes_one_creates(tmp_path: Path) -> None:
    keys = [f"packages/p{number % 5}/{number}.json" for number in range(60)]

    def work(number: int, barrier: Barrier) -> list[bool]:
        backend, won = LocalBackend(tmp_path), []
        for key in keys:
            barrier.wait()
            won.append(backend.create(key, b"%d" % number * 1000))
        return won

    answers = race(16, work)
    backend = LocalBackend(tmp_path)
    for key, won in zip(keys, zip(*answers, strict=True), strict=True):
        assert sum(won) == 1, key
        assert backend.read(key) == b"%d" % won.index(True) * 1000
    assert files(tmp_path) == set(keys)


def test_a_reader_never_sees_part_of_a_record(tmp_path: Path) -> None:
    keys = [f"runs/{number}.json" for number in range(40)]

    def work(number: int, barrier: Barrier) -> set[int]:
        backend, sizes = LocalBackend(tmp_path), set()
        barrier.wait()
        for key in keys:
            if number:
                backend.create(key, b"x" * RECORD_LIMIT)
                continue
            while backend.stat(key) is None:
                pass
            sizes.add(len(backend.read(key)))
        return sizes

    assert race(4, work)[0] == {RECORD_LIMIT}


def test_a_rewritten_record_is_the_old_or_the_new_one(tmp_path: Path) -> None:
    old, new = b"o" * 300_000, b"n" * 200_000
    LocalBackend(tmp_path).write("heartbeat.json", old)

    def work(number: int, barrier: Barrier) -> bool:
        backend = LocalBackend(tmp_path)
        barrier.wait()
        for turn in range(100):
            if number:
                backend.write("heartbeat.json", (old, new)[turn % 2])
            elif backend.read("heartbeat.json") not in (old, new):
                return False
        return True

    assert all(race(4, work))
    assert files(tmp_path) == {"heartbeat.json"}


def test_the_umask_is_respected(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        backend = LocalBackend(tmp_path / "made")
        os.mkdir(tmp_path / "made")
        backend.create("runs/r/a.json", b"{}")
        upload = backend.upload()
        upload.publish(KEY)
        backend.flush()
    finally:
        os.umask(before)
    for path in (tmp_path / "made").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o750 if path.is_dir() else 0o640), path


# ---------------------------------------------------------------------- blobs


def test_a_blob_is_there_after_the_flush(backend: LocalBackend, tmp_path: Path) -> None:
    upload = backend.upload()
    upload.write(b"some ")
    upload.write(b"bytes")
    upload.publish(KEY)
    backend.flush()
    assert backend.read(KEY) == b"some bytes"
    assert files(tmp_path) == {KEY}


def test_a_discarded_blob_leaves_nothing(backend: LocalBackend, tmp_path: Path) -> None:
    upload = backend.upload()
    upload.write(b"x" * 100)
    upload.discard()
    backend.flush()
    assert files(tmp_path) == set()


def test_the_same_blob_twice_is_kept_once(backend: LocalBackend, tmp_path: Path) -> None:
    for _ in range(3):
        upload = backend.upload()
        upload.write(b"same")
        upload.publish(KEY)
    backend.flush()
    backend.flush()
    assert files(tmp_path) == {KEY}


def test_a_blob_is_visible_once_it_is_published(backend: LocalBackend, tmp_path: Path) -> None:
    """Whole, and before any flush: another operation may use it, and syncs its folder itself."""
    upload = LocalBackend(tmp_path).upload()
    upload.write(b"some bytes")
    assert backend.stat(KEY) is None
    upload.publish(KEY)
    assert backend.read(KEY) == b"some bytes"
    backend.flush({KEY})


def test_flush_syncs_the_folders_of_what_is_reused(backend: LocalBackend, tmp_path: Path) -> None:
    """A folder that is missing is missed, so it was looked for."""
    LocalBackend(tmp_path).upload().publish(KEY)
    backend.flush({KEY})
    (tmp_path / KEY).unlink()
    (tmp_path / KEY).parent.rmdir()
    with pytest.raises(NotFound):
        backend.flush({KEY})


def test_no_temporary_name_is_left_by_many_blobs(backend: LocalBackend, tmp_path: Path) -> None:
    for number in range(2001):
        backend.upload().publish(f"objects/{number % 256:02x}/{number}")
    assert len(files(tmp_path)) == 2001
    assert not any(os.path.basename(name).startswith(".") for name in files(tmp_path))


@pytest.mark.parametrize("reused", [False, True])
def test_a_flush_makes_every_folder_above_a_blob_durable(
    backend: LocalBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reused: bool
) -> None:
    """Also those that somebody else made, who may not have come to syncing them."""
    if reused:
        backend.upload().publish(KEY)
        backend = LocalBackend(tmp_path)
    synced: list[int] = []
    fsync = os.fsync

    def watched(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    if reused:
        backend.flush([KEY])
    else:
        backend.upload().publish(KEY)
        backend.flush()
    above = [tmp_path, tmp_path / "objects", tmp_path / "objects" / "aa"]
    assert {folder.stat().st_ino for folder in above} <= set(synced)


@pytest.mark.parametrize("failing", ["the flush", "a publication"])
def test_after_a_write_that_failed_none_succeeds(backend: LocalBackend, tmp_path: Path, failing: str) -> None:
    """What was written before may be lost; a second fsync would not say so."""
    upload, other = backend.upload(), backend.upload()
    if failing == "the flush":
        upload.publish(KEY)
        (tmp_path / KEY).unlink()
        (tmp_path / KEY).parent.rmdir()
        with pytest.raises(NotFound):
            backend.flush()
    else:
        (tmp_path / "objects" / "aa").write_bytes(b"a file where a folder is to be")
        with pytest.raises((NotFound, Temporary)):
            upload.publish(KEY)
    works: tuple[Callable[[], object], ...] = (backend.flush, lambda: other.publish("objects/bb/x"))
    for work in works:
        with pytest.raises(Temporary, match="an earlier write failed"):
            work()
    assert not any(os.path.basename(name).startswith(".") for name in files(tmp_path))


# ---------------------------------------------------------------------- refusals


def test_what_may_not_be_read_or_written_is_named() -> None:
    with open_folder() as root:
        owner = LocalBackend(Path(root))
        owner.create("runs/r/intent.json", b"{}")
        os.chmod(os.path.join(root, "runs/r/intent.json"), 0o000)
        for folder in ("runs", "runs/r"):
            os.chmod(os.path.join(root, folder), READ_ONLY)

        backend = LocalBackend(Path(root))
        try:
            for work, name in (
                (lambda: backend.read("runs/r/intent.json"), "intent.json"),
                (lambda: backend.create("runs/r/outcome.json", b"{}"), "outcome.json"),
                (lambda: backend.write("runs/r/run.json", b"{}"), "run.json"),
                (lambda: backend.delete("runs/r/intent.json"), "intent.json"),
            ):
                kind, message = powerless(work)
                assert (kind, name in message) == (PermissionDenied.kind, True), message
            assert files(root) == {"runs/r/intent.json"}
        finally:
            os.chmod(os.path.join(root, "runs"), OPEN)
            os.chmod(os.path.join(root, "runs/r"), OPEN)


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    """The limit on a file's size stands for the disk: a write is cut short first, and then refused."""

    def full() -> list[str]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (50, 50))
        backend, kinds = LocalBackend(tmp_path), []
        upload = backend.upload()
        upload.write(b"x" * 100)
        for work in (
            lambda: backend.create("a.json", b"x" * 100),
            lambda: backend.write("b.json", b"x" * 100),
            lambda: upload.publish(KEY),
        ):
            try:
                work()
            except Temporary as error:
                kinds.append(error.kind)
        return kinds

    assert apart(full) == ["temporary"] * 3
    assert files(tmp_path) == set()


def test_refusals_are_translated() -> None:
    def kind(number: int) -> str:
        return translate(OSError(number, os.strerror(number)), "x").kind

    for number in (errno.EACCES, errno.EPERM, errno.EROFS):
        assert kind(number) == PermissionDenied.kind
    for number in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ESTALE):
        assert kind(number) == Temporary.kind
    assert kind(errno.ENAMETOOLONG) == DataInvalid.kind
    assert "free some space" in str(translate(OSError(errno.ENOSPC, "full"), "x").hint)


def test_a_read_only_file_system_is_no_matter_of_owners() -> None:
    error = translate(OSError(errno.EROFS, os.strerror(errno.EROFS)), "x")
    assert (error.message, error.exit_code) == ("x: Read-only file system", 9)
    assert error.hint == "mount its file system for writing, or name a folder on another one"
