"""Waits until a sentence is gone that is being carried out, and brings it to its end where nobody else does.

Who is alive and deletes is waited for, however long that takes: to delete beside him, and then to write anew what he was just
about to delete, would rest on looking and deleting being one step. Where it is not settled yet what goes, nothing has gone, and
the sentence is not judged, but pardoned: that needs no look at all records, and harms nobody who is judging it.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from pkgrun.errors import PermissionDenied, Temporary
from pkgrun.records.collecting import Doomed
from pkgrun.store import alive, sentences
from pkgrun.store.backend import Backend
from pkgrun.store.sentences import SWEEPING

_POLL = 0.2


class Waits(NamedTuple):
    """Seconds in which nothing goes, before something is done about it.

    Args:
        dead: nobody alive is seen at it, on a file system, where what somebody began ends with him.
        unsettled: it is not settled yet what goes. Then nothing was deleted, and all may stay.
        remote: what was sent to a server may be tried again for minutes (`patience`), and take effect after that.
        most: somebody alive is at it, or we may not delete.
    """

    dead: float = 2.0
    unsettled: float = 30.0
    remote: float = sentences.LATE
    most: float = 360.0


def wait(
    backend: Backend,
    sentence: str,
    *,
    waits: Waits,
    pause: Callable[[float], None],
    check: Callable[[], object],
) -> None:
    """Until nobody deletes what a sentence names any more.

    Args:
        pause: called between two looks.
        check: likewise; raises if nobody wants to wait any longer.

    Raises:
        Damaged: what belongs to the sentence cannot be read.
        Temporary: whoever deletes is alive, and deletes nothing.
    """
    watch = _Watch(backend, sentence, waits)
    while _at_it(backend, sentence):
        check()
        if not watch.helps():
            pause(_POLL)


def _at_it(backend: Backend, sentence: str) -> bool:
    stats = (backend.stat(sentences.key(sentence, folder)) for folder in (SWEEPING, sentences.FOLDER))
    return all(stat is not None for stat in stats)


@dataclass(slots=True)
class _Watch:
    """What is seen of one that is being carried out: how much is gone, and since when that is so."""

    backend: Backend
    sentence: str
    waits: Waits
    _doomed: Sequence[Doomed] | None = None
    _gone: int = -1
    _since: float = field(default_factory=time.monotonic)
    _may_help: bool = True

    def helps(self) -> bool:
        """Look how far it is, and do what nobody else does; whether anything was done."""
        if self._goes_on():
            return False
        still = time.monotonic() - self._since
        if self._may_help and self._nobody(still):
            return self._help()
        if still >= self.waits.most:
            raise Temporary(
                f"a collection is deleting from {self.backend.url}, and has not come to its end",
                hint="`pkgrun store gc --yes` ends one that was broken off; one that was stopped must go on, or be ended; "
                "then run this again",
            )
        return False

    def _goes_on(self) -> bool:
        """Whether more is gone than there was at the last look."""
        if self._doomed is None and (found := sentences.read(self.backend, self.sentence)) is not None:
            self._doomed = sentences.doomed(self.backend, found)
        gone = -1
        if self._doomed is not None:  # they go one after the other
            gone = bisect_left(self._doomed, 1, key=lambda one: self.backend.stat(one.key) is not None)
        changed, self._gone = gone != self._gone, gone
        if changed:
            self._since = time.monotonic()
        return changed

    def _nobody(self, still: float) -> bool:
        """Whether nobody is at it any more, or nothing is lost if somebody is."""
        if self._doomed is None and still >= self.waits.unsettled:
            return True
        if not self.backend.capabilities.paths:
            return self._doomed is not None and still >= self.waits.remote
        key = sentences.key(self.sentence, SWEEPING)
        return still >= self.waits.dead and not alive.seen(self.backend, key)

    def _help(self) -> bool:
        try:
            if self._doomed is None:
                sentences.pardon(self.backend, self.sentence)
            with alive.at_work(self.backend, sentences.key(self.sentence, SWEEPING)):
                sentences.carry_out(self.backend, self.sentence)
        except PermissionDenied:  # whoever may write need not be allowed to delete
            self._may_help = False
            return False
        return True
