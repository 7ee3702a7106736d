"""Control groups made for one run: where they may be made, what bounds memory and processors in them, their end.

It owns the names below which they are found again. It moves no process into one (the worker does that itself,
`child/limits.py`) and turns no controller on for anybody else: where the system has not handed one to us, there is
none, and the caller takes another way.

Of version 1 a group lies below our own. Version 2 lets processes be only in leaves, so there it mostly lies beside our
own, which needs a parent that is ours too: a user's slice of systemd, or a delegated one. A run never leaves limits
that hold us: where our own group has some, it is not beside it.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

__all__ = ["Controller", "Group", "Means", "made", "places", "stale"]

Means = Literal["cgroup-v1", "cgroup-v2"]
Controller = Literal["memory", "cpu"]
PREFIX = "pkgrun-"
PERIOD = 100_000  # microseconds, of which a run has its processors' share
_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Group:
    """A control group of the run's own, bounded by then."""

    folder: Path
    means: Means

    def processes(self) -> list[int]:
        """Who is in it."""
        with suppress(OSError, ValueError):
            return [int(line) for line in (self.folder / "cgroup.procs").read_text().split()]
        return []

    def kill(self) -> None:
        """SIGKILL for all of them; again, since what is killed may just have forked."""
        for _ in range(50):
            found = self.processes()
            for pid in found:
                with suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            if not found:
                return

    def remove(self) -> None:
        """It is gone, unless somebody is in it still."""
        with suppress(OSError):
            self.folder.rmdir()


@dataclass(frozen=True, slots=True)
class _Place:
    """Where groups of a controller may be made."""

    folder: Path
    means: Means


def made(wanted: Mapping[Controller, float], *, proc: Path = _PROC) -> dict[Controller, Group]:
    """New groups that bound `memory` (bytes, swapped ones included) and `cpu` (processors), as far as they can be made.

    Of version 2 it is one group for both, since a process is in one only. Groups of runs whose supervisors are gone are
    removed in passing.
    """
    found: dict[Controller, Group] = {}
    for controller, amount in wanted.items():
        for place in places(controller, proc=proc):
            group = _shared(place, found.values()) or _new(place, controller, found.values())
            if group is None:
                continue
            if _bounded(group, controller, amount):
                found[controller] = group
                break
            if group not in found.values():
                group.remove()
    return found


def _shared(place: _Place, others: Collection[Group]) -> Group | None:
    """The group that there is already, of version 2."""
    fitting = (other for other in others if place.means == other.means == "cgroup-v2")
    return next((other for other in fitting if other.folder.parent == place.folder), None)


def _new(place: _Place, controller: Controller, others: Collection[Group]) -> Group | None:
    """Another group, unless the run's processes would have to be in two of version 2."""
    if place.means == "cgroup-v2" and any(other.means == "cgroup-v2" for other in others):
        return None
    for left in _stale_in(place):
        left.remove()
    group = Group(place.folder / _name(controller), place.means)
    try:
        group.folder.mkdir()
    except OSError:
        return None
    return group


def stale(*, proc: Path = _PROC) -> list[Group]:
    """Groups of runs whose supervisors are gone."""
    found = {place.folder: place for kind in get_args(Controller) for place in places(kind, proc=proc)}
    return [group for place in found.values() for group in _stale_in(place)]


def places(controller: Controller, *, proc: Path = _PROC) -> list[_Place]:
    """Where a group of this controller might be made, the best first; empty without Linux, or without the right to."""
    try:
        mounts = [line.split(" ") for line in (proc / "self/mountinfo").read_text().splitlines()]
        memberships = [line.split(":", 2) for line in (proc / "self/cgroup").read_text().splitlines()]
    except OSError:
        return []
    found: list[_Place] = []
    for _, controllers, own in memberships:
        if controller in controllers.split(","):
            found += [_Place(own_folder, "cgroup-v1") for own_folder in _folders(mounts, own, controller)]
        elif not controllers:
            for folder in _folders(mounts, own, None):
                homes = [folder] if own == "/" or _is_bounded(folder) else [folder, folder.parent]
                found += [_Place(home, "cgroup-v2") for home in homes if _handed_on(home, controller)]
    return [place for place in found if os.access(place.folder, os.W_OK | os.X_OK)]


