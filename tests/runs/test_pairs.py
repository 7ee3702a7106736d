"""How two files of one path differ: what is shown, what is only said, and what no file can make it do."""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import time
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime

import pytest

from pkgrun.runs.pairs import LIMIT, Found, Side, compare, first_difference

THEN, NOW = 1_700_000_000.0, 1_700_090_000.0
RUN, AGAIN = "01939c1e-51a0-7abc-8def-0123456789ab", "01939c1e-51a0-7abc-8def-ba9876543210"


def side(data: bytes, *, now: bool = False) -> Side:
    began = NOW if now else THEN
    host = "two" if now else "one"
    return Side(len(data), lambda: [data], AGAIN if now else RUN, host, began, began + 60)


def compared(old: bytes, new: bytes) -> list[Found]:
    return compare(side(old), side(new, now=True))


def known(old: bytes, new: bytes) -> str | None:
    """What is shown to be the only difference."""
    [found] = compared(old, new)
    return found.message if found.known else None


def said(old: bytes, new: bytes) -> str:
    """What is said and not shown."""
    found = compared(old, new)
    assert not any(one.known for one in found)
    return "; ".join(one.message for one in found)


def packed(content: bytes, mtime: int) -> bytes:
    return gzip.compress(content, mtime=mtime)


def zipped(members: dict[str, bytes], year: int) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name, (year, 1, 2, 3, 4, 6)), content)
    return data.getvalue()


# ---------------------------------------------------------------- archives


def test_a_gzip_header_has_the_time() -> None:
    assert "gzip header" in (known(packed(b"model", 1), packed(b"model", 2)) or "")


def test_what_is_inside_a_gzip_is_looked_at() -> None:
    assert "inside the gzip: of its JSON, a differs" in said(packed(b'{"a": 1}', 1), packed(b'{"a": 2}', 2))
    stronger = gzip.compress(b"a" * 1000, 9, mtime=1), gzip.compress(b"a" * 1000, 1, mtime=2)
    assert "what is inside is the same" in said(*stronger)
    inside = [json.dumps({"at": at}).encode() for at in (THEN + 5, NOW + 5)]
    assert "inside the gzip: the time" in (known(packed(inside[0], 1), packed(inside[1], 2)) or "")


def test_a_zip_keeps_the_times_of_its_members() -> None:
    old, new = (zipped({"a": b"1", "b/c.npy": b"2" * 99}, year) for year in (1990, 2020))

    assert "times of its members" in (known(old, new) or "")


def test_members_that_differ_are_named() -> None:
    old, new = zipped({"a": b"1", "w.npy": b"2"}, 1990), zipped({"a": b"1", "w.npy": b"3"}, 2020)

    assert "an archive, where w.npy differs" in said(old, new)
    assert "checksums" in said(zipped({"a": b"1", "b": b"2"}, 1990), zipped({"b": b"2", "a": b"1"}, 1990))


# ---------------------------------------------------------------- what tells of the run


def moment(at: float, form: str) -> bytes:
    return datetime.fromtimestamp(at, UTC).strftime(form).encode()


@pytest.mark.parametrize(
    "write",
    [
        lambda at: str(at + 5).encode(),
        lambda at: b'{"at": %d}' % (at + 5),
        lambda at: b"t=%d;" % ((at + 5) * 1000),
        lambda at: moment(at + 5, "trained %Y-%m-%d %H:%M:%S"),
        lambda at: moment(at + 5, "%Y-%m-%dT%H:%M:%S.123456Z"),
        lambda at: moment(at + 5 + 7200, "%Y-%m-%dT%H:%M:%S+02:00"),
        lambda at: datetime.fromtimestamp(at + 5).astimezone().replace(tzinfo=None).isoformat().encode(),
        lambda at: b"\x80\x04" + moment(at + 5, "%Y-%m-%d %H:%M:%S"),
    ],
)
def test_a_time_within_the_run_is_known(write: Callable[[float], bytes]) -> None:
    assert known(b"a " + write(THEN), b"a " + write(NOW)) == "the time at which it ran"


def test_a_time_that_is_not_within_the_run_is_not() -> None:
    assert said(moment(THEN - 9999, "%Y-%m-%d %H:%M:%S"), moment(NOW + 5, "%Y-%m-%d %H:%M:%S"))
    assert said(b"1700000005 1", b"1700090005 2")


def test_the_run_and_the_machine_are_known_where_nothing_else_differs() -> None:
    assert "run's own id" in (known(f"/place/{RUN}/p".encode(), f"/place/{AGAIN}/p".encode()) or "")
    assert known(b"made on one!", b"made on two!") == "the name of the machine"
    old, new = f"one {RUN} {THEN}", f"two {AGAIN} {NOW}"
    told = known(old.encode(), new.encode()) or ""
    assert told.count(" and ") == 2
    assert said(f"{RUN} 1".encode(), f"{AGAIN} 2".encode())
    assert said(b"oneself", b"twoself")


def test_a_machine_of_the_same_name_is_no_cause() -> None:
    old, new = side(f"box {THEN}".encode()), side(f"box {NOW}".encode(), now=True)
    same = [Side(one.size, one.read, one.run, "box", one.began, one.ended) for one in (old, new)]

    assert [found.message for found in compare(*same)] == ["the time at which it ran"]


