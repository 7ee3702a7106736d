"""Reads stored bytes and hashes them: all of them, or a random share. It says which files hold what they should not."""

from __future__ import annotations

import hashlib
import random
import threading
from collections.abc import Callable, Container, Iterator, Sequence, Set
from dataclasses import dataclass, field

from pkgrun.errors import NotFound
from pkgrun.store import packs
from pkgrun.store.backend import Backend
from pkgrun.store.objects import key_of
from pkgrun.store.packs import Contents, Part
from pkgrun.store.parallel import each
from pkgrun.store.survey import Survey

_LONGEST = 4 << 20
"""Bytes of a pack that are in memory at once, in each thread."""

_GAP = 1 << 16
"""Bytes that may be read in vain between two blobs."""

Told = Callable[[int, int], object]
"""Told how many bytes were read, of how many; from several threads."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Which objects and packs are read: a share of all bytes, at random by a seed. All of them: 1.0."""

    share: float
    seed: int

    def of(self, sizes: dict[str, int]) -> list[str]:
        """So many keys that their bytes are the share, or a little more."""
        keys = sorted(sizes)
        random.Random(self.seed).shuffle(keys)  # noqa: S311 - so that it can be done again
        wanted, chosen = self.share * sum(sizes.values()), []
        for key in keys:
            if wanted <= 0 and self.share < 1:
                break
            chosen.append(key)
            wanted -= sizes[key]
        return chosen


@dataclass(slots=True)
class Altered:
    """What was read and is altered. `bruised`: packs whose head or foot is, and all that they hold is right."""

    blobs: dict[str, set[bytes]] = field(default_factory=dict)
    bruised: set[str] = field(default_factory=set)
    read: int = 0


def read(backend: Backend, found: Survey, choice: Choice, told: Told) -> Altered:
    """Hash what is chosen.

    Raises:
        PermissionDenied, Temporary: the store cannot be read.
    """
    objects = {key_of("sha256:" + raw.hex()): raw for raw in found.objects}
    contents = {packs.key_of(name): one for name, one in found.packs.items()}
    sizes = {key: found.objects[raw].size for key, raw in objects.items()}
    sizes |= {key: one.end - packs.HEAD for key, one in contents.items()}  # its index was read already
    chosen = choice.of(sizes)
    altered, lock = Altered(), threading.Lock()
    total = sum(sizes[key] for key in chosen)

    def count(size: int) -> None:
        with lock:
            altered.read += size
            told(altered.read, total)

    def look(key: str) -> None:
        try:
            if key in objects:
                wrong = set() if _is_right(backend, key, objects[key], count) else {objects[key]}
            else:
                wrong = {part.digest for part in altered_in(backend, contents[key], count)}
                if not _is_framed(backend, contents[key]):
                    altered.bruised.add(key)
        except NotFound:  # collected meanwhile
            return
        if wrong:
            altered.blobs[key] = wrong

    each(look, chosen, run=1)
    return altered


def read_some(backend: Backend, found: Survey, wanted: Set[bytes], told: Told) -> Altered:
    """Hash what is wanted, wherever it lies; of the packs that hold some of it also the head and the foot. What is gone when it is
    read counts as altered.

    Raises:
        PermissionDenied, Temporary: the store cannot be read.
    """
    objects = {key_of("sha256:" + raw.hex()): raw for raw in wanted & found.objects.keys()}
    parts = {
        packs.key_of(name): {raw: length & packs.LENGTH for raw, _, length in one.entries() if raw in wanted}
        for name, one in found.packs.items()
    }
    total = sum(found.objects[raw].size for raw in objects.values())
    total += sum(length for some in parts.values() for length in some.values())
    altered, lock = Altered(), threading.Lock()

    def count(size: int) -> None:
        with lock:
            altered.read += size
            told(altered.read, total)

    def look(key: str) -> None:
        try:
            if key in objects:
                wrong = set() if _is_right(backend, key, objects[key], count) else {objects[key]}
            else:
                contents = found.packs[packs.name_in(key.rpartition("/")[2]) or ""]
                wrong = {part.digest for part in altered_in(backend, contents, count, parts[key].keys())}
                if not _is_framed(backend, contents):
                    altered.bruised.add(key)
        except NotFound:  # collected meanwhile: what was not read is not known to be good
            wrong = {objects[key]} if key in objects else set(parts[key])
        if wrong:
            altered.blobs[key] = wrong

    each(look, [*objects, *(key for key, some in parts.items() if some)], run=1)
    return altered


def _is_right(backend: Backend, key: str, raw: bytes, count: Callable[[int], object]) -> bool:
    hasher = hashlib.sha256()
    for piece in backend.stream(key):
        hasher.update(piece)
        count(len(piece))
    return hasher.digest() == raw


def altered_in(
    backend: Backend, contents: Contents, count: Callable[[int], object], only: Container[bytes] | None = None
) -> Iterator[Part]:
    """The blobs of a pack that are not what its index says; of some of them only, if they are named."""
    for part, data in blobs_of(backend, contents, count, only):
        if hashlib.sha256(data).digest() != part.digest:
            yield part


def blobs_of(
    backend: Backend, contents: Contents, count: Callable[[int], object], only: Container[bytes] | None = None
) -> Iterator[tuple[Part, memoryview]]:
    """Every blob of a pack in the order in which they lie, not verified; fewer bytes of one that is cut off.

    Args:
        only: the digests of those that are wanted.

    Raises:
        NotFound: there is no such pack.
    """
    key = packs.key_of(contents.pack)
    wanted = (Part.parse(*one) for one in contents.entries() if only is None or one[0] in only)
    parts = sorted(wanted, key=lambda part: part.offset)
    for some in _neighbours(parts):
        start, end = some[0].offset, max(part.offset + part.length for part in some)
        data = memoryview(backend.read(key, start, end - start))
        count(sum(part.length for part in some))
        for part in some:
            yield part, data[part.offset - start :][: part.length]


def _neighbours(parts: Sequence[Part]) -> Iterator[list[Part]]:
    some: list[Part] = []
    end = 0
    for part in parts:
        if some and (part.offset + part.length - some[0].offset > _LONGEST or part.offset - end > _GAP):
            yield some
            some = []
        some.append(part)
        end = part.offset + part.length
    if some:
        yield some


def _is_framed(backend: Backend, contents: Contents) -> bool:
    """Whether a pack begins and ends as it should; nobody else reads its first bytes, nor the sum in its foot."""
    key = packs.key_of(contents.pack)
    head = backend.read(key, 0, packs.HEAD)
    foot = backend.read(key, contents.size - packs.FOOT, packs.FOOT)
    return head == packs.MAGIC and foot[:32].hex() == contents.pack


def is_laid_out(contents: Contents) -> bool:
    """Whether the blobs of a pack fill it, one behind the other: whatever was put in or taken out shows here."""
    at = packs.HEAD
    for offset, length in sorted((offset, length & packs.LENGTH) for _, offset, length in contents.entries()):
        if offset != at:
            return False
        at += length
    return at == contents.end
