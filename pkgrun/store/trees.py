"""Merkle directories: entries in, a digest out, and back. The nodes are canonical JSON and blobs themselves.

An unchanged directory has an unchanged digest, so it is neither stored nor compared twice; a sub-folder has an
identity of its own.
"""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import attrgetter, lt
from typing import Any, Literal, NamedTuple, Protocol

import orjson

from pkgrun.errors import Damaged, NotFound
from pkgrun.records import Tree
from pkgrun.store import names
from pkgrun.store.objects import Objects
from pkgrun.store.sinks import Sink

PART_LIMIT = 10_000
"""Entries that one node may have; larger directories are split by name."""
_PART_LEAST = 1_000
BEGINS = b'{"entries":[', b'{"parts":['
"""How the bytes of every directory begin."""
_LONGEST = max(map(len, BEGINS))


class Entry(NamedTuple):
    """One thing in a directory; `name` as `os` functions use it. `files` is 1 of a file, 0 of a link."""

    name: str
    kind: Literal["file", "dir", "symlink"]
    digest: str = ""
    files: int = 0
    bytes: int = 0
    executable: bool = False
    target: str = ""

    def written(self) -> dict[str, Any]:
        """As the node holds it."""
        line: dict[str, Any] = {"digest": self.digest, "kind": self.kind, "name": names.write(self.name)}
        if self.kind == "file":
            line["size"] = self.bytes
            if self.executable:
                line["executable"] = True
        elif self.kind == "dir":
            line |= {"files": self.files, "bytes": self.bytes}
        else:
            del line["digest"]
            line["target"] = names.write(self.target)
        return line


def write_node(entries: Iterable[Entry], sink: Sink) -> Tree:
    """Keep one directory; its tree."""
    ordered = list(entries)
    plain = "".join([entry.name for entry in ordered]).isascii()  # then text has the order of its bytes
    ordered.sort(key=_NAME if plain else _order)
    if len(ordered) <= PART_LIMIT:
        return _put(sink, {"entries": [entry.written() for entry in ordered]}, ordered)
    parts = [
        (part[0], _put(sink, {"entries": [entry.written() for entry in part]}, part))
        for part in _parts(ordered)
    ]
    lines = [
        {"first": names.write(first.name), "digest": t.digest, "files": t.files, "bytes": t.bytes}
        for first, t in parts
    ]
    return _put(sink, {"parts": lines}, [t for _, t in parts])


_NAME = attrgetter("name")


def _order(entry: Entry) -> bytes:
    return os.fsencode(entry.name)


def _put(sink: Sink, node: dict[str, Any], below: Sequence[Entry | Tree]) -> Tree:
    blob = sink.node(orjson.dumps(node, option=orjson.OPT_SORT_KEYS))
    return Tree(
        digest=blob.digest, files=sum(one.files for one in below), bytes=sum(one.bytes for one in below)
    )


def _parts(ordered: list[Entry]) -> Iterator[list[Entry]]:
    """Cut where a name's own checksum says so: one more name changes one part, not all that follow."""
    part: list[Entry] = []
    for entry in ordered:
        cut = zlib.crc32(os.fsencode(entry.name)) % 4096 == 0
        if len(part) >= PART_LIMIT or (cut and len(part) >= _PART_LEAST):
            yield part
            part = []
        part.append(entry)
    yield part


class Readable(Protocol):
    """Where directories are read from: a store, or wherever else they are known."""

    def read(self, digest: str) -> bytes:
        """A small blob, verified.

        Raises:
            Damaged: it is missing or its bytes are others.
        """


def read_node(objects: Readable, digest: str) -> list[Entry]:
    """The entries of a directory.

    Raises:
        Damaged: the node is missing, altered, or no canonical node.
    """
    node = parse(objects.read(digest), digest)
    if not node.parts:
        return node.entries
    entries = []
    for part in node.parts:
        entries += _entries(_parse(objects.read(part.digest), digest), digest)  # no part has parts
    _check_order(entries, digest)
    return entries


class Part(NamedTuple):
    """A node that holds a stretch of a large directory; how many bytes of files are below, and how many files."""

    digest: str
    bytes: int
    files: int = 0


class Node(NamedTuple):
    """A directory as it is written: its entries, or the parts that hold them."""

    entries: list[Entry]
    parts: list[Part]


def parse(data: bytes, digest: str) -> Node:
    """What a node's bytes say; `digest` is for the error.

    Raises:
        Damaged: they are no canonical node.
    """
    node = _parse(data, digest)
    if "parts" in node:
        return Node([], [_part(line, digest) for line in node["parts"]])
    return Node(_entries(node, digest), [])


def is_node(data: bytes | memoryview) -> bool:
    """Whether bytes are what `write_node` writes: then some record may refer to them as a directory."""
    whole = bytes(data) if bytes(data[:_LONGEST]).startswith(BEGINS) else b""
    try:
        parse(whole, "")
    except Damaged:
        return False
    return len(orjson.loads(whole)) == 1


