"""Waiting for a server that does not answer: how long, who is told, and what ends it. It sends nothing itself.

One `Patience` is one operation's, and all of its threads': what counts is how long the server has been away, not how often
it was asked.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol, runtime_checkable

from pkgrun.observe import Notice, Observer
from pkgrun.store.backend import Backend

LIMIT = 300.0
"""Seconds that an operation waits for a server that is away: longer than a restart or a failover takes."""

_PAUSE = 2.0
_EVERY = 30.0
"""Seconds between two notices."""


class Patience:
    """How an operation waits for the server of its store."""

    def __init__(
        self,
        url: str,
        observer: Observer,
        *,
        over: Callable[[], bool] = lambda: False,
        limit: float = LIMIT,
        pause: float = _PAUSE,
    ) -> None:
        """Nothing is waited for yet.

        Args:
            url: the store's, for people.
            observer: told that it waits, and that it need not any more.
            over: whether nobody wants to wait any longer.
            limit: seconds without an answer after which it is given up.
            pause: seconds between two requests.
        """
        self.limit = limit
        self._url, self._observer, self._over, self._pause = url, observer, over, pause
        self._lock = threading.Lock()
        self._since: float | None = None
        self._told: float | None = None
        self._ended = threading.Event()
        self.spent = False
        """It was given up, and no request has been answered since: nobody should try for long."""

    def end(self) -> None:
        """Nobody wants to wait any longer."""
        self._ended.set()

    def wait(self) -> bool:
        """After a request without an answer: wait a little. False: it is given up, the error is to be told."""
        now = time.monotonic()
        with self._lock:
            self._since = now if self._since is None else self._since
            away = now - self._since
            self.spent = self.spent or away >= self.limit or self._unwanted()
            if self.spent:
                return False
            tell = self._told is None or now - self._told >= _EVERY
            self._told = now if tell else self._told
        if tell:
            so_far = f"{away:.0f} s so far" if away else f"for {self.limit:.0f} s at most"
            self._observer(Notice(f"the store at {self._url} does not answer; waiting, {so_far}"))
        self._ended.wait(min(self._pause, self.limit - away))
        return not self._unwanted()

    def _unwanted(self) -> bool:
        return self._ended.is_set() or self._over()

    def answered(self) -> None:
        """A request was answered: the server is there."""
        if self._since is None:
            return
        with self._lock:
            since, told = self._since, self._told
            self._since = self._told = None
            self.spent = False
        if since is not None and told is not None:
            away = time.monotonic() - since
            self._observer(Notice(f"the store at {self._url} answers again, after {away:.0f} s"))


@runtime_checkable
class Distant(Protocol):
    """A backend whose server may be away for a while."""

    def waiting(self, patience: Patience) -> Backend:
        """The same place, for an operation that waits."""
