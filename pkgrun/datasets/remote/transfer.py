"""Brings the files of a remote dataset into a folder: many at once, large ones in ranges, going on where a break left it.

It knows a `Remote`, never which.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from pkgrun.datasets import manifest
from pkgrun.datasets.cache import Filled, Room
from pkgrun.datasets.remote.listing import Broken, Changed, Listing, Remote, Thing, state
from pkgrun.datasets.remote.notes import Notes
from pkgrun.errors import NotFound, Temporary
from pkgrun.store.files import shown
from pkgrun.store.local import translate

RANGE = 8 << 20
"""Bytes that are asked for at once of a large file. One that is no larger is begun again after a kill."""

PIECE = 1 << 20
"""Bytes of a range after which they are noted, and about the most that a kill costs of each transfer in progress."""

PAUSES = (0.2, 0.6, 1.8, 5.4)
"""Seconds before a broken transfer is taken up again; what brings bytes begins anew."""

_OPEN = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC

Result = TypeVar("Result")


async def patiently(what: Callable[[], Awaitable[Result]], label: str) -> Result:
    """`await what()`, again after a pause when it breaks.

    Raises:
        Temporary: it broke each time.
    """
    for pause in PAUSES:
        with suppress(Broken):
            return await what()
        await asyncio.sleep(pause)
    try:
        return await what()
    except Broken as error:
        raise _gave_up(label, error) from error


def bring(
    remote: Remote,
    listing: Listing,
    room: Room,
    run: Callable[[Coroutine[Any, Any, list[Thing]]], list[Thing]],
) -> Filled:
    """Make the room's content what the listing says; `run` runs a coroutine where the remote's can run.

    Raises:
        Temporary: the connection breaks again and again, a file changes again and again, or the disk is full.
        DataInvalid, NotFound, PermissionDenied: as the remote or the system says.
    """
    notes = Notes(room.notes)
    try:
        _tidy(room.content, listing)
        kept = notes.kept(room, listing.things)
        jobs = [_Job(thing, *kept.get(thing.path, (False, []))) for thing in listing.things]
        room.require(sum(job.missing for job in jobs))
        final = run(_Transfer(remote, room, notes).all(jobs))
        digests = notes.compact(final)
    except OSError as error:
        raise translate(error, f"{remote.label} cannot be kept in {shown(room.content)}") from error
    finally:
        notes.close()
    return Filled(state(final, listing.folders), digests)


def _tidy(content: str, listing: Listing) -> None:
    """Remove what the listing does not hold, and make its folders."""
    files, folders = {thing.path for thing in listing.things}, set(listing.folders)
    skip = len(content) + 1
    for above, below, names in os.walk(content):
        for name in list(below):
            path = os.path.join(above, name)
            if os.path.islink(path):
                os.unlink(path)
            elif path[skip:] not in folders:
                shutil.rmtree(path)
                below.remove(name)
        for name in names:
            path = os.path.join(above, name)
            if path[skip:] not in files or os.path.islink(path):
                os.unlink(path)
    for folder in listing.folders:
        with suppress(FileExistsError):
            os.mkdir(os.path.join(content, folder), 0o700)


@dataclass(slots=True)
class _Job:
    """A file to be had, of which the ranges in `done` are there already."""

    thing: Thing
    whole: bool
    done: list[tuple[int, int]]
    file: int = -1
    left: int = 0
    spoilt: bool = False

    @property
    def had(self) -> int:
        return sum(end - start for start, end in self.done)

    @property
    def missing(self) -> int:
        return (self.thing.size or 0) - self.had

    def ranges(self) -> list[tuple[int, int | None]]:
        """What must be asked for."""
        size = self.thing.size
        if size is None or not self.thing.ranges or size <= RANGE:
            return [(0, size)]
        at, found = 0, list[tuple[int, int | None]]()
        for start, end in [*sorted(self.done), (size, size)]:
            found += [(low, min(low + RANGE, start)) for low in range(at, start, RANGE)]
            at = max(at, end)
        return found or [(size, size)]


class _Transfer:
    """Some workers that take ranges from one list, so that few files are open and few bytes in memory."""

    def __init__(self, remote: Remote, room: Room, notes: Notes) -> None:
        self._remote, self._room, self._notes = remote, room, notes
        self._done = 0
        self._total: int | None = 0

    async def all(self, jobs: list[_Job]) -> list[Thing]:
        """Fetch all; what changes meanwhile is fetched once more. Returns the files as they were fetched."""
        sizes = [job.thing.size for job in jobs]
        self._total = None if None in sizes else sum(size or 0 for size in sizes)
        self._done = sum(job.had for job in jobs if job.thing.size is not None)
        final = {job.thing.path: job.thing for job in jobs}
        changed = await self._round([job for job in jobs if not job.whole])
        changed += await patiently(lambda: self._remote.changed(list(final.values())), self._remote.label)
        if changed:
            self._room.notice(f"{_named(changed)} changed while it was fetched; fetching it again")
            final |= {thing.path: thing for thing in changed}
            again = await self._round([_Job(thing, False, []) for thing in changed])
            again += await patiently(lambda: self._remote.changed(changed), self._remote.label)
            if again:
                raise Temporary(
                    f"{_named(again)} of {self._remote.label} changed while it was fetched, twice",
                    hint="wait until nobody writes it any more, and run it again",
                )
        self._room.report(self._done, self._done)
        return list(final.values())

    async def _round(self, jobs: list[_Job]) -> list[Thing]:
        """Fetch the files; return those that are others now."""
        work = ((job, start, end) for job in jobs for start, end in self._begin(job))
        tasks = [asyncio.ensure_future(self._labour(work)) for _ in range(self._remote.width)]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for job in jobs:
                _closed(job)
        return [await self._now(job.thing) for job in jobs if job.spoilt]

    async def _now(self, thing: Thing) -> Thing:
        try:
            return await patiently(lambda: self._remote.look(thing), self._remote.label)
        except NotFound as error:
            raise Temporary(
                f"{thing.path!r} of {self._remote.label} vanished while it was fetched", hint="run it again"
            ) from error

    def _begin(self, job: _Job) -> list[tuple[int, int | None]]:
        path = os.path.join(self._room.content, job.thing.path)
        if not job.done:
            with suppress(FileNotFoundError):
                os.unlink(path)
        job.file = os.open(path, _OPEN, 0o600)
        ranges = job.ranges()
        job.left = len(ranges)
        return ranges

    async def _labour(self, work: Iterator[tuple[_Job, int, int | None]]) -> None:
        for job, start, end in work:
            if not job.spoilt:
                try:
                    await self._range(job, start, end)
                except Changed:
                    job.spoilt = True
            job.left -= 1
            if job.left == 0:
                await self._finish(job)

    async def _range(self, job: _Job, start: int, end: int | None) -> None:
        got, breaks = _Got(job, start, end, self._notes), 0
        try:
            while end is None or got.at < end:
                before = got.at
                try:
                    await self._read(got, end)
                    break
                except Broken as error:
                    if not job.thing.ranges:
                        self._report(start - got.at)
                        got = _Got(job, start, end, self._notes)
                    breaks = 1 if got.at > before else breaks + 1
                    if breaks > len(PAUSES):
                        raise _gave_up(self._remote.label, error, job.thing) from error
                    await asyncio.sleep(PAUSES[breaks - 1])
            got.end()
        finally:
            got.keep()

    async def _read(self, got: _Got, end: int | None) -> None:
        async with aclosing(self._remote.read(got.job.thing, got.at, end)) as chunks:
            async for chunk in chunks:
                if end is not None and got.at + len(chunk) > end:
                    raise Changed
                got.take(chunk)
                self._report(len(chunk))
        _complete(got.at, end)

    async def _finish(self, job: _Job) -> None:
        try:
            if job.spoilt:
                return
            size = job.thing.size
            if size is not None and size > RANGE and job.thing.ranges:
                os.ftruncate(job.file, size)
                path = os.path.join(self._room.content, job.thing.path)
                digest = await asyncio.to_thread(manifest.digest, path)
                self._notes.add(job.thing, 0, size, digest, whole=True)
        finally:
            _closed(job)

    def _report(self, more: int) -> None:
        self._done += more
        self._room.report(self._done, self._total)


class _Got:
    """What has come of a range: `at` is how far. It is noted in pieces; of a whole file only the end is."""

    def __init__(self, job: _Job, start: int, end: int | None, notes: Notes) -> None:
        self.job, self.at = job, start
        self._notes, self._noted = notes, start
        self._whole = start == 0 and end in {None, job.thing.size}
        self._hasher = hashlib.sha256()

    def take(self, chunk: bytes) -> None:
        """Bytes that come next."""
        _put(self.job.file, chunk, self.at)
        self._hasher.update(chunk)
        self.at += len(chunk)
        if self.at - self._noted >= PIECE:
            self.keep()

    def keep(self) -> None:
        """Note what is not noted yet."""
        if not self._whole and self.at > self._noted:
            self._note()

    def end(self) -> None:
        """It is complete."""
        if self._whole:
            os.ftruncate(self.job.file, self.at)  # an earlier attempt may have come further
            self._note()

    def _note(self) -> None:
        digest = self._hasher.hexdigest()
        self._notes.add(self.job.thing, self._noted, self.at, digest, whole=self._whole)
        self._noted, self._hasher = self.at, hashlib.sha256()


def _complete(at: int, end: int | None) -> None:
    if end is not None and at < end:
        raise Broken(f"the server sent {at:,} of {end:,} bytes")


def _put(file: int, chunk: bytes, at: int) -> None:
    view = memoryview(chunk)
    while view:
        count = os.pwrite(file, view, at)
        view, at = view[count:], at + count


def _closed(job: _Job) -> None:
    if job.file >= 0:
        os.close(job.file)
        job.file = -1


def _named(things: list[Thing]) -> str:
    more = f" and {len(things) - 1:,} more" if len(things) > 1 else ""
    return f"{things[0].path!r}{more}"


def _gave_up(label: str, error: Broken, thing: Thing | None = None) -> Temporary:
    if thing is None:
        return Temporary(
            f"{label} cannot be fetched: {error}", hint="check the URL and the network; run it again"
        )
    what = f"{thing.path!r} of {label}" if thing.path not in label else label
    return Temporary(
        f"{what} cannot be fetched: {error}",
        hint="run it again; what was fetched is kept, and it goes on from there",
    )
