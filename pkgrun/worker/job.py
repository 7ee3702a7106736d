"""What is run, as the caller puts it: the calls on the package's class, the job around them, and the wish to stop.

It owns no process; `supervisor.py` runs it.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pkgrun.worker.exchange import Exchange
from pkgrun.worker.limits import Confines
from pkgrun.worker.namespaces import Overlay
from pkgrun.worker.secrets import Masker

if TYPE_CHECKING:
    from pkgrun.worker.window import Look

LOG_LIMIT = 64 * 1024 * 1024


def _nothing_to_see(name: str, overlay: Path | None, over: Callable[[], bool]) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Call:
    """A method of the package's class, and its arguments.

    `label` tells two calls of one method apart; without it the method's name does. A run goes on when a `tolerant` call
    raises. What a call is given can be `looked_at` before it is made. By an `exchange` its argument comes in files, and
    so does the text that it returns.
    """

    method: str
    arguments: tuple[str, ...] = ()
    label: str = ""
    tolerant: bool = False
    looked_at: bool = False
    exchange: Exchange | None = None

    @property
    def name(self) -> str:
        """What the call is known by."""
        return self.label or self.method


@dataclass(frozen=True, slots=True)
class Job:
    """What to run.

    `env` is the child's whole environment. `timeout` in seconds from the start, less what looks take; None: no
    deadline. `grace` is how many seconds the worker has between SIGTERM and SIGKILL, and to end after its code has
    raised. `log_limit` in bytes, for each of stdout and stderr. `overlay` is what the code sees at its target, and
    only there; it can write neither to the overlay's lower folder nor to those in `readonly`, so nothing it needs to
    write may lie in them. `confines` is what holds it otherwise. `look` is called, in a thread, while the worker
    waits before a call that is to be looked at; what it raises ends the run.
    """

    python: Path
    workdir: Path
    env: Mapping[str, str] = field(repr=False)
    calls: tuple[Call, ...]
    module: str = "train"
    timeout: float | None = None
    grace: float = 10.0
    mask: Masker = field(default_factory=Masker, repr=False)
    log_limit: int = LOG_LIMIT
    overlay: Overlay | None = None
    readonly: tuple[Path, ...] = ()
    confines: Confines = field(default_factory=Confines)
    look: Look = _nothing_to_see


class Stop:
    """A wish to stop, which a run sees at once. From any thread or signal handler, for any number of runs."""

    def __init__(self) -> None:
        self._reasons: list[str] = []  # not a lock: a signal handler would wait for itself
        self._read, self._write = os.pipe()
        weakref.finalize(self, _close, self._read, self._write)

    def request(self, reason: str = "killed") -> None:
        """Asks for it. The first reason stays."""
        self._reasons.append(reason)
        if len(self._reasons) == 1:
            os.write(self._write, b".")

    @property
    def reason(self) -> str | None:
        """Why, or None as long as nobody asked."""
        return self._reasons[0] if self._reasons else None

    def fileno(self) -> int:
        """Readable from the first request on."""
        return self._read


def _close(*descriptors: int) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
