"""Files at URLs: each fetched whole, once, under its name, and nothing of the secrets that its URL holds is kept."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pkgrun.datasets.cache import Copies
from pkgrun.datasets.remote.fetching import Fetched, fetch
from pkgrun.errors import PkgrunError
from pkgrun.observe import Event, Progress
from tests.datasets.remote.fetched import LARGE, content, notices
from tests.datasets.remote.web_server import File, WebServer

CANARY = "canary-9f2c"


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
