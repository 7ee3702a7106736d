"""Hashes a dataset while the code runs on it, and says afterwards whether that is what the code was given.

The code starts at once; the look at the files, and the hashing of those that are not known, go on beside it. It is
attested if nothing changed from before the code could read until after it ended. Why that holds although the first
look comes after the start is said in `schemas/README.md`, "Attestation".
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from pkgrun.datasets import snapshot, sources
from pkgrun.datasets.mountpoints import on_this_machine
from pkgrun.datasets.sources import Source
from pkgrun.datasets.stat_cache import for_dataset
from pkgrun.datasets.written import between
from pkgrun.errors import Bug, NotFound
from pkgrun.store.intake import Ingested, Progress
from pkgrun.store.objects import Sink
from pkgrun.store.scan import Listing

_CLOCK = getattr(time, "CLOCK_REALTIME_COARSE", time.CLOCK_REALTIME)
"""The clock that Linux stamps files with."""

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
        changed = set(self._content.unstable)
        changed.update(_late(self._seen, self._since))
        try:
            now = sources.listing(self._source, lenient=True)
        except NotFound as error:
            return Testimony(self._content, tuple(sorted(changed)), error.message)
        meanwhile = between(self._seen, now)
        changed.update(meanwhile.added, meanwhile.changed, meanwhile.removed, _touched(self._seen, now))
        return Testimony(self._content, tuple(sorted(changed)), self._doubt)


def _touched(before: Listing, after: Listing) -> list[str]:
    """Folders in which something was made and removed again, too."""
    was = {folder.path: folder.touched for folder in before.content}
    return [
        folder.path + "/"
        for folder in after.content
        if was.get(folder.path, folder.touched) != folder.touched
    ]


def _late(seen: Listing, since: int | None) -> list[str]:
    """What changed after the code had started and before it was looked at."""
    if since is None:
        return []
    late = [
        folder.below(name)
        for folder in seen.content
        for name, at in zip(folder.names, folder.changed(), strict=True)
        if at >= since
    ]
    return late + [folder.path + "/" for folder in seen.content if folder.touched >= since]


def _next_tick() -> int:
    """A moment later than every stamp that a file has so far: the clock stands still for some milliseconds."""
    now = time.clock_gettime_ns(_CLOCK)
    while (tick := time.clock_gettime_ns(_CLOCK)) == now:
        time.sleep(0.0005)
    return tick


def _clocks() -> tuple[int, int]:
    return time.time_ns(), time.monotonic_ns()


def _apart(before: tuple[int, int], after: tuple[int, int]) -> bool:
    return abs((after[0] - before[0]) - (after[1] - before[1])) > _SET
