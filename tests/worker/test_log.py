"""Bytes become lines: cut, redrawn, bounded, and read to the end whoever holds the pipe."""

from __future__ import annotations

import os
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pkgrun.observe import Log
from pkgrun.worker.log import LINE_LIMIT, Lines, Reader
from pkgrun.worker.secrets import Masker


def cut(*parts: bytes) -> list[bytes]:
    lines = Lines()
    return [line for part in parts for line in lines.feed(part)] + lines.finish()


@pytest.mark.parametrize(
    ("parts", "lines"),
    [
        ([b"a\nb\n"], [b"a", b"b"]),
        ([b"a", b"b\nc"], [b"ab", b"c"]),
        ([b"\n\n"], [b"", b""]),
        ([b"a\r\nb\r", b"\nc"], [b"a", b"b", b"c"]),
        ([b"1%\r2%\r", b"3%", b"\r4%\n"], [b"4%"]),
        ([b"1%\r2%\r\n"], [b"2%"]),
        ([b"1%\r2%"], [b"2%"]),
        ([b"1%\r2%\r"], [b"2%"]),
        ([], []),
    ],
)
def test_lines(parts: list[bytes], lines: list[bytes]) -> None:
    assert cut(*parts) == lines


@given(st.binary(max_size=60), st.integers(1, 9))
def test_lines_do_not_depend_on_the_parts(data: bytes, width: int) -> None:
    data = data.replace(b"\x01", b"\n").replace(b"\x02", b"\r")
    assert cut(*(data[start : start + width] for start in range(0, len(data), width))) == cut(data)


def test_a_long_line_goes_on_in_the_next() -> None:
    data = b"x" * (2 * LINE_LIMIT + 5)
    sizes = [LINE_LIMIT, LINE_LIMIT, 5]
    assert [len(line) for line in cut(data + b"\ny\n")] == [*sizes, 1]
    assert [len(line) for line in cut(data[: LINE_LIMIT + 7], data[LINE_LIMIT + 7 :] + b"\n")] == sizes
    assert b"".join(cut("é".encode() * LINE_LIMIT)).decode() == "é" * LINE_LIMIT
    assert all(line.decode() for line in cut(b"x" + "é".encode() * LINE_LIMIT))


def read(data: bytes, *, limit: int = 1 << 20, mask: Masker | None = None) -> list[str]:
    ours, theirs = os.pipe()
    told: list[Log] = []
    reader = Reader(ours, "out", mask=mask or Masker(), tell=told.append, limit=limit)
    while data:
        data = data[os.write(theirs, data) :]
    os.close(theirs)
    assert reader.join(10)
    os.close(ours)
    assert all(event.stream == "out" and abs(event.at - time.time()) < 60 for event in told)
    return [event.text for event in told]


def test_what_is_read_is_masked_and_decoded() -> None:
    mask = Masker(["canary1234"])
    assert read(b"a canary1234 b\n\xff\xc3\xa9\ncanary", mask=mask) == ["a *** b", "\ufffdé", "canary"]


def test_over_the_limit_the_last_lines_are_kept_and_the_rest_is_counted() -> None:
    data = b"".join(b"%05d\n" % number for number in range(5000))
    lines = read(data, limit=600)
    assert lines[:100] == [f"{number:05d}" for number in range(100)]
    assert lines[100] == "[pkgrun: 23,400 bytes of the log were dropped here]"
    assert lines[101:] == [f"{number:05d}" for number in range(4000, 5000)]


def test_a_little_over_the_limit_nothing_is_lost() -> None:
    assert read(b"aaa\nbbb\nccc\n", limit=5) == ["aaa", "bbb", "ccc"]


def test_a_pipe_that_somebody_holds_open_is_left() -> None:
    ours, theirs = os.pipe()
    told: list[Log] = []
    reader = Reader(ours, "err", mask=Masker(), tell=told.append, limit=100)
    os.write(theirs, b"said\nhalf")
    begin = time.monotonic()
    assert not reader.join(0.2)
    assert time.monotonic() - begin < 2
    assert [event.text for event in told] == ["said", "half"]
    os.close(ours)
    os.close(theirs)


def test_an_observer_that_raises_does_not_stop_the_reading() -> None:
    ours, theirs = os.pipe()

    def tell(event: Log) -> None:
        raise LookupError(event.text)

    reader = Reader(ours, "out", mask=Masker(), tell=tell, limit=1 << 20)
    data = b"x" * 99 + b"\n"
    for _ in range(3000):
        os.write(theirs, data)
    os.close(theirs)
    assert reader.join(10)
    assert isinstance(reader.error, LookupError)
    os.close(ours)
