"""What holds the worker back, set by itself before user code: control groups, the oom score, processors, rlimits.

It owns the order of these and nothing that they hold; it is imported only by a run that asks for limits or a sandbox.
Limits are for mistakes, not for malice: what a process may set for itself, its user may change.
"""

from __future__ import annotations

import os
import resource

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

EXPENDABLE = 500  # of 1000: as if it held half of the machine's memory besides its own
OOM_SCORE = "/proc/self/oom_score_adj"


class Refused(Exception):
    """The system does not allow one of the limits: which, and why."""


def enter(wanted: dict[str, Any]) -> None:
    """Go under the limits. `wanted`: paths of control groups (as latin-1), numbers of processors, rlimits by name.

    Whatever holds it, it is the first to go when the system has no memory left.
    """
    for group in wanted["groups"]:
        _write(os.path.join(group.encode("latin-1"), b"cgroup.procs"), "0", "its control group")
    _be_expendable()
    if wanted["processors"]:
        try:
            os.sched_setaffinity(0, wanted["processors"])
        except OSError as error:
            raise Refused("its processors: %s" % error.strerror) from error
    for name, size in wanted["rlimits"].items():
        _bound(name, size)


def _be_expendable() -> None:
    """Of this process and the supervisor, the system ends this one when it has no memory left. Lowering needs powers."""
    try:
        with open(OOM_SCORE) as file:
            own = int(file.read())
        _write(os.fsencode(OOM_SCORE), str(min(1000, own + EXPENDABLE)), "its oom score")
    except OSError:
        return  # not Linux: nobody is chosen by scores there


def _write(path: bytes, text: str, what: str) -> None:
    try:
        with open(path, "w") as file:
            file.write(text)
    except OSError as error:
        raise Refused("%s: %s" % (what, error.strerror)) from error


def _bound(name: str, size: int) -> None:
    """Soft and hard. A hard limit that is lower already stays."""
    kind = getattr(resource, "RLIMIT_" + name)
    hard = resource.getrlimit(kind)[1]
    if hard != resource.RLIM_INFINITY:
        size = min(size, hard)
    try:
        resource.setrlimit(kind, (size, size))
    except (OSError, ValueError) as error:
        raise Refused("RLIMIT_%s: %s" % (name, error)) from error
