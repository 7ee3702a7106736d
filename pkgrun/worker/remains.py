"""What is left of a run whose guard was killed: found by its session, its group, or the pipes that it still holds.

It owns this last resort and nothing else; a live guard does it better. Without /proc only session and group leaders'
groups can be reached. A process that left the session and closed all pipes is not found.
"""

from __future__ import annotations

import contextlib
import os
import signal
import stat
from collections.abc import Iterator
from pathlib import Path

_PROC = Path("/proc")
_ROUNDS = 50  # what is killed may just have forked


def kill(*, session: int, group: int | None, pipes: frozenset[int]) -> None:
    """SIGKILL for every process of the session or group, and every holder of one of the pipes (inode numbers)."""
    for leader in (session, group):
        if leader is not None:
            with contextlib.suppress(OSError):
                os.killpg(leader, signal.SIGKILL)
    for _ in range(_ROUNDS):
        found = [pid for pid in _processes() if _belongs(pid, session, pipes)]
        for pid in found:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        if not found:
            return


def _processes() -> Iterator[int]:
    with contextlib.suppress(OSError):
        yield from (int(name) for name in os.listdir(_PROC) if name.isdigit() and int(name) != os.getpid())


def _belongs(pid: int, session: int, pipes: frozenset[int]) -> bool:
    try:
        state, _, _, own, *_ = (
            (_PROC / str(pid) / "stat").read_text("ascii", "replace").rpartition(")")[2].split()
        )
        if state in "ZX":
            return False
        return int(own) == session or _holds(pid, pipes)
    except (OSError, ValueError):
        return False


def _holds(pid: int, pipes: frozenset[int]) -> bool:
    """Whether it can write into one of the pipes; whoever reads them is one of us."""
    wanted = {f"pipe:[{inode}]" for inode in pipes}
    folder = _PROC / str(pid) / "fd"
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):
            with contextlib.suppress(OSError):
                link = folder / name
                if os.readlink(link) in wanted and link.lstat().st_mode & stat.S_IWUSR:
                    return True
    return False
