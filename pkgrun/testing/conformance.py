"""Every MUST of `pkgrun.store.backend` as a test. Subclass a suite, say how to make a backend, and let pytest run it::

    class TestMine(BackendConformance):
        @pytest.fixture
        def backend(self, tmp_path: Path) -> Backend:
            return MyBackend(tmp_path)

        def reopen(self, backend: Backend) -> Callable[[], Backend] | None:
            return partial(MyBackend, backend.root)

Each test gets a fresh, empty place. This module knows nothing of pytest, and nothing of any particular backend.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import pairwise

from pkgrun.errors import NotFound, PkgrunError
from pkgrun.store.backend import RECORD_LIMIT, Backend, Capabilities, Upload
from pkgrun.store.parallel import each
from pkgrun.testing.contention import creating_processes, together

PIECE = 1 << 20
BLOB = "objects/aa/" + "a" * 64
OTHER = "objects/bb/" + "b" * 64
NAMES = ("0", "a..b", "a.", "a-", "x" * 128, "00000001.removed.json", "1.tmp", "f" * 64)
"""Names that are legal, and that somebody has got wrong before."""
MANY = 1_050
"""More names than a listing of S3 has on one page."""


@contextmanager
def not_found(key: str) -> Iterator[None]:
    """What is done here must raise `NotFound`, and name the key."""
    try:
        yield
    except NotFound as error:
        assert key in str(error), f"{error} does not name {key}"
        return
    raise AssertionError(f"{key} was found")


def publish(backend: Backend, key: str, *chunks: bytes) -> None:
    """Hand over a blob; not yet flushed."""
    upload = backend.upload(key)
    for chunk in chunks:
        upload.write(chunk)
    upload.publish(key)


def _keys(backend: Backend, prefix: str) -> list[str]:
    """What `walk` finds, in order; what it says of each must be what `stat` says, but for parts of a second."""
    found = dict(backend.walk(prefix))
    for key, stat in list(found.items())[:10]:
        alone = backend.stat(key)
        assert alone is not None, key
        assert alone.size == stat.size, key
        assert abs(alone.modified - stat.modified) < 1, key
    return sorted(found)


class ReadingConformance:
    """What reading must do. `fill` puts records there, for a backend that cannot itself."""

    def fill(self, backend: Backend, records: Mapping[str, bytes]) -> None:
        """Put these records there, which are not there yet."""
        each(lambda key: backend.create(key, records[key]), list(records))

    def test_it_says_what_it_is(self, backend: Backend) -> None:
        assert isinstance(backend.capabilities, Capabilities)
        assert backend.url
        assert "@" not in backend.url.partition("://")[2].partition("/")[0], (
            "credentials are told to everybody"
        )
        if backend.capabilities.paths:
            self.fill(backend, {"runs/r/a.json": b"{}"})
            with open(os.path.join(backend.url, "runs/r/a.json"), "rb") as file:
                assert file.read() == b"{}"

    def test_it_reads_ranges(self, backend: Backend) -> None:
        key = "runs/r/a.json"
        self.fill(backend, {key: b"0123456789"})
        assert backend.read(key) == b"0123456789"
        assert backend.read(key, 3) == b"3456789"
        assert backend.read(key, 3, 4) == b"3456"
        assert backend.read(key, 0, 10) == b"0123456789"
        assert backend.read(key, 9, 1) == b"9"

    def test_a_range_ends_where_the_bytes_end(self, backend: Backend) -> None:
        key = "runs/r/a.json"
        self.fill(backend, {key: b"0123456789"})
        assert backend.read(key, 8, 100) == b"89"
        assert backend.read(key, 10) == b""
        assert backend.read(key, 10, 5) == b""
        assert backend.read(key, 100) == b""
        assert backend.read(key, 100, 5) == b""
        assert backend.read(key, 0, 0) == b""
        assert backend.read(key, 5, 0) == b""

    def test_nothing_is_also_something(self, backend: Backend) -> None:
        self.fill(backend, {"runs/r/empty": b""})
        assert backend.read("runs/r/empty") == b""
        assert backend.read("runs/r/empty", 0, 10) == b""
        assert b"".join(backend.stream("runs/r/empty")) == b""
        found = backend.stat("runs/r/empty")
        assert found is not None
        assert found.size == 0

    def test_it_keeps_bytes_as_they_are(self, backend: Backend) -> None:
        records = {"runs/r/bytes": bytes(range(256)) * 3, "runs/r/most": os.urandom(RECORD_LIMIT)}
        self.fill(backend, records)
        for key, data in records.items():
            assert backend.read(key) == data

    def test_it_streams_in_pieces(self, backend: Backend) -> None:
        data = os.urandom(RECORD_LIMIT)
        self.fill(backend, {"runs/r/a": data})
        pieces = list(backend.stream("runs/r/a"))
        assert b"".join(pieces) == data
        assert max(map(len, pieces)) <= PIECE

    def test_stat_tells_size_and_time(self, backend: Backend) -> None:
        self.fill(backend, {"runs/r/a": b"four"})
        found = backend.stat("runs/r/a")
        assert found is not None
        assert found.size == 4
        # The clock is the store's; it may be wrong, but not by years.
        assert abs(found.modified - time.time()) < 3e7

    def test_what_is_not_there_is_not_found(self, backend: Backend) -> None:
        self.fill(backend, {"runs/r/file": b"0123456789"})
        for key in ("none", "no/folder/here", "runs/r/fil", "runs/r/file2", "runs/r/file/below"):
            with not_found(key):
                backend.read(key)
            with not_found(key):
                backend.read(key, 2, 3)
            with not_found(key):
                backend.read(key, 0, 0)
            with not_found(key):
                list(backend.stream(key))
            assert backend.stat(key) is None
        assert backend.stat("runs/r") is None, "a folder is no key"

    def test_it_lists_one_level(self, backend: Backend) -> None:
        self.fill(
            backend, dict.fromkeys(("runs/a/x", "runs/b/x", "runs/b/y/z", "runs/file", "runs2/c/x"), b"{}")
        )
        assert sorted(backend.list("")) == ["runs", "runs2"]
        assert sorted(backend.list("runs")) == ["a", "b", "file"]
        assert sorted(backend.list("runs/b")) == ["x", "y"]
        for prefix in ("run", "runs/a/x", "runs/c", "none", "no/folder"):
            assert list(backend.list(prefix)) == [], prefix

    def test_it_walks_all_levels(self, backend: Backend) -> None:
        keys = ("runs/a/x", "runs/b/x", "runs/b/y/z/deep", "runs/file", "runs2/c/x")
        self.fill(backend, dict.fromkeys(keys, b"{}"))
        assert _keys(backend, "runs") == sorted(keys[:-1])
        assert _keys(backend, "runs/b") == ["runs/b/x", "runs/b/y/z/deep"]
        for prefix in ("run", "runs/a/x", "runs/c", "none", "no/folder"):
            assert list(backend.walk(prefix)) == [], prefix

    def test_it_lists_many(self, backend: Backend) -> None:
        keys = [f"runs/{number:05}/intent.json" for number in range(MANY)]
        self.fill(backend, dict.fromkeys(keys, b"{}"))
        assert sorted(backend.list("runs")) == [f"{number:05}" for number in range(MANY)]
        assert _keys(backend, "runs") == keys

    def test_every_legal_name_names_something(self, backend: Backend) -> None:
        keys = {f"runs/{name}/{name}": name.encode() for name in NAMES}
        self.fill(backend, keys)
        assert sorted(backend.list("runs")) == sorted(NAMES)
        assert _keys(backend, "runs") == sorted(keys)
        for key, data in keys.items():
            assert backend.read(key) == data
            assert list(backend.list(key.rpartition("/")[0])) == [key.rpartition("/")[2]]


class CreatingConformance:
    """What `create`, `write` and `delete` must do."""

    def reopen(self, backend: Backend) -> Callable[[], Backend] | None:
        """What opens the same place in another process (it is pickled), or None if nothing can."""
        return None

    def test_create_says_whether_the_key_was_free(self, backend: Backend) -> None:
        assert backend.create("runs/r/intent.json", b"first") is True
        assert backend.create("runs/r/intent.json", b"second") is False
        assert backend.create("runs/r/intent.json", b"first") is False
        assert backend.read("runs/r/intent.json") == b"first"

    def test_a_record_may_be_as_large_as_the_limit_says(self, backend: Backend) -> None:
        data = os.urandom(RECORD_LIMIT)
        assert backend.create("runs/r/most", data)
        assert backend.read("runs/r/most") == data

    def test_of_sixteen_threads_one_creates(self, backend: Backend) -> None:
        backends = [backend if number % 2 else backend.apart() for number in range(16)]
        for turn in range(10):
            key = f"packages/p/{turn}.json"
            won = together(16, partial(_create, backends, key))
            assert sum(won) == 1, f"{sum(won)} of 16 created {key}"
            assert backend.read(key) == b"%d" % won.index(True) * 1000

    def test_of_four_processes_one_creates(self, backend: Backend) -> None:
        opener = self.reopen(backend)
        if opener is None:
            return
        keys = [f"packages/p{number % 3}/{number}.json" for number in range(20)]
        answers = creating_processes(4, opener, keys)
        for key, won in zip(keys, zip(*answers, strict=True), strict=True):
            assert sum(won) == 1, f"{sum(won)} of 4 created {key}"
            assert backend.read(key) == b"%d" % won.index(True) * 1000

    def test_a_record_is_never_seen_in_part(self, backend: Backend) -> None:
        keys = [f"runs/{number}/intent.json" for number in range(5)]
        data = os.urandom(RECORD_LIMIT)

        def work(number: int) -> list[bytes]:
            if number < 2:
                return [data for key in keys if backend.create(key, data)]
            return [_awaited(backend, key) for key in keys]

        for seen in together(4, work):
            assert all(one == data for one in seen)

    def test_a_rewritten_record_is_the_old_or_the_new_one(self, backend: Backend) -> None:
        old, new = b"o" * 300_000, b"n" * 200_000
        backend.write("runs/r/heartbeat.json", old)

        def work(number: int) -> list[bytes]:
            if number:
                return [backend.read("runs/r/heartbeat.json") for _ in range(15)]
            for turn in range(15):
                backend.write("runs/r/heartbeat.json", (new, old)[turn % 2])
            return []

        for seen in together(4, work):
            assert set(seen) <= {old, new}
        assert backend.read("runs/r/heartbeat.json") == new

    def test_write_replaces(self, backend: Backend) -> None:
        for data in (b"first, the longer one", b"second", b""):
            backend.write("runs/r/run.json", data)
            assert backend.read("runs/r/run.json") == data
        assert backend.create("runs/r/run.json", b"created") is False
        assert list(backend.list("runs/r")) == ["run.json"]

    def test_what_was_deleted_is_gone(self, backend: Backend) -> None:
        backend.create("runs/r/a", b"{}")
        backend.create("runs/r/b", b"{}")
        for _ in range(2):
            backend.delete("runs/r/a")
        backend.delete("no/folder/here")
        backend.delete("runs/r")  # a folder, with something in it
        with not_found("runs/r/a"):
            backend.read("runs/r/a")
        assert backend.stat("runs/r/a") is None
        assert list(backend.list("runs/r")) == ["b"]
        assert _keys(backend, "runs") == ["runs/r/b"]
        assert backend.create("runs/r/a", b"again") is True
        assert backend.read("runs/r/a") == b"again"


class UploadConformance:
    """What uploads must do."""

    def spoil(self, backend: Backend, upload: Upload) -> bool:
        """Make the publishing of `upload`, or the next flush of `backend`, fail; False if nothing can."""
        return False

    def test_a_blob_is_there_after_the_flush(self, backend: Backend) -> None:
        publish(backend, BLOB, b"some ", b"", b"bytes")
        backend.flush()
        assert backend.read(BLOB) == b"some bytes"
        assert backend.read(BLOB, 5, 3) == b"byt"
        assert _keys(backend, "objects") == [BLOB]

    def test_a_blob_may_be_begun_without_its_key(self, backend: Backend) -> None:
        if not backend.capabilities.rename:
            return
        upload = backend.upload()
        upload.write(b"bytes")
        upload.publish(BLOB)
        backend.flush()
        assert backend.read(BLOB) == b"bytes"

    def test_a_blob_may_be_empty(self, backend: Backend) -> None:
        publish(backend, BLOB)
        publish(backend, OTHER, b"")
        backend.flush()
        assert (backend.read(BLOB), backend.read(OTHER)) == (b"", b"")

    def test_a_blob_may_be_large(self, backend: Backend) -> None:
        """Larger than one part of a multipart upload, in chunks of every size."""
        data = os.urandom(17 * PIECE + 5)
        cuts = [0, 1, 5, PIECE, 7 * PIECE + 1, 7 * PIECE + 2, 16 * PIECE, len(data)]
        publish(backend, BLOB, *(data[start:end] for start, end in pairwise(cuts)))
        backend.flush()
        pieces = list(backend.stream(BLOB))
        assert b"".join(pieces) == data
        assert max(map(len, pieces)) <= PIECE
        assert backend.read(BLOB, 7 * PIECE, 10) == data[7 * PIECE : 7 * PIECE + 10]
        found = backend.stat(BLOB)
        assert found is not None
        assert found.size == len(data)

    def test_what_was_not_published_is_not_there(self, backend: Backend) -> None:
        upload = backend.upload(BLOB)
        upload.write(os.urandom(9 * PIECE))
        assert backend.stat(BLOB) is None
        assert list(backend.list("objects/aa")) == []
        backend.flush()
        assert _keys(backend, "objects") == []
        upload.discard()

    def test_what_was_published_is_whole_or_not_there(self, backend: Backend) -> None:
        data = os.urandom(9 * PIECE)
        publish(backend, BLOB, data)
        found = backend.stat(BLOB)
        assert found is None or found.size == len(data)
        backend.flush()
        assert b"".join(backend.stream(BLOB)) == data

    def test_what_was_discarded_leaves_nothing(self, backend: Backend) -> None:
        for size in (None, 0, 100, 9 * PIECE):
            upload = backend.upload(BLOB)
            if size is not None:
                upload.write(b"x" * size)
            upload.discard()
        backend.flush()
        assert backend.stat(BLOB) is None
        assert _keys(backend, "objects") == []

    def test_the_same_blob_twice_is_kept_once(self, backend: Backend) -> None:
        for _ in range(3):
            publish(backend, BLOB, b"same")
        backend.flush()
        publish(backend, BLOB, b"same")
        backend.flush()
        other = backend.apart()
        publish(other, BLOB, b"same")
        other.flush()
        assert _keys(backend, "objects") == [BLOB]
        assert backend.read(BLOB) == b"same"

    def test_flush_may_be_called_at_any_time(self, backend: Backend) -> None:
        backend.flush()
        publish(backend, BLOB, b"bytes")
        backend.flush()
        backend.flush({BLOB})
        other = backend.apart()
        other.flush({BLOB})
        assert other.read(BLOB) == b"bytes"

    def test_many_blobs_by_many_threads(self, backend: Backend) -> None:
        keys = [f"objects/{number % 256:02x}/{number:064x}" for number in range(64)]

        def work(number: int) -> None:
            for index in range(number, len(keys), 8):
                publish(backend, keys[index], b"%d " % index, b"%d" % index)
            backend.flush()

        together(8, work)
        assert _keys(backend, "objects") == sorted(keys)
        assert all(backend.read(key) == b"%d %d" % (index, index) for index, key in enumerate(keys))

    def test_apart_is_the_same_place(self, backend: Backend) -> None:
        other = backend.apart()
        assert (other.url, other.capabilities) == (backend.url, backend.capabilities)
        assert backend.create("runs/r/a", b"{}")
        assert other.read("runs/r/a") == b"{}"
        assert not other.create("runs/r/a", b"other")
        publish(other, BLOB, b"bytes")
        other.flush()
        assert backend.read(BLOB) == b"bytes"

    def test_one_failed_write_is_not_anothers(self, backend: Backend) -> None:
        broken, other = backend.apart(), backend.apart()
        upload = broken.upload(BLOB)
        upload.write(b"lost")
        spoilt = self.spoil(broken, upload)
        publish(other, OTHER, b"kept")
        if spoilt and not _fails(lambda: upload.publish(BLOB)):
            assert _fails(broken.flush)
            assert _fails(broken.flush), "what failed once must not be called durable later"
        if not spoilt:
            upload.discard()
        other.flush()
        assert backend.read(OTHER) == b"kept"
        assert _keys(backend, "objects") == [OTHER]


class BackendConformance(ReadingConformance, CreatingConformance, UploadConformance):
    """All that a backend must do."""


def _create(backends: Sequence[Backend], key: str, number: int) -> bool:
    """Create a record that says by whom."""
    return backends[number].create(key, b"%d" % number * 1000)


def _awaited(backend: Backend, key: str) -> bytes:
    """The bytes of a key as soon as there are any."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            return backend.read(key)
        except NotFound:
            continue
    raise AssertionError(f"{key} did not appear")


def _fails(work: Callable[[], None]) -> bool:
    try:
        work()
    except PkgrunError:
        return True
    return False
