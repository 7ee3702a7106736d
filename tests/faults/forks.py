"""Work in processes of their own, started by fork: what is killed there takes nothing else with it."""

from __future__ import annotations

import json
import os
import select
import signal
import time
import traceback
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from typing import Any

import pkgrun

LIMIT = 60.0
"""Seconds that a case may take."""
_APART = ("pkgrun.cli", "pkgrun.testing", "pkgrun.worker.child", "pkgrun.__main__")
"""What no operation loads here."""


def load() -> None:
    """Load pkgrun, all of it: a child then has nothing to load, and whoever edits it meanwhile changes nothing of the cases."""
    for module in walk_packages(pkgrun.__path__, "pkgrun."):
        if not module.name.startswith(_APART):
            import_module(module.name)


class Child:
    """Some work in a process of its own, started by fork: the parent, which has one thread, has loaded all it needs."""

    def __init__(self, work: Callable[[], Any], place: Path) -> None:
        self.pipe, write = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            _be(work, place, write)
        os.close(write)

    def answer(self) -> Any:
        """What the work returned, None if it was killed.

        Raises:
            AssertionError: it raised, or took too long.
        """
        data, until = b"", time.monotonic() + LIMIT
        while piece := self._piece(until):
            data += piece
        os.close(self.pipe)
        _, status = os.waitpid(self.pid, 0)
        if not data and os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
            return None
        answer = json.loads(data) if data else {"error": f"it ended with {status} and said nothing"}
        if "error" in answer:
            raise AssertionError(answer["error"])
        return answer["value"]

    def _piece(self, until: float) -> bytes:
        if select.select([self.pipe], [], [], max(0.0, until - time.monotonic()))[0]:
            return os.read(self.pipe, 1 << 16)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        raise AssertionError(f"it took longer than {LIMIT:g} s")


def in_child(work: Callable[[], Any], place: Path) -> Any:
    """What `work` returns in a process of its own; None if that was killed."""
    return Child(work, place).answer()


def _be(work: Callable[[], Any], place: Path, write: int) -> None:
    """The child: say what came of it, and end without what the parent would do in its end."""
    try:
        os.environ["PKGRUN_CACHE"] = str(place / "cache")
        os.environ["PKGRUN_STORE"] = str(place / "store")
        os.chdir(place)
        try:
            answer = {"value": work()}
        except BaseException:
            answer = {"error": traceback.format_exc()}
        os.write(write, json.dumps(answer).encode())
    finally:
        os._exit(0)
