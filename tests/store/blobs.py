"""Where the blobs of a store lie on disk, to look at them or to damage them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import orjson

from pkgrun.records import Blob
from pkgrun.store import erased, packs, roots
from pkgrun.store.backend import Backend
from pkgrun.store.objects import digest_of, key_of
from pkgrun.store.packs import Filling, Part
from pkgrun.store.root import Store
from pkgrun.store.sinks import Sink


def holds_packs(store: Store) -> list[Path]:
    """The files of all packs."""
    return sorted(Path(store.url, packs.FOLDER).glob("*.pack"))


def contents(store: Store) -> dict[str, list[Part]]:
    """What each pack holds, by the pack's name."""
    return {path.stem: list(packs.contents_of(store.backend, path.stem)) for path in holds_packs(store)}


def blobs(store: Store) -> dict[str, bytes]:
    """Every blob, by its digest, read without the code under test but for the packs' index; each is what it is called."""
    found = {}
    for path in Path(store.url, "objects").rglob("*"):
        if path.is_file() and not path.name.startswith("."):
            found[f"sha256:{path.name}"] = path.read_bytes()
    for name, parts in contents(store).items():
        data = Path(store.url, packs.key_of(name)).read_bytes()
        for digest, offset, length, _ in parts:
            found["sha256:" + digest.hex()] = data[offset : offset + length]
    for called, content in found.items():
        assert digest_of(content) == called
    return found


def nodes(found: Mapping[str, bytes]) -> dict[str, set[str]]:
    """The directories among some blobs, with what each refers to."""
    result = {}
    for digest, data in found.items():
        if data.startswith((b'{"entries":', b'{"parts":')):
            lines = next(iter(orjson.loads(data).values()))
            result[digest] = {line["digest"] for line in lines if "digest" in line}
    return result


def lacking(store: Store) -> set[str]:
    """What the store lacks of what a record needs or a directory says to be there: never anything, whatever died when. What
    was erased is not lacking."""
    found = blobs(store)
    below, kept = nodes(found), roots.load(store.backend).kept
    vouched = {
        "sha256:" + part.digest.hex() for some in contents(store).values() for part in some if part.directory
    }
    needed = vouched | {tree.digest for root in kept for tree in root.trees}
    listed = {tree.digest for root in kept for tree in root.listings}
    lacking = _all_below(below, needed) | _all_below(_folders_alone(found, below), listed)
    return lacking - found.keys() - {"sha256:" + raw.hex() for raw in erased.raws(store.backend)}


def _all_below(below: Mapping[str, set[str]], start: set[str]) -> set[str]:
    seen, waiting = set(start), list(start)
    while waiting:
        new = below.get(waiting.pop(), set()) - seen
        seen |= new
        waiting += new
    return seen


def _folders_alone(found: Mapping[str, bytes], below: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """The same directories, with the parts and folders that each refers to."""
    result = {}
    for digest in below:
        lines = next(iter(orjson.loads(found[digest]).values()))
        result[digest] = {line["digest"] for line in lines if line.get("kind", "dir") == "dir"}
    return result


def pack_of(backend: Backend, digest: str) -> tuple[str, Part] | None:
    """The name of a pack that holds a blob, and where in it."""
    for name in map(packs.name_in, backend.list(packs.FOLDER)):
        if name is None:
            continue
        for part in packs.contents_of(backend, name):
            if part.digest.hex() == digest[7:]:
                return name, part
    return None


def file_of(store: Store, digest: str) -> Path:
    """The file that a blob lies in."""
    found = pack_of(store.backend, digest)
    return Path(store.url, packs.key_of(found[0]) if found else key_of(digest))


def lose(store: Store, digest: str) -> None:
    """Write the packs that hold a blob anew without it."""
    for name, parts in contents(store).items():
        if all("sha256:" + part.digest.hex() != digest for part in parts):
            continue
        path = Path(store.url, packs.key_of(name))
        data, filling = path.read_bytes(), Filling()
        for part in parts:
            if "sha256:" + part.digest.hex() != digest:
                blob = data[part.offset : part.offset + part.length]
                filling.add(part.digest, blob, directory=part.directory)
        pack = filling.close()
        Path(store.url, packs.key_of(pack.name)).write_bytes(pack.data)
        path.unlink()


def put(sink: Sink, data: bytes) -> Blob:
    """Keep a small blob in whatever sink; what it is called."""
    digest = digest_of(data)
    sink.keep([(bytes.fromhex(digest[7:]), data)])
    return Blob(digest=digest, bytes=len(data))


def in_turn(*steps: Callable[[], object]) -> None:
    """Do one after the other."""
    for step in steps:
        step()


def flip(path: Path, at: int) -> None:
    """Turn one bit over; `at` counts from the end if it is negative."""
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def _of_the_blob(change: Callable[[bytearray, int, int], None]) -> Callable[[Store, str], None]:
    def damage(store: Store, digest: str) -> None:
        found = pack_of(store.backend, digest)
        path = file_of(store, digest)
        data = bytearray(path.read_bytes())
        start, length = (found[1].offset, found[1].length) if found else (0, len(data))
        change(data, start, length)
        path.write_bytes(data)

    return damage


def _flipped(data: bytearray, start: int, length: int) -> None:
    data[start + length // 2] ^= 1


def _anothers(data: bytearray, start: int, length: int) -> None:
    data[start : start + length] = b"\x00" * length


def _of_the_file(change: Callable[[Path], object]) -> Callable[[Store, str], object]:
    return lambda store, digest: change(file_of(store, digest))


DAMAGE: dict[str, Callable[[Store, str], object]] = {
    "flipped": _of_the_blob(_flipped),
    "another's": _of_the_blob(_anothers),
    "truncated": _of_the_file(lambda path: os.truncate(path, path.stat().st_size - 1)),
    "emptied": _of_the_file(lambda path: os.truncate(path, 0)),
    "longer": _of_the_file(lambda path: path.write_bytes(path.read_bytes() + b"\n")),
    "deleted": _of_the_file(Path.unlink),
    "without its folder": _of_the_file(lambda path: shutil.rmtree(path.parent)),
    "flipped at its end": _of_the_file(lambda path: flip(path, -1)),
    "flipped before its end": _of_the_file(lambda path: flip(path, -min(60, path.stat().st_size))),
}
"""What a disk, or a person, may do to a blob: to its own bytes, or to the file that it lies in."""
