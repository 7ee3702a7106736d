"""Who and where we are: this user, this machine since it started, this process, and whether another still lives."""

from __future__ import annotations

import getpass
import os
from datetime import UTC, datetime

from pkgrun.records import Actor, Heartbeat, Status
from pkgrun.store.files import shown


def actor(version: str) -> Actor:
    """Who runs this release of pkgrun, and where."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return Actor(user=shown(user), host=os.uname().nodename, pkgrun=version)


def sign_of_life(run: str, status: Status, phase: str) -> Heartbeat:
    """That this process works on a run now."""
    pid = os.getpid()
    return Heartbeat(
        run=run,
        at=datetime.now(UTC),
        status=status,
        phase=phase,
        host=os.uname().nodename,
        boot=boot(),
        pid=pid,
        pid_started=started(pid) or "",
    )


def boot() -> str:
    """What tells this start of this machine, and this container on it, from others; empty where none is told."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return f"{file.read().strip()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def started(pid: int) -> str | None:
    """When a process started, in the kernel's ticks; empty if it has ended, None if that cannot be known.

    One that has ended and that nobody has waited for yet (a zombie) has ended.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        return "" if fields[0] in b"ZX" else fields[19].decode()
    except (OSError, IndexError):
        return _unseen(pid)


def _unseen(pid: int) -> str | None:
    """Of a process that /proc does not show: it may be hidden, and then a signal tells."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except OSError:
        return None
    return None


def dead(beat: Heartbeat) -> bool:
    """Whether the supervisor is provably gone: it ran here, since the same start, and its process is no more.

    False wherever that cannot be known: another machine may have the same name, another container the same numbers.
    """
    now = started(beat.pid) if boot() and beat.boot == boot() else None
    return now is not None and now != beat.pid_started
