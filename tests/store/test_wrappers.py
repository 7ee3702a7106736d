"""What only reads writes nothing, and what tries again tries again only what may be tried again."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from pkgrun.errors import Conflict, NotFound, PermissionDenied, PkgrunError, Temporary
from pkgrun.store.backend import Backend
from pkgrun.store.wrappers import ReadOnly, Retrying
from pkgrun.testing import Fault, Faulty, MemoryBackend, Plan
from pkgrun.testing.conformance import BLOB, publish

BUSY = Temporary("the server is busy")
KEY = "runs/r/intent.json"


def failing(*faults: Fault, attempts: int = 5) -> tuple[MemoryBackend, Plan, Retrying]:
    """A place, what goes wrong there, and what tries again."""
    place, plan = MemoryBackend(), Plan(*faults)
    return place, plan, Retrying(Faulty(place, plan), attempts, pause=lambda _: None)


def methods(plan: Plan) -> list[str]:
    return [call.method for call in plan.calls]


# ---------------------------------------------------------------------- reading only


def test_read_only_writes_nothing_and_says_where() -> None:
    place = MemoryBackend()
    place.create(KEY, b"{}")
    backend = ReadOnly(place)
    writers: list[Callable[[], object]] = [
        lambda: backend.create("runs/r/a", b""),
        lambda: backend.write(KEY, b""),
        lambda: backend.upload(BLOB),
        lambda: backend.upload(),
        lambda: backend.delete(KEY),
        lambda: backend.apart().write(KEY, b""),
    ]
    for write in writers:
        with pytest.raises(PermissionDenied, match=place.url):
            write()
    backend.flush()
    assert [key for key, _ in place.walk("runs")] == [KEY]
    assert backend.read(KEY) == b"{}"


# ---------------------------------------------------------------------- trying again

CALLS: dict[str, Callable[[Backend], object]] = {
    "read": lambda backend: backend.read(KEY),
    "stream": lambda backend: list(backend.stream(KEY)),
    "stat": lambda backend: backend.stat(KEY),
    "create": lambda backend: backend.create("runs/r/new", b"{}"),
    "write": lambda backend: backend.write(KEY, b"{}"),
    "upload": lambda backend: backend.upload(BLOB).discard(),
    "list": lambda backend: list(backend.list("runs")),
    "walk": lambda backend: list(backend.walk("runs")),
    "delete": lambda backend: backend.delete(KEY),
}


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("method", sorted(CALLS))
def test_a_call_that_fails_is_made_again(method: str, when: str) -> None:
    place, plan, backend = failing(Fault(method, 1, "before" if when == "before" else "after", BUSY))
    place.create(KEY, b"{}")
    CALLS[method](backend)
    assert plan.fired


@pytest.mark.parametrize("method", sorted(CALLS.keys() - {"stream"}))
def test_it_is_not_tried_for_ever(method: str) -> None:
    faults = [Fault(method, at, "before", BUSY) for at in range(1, 10)]
    place, plan, backend = failing(*faults, attempts=3)
    place.create(KEY, b"{}")
    with pytest.raises(Temporary, match="busy"):
        CALLS[method](backend)
    assert methods(plan).count(method) == 3


@pytest.mark.parametrize("error", [NotFound("none"), PermissionDenied("no"), Conflict("taken")])
def test_what_will_not_go_away_is_not_tried_again(error: PkgrunError) -> None:
    _, plan, backend = failing(Fault("read", 1, "before", error))
    with pytest.raises(type(error)):
        backend.read(KEY)
    assert methods(plan) == ["read"]


@pytest.mark.parametrize(
    ("method", "work"),
    [
        ("flush", lambda backend: backend.flush()),
        ("upload.write", lambda backend: publish(backend, BLOB, b"bytes")),
        ("upload.publish", lambda backend: publish(backend, BLOB, b"bytes")),
    ],
)
def test_what_cannot_be_made_again_is_not(method: str, work: Callable[[Backend], None]) -> None:
    _, plan, backend = failing(Fault(method, 1, "after", BUSY))
    with pytest.raises(Temporary):
        work(backend)
    assert methods(plan).count(method) == 1


def test_each_wait_may_be_twice_as_long() -> None:
    waits: list[float] = []
    plan = Plan(*(Fault("stat", at, "before", BUSY) for at in range(1, 10)))
    backend = Retrying(Faulty(MemoryBackend(), plan), 8, first=1.0, longest=8.0, pause=waits.append)
    with pytest.raises(Temporary):
        backend.stat(KEY)
    assert len(waits) == 7
    assert all(0 <= wait <= limit for wait, limit in zip(waits, (1, 2, 4, 8, 8, 8, 8), strict=True))


# ---------------------------------------------------------------------- whose record it is


def test_a_record_whose_answer_was_lost_is_ours() -> None:
    place, plan, backend = failing(Fault("create", 1, "after", BUSY))
    assert backend.create(KEY, b"mine") is True
    assert methods(plan) == ["create", "create", "read"]
    assert place.read(KEY) == b"mine"


def test_a_record_that_somebody_else_made_meanwhile_is_theirs() -> None:
    place, _, backend = failing(Fault("create", 1, "before", BUSY))
    place.create(KEY, b"theirs")
    assert backend.create(KEY, b"mine") is False
    assert place.read(KEY) == b"theirs"


def test_a_refusal_at_the_first_try_is_believed() -> None:
    place, plan, backend = failing()
    place.create(KEY, b"the same")
    assert backend.create(KEY, b"the same") is False
    assert methods(plan) == ["create"]


def test_looking_whose_it_is_may_fail_too() -> None:
    """`_stands` reads by way of the inner backend: a failure there is another failed try."""
    _, plan, backend = failing(Fault("create", 1, "after", BUSY), Fault("read", 1, "before", BUSY))
    assert backend.create(KEY, b"mine") is True
    assert methods(plan) == ["create", "create", "read", "create", "read"]


# ---------------------------------------------------------------------- streams


class Breaking(MemoryBackend):
    """A place whose streams end after the second piece, because the line is cut."""

    def stream(self, key: str) -> Iterator[bytes]:
        for number, piece in enumerate(super().stream(key)):
            if number == 2:
                raise Temporary("the line is cut")
            yield piece


def test_a_stream_goes_on_where_it_was() -> None:
    place = Breaking()
    data = os.urandom(5 * (1 << 20) + 7)
    publish(place, BLOB, data)
    place.flush()
    pieces = list(Retrying(place, pause=lambda _: None).stream(BLOB))
    assert b"".join(pieces) == data
    assert max(map(len, pieces)) <= 1 << 20
