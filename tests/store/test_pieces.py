"""A large file in pieces: whoever hashes and whoever writes see the same bytes, whichever of them is slower."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pkgrun.store.pieces import SIZE, Pieces


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[[bytes], int]]:
    descriptors: list[int] = []

    def make(content: bytes) -> int:
        (tmp_path / "file").write_bytes(content)
        descriptors.append(os.open(tmp_path / "file", os.O_RDONLY))
        return descriptors[-1]

    yield make
    for descriptor in descriptors:
        os.close(descriptor)


def flow(descriptor: int, consume: Callable[[memoryview], object], every: int = 1) -> bytes:
    """What its owner sees; each piece but every `every`th is passed on."""
    seen = bytearray()
    with Pieces(descriptor, consume) as pieces:
        for number, piece in enumerate(pieces, 1):
            if every == 1 or number % every:
                pieces.pass_on()
            seen += piece
    return bytes(seen)


def nobody_is_left() -> bool:
    return threading.active_count() == 1


@pytest.mark.parametrize("size", [0, 1, SIZE - 1, SIZE, SIZE + 1, 3 * SIZE, 9 * SIZE + 77])
def test_both_see_all_of_it(opened: Callable[[bytes], int], size: int) -> None:
    content = random.Random(size).randbytes(size)
    consumed = bytearray()
    assert flow(opened(content), consumed.extend) == content
    assert consumed == content
    assert nobody_is_left()


def test_a_slow_consumer_gets_no_other_bytes(opened: Callable[[bytes], int]) -> None:
    """It waits until the owner has gone as far ahead as it can."""
    content = random.Random(1).randbytes(12 * SIZE)
    consumed = bytearray()
    ahead = threading.Semaphore(0)

    def slow(piece: memoryview) -> None:
        before = bytes(piece)
        ahead.acquire(timeout=0.05)
        assert piece == before
        consumed.extend(piece)

    assert flow(opened(content), slow) == content
    assert consumed == content


def test_what_is_not_passed_on_is_not_consumed(opened: Callable[[bytes], int]) -> None:
    content = random.Random(2).randbytes(10 * SIZE)
    consumed = bytearray()
    assert flow(opened(content), consumed.extend, every=3) == content
    wanted = [content[at * SIZE : (at + 1) * SIZE] for at in range(10) if (at + 1) % 3]
    assert consumed == b"".join(wanted)
    assert nobody_is_left()


@pytest.mark.parametrize("at", [1, 2, 9])
def test_an_error_of_who_consumes_ends_it(opened: Callable[[bytes], int], at: int) -> None:
    calls = []

    def full(piece: memoryview) -> None:
        calls.append(len(piece))
        if len(calls) == at:
            raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        flow(opened(bytes(9 * SIZE)), full)
    assert len(calls) == at
    assert nobody_is_left()


def test_an_error_of_the_owner_ends_it(opened: Callable[[bytes], int]) -> None:
    with pytest.raises(KeyError), Pieces(opened(bytes(9 * SIZE)), lambda piece: None) as pieces:  # noqa: PT012
        for _ in pieces:
            pieces.pass_on()
            raise KeyError
    assert nobody_is_left()


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(IsADirectoryError):
            flow(descriptor, lambda piece: None)
    finally:
        os.close(descriptor)
    assert nobody_is_left()
