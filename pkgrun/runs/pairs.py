"""Two files of one path that are not the same: how they differ, and whether it is shown by what.

It never runs, imports or unpickles anything of a file. A large file is streamed; what is looked at more closely is read
only up to a limit, and unpacked no further than that.
"""

from __future__ import annotations

import re
import struct
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import zip_longest

LIMIT = 4 << 20
"""Bytes of a file that is read whole; of a larger one only where it first differs is found."""

_KEYS = 200_000
_LINES = 100_000
_MEMBERS = 10_000
_NAMED = 4

_GZIP = b"\x1f\x8b"
_TIME = re.compile(rb"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(\.\d{1,9})?(Z|[+-]\d\d:?\d\d)?")
# What comes before a number is asked last: so the search for one is fast.
_SECONDS = re.compile(rb"\d{10}(?<![\w.]\d{10})(?:\.\d{1,9})?(?![\w.])")
_MILLISECONDS = re.compile(rb"\d{13}(?<![\w.]\d{13})(?![\w.])")
_DOCUMENT = re.compile(rb"\s*[{\[]")
_TAKING = re.compile(r"(?i)dura|elapsed|seconds|took|_ms$|_s$|time|latency|speed|throughput")


@dataclass(frozen=True, slots=True)
class Side:
    """A file of one of two runs. `read` gives its bytes, anew at each call; of the run its id, host, and when it ran.

    Times are in seconds since the epoch.
    """

    size: int
    read: Callable[[], Iterable[bytes]]
    run: str
    host: str
    began: float
    ended: float

    @property
    def small(self) -> bool:
        """Whether it is read whole."""
        return self.size <= LIMIT

    def whole(self) -> bytes:
        """All its bytes."""
        return b"".join(self.read())


@dataclass(frozen=True, slots=True)
class Found:
    """What was found out about a pair. `known`: without it the two are the same, byte for byte."""

    known: bool
    message: str


def compare(before: Side, now: Side, *, closely: bool = True) -> list[Found]:
    """How a file came out otherwise, what is known first; not `closely`: only where it first differs."""
    if not (closely and before.small and now.small):
        return [_where(before, now)]
    old, new = before.whole(), now.whole()
    if old[:2] == new[:2] == _GZIP:
        return _gzip(old, new, before, now)
    if (found := _zip(old, new)) is not None:
        return [found]
    return _content(old, new, before, now) or [_where(before, now)]


def _content(old: bytes, new: bytes, before: Side, now: Side) -> list[Found]:
    if (told := _circumstantial(old, new, before, now)) is not None:
        return [Found(known=True, message=told)]
    return _json(old, new) or _text(old, new)


def _where(before: Side, now: Side) -> Found:
    """Where two files first differ, which is all that can be said of bytes without a meaning."""
    at = first_difference(before.read(), now.read())
    sizes = f"{now.size:,} bytes, then {before.size:,}" if now.size != before.size else f"{now.size:,} bytes"
    kind = "a pickle of " if _pickled(before) and _pickled(now) else ""
    return Found(known=False, message=f"{kind}{sizes}; the first that differs is at {at:,}")


def _pickled(side: Side) -> bool:
    start = next(iter(side.read()), b"")[:2]
    return len(start) == 2 and start[0] == 0x80 and start[1] in range(2, 6)


def first_difference(old: Iterable[bytes], new: Iterable[bytes]) -> int:
    """The offset of the first byte that two streams do not have in common; the length of the shorter if there is none."""
    offset = 0
    for one, other in _aligned(iter(old), iter(new)):
        if one != other:
            return offset + _common(one, other)
        offset += len(one)
    return offset


def _common(one: bytes, other: bytes) -> int:
    """How many bytes two have in common from the beginning on: halves are compared, which is faster than each byte."""
    least, most = 0, min(len(one), len(other))
    while least < most:
        middle = (least + most + 1) // 2
        if one[least:middle] == other[least:middle]:
            least = middle
        else:
            most = middle - 1
    return least


