"""How far this clock is from a server's: told by a real server's answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from pkgrun.errors import Temporary
from pkgrun.store import skew


@contextmanager
def server(behind: float | None) -> Iterator[str]:
    """One whose clock is so many seconds behind; or that does not tell the time. Its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response_only(403)
            if behind is not None:
                self.send_header("Date", formatdate(time.time() - behind, usegmt=True))
            self.end_headers()

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as made:
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{made.server_address[1]}"
        finally:
            made.shutdown()
            thread.join()


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    return monkeypatch


@pytest.mark.parametrize("behind", [0.0, 3600.0, -86400.0])
def test_the_difference_is_told_to_a_second(keys: pytest.MonkeyPatch, behind: float) -> None:
    with server(behind) as address:
        keys.setenv("AWS_ENDPOINT_URL", address)
        found = skew.seconds()
    assert found is not None
    assert abs(found - behind) < 2


def test_a_server_may_not_tell(keys: pytest.MonkeyPatch) -> None:
    with server(None) as address:
        keys.setenv("AWS_ENDPOINT_URL", address)
        assert skew.seconds() is None


def test_a_server_that_is_away_is_named(keys: pytest.MonkeyPatch) -> None:
    with server(None) as address:
        keys.setenv("AWS_ENDPOINT_URL", address)
    with pytest.raises(Temporary, match="does not answer"):
        skew.seconds()
