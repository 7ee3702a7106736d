"""What a network and a server can do to what is fetched from them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pkgrun.datasets.cache import Copies
from pkgrun.datasets.remote import transfer
from pkgrun.errors import NotFound, PermissionDenied, PkgrunError, Temporary
from pkgrun.observe import Event
from tests.datasets.remote.certificates import certificate
from tests.datasets.remote.fetched import LARGE, content, notices
from tests.datasets.remote.web_server import File, WebServer, web_server

KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_MAX_ATTEMPTS": "1"}

FETCHES = """
import sys
from pkgrun.datasets.cache import Copies
from pkgrun.datasets.remote.fetching import fetch
from pkgrun.errors import PkgrunError
try:
    with fetch(sys.argv[1], Copies(sys.argv[2], 10**9)):
        print("fetched")
except PkgrunError as error:
    print(error.message, error.hint, sep="\\n")
"""


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

    @pytest.mark.parametrize("url", ["http://127.0.0.1:9/f", "https://127.0.0.1:9/f"])
    def test_a_server_that_is_not_there(self, copies: Copies, url: str) -> None:
        with pytest.raises(
            Temporary, match=f"{url} cannot be fetched: no connection to 127.0.0.1:9: "
        ) as caught:
            content(url, copies)
        assert caught.value.message.endswith("connection refused")
        assert caught.value.hint == "check the URL and the network; run it again"

    def test_a_host_that_is_not_there(self, copies: Copies) -> None:
        with pytest.raises(Temporary, match=r"no connection to nosuch\.invalid:80: .*name") as caught:
            content("http://nosuch.invalid/f", copies)
        assert "ssl" not in caught.value.message

    def test_an_endpoint_that_is_not_there(self, copies: Copies, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in {
            **KEYS,
            "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
            "AWS_MAX_ATTEMPTS": "1",
        }.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(Temporary, match=r"no connection to 127\.0\.0\.1:9: connection refused"):
            content("s3://bucket/f", copies)

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


class TestEncryption:
    """In processes of their own: which authorities are trusted is read when they start."""

    @pytest.mark.parametrize(
        ("kind", "trusted", "host", "said", "hint"),
        [
            ("good", True, "localhost", "fetched", ""),
            ("good", False, "localhost", "is not trusted: self-signed certificate", "SSL_CERT_FILE"),
            ("expired", True, "localhost", "is not trusted: certificate has expired", "renew"),
            ("good", True, "127.0.0.1", "is not valid for '127.0.0.1'", "a name that it was issued for"),
            (None, True, "localhost", "does not speak TLS", "http://"),
        ],
    )
    def test_and_what_is_wrong_with_it(
        self, tmp_path: Path, kind: str | None, trusted: bool, host: str, said: str, hint: str
    ) -> None:
        made = certificate(tmp_path / "certificate.pem", ended=kind == "expired")
        with web_server(made if kind else None) as web:
            web.files["/f"] = File(b"x")
            url = f"https://{host}:{web.url.rpartition(':')[2]}/f"
            told = fetched_apart(url, tmp_path, {"SSL_CERT_FILE": str(made)} if trusted else {})
        assert said in told[0]
        assert hint in told[1]

    def test_of_a_bucket(self, tmp_path: Path) -> None:
        with web_server(certificate(tmp_path / "certificate.pem")) as web:
            told = fetched_apart("s3://bucket/f", tmp_path, {**KEYS, "AWS_ENDPOINT_URL": web.url})
        assert "s3://bucket/f: the server's certificate is not trusted: self-signed" in told[0]
        assert "AWS_CA_BUNDLE" in told[1]


def fetched_apart(url: str, folder: Path, env: dict[str, str]) -> tuple[str, str]:
    """What a process says that fetches a URL: the message and the hint."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("SSL_", "AWS_"))}
    done = subprocess.run(
        [sys.executable, "-c", FETCHES, url, str(folder / "cache")],
        env={**clean, **env},
        capture_output=True,
        text=True,
        check=True,
    )
    message, _, hint = done.stdout.partition("\n")
    return message, hint
