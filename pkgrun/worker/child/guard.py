"""The guard: it waits for the worker, and when that ends, or when the supervisor goes, nothing of the run is left.

It owns the process tree of a run, also what daemonised itself, since orphans of the tree become its children
where the system allows that. It runs no user code and reads nothing that user code wrote.
"""

from __future__ import annotations

import os
import resource
import select
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from collections.abc import Iterator

    from pkgrun.worker.child import oom, protocol
else:
    import oom
    import protocol

    try:
        import _signal as signal  # the public module draws in enum: 4 ms
    except ImportError:
        import signal

SAMPLE_SECONDS = 0.5
LINGER_SECONDS = 0.25  # for helpers that end by themselves when the worker is gone, and tidy up in doing so
KILL_SECONDS = 10.0
PAGE = resource.getpagesize()


def keep(control: int, worker: int, adopts: bool, groups: tuple[str, ...] = ()) -> int:
    """Returns when the worker and everything it started is dead, and that is reported; the worker's wait status.

    `groups` are control groups that were made for the run, and end with it: paths, spelt as latin-1.
    """
    guard = _Guard(control, worker, adopts, list(groups))
    guard.run()
    return guard.status or 0


def children(pid: int) -> list[int]:
    """Of any of its threads; none where the process, or /proc, does not exist."""
    found: list[int] = []
    try:
        for task in os.listdir("/proc/%d/task" % pid):
            with open("/proc/%d/task/%s/children" % (pid, task)) as file:
                found.extend(map(int, file.read().split()))
    except OSError:
        pass
    return found


def descendants(pid: int) -> Iterator[int]:
    """Every process below `pid`, parents first."""
    waiting = children(pid)
    while waiting:
        current = waiting.pop()
        yield current
        waiting.extend(children(current))


def resident(pid: int) -> int:
    """Bytes of its resident set, pages shared with others included; 0 where that is not known."""
    try:
        with open("/proc/%d/statm" % pid) as file:
            return int(file.read().split()[1]) * PAGE
    except (OSError, IndexError, ValueError):
        return 0


def _signal_one(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except OSError:
        return  # it has ended, or has become somebody else


class _Guard:
    def __init__(self, control: int, worker: int, adopts: bool, groups: list[str]) -> None:
        self.control = control
        self.worker = worker
        self.adopts = adopts
        self.status: int | None = None
        self.alone = False
        self.abandoned = False
        self.peak = 0
        self.parent = os.getppid()
        self.groups = groups
        self.memory = oom.Witness(groups)
        self.next_sample = time.monotonic() + SAMPLE_SECONDS
        self.wake, waker = os.pipe()
        os.set_blocking(self.wake, False)
        os.set_blocking(waker, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)

    def run(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        protocol.send(self.control, {"event": "started", "pid": self.worker})
        self._reap()
        while self.status is None and not self.abandoned:
            self._listen(SAMPLE_SECONDS)
            self._sample()
            self._reap()
        self._linger()
        self._kill()
        self._report()
        self._disband()

    def _listen(self, seconds: float) -> None:
        """Waits for an order, a death below, or `seconds`."""
        watched = [self.wake] if self.abandoned else [self.wake, self.control]
        ready = select.select(watched, [], [], max(0.0, seconds))[0]
        if self.wake in ready:
            os.read(self.wake, 4096)
        if self.control in ready:
            try:
                order = os.read(self.control, 4096)
            except OSError:
                order = b""
            self.abandoned = not order
            if order:
                self._terminate()

    def _terminate(self) -> None:
        for number in (signal.SIGTERM, signal.SIGCONT):  # a stopped process would not see it
            self._signal_group(number)

    def _signal_group(self, number: int) -> None:
        try:
            os.killpg(self.worker, number)
        except OSError:
            if self.status is None:
                _signal_one(self.worker, number)  # it has not made its group yet

    def _reap(self) -> None:
        """Collects who has died; `alone` when no child is left."""
        while not self.alone:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                self.alone = True
                return
            if pid == 0:
                return
            if pid == self.worker:
                self.status = status

    def _sample(self) -> None:
        now = time.monotonic()
        if now < self.next_sample:
            return
        self.next_sample = now + SAMPLE_SECONDS
        self.peak = max(self.peak, sum(map(resident, descendants(os.getpid()))))
        if os.getppid() != self.parent:  # somebody else may hold the other end of the control socket
            self.abandoned = True

    def _linger(self) -> None:
        end = time.monotonic() + LINGER_SECONDS
        while not self.alone and not self.abandoned and time.monotonic() < end:
            self._listen(end - time.monotonic())
            self._reap()

    def _kill(self) -> None:
        """Again and again, since what is killed may just have forked."""
        if not self.adopts or not sys.platform.startswith("linux"):
            self._signal_group(signal.SIGKILL)
        end = time.monotonic() + KILL_SECONDS
        self.abandoned = True
        while not self.alone and time.monotonic() < end:
            targets = list(descendants(os.getpid()))
            if not targets:
                self._signal_group(signal.SIGKILL)
            for pid in targets:
                _signal_one(pid, signal.SIGKILL)
            self._listen(0.02)
            self._reap()

    def _report(self) -> None:
        status = self.status
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        unit = 1 if sys.platform == "darwin" else 1024
        signalled = status is not None and os.WIFSIGNALED(status)
        exited = status is not None and os.WIFEXITED(status)
        protocol.send(
            self.control,
            {
                "event": "exit",
                "code": os.WEXITSTATUS(status or 0) if exited else None,
                "signal": os.WTERMSIG(status or 0) if signalled else None,
                "cpu_seconds": usage.ru_utime + usage.ru_stime,
                "peak_memory_bytes": max(self.peak, usage.ru_maxrss * unit),
                "out_of_memory": self.memory.cause(
                    self.worker, killed=signalled and os.WTERMSIG(status or 0) == signal.SIGKILL
                ),
                "survivors": not self.alone,
            },
        )

    def _disband(self) -> None:
        """Remove the run's groups; of a run whose supervisor was killed nobody else would."""
        for group in self.groups:
            try:
                os.rmdir(group.encode("latin-1"))
            except OSError:
                continue  # somebody is in it still, or the supervisor was faster
