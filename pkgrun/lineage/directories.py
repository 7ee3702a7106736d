"""Directories as the index reads them: their entries as pieces of the node's own bytes, and how two of them differ.

Of two directories that are almost equal only what differs is parsed: what they begin and end with alike costs a comparison
of bytes, what lies between one of sets.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from contextlib import suppress
from typing import NamedTuple

import orjson

from pkgrun.errors import Damaged
from pkgrun.store import names

_ENTRIES, _PARTS, _END = b'{"entries":[{"', b'{"parts":[{"', b"}]}"
_BETWEEN = b'},{"'
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}").fullmatch


class Child(NamedTuple):
    """What a directory holds: a file, a folder, or a part of its own entries, which has no name.

    `name` is as the node writes it; `first`: the first name in a part.
    """

    name: str
    digest: bytes
    folder: bool
    first: str = ""


def entries(data: bytes) -> int:
    """How many entries, or parts, a node has."""
    return data.count(_BETWEEN) + 1


def _pieces(old: bytes, new: bytes) -> tuple[set[bytes], set[bytes]] | None:
    """What one node has and the other has not, each entry as the bytes between its first quote and its closing brace.

    None of nodes of two kinds. A text that ends with `},{` is taken for two entries: then pieces of it are no JSON, and
    whoever parses them finds out. A name is never apart from its digest, which comes before it.
    """
    heads = {data[: data.find(b"[") + 3] for data in (old, new) if data}
    if heads not in ({_ENTRIES}, {_PARTS}) or not all(data.endswith(_END) for data in (old, new) if data):
        return None
    start = len(min(heads))
    differ = _differ(old[start : -len(_END)], new[start : -len(_END)])
    one, other = (set(body.split(_BETWEEN)) if body else set() for body in differ)
    return one - other, other - one


def _differ(old: bytes, new: bytes) -> tuple[bytes, bytes]:
    """Both without the entries that they begin and end with alike."""
    at = new.rfind(_BETWEEN, 0, _alike(old, new))
    start = 0 if at < 0 else at + len(_BETWEEN)
    same = min(_alike(old, new, back=True), len(old) - start, len(new) - start)
    at = new.find(_BETWEEN, len(new) - same)
    rest = 0 if at < 0 else len(new) - at
    return old[start : len(old) - rest], new[start : len(new) - rest]


def _alike(one: bytes, other: bytes, *, back: bool = False) -> int:
    """How many bytes both begin with alike, or end."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if back:
            same = one[len(one) - middle : len(one) - low] == other[len(other) - middle : len(other) - low]
        else:
            same = one[low:middle] == other[low:middle]
        low, high = (middle, high) if same else (low, middle - 1)
    return low


def _parsed(data: bytes, digest: bytes) -> set[bytes]:
    try:
        found = _lines(orjson.loads(data)) if data else []
        return {orjson.dumps(one, option=orjson.OPT_SORT_KEYS)[2:-1] for one in found}
    except (orjson.JSONDecodeError, orjson.JSONEncodeError, KeyError, TypeError) as error:
        raise _no_directory(digest) from error


def _lines(node: dict[str, object]) -> list[object]:
    lines = node["parts"] if "parts" in node else node["entries"]
    if not isinstance(lines, list):
        raise TypeError
    return lines


def child(piece: bytes, digest: bytes) -> Child | None:
    """What a piece of a node says; None of a link.

    Raises:
        Damaged: that is no entry; `digest` is the node's.
    """
    try:
        entry = orjson.loads(b'{"' + piece + b"}")
        kind = entry.get("kind")
        if kind == "symlink":
            return None
        if kind is None:
            return Child("", _raw(entry["digest"]), True, str(entry["first"]))
        return Child(_name(entry["name"]), _raw(entry["digest"]), _KINDS[kind])
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError, Damaged) as error:
        raise _no_directory(digest) from error


_KINDS = {"file": False, "dir": True}


def _name(text: str) -> str:
    if not names.is_entry(names.read(text)):
        raise ValueError
    return text


def _raw(text: str) -> bytes:
    if not _DIGEST(text):
        raise ValueError
    return bytes.fromhex(text[7:])


def _no_directory(digest: bytes) -> Damaged:
    return Damaged(f"the object sha256:{digest.hex()} is no directory")


class Changes(NamedTuple):
    """What leads from one directory to another: what is there no more, and what is new."""

    gone: list[Child]
    come: list[Child]

    @property
    def replaced(self) -> int:
        """How many entries differ otherwise than that something below them does."""
        below = {one.name for one in self.gone if one.folder and one.name}
        changed = sum(one.folder and one.name in below for one in self.come)
        parts = min(sum(not one.name for one in self.gone), sum(not one.name for one in self.come))
        return max(len(self.gone), len(self.come)) - changed - parts

    def before(self, now: Child) -> list[Child]:
        """Which of the folders that are gone a new one probably was."""
        if now.name:
            return [one for one in self.gone if one.folder and one.name == now.name]
        parts = sorted((one for one in self.gone if not one.name), key=lambda one: one.first)
        at = bisect_right([one.first for one in parts], now.first)
        return parts[max(at - 1, 0) : at + 1]


def changes(old: bytes, new: bytes, digests: tuple[bytes, bytes]) -> Changes:
    """How one node differs from another; an empty one is that of nothing.

    Raises:
        Damaged: one of them is no node.
    """
    pieces = _pieces(old, new)
    if pieces is not None:
        with suppress(Damaged):
            return _changes(pieces, digests)
    one, other = _parsed(old, digests[0]), _parsed(new, digests[1])
    return _changes((one - other, other - one), digests)


def _changes(pieces: tuple[set[bytes], set[bytes]], digests: tuple[bytes, bytes]) -> Changes:
    gone, come = (
        [one for one in (child(piece, digest) for piece in some) if one]
        for some, digest in zip(pieces, digests, strict=True)
    )
    return Changes(gone, come)
