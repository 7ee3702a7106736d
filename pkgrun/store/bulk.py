"""A whole dataset taken in: many small files by processes of their own where that pays, large ones by several threads.

What it owns is who reads what. Nothing is left out because a process could not be started or died: it is read here then.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from pkgrun.store import hands
from pkgrun.store.intake import PORTION_BYTES, Portion, Progress, take_portion
from pkgrun.store.objects import SMALL, Sink
from pkgrun.store.parallel import FEW, each
from pkgrun.store.scan import same

WORTH = 1_500
"""Files from which on it pays to start processes that read."""

Got = Callable[[Portion, bytes, dict[int, int]], object]
"""Handed what was read of each portion, from several threads: 32 bytes of digest for each file, and the sizes of those
that were not what they had been seen to be, by their index in the folder."""


def take(wanted: Iterable[Portion], sink: Sink, got: Got, *, progress: Progress) -> None:
    """Read, hash and keep files.

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
        got(portion, *_read_here(portion, sink, progress))

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
        rest = _read_apart(rest, sink, got, progress)
    each(here, rest, threads=FEW, run=1)
    each(here, large, run=1)


def _read_here(portion: Portion, sink: Sink, progress: Progress) -> tuple[bytes, dict[int, int]]:
    taken = take_portion(portion, sink, progress=progress)
    digests = b"".join([bytes.fromhex(one.digest[7:]) for one in taken])
    files = zip(portion.files, taken, strict=True)
    return digests, {index: one.size for (index, _), one in files if not one.stable}


def _read_apart(wanted: Iterator[Portion], sink: Sink, got: Got, progress: Progress) -> Iterator[Portion]:
    """Have other processes read; what is left to be read here, because that did not work out."""
    begun: dict[int, Portion] = {}

    def works() -> Iterator[_Reading]:
        for portion in wanted:
            begun[id(portion)] = portion
            yield _Reading(portion, sink, got, progress, begun)

    try:
        hands.do(works(), room=PORTION_BYTES + SMALL)
    except hands.Ended:
        return itertools.chain(list(begun.values()), wanted)
    return iter(())


class _Reading(NamedTuple):
    """One portion to be read by a hand; it leaves `begun` when it is taken in."""

    portion: Portion
    sink: Sink
    got: Got
    progress: Progress
    begun: dict[int, Portion]

    def order(self, place: memoryview) -> tuple[Any, ...]:
        folder = self.portion.folder
        files = [(os.fsencode(folder.place(index)), stamp[0]) for index, stamp in self.portion.files]
        return "read", os.fsencode(self.portion.directory), files

    def done(self, answer: tuple[Any, ...], place: memoryview) -> None:
        joined, seen, odd = answer
        digests, changed = bytearray(joined), self._changed(seen, frozenset(odd))
        self.sink.keep(self._blobs(joined, frozenset(odd), place))
        for at in odd:
            alone = self.portion._replace(files=[self.portion.files[at]])
            again, other = _read_here(alone, self.sink, lambda size: None)
            digests[at * 32 : at * 32 + 32] = again
            changed |= other
        self.got(self.portion, bytes(digests), changed)
        self.progress(sum(stamp[0] for _, stamp in self.portion.files))
        del self.begun[id(self.portion)]

    def _blobs(self, digests: bytes, odd: frozenset[int], place: memoryview) -> list[tuple[bytes, bytes]]:
        blobs, start = [], 0
        for at, (_, stamp) in enumerate(self.portion.files):
            if at not in odd:
                blobs.append((digests[at * 32 : at * 32 + 32], bytes(place[start : start + stamp[0]])))
            start += stamp[0]
        return blobs

    def _changed(self, seen: list[int], odd: frozenset[int]) -> dict[int, int]:
        """The sizes of files that were not what they had been seen to be; those that are odd are looked at again."""
        if seen == [number for _, stamp in self.portion.files for number in stamp]:
            return {}
        return {
            index: stamp[0]
            for at, (index, stamp) in enumerate(self.portion.files)
            if at not in odd and not same(stamp, tuple(seen[at * 5 : at * 5 + 5]))
        }
