"""What is shipped for tests does what it says, and the suite finds what is wrong with a backend."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import cast

import pytest

from pkgrun.errors import Bug, NotFound, PkgrunError, Temporary
from pkgrun.store.backend import Backend, Stat, Upload
from pkgrun.testing import (
    BackendConformance,
    Counting,
    Fault,
    Faulty,
    MemoryBackend,
    Plan,
    Slow,
)
from pkgrun.testing.conformance import BLOB, publish

KEY = "runs/r/intent.json"


def test_importing_needs_neither_pytest_nor_hypothesis() -> None:
    code = "import sys, pkgrun.testing; print({'pytest', 'hypothesis'} & set(sys.modules) or 'none')"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout == "none\n"


# ---------------------------------------------------------------------- faults


def test_a_fault_before_leaves_things_as_they_were() -> None:
    place = MemoryBackend()
    backend = Faulty(place, Plan(Fault("create", 2, "before", Temporary("busy"))))
    assert backend.create("runs/r/a", b"")
    with pytest.raises(Temporary):
        backend.create("runs/r/b", b"")
    assert place.stat("runs/r/b") is None
    assert backend.create("runs/r/b", b""), "it fails once"


def test_a_fault_after_lets_it_happen() -> None:
    place = MemoryBackend()
    backend = Faulty(place, Plan(Fault(None, 2, "after", Temporary("busy"))))
    backend.stat(KEY)
    with pytest.raises(Temporary):
        backend.create(KEY, b"{}")
    assert place.read(KEY) == b"{}"


def test_faults_are_counted_over_all_that_are_apart() -> None:
    plan = Plan(Fault("upload.publish", 2, "before", Temporary("busy")))
    backend = Faulty(MemoryBackend(), plan)
    publish(backend, BLOB, b"one")
    with pytest.raises(Temporary):
        publish(backend.apart(), BLOB, b"one")
    assert [fault.at for fault in plan.fired] == [2]


# ---------------------------------------------------------------------- counting and waiting


def test_calls_are_counted_over_all_that_are_apart() -> None:
    backend = Counting(MemoryBackend())
    backend.create(KEY, b"12345")
    publish(backend.apart(), BLOB, b"123", b"4567")
    list(backend.list("runs"))
    assert dict(backend.tally.calls) == {
        "create": 1,
        "upload": 1,
        "upload.write": 2,
        "upload.publish": 1,
        "list": 1,
    }
    assert backend.tally.sent["create"] == 5
    assert backend.tally.sent["upload.write"] == 7
    assert backend.tally.requests == 3


@pytest.mark.parametrize(
    "work",
    [
        lambda backend: backend.stat(KEY),
        lambda backend: backend.apart().stat(KEY),
        lambda backend: list(backend.list("runs")),
        lambda backend: publish(backend, BLOB),
    ],
)
def test_slow_takes_its_time(work: Callable[[Backend], object]) -> None:
    began = time.monotonic()
    work(Slow(MemoryBackend(), 0.02))
    assert time.monotonic() - began >= 0.02


def test_bytes_take_time_by_their_number() -> None:
    backend = Slow(MemoryBackend(), 0, bandwidth=5e6)
    began = time.monotonic()
    backend.create(KEY, b"x" * 100_000)
    assert time.monotonic() - began >= 0.02
    began = time.monotonic()
    list(backend.stream(KEY))
    assert time.monotonic() - began >= 0.02


# ---------------------------------------------------------------------- memory


def test_memory_shares_no_bytes() -> None:
    backend, data = MemoryBackend(), bytearray(b"first")
    backend.create(KEY, cast("bytes", data))
    data[:] = b"other"
    assert backend.read(KEY) == b"first"


def test_memory_insists_on_keys_if_told_to() -> None:
    backend = MemoryBackend(rename=False)
    with pytest.raises(Bug):
        backend.upload()
    with pytest.raises(Bug):
        backend.upload(BLOB).publish("objects/bb/other")


# ---------------------------------------------------------------------- what the suite finds


class Overwriting(MemoryBackend):
    """Looks, then writes: as a server that knows no conditions makes one do."""

    def create(self, key: str, data: bytes) -> bool:
        free = self.stat(key) is None
        time.sleep(0.001)
        self.write(key, data)
        return free


class Early(MemoryBackend):
    """Shows part of a record."""

    def create(self, key: str, data: bytes) -> bool:
        if not super().create(key, data[: len(data) // 2]):
            return False
        time.sleep(0.001)
        self.write(key, data)
        return True


class Refusing(MemoryBackend):
    """Has no empty range."""

    def read(self, key: str, start: int = 0, length: int | None = None) -> bytes:
        data = super().read(key)
        if start > len(data):
            raise Temporary("416: range not satisfiable")
        return data[start:] if length is None else data[start : start + length]


class Prefixed(MemoryBackend):
    """Takes a prefix for a folder."""

    def walk(self, prefix: str) -> Iterator[tuple[str, Stat]]:
        return iter([found for found in super().walk("runs") if found[0].startswith(prefix)])


class Paged(MemoryBackend):
    """Forgets all but the first page."""

    def walk(self, prefix: str) -> Iterator[tuple[str, Stat]]:
        return iter(list(super().walk(prefix))[:1000])


class Whole(MemoryBackend):
    """Streams in one piece."""

    def stream(self, key: str) -> Iterator[bytes]:
        yield self.read(key)


class Hasty(MemoryBackend):
    """Shows blobs while they are written."""

    def upload(self, key: str | None = None, size: int | None = None) -> Upload:
        self.write(key or "objects/unknown", b"")
        return super().upload(key)


class Strict(MemoryBackend):
    """Cannot delete what is gone."""

    def delete(self, key: str) -> bool:
        if self.stat(key) is None:
            raise NotFound(f"{key} does not exist")
        return super().delete(key)


@pytest.mark.parametrize(
    "kind",
    [Overwriting, Early, Refusing, Prefixed, Paged, Whole, Hasty, Strict],
    ids=lambda kind: kind.__name__,
)
def test_the_suite_finds_what_is_wrong(kind: type[MemoryBackend]) -> None:
    assert found(MemoryBackend) == []
    assert found(kind)


def found(kind: type[MemoryBackend]) -> list[str]:
    """The tests of the suite that a backend of this kind does not pass."""
    suite, failed = BackendConformance(), []
    for name in dir(suite):
        if name.startswith("test_"):
            try:
                getattr(suite, name)(kind())
            except (AssertionError, PkgrunError):
                failed.append(name)
    return failed
