"""One run of a package's code in a process of its own: started, heard, stopped, and its end turned into a value.

It owns the pipes, the deadline and the decision how a run ended. It never imports user code, never unpickles, and
raises only when no run came about; whatever the package does is an `Exit`.

The process it starts is a guard that forks the worker, so the embedding process needs no special powers, and when
that dies, by SIGKILL too, the guard sees its end of the control socket close and leaves nothing behind.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pkgrun.errors import EnvironmentFailed, PermissionDenied, PkgrunError, Temporary
from pkgrun.observe import Notice, Observer, Phase, silent
from pkgrun.worker import remains
from pkgrun.worker.child import protocol
from pkgrun.worker.ending import Asked, Cause, Exit, Reason, Usage, ended
from pkgrun.worker.job import Call, Job, Stop
from pkgrun.worker.log import Reader
from pkgrun.worker.messages import (
    Ended,
    Exited,
    Failure,
    Look,
    Message,
    Messages,
    PhaseBegan,
    Refused,
    Returned,
    Started,
    Tolerated,
)
from pkgrun.worker.namespaces import spelt

if TYPE_CHECKING:
    from pkgrun.worker.storage import Watch
    from pkgrun.worker.window import Window

__all__ = ["Call", "Exit", "Failure", "Job", "Reason", "Stop", "Usage", "run"]

CHILD = Path(__file__).parent / "child" / "__main__.py"
BELT_SECONDS = 12.0  # more than the guard takes to give up on what it cannot kill
JOIN_SECONDS = 5.0
TERMINATE = protocol.encode({"event": "terminate"})
_BUSY = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE})


def run(
    job: Job,
    *,
    observer: Observer = silent,
    stop: Stop | None = None,
    meanwhile: Callable[[], object] = lambda: None,
) -> Exit:
    """Makes the calls and waits for their end; nothing of the run is alive afterwards.

    `meanwhile` is done while the job's Python starts, which takes 10 ms; it should take no longer.

    Raises EnvironmentFailed when the job's Python does not start, Temporary when the machine has no room for
    processes or files, or refuses the mounts that the job asks for, PermissionDenied when it refuses a limit or to be
    without the network, and whatever the observer raises.
    """
    attempt = _Attempt(job, observer, stop)
    try:
        meanwhile()
        attempt.follow()
    finally:
        attempt.clean_up()
    return attempt.verdict()


class _Attempt:
    """A run under way: its pipes, what was heard, and what was asked of it."""

    def __init__(self, job: Job, observer: Observer, stop: Stop | None) -> None:
        self._job = job
        self._observer = observer
        self._stop = stop
        self._heard = Messages()
        self._answers = Messages()
        self._phases = ["init", *(call.name for call in job.calls)]
        self._phase: str | None = None
        self._refused: Refused | None = None
        self._failure: Failure | None = None
        self._returned: Returned | None = None
        self._tolerated: dict[str, Failure] = {}
        self._window: Window | None = None
        self._blind: Stop | None = None
        self._ended = False
        self._started: Started | None = None
        self._exited: Exited | None = None
        self._asked: Asked | None = None
        self._overfull = False
        self._full: Stop | None = None
        self._watch: Watch | None = None
        self._begin = time.monotonic()
        self._deadline = None if job.timeout is None else self._begin + job.timeout
        self._kill_at: float | None = None
        self._belt_at: float | None = None
        self._readers: tuple[Reader, ...] = ()
        self._start()

    def _start(self) -> None:
        confines = self._job.confines
        if confines.limits.storage is not None:
            from pkgrun.worker.storage import Watch

            self._full = Stop()
            self._watch = Watch(confines.folders, confines.limits.storage, self._full.request)
        self._control, theirs = socket.socketpair()
        self._events, events = os.pipe()
        os.set_blocking(self._events, False)
        given = [theirs.fileno(), events]
        if any(call.looked_at for call in self._job.calls):
            from pkgrun.worker.window import Window

            self._blind = Stop()
            self._window = Window(
                self._job.look, overlay=self._job.overlay is not None, failed=self._blind.request
            )
            given.append(self._window.theirs)
        try:
            self._process = _started(self._job, *given)
        except BaseException:
            self._control.close()
            os.close(self._events)
            if self._window is not None:
                self._window.close()
            if self._watch is not None:
                self._watch.finish()
            raise
        finally:
            theirs.close()
            os.close(events)
            if self._window is not None:
                self._window.given()
        self._send(protocol.encode(self._init()))
        assert self._process.stdout is not None  # noqa: S101  # for the type checker
        assert self._process.stderr is not None  # noqa: S101
        self._pipes = (self._process.stdout, self._process.stderr)
        self._readers = (
            self._reader(self._pipes[0].fileno(), "out"),
            self._reader(self._pipes[1].fileno(), "err"),
        )

    def _init(self) -> dict[str, object]:
        calls = [
            {
                "method": call.method,
                "arguments": call.arguments,
                "label": call.name,
                "tolerant": call.tolerant,
                "looked_at": call.looked_at,
                "exchange": call.exchange and call.exchange.spelt(),
            }
            for call in self._job.calls
        ]
        return {
            "event": "init",
            "version": protocol.VERSION,
            "workdir": str(self._job.workdir),
            "module": self._job.module,
            "class": "Main",
            "calls": calls,
            "overlay": self._job.overlay and self._job.overlay.spelt(),
            "readonly": [spelt(path) for path in self._job.readonly],
            "network": self._job.confines.network,
            "limits": self._job.confines.spelt(),
        }

    def _reader(self, descriptor: int, stream: Literal["out", "err"]) -> Reader:
        tell: Observer = self._observer
        return Reader(descriptor, stream, mask=self._job.mask, tell=tell, limit=self._job.log_limit)

    def _send(self, data: bytes) -> None:
        try:
            self._control.sendall(data)
        except OSError:
            return  # the guard is gone, which the next read tells

    # ------------------------------------------------------------------ while it runs

    def follow(self) -> None:
        """Until the guard is gone."""
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(self._events, select.POLLIN)
        wishes: list[tuple[Stop | None, Asked]] = [
            (self._stop, "killed"),
            (self._blind, "killed"),
            (self._full, "storage-exceeded"),
        ]
        heard = [(wish, why) for wish, why in wishes if wish is not None]
        for wish, _ in heard:
            poll.register(wish, select.POLLIN)
        while True:
            ready = {descriptor for descriptor, _ in poll.poll(self._patience())}
            if self._events in ready and not self._hear():
                poll.unregister(self._events)
            if self._control.fileno() in ready and not self._answer():
                break
            for wish, why in heard:
                if wish.fileno() in ready:
                    poll.unregister(wish)
                    self._ask(why)
            if not self._press():
                break
        self._hear()

    def _patience(self) -> float | None:
        """Milliseconds until something is due."""
        due = [at for at in (self._timeout_at(), self._kill_at, self._belt_at) if at is not None]
        return max(0.0, min(due) - time.monotonic()) * 1000 + 1 if due else None

    def _timeout_at(self) -> float | None:
        """The deadline; while somebody looks, the code cannot hurry."""
        if self._deadline is None or self._window is None:
            return self._deadline
        return self._deadline + self._window.seconds

    def _press(self) -> bool:
        """Does what is due. False once even the guard had to be killed."""
        now, timeout_at = time.monotonic(), self._timeout_at()
        if timeout_at is not None and now >= timeout_at:
            self._ask("timed-out")
        if self._kill_at is not None and now >= self._kill_at:
            self._kill_at, self._belt_at = None, now + BELT_SECONDS
            self._control.shutdown(socket.SHUT_WR)
        return self._belt_at is None or now < self._belt_at

    def _ask(self, why: Asked) -> None:
        """SIGTERM for the worker and its group, and the grace begins; for writing too much there is none."""
        self._deadline = None
        if self._asked is None and self._exited is None:
            self._asked = why
            self._end_by(0.0 if why == "storage-exceeded" else self._job.grace)
            if self._started is not None:  # else its reading of `init` would swallow it
                self._send(TERMINATE)

    def _end_by(self, seconds: float) -> None:
        if self._belt_at is None:
            at = time.monotonic() + seconds
            self._kill_at = at if self._kill_at is None else min(at, self._kill_at)

    def _hear(self) -> bool:
        """What the worker says, all that is there (for 1 s at most, since user code can write without end)."""
        until = time.monotonic() + 1
        while time.monotonic() < until:
            try:
                data = os.read(self._events, 65536)
            except BlockingIOError:
                return True
            if not data:
                return False
            ignored = self._heard.ignored
            for message in self._heard.feed(data):
                self._note(message)
            if self._heard.ignored and not ignored:
                self._observer(Notice("the package's code writes on pkgrun's own pipe", hint="it is ignored"))
        return True

    def _note(self, message: Message) -> None:
        if isinstance(message, PhaseBegan) and message.name in self._phases:
            self._phase = message.name
            self._observer(Phase(message.name, time.time()))
        elif isinstance(message, Look) and self._window is not None and message.name in self._phases:
            self._window.look(message.name)
        elif isinstance(message, Tolerated) and self._may_fail(message.failure.phase):
            self._tolerated[message.failure.phase] = self._masked(message.failure)
        elif isinstance(message, Refused) and self._phase is None:  # user code cannot say it: it is a phase
            self._refused = message
        elif isinstance(message, Failure) and self._failure is None and self._returned is None:
            self._failure = self._masked(message)
            self._end_by(self._job.grace)  # a thread of the package must not keep a failed run alive
        elif isinstance(message, Returned) and self._failure is None:
            mask = self._job.mask.text
            self._returned = Returned(
                scores={name: score for name, score in message.scores.items() if name in self._phases},
                types={name: mask(kind) for name, kind in message.types.items() if name in self._phases},
            )
        elif isinstance(message, Ended):
            self._ended = True
        else:
            self._heard.ignored += 1

    def _may_fail(self, name: str) -> bool:
        return name == self._phase and any(call.tolerant for call in self._job.calls if call.name == name)

    def _masked(self, failure: Failure) -> Failure:
        mask = self._job.mask.text
        return Failure(
            phase=failure.phase if failure.phase in self._phases else self._phase or "init",
            type=mask(failure.type),
            message=mask(failure.message),
            traceback=mask(failure.traceback),
            notes=mask(failure.notes),
            exits=failure.exits,
            lacks=failure.lacks,
        )

    def _answer(self) -> bool:
        """What the guard says; False when it is gone."""
        try:
            data = self._control.recv(65536)
        except OSError:
            data = b""
        for message in self._answers.feed(data):
            if isinstance(message, Started):
                self._started = message
                if self._asked is not None:
                    self._send(TERMINATE)
            elif isinstance(message, Exited):
                self._exited = message
        return bool(data)

    # ------------------------------------------------------------------ afterwards

    def clean_up(self) -> None:
        """Leaves no process, thread or descriptor, also when `follow` was cut short."""
        if self._window is not None:
            self._window.close()
        if self._exited is None:
            self._sweep()
        self._control.close()
        self._process.wait()
        held = [reader for reader in self._readers if not reader.join(JOIN_SECONDS)]
        if held:
            self._observer(Notice("a process that could not be stopped still holds the run's output"))
        for pipe in self._pipes:
            pipe.close()
        os.close(self._events)
        if self._watch is not None:
            self._overfull = self._watch.finish()

    def _sweep(self) -> None:
        """The guard has not done it, or has not been asked yet."""
        try:
            self._control.shutdown(socket.SHUT_WR)
            self._control.settimeout(BELT_SECONDS if self._belt_at is None else 0.1)
            while self._exited is None and self._answer():
                continue
        except OSError:
            pass
        if self._exited is None:
            held = [os.fstat(pipe.fileno()).st_ino for pipe in self._pipes] + [os.fstat(self._events).st_ino]
            self._process.kill()
            worker = self._started.pid if self._started else None
            remains.kill(session=self._process.pid, group=worker, pipes=frozenset(held))
            for control_group in self._job.confines.groups:
                control_group.kill()

    def verdict(self) -> Exit:
        """How it ended."""
        for reader in self._readers:
            if reader.error is not None:
                raise reader.error
        if self._window is not None and self._window.error is not None:
            raise self._window.error
        if self._started is None and self._asked is None:
            raise EnvironmentFailed(
                f"{self._job.python} does not run pkgrun's worker (exit code {self._process.returncode})",
                hint="the log holds what it said; Python 3.8 or newer is needed",
            )
        if self._refused is not None and self._asked is None:
            raise _refusal(self._refused, self._job)
        end = self._exited
        reason, cause = self._reason()
        self._remark(reason)
        return Exit(
            reason=reason,
            code=end.code if end else None,
            signal=end.signal if end else None,
            failure=self._failure,
            phase=self._phase,
            scores=self._returned.scores if self._returned else {},
            types=self._returned.types if self._returned else {},
            tolerated=self._tolerated,
            usage=Usage(
                wall_seconds=time.monotonic() - self._begin,
                cpu_seconds=end.cpu_seconds if end else 0.0,
                peak_memory_bytes=end.peak_memory_bytes if end else 0,
            ),
            cause=cause,
        )

    def _reason(self) -> tuple[Reason, Cause | None]:
        end = self._exited
        return ended(
            asked=self._asked,
            exited=end,
            failure=self._failure,
            complete=self._returned is not None and (self._ended or (end is not None and end.code == 0)),
            limits=self._job.confines.limits,
            overfull=self._overfull,
        )

    def _remark(self, reason: Reason) -> None:
        """What a person should know of a run that ended well all the same."""
        end = self._exited
        if end is None:
            return
        if end.survivors:
            self._observer(Notice("a process of the run could not be killed"))
        if reason != "finished":
            return
        if end.out_of_memory:
            self._observer(Notice("a process that the run had started was killed for want of memory"))
        if end.code != 0:
            how = f"signal {end.signal}" if end.signal else f"code {end.code}"
            self._observer(Notice(f"the interpreter ended with {how}, after all calls had returned"))


def _refusal(refused: Refused, job: Job) -> PkgrunError:
    reason = job.mask.text(refused.reason)
    if refused.what == "limits":
        return PermissionDenied(
            f"the run cannot be put under its limits: {reason}",
            hint="leave --memory, --cpus and --storage out, or ask whoever owns the machine",
        )
    if job.confines.network:
        return PermissionDenied(
            f"the run cannot be without the network: {reason}",
            hint="--sandbox process needs no powers of the system",
        )
    return Temporary(f"the data cannot be mounted: {reason}", hint="--mount copy needs no mounts")


def _started(job: Job, *given: int) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            [str(job.python), "-u", "-s", str(CHILD), *map(str, given)],
            cwd=job.workdir,
            env=dict(job.env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=given,
            start_new_session=True,
            bufsize=0,
        )
    except OSError as error:
        if error.errno in _BUSY:
            raise Temporary(f"no process can be started: {error.strerror}", hint="try again later") from error
        raise EnvironmentFailed(
            f"{job.python} cannot be started: {error.strerror}", hint="make it anew"
        ) from error
