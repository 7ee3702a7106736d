"""How much a run writes, looked at again and again: what no limit of the kernel's tells of a folder.

It owns the looking. It never stops anybody: it asks. A file that was removed and is still open is not seen, nor is what
lies outside the folders; between two looks a run may write more than it should.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

_REST = 0.25  # seconds between looks at least
_SHARE = 10  # the looking takes a tenth of one processor at most
_BLOCK = 512


def held(folders: Sequence[Path]) -> int:
    """Bytes that the files in folders take on the disk, each file once; what cannot be read counts as nothing."""
    seen: set[tuple[int, int]] = set()
    total = 0
    waiting = [os.fspath(folder) for folder in folders]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    status = entry.stat(follow_symlinks=False)
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    elif status.st_nlink > 1:
                        if (status.st_dev, status.st_ino) in seen:
                            continue
                        seen.add((status.st_dev, status.st_ino))
                    total += status.st_blocks * _BLOCK
        except OSError:
            continue  # it is being changed while we look
    return total


class Watch:
    """Looks until the folders hold `limit` bytes more than when it was made."""

    def __init__(self, folders: Sequence[Path], limit: int, exceeded: Callable[[], object]) -> None:
        self._folders, self._exceeded = folders, exceeded
        self._bound = held(folders) + limit
        self._over = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look_on, name="pkgrun-storage", daemon=True)
        self._thread.start()

    def _look_on(self) -> None:
        rest = _REST
        while not self._ended.wait(rest):
            began = time.monotonic()
            if self._look():
                self._exceeded()
                return
            rest = max(_REST, _SHARE * (time.monotonic() - began))

    def _look(self) -> bool:
        if held(self._folders) > self._bound:
            self._over.set()
        return self._over.is_set()

    def finish(self) -> bool:
        """No more looks but a last one; whether there was too much."""
        self._ended.set()
        self._thread.join()
        return self._look()