def _folders(mounts: Iterable[list[str]], own: str, controller: str | None) -> Iterator[Path]:
    """Where our own group is seen: of version 1 with its controller, of version 2 without."""
    for fields in mounts:
        root, point = fields[3], fields[4]
        kind, _, options = fields[fields.index("-") + 1 :][:3]
        wanted = (
            kind == "cgroup2" if controller is None else controller in options.split(",") and kind == "cgroup"
        )
        inside = own == root or root == "/" or own.startswith(root + "/")
        if wanted and inside:
            yield Path(point, own.removeprefix(root if root != "/" else "").lstrip("/"))


def _handed_on(folder: Path, controller: str) -> bool:
    """Whether groups below a folder have a controller, and processes may be moved between there and here."""
    try:
        given = (folder / "cgroup.subtree_control").read_text().split()
    except OSError:
        return False
    return controller in given and os.access(folder / "cgroup.procs", os.W_OK)


def _is_bounded(folder: Path) -> bool:
    """Whether a group has limits of its own, which a run beside it would not be held by."""
    for name in ("memory.max", "memory.high", "cpu.max"):
        with suppress(OSError):
            if not (folder / name).read_text().startswith("max"):
                return True
    return False


def _name(controller: Controller) -> str:
    """Of one attempt: our number and when we started tell whether we still live."""
    return f"{PREFIX}{os.getpid()}-{_started(os.getpid())}-{os.urandom(4).hex()}-{controller}"


def _started(pid: int) -> str:
    with suppress(OSError, IndexError):
        return (_PROC / str(pid) / "stat").read_text("ascii", "replace").rpartition(")")[2].split()[19]
    return ""


def _stale_in(place: _Place) -> Iterator[Group]:
    with suppress(OSError):
        for name in os.listdir(place.folder):
            parts = name.removeprefix(PREFIX).split("-")
            if name.startswith(PREFIX) and len(parts) == 4 and parts[0].isdigit():
                group = Group(place.folder / name, place.means)
                if _started(int(parts[0])) != parts[1] and not group.processes():
                    yield group


def _bounded(group: Group, controller: Controller, amount: float) -> bool:
    """Write the bound; without the last ones, which not every kernel has, it still holds."""
    bounds = _BOUNDS[group.means, controller](amount)
    for name, text in bounds[:-1]:
        if not _written(group.folder / name, text):
            return False
    _written(group.folder / bounds[-1][0], bounds[-1][1])
    return True


def _written(file: Path, text: str) -> bool:
    try:
        with open(file, "r+") as opened:  # it makes no file where the kernel has none
            opened.write(text)
    except OSError:
        return False
    return True


def _quota(processors: float) -> str:
    return str(max(1000, round(processors * PERIOD)))


_Bounds = list[tuple[str, str]]
_BOUNDS: dict[tuple[Means, Controller], Callable[[float], _Bounds]] = {
    ("cgroup-v1", "memory"): lambda amount: [
        ("memory.limit_in_bytes", str(int(amount))),
        ("memory.memsw.limit_in_bytes", str(int(amount))),
    ],
    ("cgroup-v2", "memory"): lambda amount: [("memory.max", str(int(amount))), ("memory.swap.max", "0")],
    ("cgroup-v1", "cpu"): lambda amount: [
        ("cpu.cfs_period_us", str(PERIOD)),
        ("cpu.cfs_quota_us", _quota(amount)),
        ("cpu.cfs_burst_us", "0"),
    ],
    ("cgroup-v2", "cpu"): lambda amount: [("cpu.max", f"{_quota(amount)} {PERIOD}"), ("cpu.max.burst", "0")],
}
