"""A server that is away for a while is waited for by who wants to, told of, and given up in the end."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator

import pytest

from pkgrun.errors import Temporary
from pkgrun.observe import Event, Notice
from pkgrun.store import aws
from pkgrun.store.local import CHUNK
from pkgrun.store.outgoing import GATHERED
from pkgrun.store.parallel import each
from pkgrun.store.patience import Patience
from pkgrun.store.remote import RemoteBackend
from tests.servers import Server
from tests.servers.proxy import Fault, Proxy, proxy

SMALL, LARGE = "objects/aa/" + "a" * 64, "objects/bb/" + "b" * 64


@pytest.fixture
def between(ministack: Server) -> Iterator[Proxy]:
    with proxy(ministack) as made:
        yield made


class Told:
    """Keeps what it is told; does something when it is first told that a server is waited for."""

    def __init__(self, then: Callable[[], object] = lambda: None) -> None:
        self.messages: list[str] = []
        self._then = then

    def __call__(self, event: Event) -> None:
        assert isinstance(event, Notice)
        self.messages.append(event.message)
        if "waiting" in event.message and len(self.messages) == 1:
            self._then()


def waiting(between: Proxy, told: Told, limit: float = 300) -> tuple[RemoteBackend, Patience]:
    """A backend whose operation waits."""
    backend = RemoteBackend(f"{between.server.url}/p", aws.access(between.server.env))
    patience = Patience(backend.url, told, limit=limit, pause=0.05)
    return backend.waiting(patience), patience


def test_a_server_that_comes_back_is_waited_for(between: Proxy) -> None:
    """By requests of several threads, which tell of it once."""
    told = Told(between.come_back)
    backend, patience = waiting(between, told)
    backend.write("there", b"bytes")
    between.leave()

    def put() -> None:
        upload = backend.upload(SMALL)
        upload.write(bytes(CHUNK))
        upload.publish(SMALL)

    asked: list[Callable[[], object]] = [
        lambda: backend.create("a.json", b"a"),
        lambda: backend.write("b.json", b"b"),
        lambda: backend.read("there"),
        lambda: b"".join(backend.stream("there")),
        lambda: list(backend.list("")),
        put,
    ]
    answers = each(lambda ask: ask(), asked, threads=len(asked), run=1)
    assert answers[:4] == [True, None, b"bytes", b"bytes"]
    assert backend.read(SMALL) == bytes(CHUNK)
    first, last = told.messages
    assert first.startswith(f"the store at {backend.url} does not answer; waiting, for 300 s at most")
    assert last.startswith(f"the store at {backend.url} answers again, after ")
    assert not patience.spent


def test_a_server_in_trouble_is_waited_for(between: Proxy) -> None:
    told = Told(between.heal)
    backend, _ = waiting(between, told)
    between.always("PUT", Fault(status=503))
    assert backend.create("a.json", b"a")
    assert len(told.messages) == 2


def test_a_server_that_stays_away_is_given_up(between: Proxy) -> None:
    """Once: until it answers nothing else waits for it again."""
    told = Told()
    backend, patience = waiting(between, told, limit=0.3)
    between.leave()
    with pytest.raises(Temporary, match=r"a\.json: http://.* cannot be reached"):
        backend.create("a.json", b"a")
    assert patience.spent
    began = time.monotonic()
    with pytest.raises(Temporary, match="cannot be reached"):
        backend.create("a.json", b"a")
    assert time.monotonic() - began < 3
    between.come_back()
    assert backend.create("a.json", b"a")
    assert not patience.spent


def test_nobody_need_wait(between: Proxy) -> None:
    told = Told(lambda: patience.end())
    backend, patience = waiting(between, told)
    between.leave()
    with pytest.raises(Temporary, match="cannot be reached"):
        backend.create("a.json", b"a")
    assert len(told.messages) == 1


@pytest.mark.slow
@pytest.mark.parametrize("written", [2, 40], ids=["at the end", "on the way"])
def test_parts_are_sent_on_when_the_server_is_back(between: Proxy, written: int) -> None:
    """What has been sent is not sent again."""
    told = Told(between.come_back)
    backend, _ = waiting(between, told)
    data = os.urandom(GATHERED + written * CHUNK)
    upload = backend.upload(LARGE)
    for start in range(0, len(data), CHUNK):
        if start == GATHERED + CHUNK:
            between.leave()
        upload.write(data[start : start + CHUNK])
    upload.publish(LARGE)
    assert b"".join(backend.stream(LARGE)) == data
    assert told.messages[0].startswith(f"the store at {backend.url} does not answer; waiting")
    sent = [one.size for one in between.requests if one.method == "PUT"]
    assert len(sent) <= len(data) // (8 << 20) + 1 + 4, "no more than what was on its way is sent twice"


@pytest.mark.slow
def test_parts_for_a_server_that_stays_away_are_given_up(between: Proxy) -> None:
    """Not by the client's own patience, but as soon as somebody has looked."""
    told = Told()
    backend, _ = waiting(between, told, limit=1)
    upload = backend.upload(LARGE)
    for _ in range(GATHERED // CHUNK + 1):
        upload.write(bytes(CHUNK))
    between.leave()
    with pytest.raises(Temporary):
        upload.publish(LARGE)
    upload.discard()