# ---------------------------------------------------------------- documents and texts


def test_the_keys_of_a_document_are_named_and_no_value() -> None:
    told = said(b'{"a": {"b": [1, 22]}, "c": 3}', b'{"a": {"b": [1, 44]}, "c": 3}')

    assert told == "of its JSON, a.b[\u2026] differs"
    assert "44" not in told


def test_what_took_a_while_is_possible_by_its_name() -> None:
    told = said(b'{"fit_seconds": 1.5, "n": 1}', b'{"fit_seconds": 1.7, "n": 1}')

    assert "by their names" in told
    assert "by their names" not in said(b'{"loss": 1.5}', b'{"loss": 1.7}')


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (b'{"a": 1, "b": 2}', b'{"b": 2, "a": 1}', "the same JSON, written otherwise"),
        (b'{"a": NaN, "b": 1}', b'{"b": 1, "a": NaN}', "the same JSON, written otherwise"),
        (b"b\na\n", b"a\nb\n", "only the order of the lines"),
        (b"a\r\nb", b"a\nb", "only the ends of lines"),
        (b"a\nb\nc\n", b"a\nx\nc\n", "a line differs, the first at 2"),
        (b"a\nb\nc\n", b"a\nx\ny\nz\n", "3 of 4 lines differ, the first at 2"),
        (b"\xff\x00abc", b"\xff\x00abd", "5 bytes; the first that differs is at 4"),
        (pickle.dumps([1, 2, 3]), pickle.dumps([1, 2, 4]), "a pickle of"),
        (b"", b"x", "a text, where a line differs"),
    ],
)
def test_how_it_is_said(old: bytes, new: bytes, words: str) -> None:
    assert words in said(old, new)


# ---------------------------------------------------------------- what no file can make it do


class Evil:
    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, ("unpickled",)


def test_a_pickle_is_never_loaded(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(str(tmp_path))
    compared(pickle.dumps([Evil(), 1]), pickle.dumps([Evil(), 2]))

    assert not os.path.exists("unpickled")


def large(*, last: bytes) -> Iterator[bytes]:
    piece = bytes(1 << 20)
    yield from (piece for _ in range(200))
    yield last


def test_a_large_file_is_never_whole_in_memory() -> None:
    old = Side((200 << 20) + 3, lambda: large(last=b"abc"), RUN, "one", THEN, THEN + 1)
    new = Side((200 << 20) + 3, lambda: large(last=b"abd"), AGAIN, "two", NOW, NOW + 1)
    tracemalloc.start()
    try:
        [found] = compare(old, new)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert found.message.endswith(f"the first that differs is at {(200 << 20) + 2:,}")
    assert peak < 16 << 20


@pytest.mark.parametrize(
    ("old", "new", "at"),
    [
        ([b"abc", b"def"], [b"ab", b"cdeg"], 5),
        ([b"abc"], [b"abcd"], 3),
        ([], [b"a"], 0),
        ([b"a", b"", b"b"], [b"ab"], 2),
    ],
)
def test_the_first_difference_is_found_across_pieces(
    old: Iterable[bytes], new: Iterable[bytes], at: int
) -> None:
    assert first_difference(old, new) == at


def test_what_unpacks_to_very_much_is_not_unpacked() -> None:
    bombs = [packed(bytes(LIMIT + 1), 1), gzip.compress(bytes(LIMIT + 1), 1, mtime=2)]

    assert "the first that differs" in said(bombs[0], bombs[1])
    assert zlib.decompressobj(31).decompress(bombs[0], 9) == bytes(9)


HOSTILE = [
    b"\x1f\x8b",
    b"\x1f\x8b" + bytes(8) + b"not deflate",
    packed(b"cut short", 1)[:-9],
    b"PK\x03\x04PK\x05\x06",
    b"PK\x03\x04" + b"PK\x05\x06" + b"\xff" * 18,
    b"PK\x03\x04" + b"PK\x05\x06" + bytes(6) + b"\x01\x00\x01\x00" + b"\xff" * 8 + b"\x00\x00",
    zipped({"a": b"1"}, 1990)[:-30] + zipped({"a": b"1"}, 1990)[-22:],
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b'{"a": 1e999, "a": 2}',
    b"\x80\x04\x95",
    b"\x80",
    b"9999-99-99 99:99:99",
    b"0000-01-01T00:00:00+99:99",
    b"9" * 10 + b"." + b"9" * 9,
    b"\n" * 200_000,
    b"\0",
    b"",
]


@pytest.mark.parametrize("data", HOSTILE, ids=range(len(HOSTILE)))
def test_no_file_breaks_it(data: bytes) -> None:
    for other in (b"", b"x", data + b"x", b"x" + data, zipped({"a": b"2"}, 1990), packed(b"x", 1)):
        assert compared(data, other)
        assert compared(other, data)


def test_it_takes_no_long_time_whatever_it_is_given() -> None:
    began = time.monotonic()
    text = (b"2023-11-14 22:13:2 1700000000 " * 60_000)[: 1 << 20]
    compared(text + b"1", text + b"2")
    compared(json.dumps(list(range(100_000))).encode(), json.dumps(list(range(1, 100_001))).encode())

    assert time.monotonic() - began < 10