def _parse(data: bytes, digest: str) -> dict[str, Any]:
    try:
        node = orjson.loads(data)
        canonical = orjson.dumps(node, option=orjson.OPT_SORT_KEYS)
    except (orjson.JSONDecodeError, orjson.JSONEncodeError) as error:  # the latter: too deep
        raise _no_node(digest, "it is no JSON") from error
    if not isinstance(node, dict) or not isinstance(node.get("parts", node.get("entries")), list):
        raise _no_node(digest, "it has no entries")
    if canonical != data:  # a name given twice, among others
        raise _no_node(digest, "it is not canonical")
    return node


def _entries(node: dict[str, Any], digest: str) -> list[Entry]:
    try:
        entries = [_entry(line) for line in node["entries"]]
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise _no_node(digest, f"an entry is malformed ({error})") from error
    _check_order(entries, digest)
    return entries


def _entry(line: dict[str, Any]) -> Entry:
    name, kind = names.read(line["name"]), line["kind"]
    if not names.is_entry(name):
        raise ValueError(f"{name!r} is no file name")
    if kind == "file":
        executable = "executable" in line and _flag(line["executable"])
        return Entry(name, "file", _checked(line["digest"]), 1, _count(line["size"]), executable)
    if kind == "symlink":
        return Entry(name, "symlink", target=names.read(line["target"]))
    if kind == "dir":
        return Entry(
            name, "dir", _checked(line["digest"]), _count(line["files"]), _count(line.get("bytes", 0))
        )
    raise ValueError(f"{kind!r} is no kind of entry")


_DIGEST = re.compile("sha256:[0-9a-f]{64}").fullmatch


def _checked(digest: str) -> str:
    if not _DIGEST(digest):
        raise ValueError(f"{digest!r} is no digest")
    return digest


def _part(line: Any, node: str) -> Part:
    try:
        return Part(_checked(line["digest"]), _count(line.get("bytes", 0)), _count(line.get("files", 0)))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise _no_node(node, f"a part is malformed ({error})") from error


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 1 << 63:
        raise ValueError(f"{value!r} is no count")
    return value


def _flag(value: Any) -> bool:
    if value is not None and value is not True:
        raise ValueError(f"{value!r} is no flag")
    return value is True


def _check_order(entries: list[Entry], digest: str) -> None:
    text = [entry.name for entry in entries]
    raw: Sequence[Any] = text if "".join(text).isascii() else [os.fsencode(name) for name in text]
    if not all(map(lt, raw, raw[1:])):
        raise _no_node(digest, "its entries are not in order")


def _no_node(digest: str, reason: str) -> Damaged:
    return Damaged(f"the object {digest} is no directory: {reason}")


def walk(objects: Objects, digest: str, below: str = "") -> Iterator[tuple[str, Entry]]:
    """Every entry with its path, a directory before what it holds."""
    waiting = [(below, digest)]
    while waiting:
        folder, node = waiting.pop()
        for entry in read_node(objects, node):
            path = f"{folder}/{entry.name}" if folder else entry.name
            yield path, entry
            if entry.kind == "dir":
                waiting.append((path, entry.digest))


def find(objects: Objects, digest: str, path: str) -> Entry:
    """The entry at a path.

    Raises:
        NotFound: there is none.
    """
    entry = Entry("", "dir", digest)
    for part in path.split("/"):
        below = read_node(objects, entry.digest) if entry.kind == "dir" else []
        found = next((one for one in below if one.name == part), None)
        if found is None:
            raise NotFound(f"there is no {path!r} in it")
        entry = found
    return entry


@dataclass(frozen=True, slots=True)
class Difference:
    """A file or link that one tree has and the other has not, or has otherwise: `was` in one, `now` in the other."""

    path: str
    how: Literal["added", "changed", "removed"]
    was: Entry | None = field(default=None, compare=False)
    now: Entry | None = field(default=None, compare=False)


def diff(objects: Readable, old: str, new: str) -> Iterator[Difference]:
    """What leads from one tree to another, in no order; equal directories are not looked into."""
    waiting = [("", old, new)]
    while waiting:
        folder, a, b = waiting.pop()
        before = {entry.name: entry for entry in read_node(objects, a)} if a else {}
        after = {entry.name: entry for entry in read_node(objects, b)} if b else {}
        for name in before.keys() | after.keys():
            path = f"{folder}/{name}" if folder else name
            one, other = before.get(name), after.get(name)
            if one == other:
                continue
            nodes = _node(one), _node(other)
            if any(nodes):
                waiting.append((path, *nodes))
            if how := _how(one, other):
                yield Difference(path, how, _leaf(one), _leaf(other))


def _node(entry: Entry | None) -> str:
    return entry.digest if entry and entry.kind == "dir" else ""


def _leaf(entry: Entry | None) -> Entry | None:
    return entry if entry and entry.kind != "dir" else None


def _how(old: Entry | None, new: Entry | None) -> Literal["added", "changed", "removed"] | None:
    """What became of the file or link at a path; None where there was none and is none."""
    was, is_now = (one is not None and one.kind != "dir" for one in (old, new))
    if was and is_now:
        return "changed"
    return "added" if is_now else "removed" if was else None
