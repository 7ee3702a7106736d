"""Several processes at once, and processes with less power: for what one process cannot show."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing.synchronize import Barrier
from typing import Any

from pkgrun.errors import PkgrunError

_FORK = multiprocessing.get_context("fork")
NOBODY = 65534
OPEN = 0o755
READ_ONLY = 0o555
WRITABLE = 0o777


def race(count: int, work: Callable[[int, Barrier], Any]) -> list[Any]:
    """What `work` returns in each of `count` processes; it is given its number and a barrier of all."""
    barrier = _FORK.Barrier(count)
    children = [_Child(partial(work, number, barrier)) for number in range(count)]
    # Read first: a child may have more to say than a pipe holds.
    return [child.result() for child in children]


def apart(work: Callable[[], Any]) -> Any:
    """What `work` returns in a process of its own; a PkgrunError comes back as its kind and message."""
    return _Child(work).result()


def powerless(work: Callable[[], Any]) -> Any:
    """Like `apart`, but never as root."""

    def weak() -> Any:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        return work()

    return apart(weak)


class _Child:
    def __init__(self, work: Callable[[], Any]) -> None:
        for other in threading.enumerate():
            if other is not threading.current_thread():
                other.join(10)  # one that an earlier test left to its end
        assert threading.active_count() == 1
        self._out, into = os.pipe()
        self._pid = os.fork()
        if self._pid:
            os.close(into)
            return
        try:
            with open(into, "wb") as pipe:
                pipe.write(pickle.dumps(_answer(work)))
        finally:
            os._exit(0)

    def result(self) -> Any:
        with open(self._out, "rb") as pipe:
            data = pipe.read()
        os.waitpid(self._pid, 0)
        assert data, "the process died"
        good, value = pickle.loads(data)  # noqa: S301 - our own
        if not good:
            raise AssertionError(f"the process raised {value}")
        return value


def _answer(work: Callable[[], Any]) -> tuple[bool, Any]:
    try:
        return True, work()
    except PkgrunError as error:
        return True, (error.kind, error.message)
    except BaseException as error:
        return False, repr(error)


@contextmanager
def open_folder() -> Iterator[str]:
    """A temporary folder that every user may enter and read."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, OPEN)
        yield folder
