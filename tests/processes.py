"""Several processes at once, and processes with less power: for what one process cannot show."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing.synchronize import Barrier
from pathlib import Path
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
        others = [thread for thread in threading.enumerate() if thread is not threading.current_thread()]
        for other in others:
            other.join(10)  # one that an earlier test left to its end
        assert not [thread for thread in others if thread.is_alive()], (
            "a process with threads cannot be forked"
        )
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


def hands_running() -> list[int]:
    """The processes of `store/hands.py` that this process has."""
    found = []
    for children in Path("/proc/self/task").glob("*/children"):
        with suppress(OSError):  # a thread that has ended
            found += [int(pid) for pid in children.read_text().split()]
    return [pid for pid in found if _is_hand(pid)]


def _is_hand(pid: int) -> bool:
    try:
        return b"hand.py" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def kill_hands() -> None:
    """All of them."""
    for pid in hands_running():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
