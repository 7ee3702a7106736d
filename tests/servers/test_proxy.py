"""The proxy spoils what it is told to, and the server behind does what it is said to have done."""

from __future__ import annotations

import http.client
from collections.abc import Iterator

import pytest

from tests.servers import Server, s3
from tests.servers.proxy import Fault, Proxy, proxy


@pytest.fixture
def between(ministack: Server) -> Iterator[Proxy]:
    with proxy(ministack) as made:
        yield made


def there(server: Server) -> bool:
    return s3.request(server, "GET", "key").status == 200


@pytest.mark.parametrize("done", [False, True])
def test_trouble_is_answered_before_the_server_does_it_or_after(
    ministack: Server, between: Proxy, done: bool
) -> None:
    between.plan("PUT", None, Fault(status=503, done=done))
    s3.put(between.server, "other", b"bytes")
    answer = s3.request(between.server, "PUT", "key", body=b"bytes")
    assert (answer.status, answer.body) == (503, b"<Error><Code>SlowDown</Code></Error>")
    assert there(ministack) is done
    assert [one.path.rpartition("/")[2] for one in between.spoilt] == ["key"]


def test_what_strays_arrives_when_its_client_has_gone(ministack: Server, between: Proxy) -> None:
    between.plan("PUT", Fault(stray=60))
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        s3.request(between.server, "PUT", "key", body=b"bytes")
    assert not there(ministack)
    between.leave()  # which waits for it, and lets it go on at once
    assert there(ministack)


@pytest.mark.parametrize("done", [False, True])
def test_whoever_asks_is_struck(ministack: Server, between: Proxy, done: bool) -> None:
    seen: list[bool] = []
    between.plan("PUT", Fault(strike=lambda: seen.append(there(ministack)), done=done))
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        s3.request(between.server, "PUT", "key", body=b"bytes")
    assert seen == [done]
