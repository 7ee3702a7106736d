"""The store's clock: what is old there is told by it, never by the clock of whoever looks, which may be wrong."""

from __future__ import annotations

import time

from pkgrun.store.backend import Backend

KEY = "gc/clock.json"


def now(backend: Backend) -> float:
    """Seconds since the epoch, as `Stat.modified` of a key that is written now.

    Raises:
        PermissionDenied, Temporary: it cannot be written.
    """
    backend.write(KEY, b"{}")
    found = backend.stat(KEY)
    return found.modified if found is not None else time.time()
