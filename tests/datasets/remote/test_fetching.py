"""Datasets at URLs: fetched whole, once, and what a server, a network, a name or a kill can do to that."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pkgrun.datasets.cache import Copies
from pkgrun.datasets.remote import transfer
from pkgrun.datasets.remote.fetching import Fetched, fetch, local_path
from pkgrun.errors import (
    DataInvalid,
    Killed,
    NotFound,
    PermissionDenied,
    PkgrunError,
    Temporary,
    UsageError,
)
from pkgrun.observe import Event, Notice, Progress
from tests.datasets.remote.web_server import File, WebServer, web_server
from tests.servers import Server, s3

LARGE = bytes(range(256)) * (4 * transfer.RANGE // 256) + b"end"
CANARY = "canary-9f2c"


@pytest.fixture
def web() -> Iterator[WebServer]:
    with web_server() as server:
        yield server


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def copies(tmp_path: Path, events: list[Event]) -> Copies:
    return Copies(str(tmp_path / "cache" / "datasets"), 10**10, observer=events.append)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Giving up takes no ten seconds."""
    monkeypatch.setattr(transfer, "PAUSES", (0.01, 0.01, 0.01))


@pytest.fixture
def bucket(ministack: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    for name, value in ministack.env.items():
        monkeypatch.setenv(name, value)
    return ministack


@pytest.fixture
def fsspec_thread(web: WebServer) -> Iterator[None]:
    """Where fsspec must wait for itself it starts a thread for good; other tests fork."""
    yield
    from fsspec import asyn  # type: ignore[import-untyped]
    from fsspec.implementations.http import HTTPFileSystem  # type: ignore[import-untyped]

    for fs in [*HTTPFileSystem._cache.values()]:
        fs.close_session(fs.loop, fs._session)
    HTTPFileSystem.clear_instance_cache()
    asyn.loop[0].call_soon_threadsafe(asyn.loop[0].stop)
    asyn.iothread[0].join()
    asyn.loop[0].close()
    asyn.loop[0] = asyn.iothread[0] = None


def content(url: str, copies: Copies) -> bytes:
    with fetch(url, copies) as fetched:
        return Path(fetched.path).read_bytes()


def tree(url: str, copies: Copies) -> dict[str, bytes]:
    with fetch(url, copies) as fetched:
        root = Path(fetched.path)
        return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def put(server: Server, key: str, data: bytes) -> None:
    assert s3.request(server, "PUT", key, body=data).status == 200


def delete(server: Server, key: str) -> None:
    assert s3.request(server, "DELETE", key).status == 204


def notices(events: list[Event]) -> list[str]:
    return [event.message for event in events if isinstance(event, Notice)]


class TestAFile:
    def test_is_fetched_once_under_the_name_in_its_url(self, web: WebServer, copies: Copies) -> None:
        web.files["/some/house%20prices.csv"] = File(b"a,b\n1,2\n")
        url = f"{web.url}/some/house%20prices.csv"
        with fetch(url, copies) as fetched:
            assert os.path.basename(fetched.path) == "house prices.csv"
            assert Path(fetched.path).read_bytes() == b"a,b\n1,2\n"
            assert fetched == Fetched(fetched.path, url, 1, 8)
            assert os.stat(fetched.path).st_mode & 0o777 == 0o600
        assert content(url, copies) == b"a,b\n1,2\n"
        assert len(web.downloads) == 1

    def test_is_fetched_in_ranges_if_it_is_large(
        self, web: WebServer, copies: Copies, events: list[Event]
    ) -> None:
        web.files["/large.bin"] = File(LARGE)
        assert content(f"{web.url}/large.bin", copies) == LARGE
        assert len(web.downloads) == 5
        told = [event for event in events if isinstance(event, Progress)]
        assert told[-1] == Progress(f"{web.url}/large.bin", len(LARGE), len(LARGE), "bytes")
        assert [event.done for event in told] == sorted(event.done for event in told)

    def test_that_changed_is_fetched_again(self, web: WebServer, copies: Copies) -> None:
        web.files["/f"] = File(b"old", etag='"old"')
        assert content(f"{web.url}/f", copies) == b"old"
        web.files["/f"] = File(b"new", etag='"new"')
        assert content(f"{web.url}/f", copies) == b"new"
        assert len(web.downloads) == 2

    @pytest.mark.parametrize("modified", [None, "Fri, 20 Nov 2026 10:00:00 GMT"])
    def test_is_fetched_again_only_where_nothing_tells_that_it_is_the_same(
        self, web: WebServer, copies: Copies, modified: str | None
    ) -> None:
        web.files["/f"] = File(b"one", etag=None, modified=modified)
        assert content(f"{web.url}/f", copies) == b"one"
        web.files["/f"].data = b"two"
        assert content(f"{web.url}/f", copies) == (b"one" if modified else b"two")

    @pytest.mark.parametrize(
        "file",
        [
            File(b""),
            File(b"", ranges=False),
            File(LARGE, ranges=False),
            File(b"streamed", length=None, ranges=False),
            File(b"streamed", length=None, ranges=False, etag=None),
            File(b"\x1f\x8b not really", encoding="gzip"),
        ],
        ids=["empty", "empty, no ranges", "no ranges", "no length", "no length, no tag", "encoded"],
    )
    def test_of_any_kind_of_server(self, web: WebServer, copies: Copies, file: File) -> None:
        web.files["/f"] = file
        for _ in range(2):
            assert content(f"{web.url}/f", copies) == file.data

    def test_that_was_damaged_here_is_noticed_and_fetched_again(
        self, web: WebServer, copies: Copies, events: list[Event]
    ) -> None:
        web.files["/f.csv"] = File(b"good")
        with fetch(f"{web.url}/f.csv", copies) as fetched:
            path = fetched.path
        status = os.stat(path)
        Path(path).write_bytes(b"evil")
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        assert content(f"{web.url}/f.csv", copies) == b"good"
        assert "f.csv" in "".join(notices(events))
        assert len(web.downloads) == 2

    def test_behind_a_redirect_keeps_its_name(self, web: WebServer, copies: Copies) -> None:
        web.files["/data.csv"] = File(b"", location="/elsewhere/..%2F..%2Fetc%2Fpasswd")
        web.files["/elsewhere/..%2F..%2Fetc%2Fpasswd"] = File(b"here")
        with fetch(f"{web.url}/data.csv", copies) as fetched:
            assert os.path.basename(fetched.path) == "data.csv"
            assert Path(fetched.path).read_bytes() == b"here"


@pytest.mark.usefixtures("quick")
class TestANetwork:
    def test_that_breaks_now_and_then(self, web: WebServer, copies: Copies) -> None:
        web.files["/f"] = File(LARGE, cut=transfer.RANGE // 3, fails=2)
        assert content(f"{web.url}/f", copies) == LARGE

    def test_that_breaks_always(self, web: WebServer, copies: Copies) -> None:
        web.files["/f"] = File(b"x" * 1000, cut=10, ranges=False)
        with pytest.raises(Temporary, match=f"{web.url}/f cannot be fetched") as caught:
            content(f"{web.url}/f", copies)
        assert "run it again" in str(caught.value.hint)
        web.files["/f"].cuts = 0
        assert content(f"{web.url}/f", copies) == b"x" * 1000

    def test_a_length_that_lies(self, web: WebServer, copies: Copies) -> None:
        web.files["/f"] = File(b"short", length=4000, ranges=False)
        with pytest.raises(Temporary):
            content(f"{web.url}/f", copies)

    def test_a_server_that_is_not_there(self, copies: Copies) -> None:
        with pytest.raises(Temporary, match="cannot be fetched"):
            content("http://127.0.0.1:9/f", copies)

    @pytest.mark.parametrize(
        ("status", "error"),
        [
            (404, NotFound),
            (410, NotFound),
            (401, PermissionDenied),
            (403, PermissionDenied),
            (500, Temporary),
        ],
    )
    def test_a_server_that_refuses(
        self, web: WebServer, copies: Copies, status: int, error: type[PkgrunError]
    ) -> None:
        web.files["/f"] = File(b"", status=status)
        with pytest.raises(error, match=f"{web.url}/f"):
            content(f"{web.url}/f", copies)

    @pytest.mark.parametrize(
        "target", ["file:///etc/passwd", "ftp://127.0.0.1/x", "/f", "http://[", "javascript:alert(1)"]
    )
    def test_redirects_to_where_no_file_can_be(self, web: WebServer, copies: Copies, target: str) -> None:
        web.files["/f"] = File(b"", location=target)
        with pytest.raises(Temporary):
            content(f"{web.url}/f", copies)

    def test_a_file_that_changes_while_it_is_fetched(
        self, web: WebServer, copies: Copies, events: list[Event]
    ) -> None:
        def once(file: File) -> None:
            file.etag, file.data = '"2"', LARGE[::-1]

        web.files["/f"] = File(LARGE, served=once)
        assert content(f"{web.url}/f", copies) == LARGE[::-1]
        assert "changed while it was fetched" in "".join(notices(events))

    def test_a_file_that_never_stops_changing(self, web: WebServer, copies: Copies) -> None:
        def always(file: File) -> None:
            file.etag = f'"{len(web.asked)}"'

        web.files["/f"] = File(LARGE, served=always)
        with pytest.raises(Temporary, match=r"'f' of .* changed while it was fetched, twice"):
            content(f"{web.url}/f", copies)


class TestABreak:
    def test_by_kill_9_loses_no_finished_file_and_no_finished_range(
        self, web: WebServer, tmp_path: Path, copies: Copies
    ) -> None:
        gate = threading.Event()
        web.files["/f"] = File(LARGE, gate=gate, gated=f"-{len(LARGE) - 1}", before=1)
        child = _child(f"{web.url}/f", tmp_path)
        assert web.begun.wait(30)
        _wait_for_notes(copies, 4)
        child.kill()
        child.wait()
        gate.set()
        web.files["/f"] = File(LARGE)
        before = len(web.downloads)
        assert content(f"{web.url}/f", copies) == LARGE
        assert [asked.range for asked in web.downloads[before:]] == [
            f"bytes={4 * transfer.RANGE}-{len(LARGE) - 1}"
        ]

    def test_by_kill_9_loses_no_finished_file_of_a_folder(
        self, bucket: Server, copies: Copies, tmp_path: Path
    ) -> None:
        for number in range(40):
            put(bucket, f"d/{number:02}", b"%02d" % number * 1000)
        child = _child(f"{bucket.url}/d", tmp_path)
        _wait_for_notes(copies, 3)
        child.kill()
        child.wait()
        [content_] = Path(copies.folder).glob("*/*/content")
        done = {json.loads(line)[0] for line in _notes(copies) if line}
        before = {name: os.stat(content_ / name).st_ctime_ns for name in done}
        with fetch(f"{bucket.url}/d", copies) as fetched:
            assert len(os.listdir(fetched.path)) == 40
            after = {name: os.stat(os.path.join(fetched.path, name)).st_ctime_ns for name in done}
        assert after == before

    def test_and_damage_to_what_was_kept(self, web: WebServer, tmp_path: Path, copies: Copies) -> None:
        web.files["/f"] = File(LARGE, fails=0)
        with fetch(f"{web.url}/f", copies) as fetched:
            path = Path(fetched.path)
        slot = path.parent.parent
        (slot / "manifest").unlink()  # as if it had never come to an end
        with path.open("r+b") as file:
            file.write(b"damage")
        before = len(web.downloads)
        assert content(f"{web.url}/f", copies) == LARGE
        assert len(web.downloads) > before

    def test_by_whoever_started_it(self, web: WebServer, tmp_path: Path) -> None:
        web.files["/f"] = File(LARGE, gate=threading.Event(), before=5)
        copies = Copies(str(tmp_path / "cache"), 10**10, stop=web.begun.is_set)
        with pytest.raises(Killed):
            content(f"{web.url}/f", copies)

    def test_of_the_server_is_no_reason_to_fetch_all_again(
        self, web: WebServer, copies: Copies, quick: None
    ) -> None:
        web.files["/f"] = File(LARGE)

        def die(file: File) -> None:
            file.status = 503 if len(web.downloads) >= 2 else 200

        web.files["/f"].served = die
        with pytest.raises(Temporary):
            content(f"{web.url}/f", copies)
        kept = sum(1 for line in _notes(copies) if line.strip())
        assert kept
        web.files["/f"] = File(LARGE)
        before = len(web.downloads)
        assert content(f"{web.url}/f", copies) == LARGE
        assert len(web.downloads) - before == 5 - kept


class TestABucket:
    def test_a_folder_of_it(self, bucket: Server, copies: Copies) -> None:
        files = {"a.csv": b"1", "sub/b.csv": b"2" * 70_000, "sub/deep er/ü+&#?.csv": b"3", "empty": b""}
        for name, data in files.items():
            put(bucket, f"data/set/{name}", data)
        put(bucket, "data/set/nothing in it/", b"")
        put(bucket, "data/settlement", b"another one")
        for url in (f"{bucket.url}/data/set", f"{bucket.url}/data/set/"):
            assert tree(url, copies) == files
        with fetch(f"{bucket.url}/data/set", copies) as fetched:
            assert (fetched.files, fetched.bytes) == (4, 70_002)
            assert os.path.isdir(os.path.join(fetched.path, "nothing in it"))

    def test_one_object_of_it(self, bucket: Server, copies: Copies) -> None:
        put(bucket, "data/large.bin", LARGE)
        with fetch(f"{bucket.url}/data/large.bin", copies) as fetched:
            assert os.path.basename(fetched.path) == "large.bin"
            assert Path(fetched.path).read_bytes() == LARGE

    def test_only_what_changed_is_fetched_and_what_vanished_is_removed(
        self, bucket: Server, copies: Copies
    ) -> None:
        for number in range(5):
            put(bucket, f"d/{number}", b"%d" % number)
        with fetch(f"{bucket.url}/d", copies) as fetched:
            assert fetched.files == 5
            same, other = (_inode(fetched, name) for name in "01")
        put(bucket, "d/1", b"changed")
        put(bucket, "d/new/one", b"new")
        delete(bucket, "d/2")
        delete(bucket, "d/3")
        put(bucket, "d/3/now", b"a folder")
        assert tree(f"{bucket.url}/d", copies) == {
            "0": b"0",
            "1": b"changed",
            "4": b"4",
            "new/one": b"new",
            "3/now": b"a folder",
        }
        with fetch(f"{bucket.url}/d", copies) as fetched:
            assert _inode(fetched, "0") == same
            assert _inode(fetched, "1") != other

    def test_that_changed_while_another_run_uses_the_copy(self, bucket: Server, copies: Copies) -> None:
        put(bucket, "d/f", b"one")
        put(bucket, "d/same", b"same")
        with fetch(f"{bucket.url}/d", copies) as old:
            put(bucket, "d/f", b"two")
            assert tree(f"{bucket.url}/d", copies) == {"f": b"two", "same": b"same"}
            assert (Path(old.path) / "f").read_bytes() == b"one"
        assert tree(f"{bucket.url}/d", copies) == {"f": b"two", "same": b"same"}

    @pytest.mark.parametrize("key", ["../up", "a/../../up", "/etc/passwd", "a//b", "a/./b", "n" * 300, ".."])
    def test_names_that_lead_out(self, bucket: Server, copies: Copies, key: str) -> None:
        put(bucket, "d/good", b"")
        put(bucket, f"d/{key}", b"x")
        with pytest.raises(DataInvalid, match="cannot be a path"):
            tree(f"{bucket.url}/d", copies)
        assert not Path(copies.folder).exists()

    def test_a_key_that_is_a_file_and_a_folder(self, bucket: Server, copies: Copies) -> None:
        put(bucket, "d/a", b"x")
        put(bucket, "d/a/b", b"x")
        with pytest.raises(DataInvalid, match="both as a file and as a folder"):
            tree(f"{bucket.url}/d", copies)

    def test_on_a_server_that_ignores_ranges(
        self, rclone: Server, copies: Copies, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name, value in rclone.env.items():
            monkeypatch.setenv(name, value)
        put(rclone, "d/large.bin", LARGE)
        assert tree(f"{rclone.url}/d", copies) == {"large.bin": LARGE}

    def test_nothing_there(self, bucket: Server, copies: Copies) -> None:
        for url in (f"{bucket.url}/no/such", f"{bucket.url}/no/such/", "s3://no-such-bucket-at-all/x"):
            with pytest.raises(NotFound, match="there is nothing at s3://"):
                tree(url, copies)

    def test_sixteen_processes_fetch_it_once(self, web: WebServer, tmp_path: Path) -> None:
        web.files["/f"] = File(LARGE, ranges=False)
        children = [_child(f"{web.url}/f", tmp_path) for _ in range(16)]
        assert [child.wait() for child in children] == [0] * 16
        assert len(web.downloads) == 1


class TestOtherPlaces:
    def test_memory(self, copies: Copies) -> None:
        import fsspec

        fs = fsspec.filesystem("memory")
        fs.pipe({"/set/a": b"1", "/set/sub/b": LARGE})
        try:
            assert tree("memory://set", copies) == {"a": b"1", "sub/b": LARGE}
            assert content("memory://set/a", copies) == b"1"
            fs.pipe("/set/a", b"2")
            assert tree("memory://set", copies)["a"] == b"2"
        finally:
            fs.rm("/set", recursive=True)

    @pytest.mark.usefixtures("fsspec_thread")
    def test_a_zip_behind_a_url(self, web: WebServer, copies: Copies) -> None:
        import io
        import zipfile

        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as file:
            file.writestr("in/a.csv", "1")
            file.writestr("in/sub/b.csv", "2")
            file.writestr("out/../../up", "3")
        web.files["/set.zip"] = File(packed.getvalue())
        assert tree(f"zip://in::{web.url}/set.zip", copies) == {"a.csv": b"1", "sub/b.csv": b"2"}
        for below in ("", "out"):
            with pytest.raises(DataInvalid):
                tree(f"zip://{below}::{web.url}/set.zip", copies)

    def test_file_urls_are_paths(self) -> None:
        assert local_path("file:///some/a%20b") == "/some/a b"
        assert local_path("file://localhost/x") == "/x"
        assert local_path("https://host/x") is None
        with pytest.raises(UsageError):
            local_path("file://host/x")

    def test_no_such_scheme(self, copies: Copies) -> None:
        with pytest.raises(UsageError, match="nothing is known of nosuch://") as caught:
            tree("nosuch://x/y", copies)
        assert "s3" in str(caught.value.hint)

    def test_a_driver_that_is_not_installed(self, copies: Copies) -> None:
        pytest.importorskip("fsspec")
        with pytest.raises(UsageError, match="not installed") as caught:
            tree("gs://bucket/x", copies)
        assert "pip install gcsfs" in str(caught.value.hint)

    @pytest.mark.parametrize(
        "url", ["https://", "http:///x", "s3://", "s3:///x", "https://h/%2e%2e", "https://h/a%2fb"]
    )
    def test_what_is_no_url(self, copies: Copies, url: str) -> None:
        with pytest.raises(UsageError):
            tree(url, copies)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("good", [True, False])
def test_secrets_of_a_url_are_nowhere(
    web: WebServer, copies: Copies, events: list[Event], good: bool, tmp_path: Path
) -> None:
    if good:
        web.files["/f"] = File(b"data")
    host = web.url.removeprefix("http://")
    query = f"X-Amz-Signature={CANARY}&token={CANARY}&sig={CANARY}&format=csv&odd={CANARY}{'x' * 30}"
    url = f"http://user:{CANARY}@{host}/f?{query}#{CANARY}"
    said = ""
    try:
        with fetch(url, copies) as fetched:
            said = repr(fetched)
            assert fetched.label == f"{web.url}/f?X-Amz-Signature=…&token=…&sig=…&format=csv&odd=…"
    except PkgrunError as error:
        said = "".join((repr(error), str(error.hint), repr(error.__cause__)))
    assert CANARY in web.asked[0].path
    assert str(web.asked[0].authorization).startswith("Basic ")
    for path in tmp_path.rglob("*"):
        said += str(path) + (path.read_bytes().decode("latin-1") if path.is_file() else "")
    assert CANARY not in said + repr(events)


def _inode(fetched: Fetched, name: str) -> tuple[int, int]:
    status = os.stat(os.path.join(fetched.path, name))
    return status.st_ino, status.st_ctime_ns


def _child(url: str, folder: Path) -> subprocess.Popen[bytes]:
    """A process of its own that fetches."""
    code = (
        "import sys; from pkgrun.datasets.cache import Copies; from pkgrun.datasets.remote.fetching import fetch\n"
        "with fetch(sys.argv[1], Copies(sys.argv[2], 10**10)): pass"
    )
    place = str(folder / "cache" / "datasets")
    return subprocess.Popen([sys.executable, "-c", code, url, place])


def _notes(copies: Copies) -> list[str]:
    return [line for path in Path(copies.folder).glob("*/*/notes") for line in path.read_text().splitlines()]


def _wait_for_notes(copies: Copies, count: int) -> None:
    from time import monotonic, sleep

    end = monotonic() + 30
    while len([line for line in _notes(copies) if line]) < count:
        assert monotonic() < end
        sleep(0.02)
