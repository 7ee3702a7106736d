"""Whether the kernel ended a process for want of memory, and by whose limit: its counts, and its log where one may read it.

It owns the question, asked once before the run and once after it; it never guesses from how much memory was taken.
"""

from __future__ import annotations

import errno
import os

KERNEL_LOG = "/dev/kmsg"
FIRST_PROCESSES = "pid:[4026531836]"  # linux/proc_ns.h: the namespace whose numbers the log has
COUNTS = ("memory.events", "memory.oom_control")  # of version 2, of version 1
AT_ONCE = 4 << 20  # bytes that may be asked for in one go, a huge page: less than that is as good as full
PIECE = 8192  # bytes that an entry of the log has at most


class Witness:
    """From before the worker does anything. `groups` were made for this run, so that nothing else is counted there."""

    def __init__(self, groups: list[str]) -> None:
        self.groups = [os.fsdecode(group.encode("latin-1")) for group in groups]
        self.around = _around()
        self.before = _near(self.around)
        self.log = _log()

    def cause(self, worker: int, killed: bool) -> str:
        """`limit`: a group of the run's own was full; `system`: something larger was; "": none that is known.

        `killed`: SIGKILL ended the worker. That a process below it was ended is known from its own groups only.
        """
        if _kills(self.groups):
            return "limit" if any(map(_full, self.groups)) else "system"
        if not killed:
            return ""
        named = self._named(worker)
        if named is None:  # all that is left: somebody near was ended
            named = _near(self.around) > self.before
        return "system" if named else ""

    def _named(self, worker: int) -> bool | None:
        """Whether the kernel says that it ended the worker; None where that cannot be read."""
        if self.log is None:
            return None
        phrase = b"illed process %d " % worker
        while True:
            try:
                if phrase in os.read(self.log, PIECE):
                    return True
            except BlockingIOError:
                return False
            except OSError as error:
                if error.errno != errno.EPIPE:  # that entry was overwritten: the next one is there
                    return None


def _log() -> int | None:
    """The kernel's log from here on; None where it may not be read, or knows processes by other numbers."""
    try:
        if os.readlink("/proc/self/ns/pid") != FIRST_PROCESSES:
            return None
        log = os.open(KERNEL_LOG, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        os.lseek(log, 0, os.SEEK_END)
    except OSError:
        return None
    return log


def _around() -> list[str]:
    """The control groups that count this process's memory."""
    try:
        with open("/proc/self/cgroup") as file:
            memberships = [line.split(":", 2) for line in file.read().splitlines()]
    except OSError:
        return []
    return [
        ("/sys/fs/cgroup/memory" if controllers else "/sys/fs/cgroup") + group
        for _, controllers, group in memberships
        if controllers in ("", "memory")
    ]


def _kills(groups: list[str]) -> int:
    return sum(_count(group, name, "oom_kill") for group in groups for name in COUNTS)


def _near(groups: list[str]) -> int:
    """How often the kernel has done it around us; in the whole machine, where no group counts (the first one has none)."""
    counted = any(os.path.exists(os.path.join(group, name)) for group in groups for name in COUNTS)
    return _kills(groups) if counted else _count("/proc", "vmstat", "oom_kill")


def _full(group: str) -> bool:
    """Whether a group has met its own limit. Version 2 counts that; of version 1 the most that it held tells."""
    limit = _count(group, "memory.limit_in_bytes", "")
    most = _count(group, "memory.max_usage_in_bytes", "")
    return bool(_count(group, "memory.events", "oom")) or 0 < limit <= most + AT_ONCE


def _count(group: str, file: str, field: str) -> int:
    """A field's number in a group's file; of a file that is a number, without a field. 0 where there is none."""
    try:
        with open(os.path.join(group, file)) as opened:
            lines = [line.split() for line in opened]
        return sum(int(line[-1]) for line in lines if line[:-1] == ([field] if field else []))
    except (OSError, IndexError, ValueError):
        return 0
