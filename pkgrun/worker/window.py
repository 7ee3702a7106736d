"""Looks at what a call is about to be given, while the worker waits: also into an overlay, which only the worker sees.

It owns the view socket and the thread that looks. What is looked for, and what is made of it, is the caller's.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

GO = b"."

Look = Callable[[str, Path | None, Callable[[], bool]], object]
"""Called with the name of the call, where the overlay can be seen as the code sees it, and what tells that nobody waits
for the answer any more."""


class Window:
    """The supervisor's end of the view socket. `failed` is called, from another thread, when a look has raised."""

    def __init__(self, look: Look, *, overlay: bool, failed: Callable[[], object]) -> None:
        self._look, self._overlay, self._failed = look, overlay, failed
        self._over = threading.Event()
        self._ours, self._theirs = socket.socketpair()
        self._folder: int | None = None
        self._threads: list[threading.Thread] = []
        self._looks: dict[str, tuple[float, float | None]] = {}
        self.error: BaseException | None = None

    @property
    def theirs(self) -> int:
        """What the worker gets."""
        return self._theirs.fileno()

    def given(self) -> None:
        """The worker has its end, or never will."""
        self._theirs.close()

    @property
    def seconds(self) -> float:
        """How long it has been looked so far, while the worker had nothing to do."""
        now = time.monotonic()
        return sum((end or now) - begin for begin, end in list(self._looks.values()))

    def look(self, name: str) -> None:
        """Look at what a call is given, once, and let the worker go on; the supervisor hears on meanwhile."""
        if name in self._looks:  # user code can say it too
            return
        self._looks[name] = time.monotonic(), None
        thread = threading.Thread(target=self._work, args=(name,), name=f"pkgrun-look-{name}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _work(self, name: str) -> None:
        try:
            self._look(name, self._overlaid() if self._overlay else None, self._over.is_set)
        except BaseException as error:  # the worker waits on, until it is ended
            if not self._over.is_set():
                self.error = error
                self._failed()
            return
        self._looks[name] = self._looks[name][0], time.monotonic()
        with suppress(OSError):  # it is gone
            self._ours.sendall(GO)

    def _overlaid(self) -> Path:
        """The folder that the worker handed over. Raises: OSError: it did not."""
        if self._folder is None:
            _, folders, _, _ = socket.recv_fds(self._ours, 1, 1)
            if not folders:
                raise OSError("the worker did not show its data folder")
            self._folder = folders[0]
        return Path(f"/proc/self/fd/{self._folder}")

    def close(self) -> None:
        """The run is over: nobody looks any more."""
        self._over.set()
        with suppress(OSError):
            self._ours.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._ours.close()
        if self._folder is not None:
            os.close(self._folder)
