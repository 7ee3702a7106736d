"""A whole dataset taken in: many small files by processes of their own where that pays, large ones by several threads.

What it owns is who reads what. Nothing is left out because a process could not be started or died: it is read here then.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator

from pkgrun.store import readers
from pkgrun.store.intake import PORTION_BYTES, Portion, Progress, take_portion
from pkgrun.store.objects import SMALL, Sink
from pkgrun.store.parallel import FEW, each
from pkgrun.store.readers import Answer, Work
from pkgrun.store.scan import same

WORTH = 20
"""Portions from which on it pays to start processes that read."""

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
    first = list(itertools.islice(rest, WORTH))
    rest = itertools.chain(first, rest)
    if len(first) == WORTH and readers.available():
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

    def works() -> Iterator[Work]:
        for portion in wanted:
            begun[id(portion)] = portion
            folder = portion.folder
            files = [(folder.place(index), stamp[0]) for index, stamp in portion.files]
            yield Work(portion, portion.directory, files)

    def told(work: Work, answer: Answer) -> None:
        portion = begun[id(work.owner)]
        sink.keep(_blobs(work, answer))
        digests, changed = bytearray(answer.digests), _changed(portion, answer)
        for at in answer.odd:
            again, other = _read_here(portion._replace(files=[portion.files[at]]), sink, lambda size: None)
            digests[at * 32 : at * 32 + 32] = again
            changed |= other
        got(portion, bytes(digests), changed)
        progress(len(answer.data))
        del begun[id(portion)]

    try:
        readers.read(works(), told, room=PORTION_BYTES + SMALL)
    except OSError:
        return itertools.chain(list(begun.values()), wanted)
    return iter(())


def _blobs(work: Work, answer: Answer) -> list[tuple[bytes, bytes]]:
    blobs, start = [], 0
    for at, (_, size) in enumerate(work.files):
        if at not in answer.odd:
            raw = answer.digests[at * 32 : at * 32 + 32]
            blobs.append((raw, bytes(answer.data[start : start + size])))
        start += size
    return blobs


def _changed(portion: Portion, answer: Answer) -> dict[int, int]:
    """The sizes of files that were not what they had been seen to be; those that are odd are looked at again."""
    if answer.seen == [number for _, stamp in portion.files for number in stamp]:
        return {}
    return {
        index: stamp[0]
        for at, (index, stamp) in enumerate(portion.files)
        if at not in answer.odd and not same(stamp, tuple(answer.seen[at * 5 : at * 5 + 5]))
    }
