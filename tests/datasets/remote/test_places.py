"""Other places that datasets come from: memory, archives, paths as URLs, and what is none."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pkgrun.datasets.cache import Copies
from pkgrun.datasets.remote.fetching import local_path
from pkgrun.errors import DataInvalid, UsageError
from tests.datasets.remote.fetched import LARGE, content, tree
from tests.datasets.remote.web_server import File, WebServer


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