def _aligned(old: Iterator[bytes], new: Iterator[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Pieces of two streams that begin at the same places."""
    old, new = filter(None, old), filter(None, new)
    one, other = next(old, b""), next(new, b"")
    while one or other:
        length = min(len(one), len(other)) or max(len(one), len(other))
        yield one[:length], other[:length]
        one, other = one[length:] or next(old, b""), other[length:] or next(new, b"")


def _gzip(old: bytes, new: bytes, before: Side, now: Side) -> list[Found]:
    """Whether only the header differs, which has the time; else how what is inside does."""
    if old[:4] + old[8:] == new[:4] + new[8:]:
        said = "the time in its gzip header (gzip keeps when it packed; mtime=0 does not)"
        return [Found(known=True, message=said)]
    one, other = _unpacked(old), _unpacked(new)
    if one is None or other is None:
        return [_where(before, now)]
    if one == other:
        return [Found(known=False, message="gzip packed it otherwise; what is inside is the same")]
    inside = _content(one, other, before, now)
    return [Found(found.known, f"inside the gzip: {found.message}") for found in inside] or [
        _where(before, now)
    ]


def _unpacked(data: bytes) -> bytes | None:
    """What a gzip file holds; None if that is damaged, or more than is looked at."""
    found, rest = b"", data
    try:
        while rest and len(found) <= LIMIT:
            unpacking = zlib.decompressobj(31)
            found += unpacking.decompress(rest, LIMIT + 1 - len(found))
            if not unpacking.eof:
                return None
            rest = unpacking.unused_data
    except zlib.error:
        return None
    return found if len(found) <= LIMIT else None


def _zip(old: bytes, new: bytes) -> Found | None:
    """Whether only the times of a zip's members differ, which npz files are too; else which members do."""
    before, after = _members(old), _members(new)
    if before is None or after is None:
        return None
    if _untimed(old, before) == _untimed(new, after):
        return Found(known=True, message="the times of its members (a zip file keeps when each was written)")
    checks = {one.name: (one.check, one.size) for one in before}
    now = {one.name: (one.check, one.size) for one in after}
    names = sorted(name for name in checks.keys() | now.keys() if checks.get(name) != now.get(name))
    if not names:
        return Found(known=False, message="its members have the same checksums; they are packed otherwise")
    return Found(known=False, message=f"an archive, where {_listed(names)} {_differ(names)}")


@dataclass(frozen=True, slots=True)
class _Member:
    name: str
    check: int
    size: int
    times: tuple[int, int]  # where four bytes of time stand


def _members(data: bytes) -> list[_Member] | None:
    """What the central directory of a zip says; None of what is none, or too odd a one to look at."""
    at = data.rfind(b"PK\x05\x06", max(0, len(data) - 65_557))
    if data[:4] != b"PK\x03\x04" or at < 0 or len(data) < at + 22:
        return None
    count, _, place = struct.unpack_from("<HII", data, at + 10)
    if count > _MEMBERS:
        return None
    found = []
    for _ in range(count):
        if data[place : place + 4] != b"PK\x01\x02" or len(data) < place + 46:
            return None
        check, _, size, name, extra, comment = struct.unpack_from("<IIIHHH", data, place + 16)
        (local,) = struct.unpack_from("<I", data, place + 42)
        if data[local : local + 4] != b"PK\x03\x04":
            return None
        named = data[place + 46 : place + 46 + name].decode("utf-8", "backslashreplace")
        found.append(_Member(named, check, size, (place + 12, local + 10)))
        place += 46 + name + extra + comment
    return found


def _untimed(data: bytes, members: list[_Member]) -> bytes:
    blank = bytearray(data)
    for member in members:
        for at in member.times:
            blank[at : at + 4] = bytes(4)
    return bytes(blank)


def _circumstantial(old: bytes, new: bytes, before: Side, now: Side) -> str | None:
    """What only tells of the run itself: its id (in a path, say), its machine, the times at which it ran.

    That it is nothing else is shown by taking that out: what is left is the same.
    """
    taken: dict[str, Callable[[bytes, Side], bytes]] = {
        "the run's own id, as in the path of its work directory": _without_run,
        "the name of the machine": _without_host,
        "the time at which it ran": _without_times,
    }

    def same(kinds: Iterable[str]) -> bool:
        one, other = old, new
        for what in kinds:
            one, other = taken[what](one, before), taken[what](other, now)
        return one == other

    needed = list(taken)
    if not same(needed):
        return None
    for what in taken:
        if same(one for one in needed if one != what):
            needed.remove(what)
    return " and ".join(needed)


def _without_run(data: bytes, side: Side) -> bytes:
    return data.replace(side.run.encode(), b"<run>")


def _without_host(data: bytes, side: Side) -> bytes:
    host = side.host.encode("utf-8", "surrogateescape")
    if len(host) < 2 or host not in data:
        return data
    return re.sub(rb"(?<![\w-])" + re.escape(host) + rb"(?![\w-])", b"<host>", data)


def _without_times(data: bytes, side: Side) -> bytes:
    """Times within the run, and no others; one without a zone is of Greenwich, or of this machine's."""
    began, ended = side.began - 1, side.ended + 1
    local = time.localtime(side.began).tm_gmtoff

    def moment(found: re.Match[bytes]) -> bytes:
        try:
            said = datetime.fromisoformat(
                f"{found[1].decode()}T{found[2].decode()}{(found[4] or b'').decode()}"
            )
        except ValueError:
            return found[0]
        at = (said if said.tzinfo else said.replace(tzinfo=UTC)).timestamp()
        zones = (0,) if said.tzinfo else (0, local)
        return b"<time>" if any(began <= at - zone <= ended for zone in zones) else found[0]

    def number(scale: float) -> Callable[[re.Match[bytes]], bytes]:
        return lambda found: b"<time>" if began <= float(found[0]) / scale <= ended else found[0]

    data = _TIME.sub(moment, data)
    data = _SECONDS.sub(number(1.0), data)
    return _MILLISECONDS.sub(number(1000.0), data)


def _json(old: bytes, new: bytes) -> list[Found]:
    """Which keys of a JSON document have other values; nothing if it is none."""
    import json

    if not (_DOCUMENT.match(old) and _DOCUMENT.match(new)):
        return []
    try:
        one, other = json.loads(old), json.loads(new)
        before, after = dict(_leaves(one)), dict(_leaves(other))
        same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    except (ValueError, RecursionError):
        return []
    keys = [key for key in {**before, **after} if before.get(key, _leaves) != after.get(key, _leaves)]
    if not keys and not same:
        return []
    if same:
        return [
            Found(
                known=False,
                message="the same JSON, written otherwise (the order of keys, or the space between)",
            )
        ]
    names = list(dict.fromkeys(re.sub(r"\[\d+\]", "[…]", key) for key in keys))
    told = [Found(known=False, message=f"of its JSON, {_listed(names)} {_differ(keys)}")]
    if all(_TAKING.search(key.rpartition(".")[2]) for key in keys):
        told.append(
            Found(known=False, message="by their names, these are how long something took, or when it was")
        )
    return told


def _leaves(value: object) -> Iterator[tuple[str, str]]:
    """The values of a document by their dotted keys, as text, so that nan is nan; the first of very many."""
    waiting: list[tuple[str, object]] = [("", value)]
    for _ in range(_KEYS):
        if not waiting:
            return
        key, one = waiting.pop()
        if isinstance(one, dict) and one:
            items = reversed(one.items())
            waiting += [(f"{key}.{name}" if key else str(name), inner) for name, inner in items]
        elif isinstance(one, list) and one:
            waiting += [(f"{key}[{number}]", one[number]) for number in reversed(range(len(one)))]
        else:
            yield key, repr(one)
    raise ValueError("too many")


def _text(old: bytes, new: bytes) -> list[Found]:
    """Which lines of a text differ; nothing if it is none."""
    try:
        before, after = old.decode().splitlines(), new.decode().splitlines()
    except UnicodeDecodeError:
        return []
    if "\0" in old.decode() or "\0" in new.decode() or max(len(before), len(after)) > _LINES:
        return []
    if before != after and sorted(before) == sorted(after):
        return [Found(known=False, message="a text, where only the order of the lines differs")]
    pairs = enumerate(zip_longest(before, after), start=1)
    lines = [number for number, (one, other) in pairs if one != other]
    if not lines:
        return [Found(known=False, message="a text, where only the ends of lines differ")]
    count = f"{len(lines):,} of {len(after):,} lines differ" if len(lines) > 1 else "a line differs"
    return [Found(known=False, message=f"a text, where {count}, the first at {lines[0]:,}")]


def _listed(names: list[str]) -> str:
    kept = [name if len(name) <= 80 else f"{name[:77]}…" for name in names[:_NAMED]]
    more = len(names) - len(kept)
    return ", ".join(kept) + (f" and {more:,} more" if more else "")


def _differ(names: list[str]) -> str:
    return "differ" if len(names) > 1 else "differs"
