"""Whether somebody alive is at something: a lock on a file of the store, which the system takes back however its holder ends.

It excludes nobody, and nothing that must be true rests on it. Where the store is no folder of this machine, or its file system
knows no locks, nobody is seen to be alive. A process that is stopped is.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from pkgrun.store.backend import Backend

_TRIES = 50


@contextmanager
def at_work(backend: Backend, key: str) -> Iterator[None]:
    """Be seen to be alive by a file that is there, for as long as this lasts."""
    descriptor = _opened(backend, key)
    try:
        if descriptor is not None:
            _share(descriptor)
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def seen(backend: Backend, key: str) -> bool:
    """Whether somebody is."""
    descriptor = _opened(backend, key)
    if descriptor is None:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False


def _share(descriptor: int) -> None:
    """Hold the lock, with others. Who only looks has it for a moment; who is stopped just then is not waited for."""
    for _ in range(_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.01)
        except OSError:
            return
        else:
            return


def _opened(backend: Backend, key: str) -> int | None:
    if not backend.capabilities.paths:
        return None
    try:
        return os.open(f"{backend.url}/{key}", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:  # it is gone, or not ours to read: then nothing is seen
        return None
