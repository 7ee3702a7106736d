"""A whole dataset taken in: many small files by processes of their own where that pays, large ones by several threads.

What it owns is who reads what. Nothing is left out because a process could not be started or died: it is read here then.
"""

from __future__ import annotations

import itertools
import os
from array import array
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import accumulate
from typing import Any, NamedTuple

from pkgrun.store import hands, packs
from pkgrun.store.files import shown
from pkgrun.store.intake import PORTION_BYTES, PORTION_FILES, Laying, Portion, Progress, take_portion
from pkgrun.store.parallel import FEW, each
from pkgrun.store.scan import Folder
from pkgrun.store.sinks import Sink

WORTH = 1_500
"""Files from which on it pays to start processes that read."""

_FILES = PORTION_FILES + 40_000
"""Of so many there are entries in a pack that is filled by one process."""

_PROCESSES = 2
"""That read at once: each may have two packs in memory."""

Got = Callable[[Portion, bytes, dict[int, int]], object]
"""Handed what was read of each portion, from several threads: 32 bytes of digest for each file, and the sizes of those
that were not what they had been seen to be, by their index in the folder."""


def take(
    wanted: Iterable[Portion], sink: Sink, got: Got, *, progress: Progress, laying: Laying | None = None
) -> None:
    """Read, hash and keep files; `laying` lays them out somewhere besides.

    Raises:
        NotFound, PermissionDenied, Temporary, DataInvalid: a file cannot be read or kept; it is named.
    """
    large: list[Portion] = []

    def small() -> Iterator[Portion]:
        for portion in wanted:
            if portion.large:
                large.append(portion)
            else:
                yield portion

    def here(portion: Portion) -> None:
        got(portion, *_read_here(portion, sink, progress, laying))

    rest = small()
    first: list[Portion] = []
    count = 0
    for portion in rest:
        first.append(portion)
        count += len(portion.files)
        if count >= WORTH:
            break
    rest = itertools.chain(first, rest)
    if count >= WORTH and hands.available():
        rest = _read_apart(rest, sink, got, progress, laying)
    each(here, rest, threads=FEW, run=1)
    each(here, large, run=1)


def _read_here(
    portion: Portion, sink: Sink, progress: Progress, laying: Laying | None
) -> tuple[bytes, dict[int, int]]:
    taken = take_portion(portion, sink, progress=progress, laying=laying)
    digests = b"".join([bytes.fromhex(one.digest[7:]) for one in taken])
    files = zip(portion.files, taken, strict=True)
    return digests, {index: one.size for (index, _), one in files if not one.stable}


def _read_apart(
    wanted: Iterator[Portion], sink: Sink, got: Got, progress: Progress, laying: Laying | None
) -> Iterator[Portion]:
    """Have other processes read; what is left to be read here, because that did not work out."""
    begun: dict[int, Portion] = {}

    def works() -> Iterator[_Reading]:
        for portion in wanted:
            begun[id(portion)] = portion
            yield _Reading(
                portion, [stamp[0] for _, stamp in portion.files], sink, got, progress, laying, begun
            )

    room = packs.HEAD + max(sink.room, PORTION_BYTES) + packs.ENTRY * _FILES
    try:
        hands.do(
            works(),
            room=room,
            head=packs.HEAD,
            full=lambda area: sink.pack(area.view, area.noted),
            processes=_PROCESSES,
        )
    except hands.Ended:
        if laying is not None:
            for portion in begun.values():
                _remove(portion, laying)
        return itertools.chain(list(begun.values()), wanted)
    return iter(())


def _remove(portion: Portion, laying: Laying) -> None:
    """What a hand that has died may have laid out of a portion."""
    folder = laying.folder(portion.folder.path)
    for index, _ in portion.files:
        with suppress(FileNotFoundError):
            os.unlink(os.path.join(folder, portion.folder.names[index]))


class _Reading(NamedTuple):
    """One portion to be read by a hand; it leaves `begun` when it is taken in."""

    portion: Portion
    sizes: list[int]
    sink: Sink
    got: Got
    progress: Progress
    laying: Laying | None
    begun: dict[int, Portion]

    @property
    def size(self) -> int:
        return sum(self.sizes)

    @property
    def behind(self) -> int:
        return packs.ENTRY * len(self.sizes) + packs.FOOT

    def order(self, place: memoryview) -> tuple[Any, ...]:
        folder = self.portion.folder
        files = "\0".join([folder.place(index) for index, _ in self.portion.files])
        return "read", os.fsencode(self.portion.directory), os.fsencode(files), self.sizes, self._copy()

    def _copy(self) -> tuple[bytes, bytes, bytes] | None:
        """Where a copy is to lie: the folder, the names in it, and which are executable."""
        if self.laying is None:
            return None
        folder = self.portion.folder
        names = "\0".join([folder.names[index] for index, _ in self.portion.files])
        modes = bytes([bool(stamp[4] & 0o100) for _, stamp in self.portion.files])
        return os.fsencode(self.laying.folder(folder.path)), os.fsencode(names), modes

    def done(self, answer: tuple[Any, ...], area: hands.Area, at: int) -> None:
        joined, seen, odd = answer
        if (number := self.sink.erased.first(joined)) is not None:
            folder = self.portion.folder
            path = folder.below(folder.names[self.portion.files[number][0]])
            raise self.sink.erased.error(joined[number * 32 : number * 32 + 32], shown(path))
        changed = {} if seen == self._seen() else self._changed(seen, odd)
        parts = [joined[start : start + 32] for start in range(0, len(joined), 32)]
        read = list(zip(parts, accumulate(self.sizes[:-1], initial=at), self.sizes, strict=True))
        for index in reversed(odd):
            del read[index]
            alone = self.portion._replace(files=[self.portion.files[index]])
            parts[index], other = _read_here(alone, self.sink, lambda size: None, self.laying)
            changed |= other
        area.noted += read
        self.got(self.portion, b"".join(parts), changed)
        self.progress(self.size)
        del self.begun[id(self.portion)]

    def _seen(self) -> bytes:
        """The stamps, as a hand tells them."""
        return array("q", [number for _, stamp in self.portion.files for number in stamp]).tobytes()

    def _changed(self, seen: bytes, odd: list[int]) -> dict[int, int]:
        """The sizes of files that were not what they had been seen to be; those that are odd are looked at again."""
        now = Folder("", stamps=array("q", seen)).every_stamp()
        pairs = zip(self.portion.files, now, strict=True)
        return {
            index: stamp[0]
            for at, ((index, stamp), found) in enumerate(pairs)
            if at not in odd and stamp != found
        }
