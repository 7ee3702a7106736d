"""Signs of life of an operation, its ear for kill requests, and the publishing of what happens meanwhile."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from pkgrun.errors import Killed, PkgrunError, RunLost
from pkgrun.observe import Event, Phase
from pkgrun.records import Intent, Status
from pkgrun.runs.here import sign_of_life
from pkgrun.runs.journal import Journal
from pkgrun.store.backend import Backend
from pkgrun.store.operations import decided_already, key

TICK = 1.0
"""Seconds between looks at the kill request and between segments of the log."""

BEAT = 10.0
"""Seconds between heartbeats while nothing changes."""

REST = 0.1
"""Seconds between heartbeats at least, for phases of our own: each is a write that others at the disk wait for."""

KILL = "kill.json"
OUTCOME = "outcome.json"

_STATUS: dict[str, Status] = {"stage": "packaging", "mount": "packaging", "environment": "packaging"}
_NOUNS = {"dataset": "registration"}
_OURS = frozenset({*_STATUS, "start", "attest", "collect", "commit"})


class Heart:
    """Tells the store how an operation stands. What it writes may be lost; nothing depends on it."""

    def __init__(
        self,
        backend: Backend,
        run: str,
        kill: Callable[[], object],
        *,
        journal: Journal | None = None,
        told: str = "",
        every: float = BEAT,
    ) -> None:
        """Nothing is written yet.

        Args:
            backend: one that does not wait for its server.
            kill: called, maybe again and again, once the operation shall end.
            journal: published bit by bit, if there is one.
            told: the phase that the intent has told; without it the first beat comes at once.
            every: seconds between heartbeats while nothing changes.
        """
        self._backend, self._run, self._journal, self._kill = backend, run, journal, kill
        self._phase, self._beaten, self._told = told or "stage", time.monotonic() if told else 0.0, told
        self._published, self._segments = 0, 0
        self._every = every
        self._wake, self._ended = threading.Event(), False

    def observe(self, event: Event) -> None:
        """Tell that a phase has begun: what a killed run was doing is known from nowhere else."""
        if isinstance(event, Phase):
            self._phase = event.name
            self._wake.set()

    def beat(self) -> None:
        """Write the heartbeat."""
        self._beaten, phase = time.monotonic(), self._phase
        beat = sign_of_life(self._run, _STATUS.get(phase, "running"), phase)
        self._backend.write(key(self._run, "heartbeat.json"), beat.to_bytes())
        self._told = phase

    def _tick(self) -> None:
        if self._phase != self._told or time.monotonic() - self._beaten >= self._every:
            self.beat()
        if _abandoned():
            self._kill()
        wanted = (key(self._run, name) for name in (KILL, OUTCOME))
        if any(self._backend.stat(name) is not None for name in wanted):
            self._kill()  # also when somebody has given it up: whatever it does would be in vain
        if self._journal is not None:
            self._publish(self._journal)

    def _publish(self, journal: Journal) -> None:
        while self._published < journal.size:
            data = journal.read(self._published)
            self._backend.write(key(self._run, f"events/{self._segments:08}.jsonl"), data)
            self._published += len(data)
            self._segments += 1

    def _rest(self) -> float:
        """Seconds after a beat before a new phase is told: at once of the package's code, which may be what kills us."""
        if not self._backend.capabilities.paths:
            return TICK  # where each word is a request, one a second will do
        return REST if self._phase in _OURS else 0.0

    def go_on(self) -> None:
        """Beat until `stop`; a store that does not answer is tried again at the next tick."""
        look = time.monotonic() + TICK
        while not self._ended:
            now, failed = time.monotonic(), True
            with suppress(PkgrunError):
                if now >= look:
                    self._tick()
                elif self._phase != self._told and now - self._beaten >= self._rest():
                    self.beat()
                failed = False
            if now >= look:
                look = time.monotonic() + TICK
            told = failed or self._phase == self._told
            due = look if told else min(look, self._beaten + self._rest())
            self._wake.wait(max(0.0, due - time.monotonic()))
            self._wake.clear()

    def stop(self) -> None:
        """The last beat was the last."""
        self._ended = True
        self._wake.set()


def _abandoned() -> bool:
    """Whether the program that started the run has ended by an exception, and only waits for its threads."""
    return not threading.main_thread().is_alive() and getattr(sys, "last_value", None) is not None


@contextmanager
def beating(backend: Backend, run: str, journal: Journal, kill: Callable[[], object]) -> Iterator[Heart]:
    """Signs of life of a run from a thread of its own, never from the package's code."""
    # The intent has told who works on it: the run need not wait for the first beat.
    with _alive(Heart(backend, run, kill, journal=journal)) as heart:
        yield heart


@contextmanager
def working(backend: Backend, intent: Intent, *, every: float = BEAT) -> Iterator[Callable[[], None]]:
    """Signs of life of an operation that runs no package's code; the first comes only when it takes long.

    Yields what the operation has to call between its steps, from any thread. It raises `Killed` once somebody wants the
    operation to stop, and `RunLost` once somebody has given it up.
    """
    asked, what = threading.Event(), _NOUNS.get(intent.kind, intent.kind)

    def check() -> None:
        if not asked.is_set():
            return
        if decided_already(backend, intent.run):
            raise RunLost(
                f"somebody gave the {what} up while it was going on", hint="do it again", run_id=intent.run
            )
        raise Killed(f"somebody stopped the {what}", run_id=intent.run)

    with _alive(Heart(backend, intent.run, asked.set, told=intent.kind, every=every)):
        yield check


@contextmanager
def _alive(heart: Heart) -> Iterator[Heart]:
    thread = threading.Thread(target=heart.go_on, name="pkgrun-heart", daemon=True)
    thread.start()
    try:
        yield heart
    finally:
        heart.stop()
        thread.join()
