"""A server of files, an S3 server, and a cache for what is fetched from them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pkgrun.datasets.cache import Copies
from pkgrun.datasets.remote import transfer
from pkgrun.observe import Event
from tests.datasets.remote.web_server import WebServer, web_server
from tests.servers import Server


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
