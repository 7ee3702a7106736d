"""Hashes a dataset while the code runs on it, and says afterwards whether that is what the code was given.

The code starts at once; the look at the files, and the hashing of those that are not known, go on beside it. It is
attested if nothing changed from before the code could read until after it ended. Why that holds although the first
look comes after the start is said in `schemas/README.md`, "Attestation".
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pkgrun.datasets import snapshot, sources
from pkgrun.datasets.mountpoints import on_this_machine
from pkgrun.datasets.sources import Source
from pkgrun.datasets.stat_cache import for_dataset
from pkgrun.datasets.written import between
from pkgrun.errors import Bug, NotFound
from pkgrun.store.files import shown
from pkgrun.store.intake import Ingested, Progress
from pkgrun.store.scan import Listing
from pkgrun.store.sinks import Sink

_CLOCK = 5 if sys.platform == "linux" else time.CLOCK_REALTIME
"""The clock that files are stamped with: CLOCK_REALTIME_COARSE (linux/time.h), for which Python has no name. Any other
is ahead of it, and what was changed within its tick, some milliseconds, would seem to be older than the start."""

_SET = 20_000_000
"""Nanoseconds by which two clocks may have drifted apart before one was set."""


@dataclass(frozen=True, slots=True)
class Testimony:
    """What the code was given. `changed`: files that changed meanwhile; `doubt`: another reason not to attest."""

    content: Ingested
    changed: tuple[str, ...]
    doubt: str | None = None

    @property
    def attested(self) -> bool:
        """Whether the digest is surely of what the code was given."""
        return not self.changed and self.doubt is None


class Witness:
    """Looks at one dataset from `start` to `finish`."""

    def __init__(
        self,
        source: Source,
        sink: Sink,
        cache: str | None,
        *,
        seen: Listing | None,
        failed: Callable[[], object],
        progress: Progress = lambda size: None,
    ) -> None:
        """Args:
        sink: where a snapshot goes, or only the hash.
        cache: the folder of the stat cache.
        seen: how the source looked when it was cloned; else it is looked at now, or beside the code.
        failed: called, from another thread, once the dataset proves to be none that can be kept.
        """
        self._source, self._sink, self._cache = source, sink, for_dataset(cache, source.path)
        self._seen, self._failed, self._progress = seen, failed, progress
        self._content: Ingested | None = None
        self._failure: BaseException | None = None
        self._since: int | None = None
        self._clocks = _clocks()
        self._doubt: str | None = None
        self._thread = threading.Thread(target=self._work, name="pkgrun-witness", daemon=True)

    def start(self) -> None:
        """Before the code starts.

        Raises:
            DataInvalid, NotFound, PermissionDenied, Temporary: a dataset that had to be looked at first cannot be kept.
        """
        if self._seen is None and not on_this_machine(self._source.path):
            self._seen = sources.listing(self._source)  # another machine's clock stamps its files
        if self._seen is None:
            self._since = _next_tick()
        self._clocks = _clocks()
        self._thread.start()

    def _work(self) -> None:
        try:
            if self._seen is None:
                self._seen = sources.listing(self._source)
                if _apart(self._clocks, _clocks()):
                    self._doubt = "the clock was set while the dataset was looked at"
            self._content = snapshot.take(self._seen, self._sink, self._cache, progress=self._progress)
        except BaseException as error:
            self._failure = error
            self._failed()
        finally:
            self._cache.close()

    def finish(self) -> Testimony:
        """After the code has ended: wait for the digest, and look again.

        Raises:
            DataInvalid, NotFound, PermissionDenied, Temporary: the dataset cannot be kept or read; it is named.
        """
        self._thread.join()
        if self._failure is not None:
            raise self._failure
        if self._seen is None or self._content is None:
            raise Bug("the witness has seen nothing")
        changed = {*self._content.unstable, *_late(self._seen, self._since)}
        try:
            now = sources.listing(self._source, lenient=True)
        except NotFound as error:
            return Testimony(self._content, tuple(sorted(changed)), error.message)
        meanwhile = between(self._seen, now)
        changed.update(meanwhile.added, meanwhile.changed, meanwhile.removed)
        touched = {*_touched_late(self._seen, self._since), *_touched(self._seen, now)}
        return Testimony(self._content, tuple(sorted(changed)), self._doubt or _unexplained(touched, changed))


def _late(seen: Listing, since: int | None) -> list[str]:
    """The files that changed after the code had started and before they were looked at."""
    if since is None:
        return []
    return [
        folder.below(name)
        for folder in seen.content
        for name, at in zip(folder.names, folder.changed(), strict=True)
        if at >= since
    ]


def _touched_late(seen: Listing, since: int | None) -> list[str]:
    """The folders that were, likewise."""
    return [folder.path for folder in seen.content if since is not None and folder.touched >= since]


def _touched(before: Listing, after: Listing) -> list[str]:
    """Folders whose times are no longer what they were."""
    was = {folder.path: folder.touched for folder in before.content}
    return [folder.path for folder in after.content if was.get(folder.path, folder.touched) != folder.touched]


def _unexplained(touched: set[str], changed: set[str]) -> str | None:
    """A doubt about folders that no changed file tells of: something may have been made there and removed again."""
    known = {above for path in changed for above in _above(path)}
    left = sorted(touched - known)
    if not left:
        return None
    more = f" and {len(left) - 1:,} more" if len(left) > 1 else ""
    return (
        f"the folder {shown(left[0] or '.')}{more} was touched meanwhile: "
        "its times or mode were set, or something came and went"
    )


def _above(path: str) -> Iterator[str]:
    """The folders that a path is in."""
    while path:
        path = path.rstrip("/").rpartition("/")[0]
        yield path


def _next_tick() -> int:
    """A moment later than every stamp that a file has so far, and not later than any that it gets from now on.

    A stamp is of the last tick, or, where a file was looked at since its last change, of the exact time (Linux 6.13).
    """
    now = time.time_ns()
    while (tick := time.clock_gettime_ns(_CLOCK)) <= now:
        time.sleep(0.0005)
        now = min(now, time.time_ns())  # it may have been set back
    return tick


def _clocks() -> tuple[int, int]:
    return time.time_ns(), time.monotonic_ns()


def _apart(before: tuple[int, int], after: tuple[int, int]) -> bool:
    return abs((after[0] - before[0]) - (after[1] - before[1])) > _SET
