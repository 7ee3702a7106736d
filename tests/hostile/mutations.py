"""Bytes that are almost what a parser expects, and a limit on the time that it may take over them."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import orjson
from hypothesis import strategies as st

SECONDS = 20
"""What no parser takes, however busy the machine is."""

ODD: list[Any] = [
    None, True, False, 0, -1, 1 << 31, (1 << 63) - 1, -(1 << 63), (1 << 64) - 1, 0.5, -0.0, 1e300, "", "\0", "..", "/etc/passwd",
    "sha256:" + "0" * 64, "sha256:" + "0" * 63 + "\n", "1.0", "1.0\n", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00",
    "2026-01-01T00:00:00", "\u202e\x1b[31m", "x" * 10_000, [], {}, [[]], [{}], {"": None},
]  # fmt: skip
"""Values that stand where others are expected."""

DEEP = [b"[" * depth + b"]" * depth for depth in (2, 200, 260, 1000, 5000, 100_000)]
"""More nesting than one reader or another takes; no Python value could hold the last ones."""

BIG = [b"9" * digits for digits in (19, 20, 40, 400, 5000)] + [b"1e999", b"-1e999", b"NaN", b"Infinity"]
"""Numbers that are none to one reader or another."""

_MARK = "\ue000mark\ue000"


@contextmanager
def within(seconds: int = SECONDS) -> Iterator[None]:
    """No parser hangs, whatever it is given."""

    def late(number: int, frame: FrameType | None) -> None:
        raise AssertionError(f"it took more than {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@st.composite
def mutated(draw: st.DrawFn, whole: bytes) -> bytes:
    """Bytes in which one to three things are not as they were: flipped, cut off, left out, doubled, put in."""
    data = whole
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        size = draw(st.integers(1, 40))
        how = draw(st.integers(0, 5))
        if how == 0 and data:
            data = data[:at] + bytes([data[at] ^ 1 << draw(st.integers(0, 7))]) + data[at + 1 :]
        elif how == 1:
            data = data[:at]
        elif how == 2:
            data = data[:at] + data[at + size :]
        elif how == 3:
            data = data[:at] + data[at : at + size] * 2 + data[at + size :]
        elif how == 4:
            data = data[:at] + draw(st.binary(max_size=20)) + data[at:]
        else:
            data = data[:at] + draw(st.sampled_from([*DEEP[:4], *BIG])) + data[at:]
    return data


@st.composite
def json_mutated(draw: st.DrawFn, whole: bytes) -> bytes:
    """JSON in which a value somewhere is an odd one, is missing, or is there by another name."""
    value = orjson.loads(whole)
    places = list(_places(value))
    nowhere: tuple[Any, Any] = {"": None}, ""
    where, name = draw(st.sampled_from(places)) if places else nowhere
    how = draw(st.integers(0, 3))
    if how == 0:
        where[name] = draw(st.sampled_from(ODD))
    elif how == 1:
        where[name] = _MARK
        put = draw(st.sampled_from([*DEEP, *BIG, b'"\\ud800"', b'"\xff"', b'"' + b"a" * 100_000 + b'"']))
        return orjson.dumps(value).replace(f'"{_MARK}"'.encode(), put)
    elif how == 2:
        del where[name]
    elif isinstance(where, dict):
        where[draw(st.sampled_from(["", "x", "format", "name", "entries", "parts"]))] = where.pop(name)
    # Canonical, so that it is not refused for that alone.
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def changed(whole: bytes) -> st.SearchStrategy[bytes]:
    """JSON that is damaged in the one way or the other."""
    return st.one_of(json_mutated(whole), mutated(whole))


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place in a value that holds another: what holds it, and under which name."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, below in inside:
        yield value, name
        yield from _places(below)


def words(*parts: str) -> st.SearchStrategy[str]:
    """Text made of what means something to a parser, and of anything else."""
    return st.lists(st.one_of(st.sampled_from(parts), st.text(max_size=3)), max_size=8).map("".join)
