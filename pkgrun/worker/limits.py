"""What a run is held by: a sandbox, and limits of memory, processors and storage, each by the best means there is.

It owns the choice of the means, made once before the run, and tells it. Nothing here is a wall against malice: the
code runs as the user whose pkgrun it is, and what a user may do, it may do (`SANDBOXES` says what each one keeps out).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from pkgrun.worker import namespaces

if TYPE_CHECKING:
    from pkgrun.worker.cgroups import Controller, Group

__all__ = [
    "HOLDS_NOTHING",
    "LEAST_MEMORY",
    "SANDBOXES",
    "Confines",
    "Limits",
    "MemoryMeans",
    "ProcessorMeans",
    "Sandbox",
    "confined",
    "home_variables",
    "refused",
]

Sandbox = Literal["none", "process", "no-network"]
SANDBOXES = get_args(Sandbox)
MemoryMeans = Literal["cgroup-v1", "cgroup-v2", "address-space"]
ProcessorMeans = Literal["cgroup-v1", "cgroup-v2", "affinity"]

LEAST_MEMORY = 16_000_000
"""Bytes in which Python starts, as address space too (3.11 takes 12 to 14 million). Below, no code of a package runs."""

_OWN_PLACES = "XDG_"


@dataclass(frozen=True, slots=True)
class Limits:
    """What is asked. `memory` and `storage` in bytes, `cpus` in processors, which need not be a whole number."""

    sandbox: Sandbox = "none"
    memory: int | None = None
    cpus: float | None = None
    storage: int | None = None


HOLDS_NOTHING = Limits()


@dataclass(frozen=True, slots=True)
class Confines:
    """What holds one run, and by what means.

    memory: by a control group, all processes together, or by the address space of each process, which is more than
    what it uses. cpus: by a control group's share of time, or by which processors it runs on, rounded up. storage:
    what `folders` come to hold, looked at again and again; and no single file may be larger.
    """

    limits: Limits = HOLDS_NOTHING
    folders: tuple[Path, ...] = ()
    groups: tuple[Group, ...] = ()
    rlimits: Mapping[str, int] = field(default_factory=dict)
    processors: tuple[int, ...] = ()
    memory: MemoryMeans | None = None
    cpus: ProcessorMeans | None = None

    @property
    def network(self) -> bool:
        """Whether it is without the network."""
        return self.limits.sandbox == "no-network"

    def spelt(self) -> dict[str, object] | None:
        """As the child is told; None if nothing holds it."""
        if self.limits == HOLDS_NOTHING:
            return None
        return {
            "groups": [namespaces.spelt(group.folder) for group in self.groups],
            "processors": list(self.processors),
            "rlimits": dict(self.rlimits),
        }


@contextmanager
def confined(limits: Limits, *, folders: Sequence[Path] = ()) -> Iterator[Confines]:
    """Ready for one run; its control groups are gone in the end.

    Args:
        limits: what is asked.
        folders: where the run writes, of which `storage` is counted.
    """
    if limits == HOLDS_NOTHING:
        yield Confines()
        return
    from pkgrun.worker import cgroups  # only a run with limits needs it

    asked: dict[Controller, float | None] = {"memory": limits.memory, "cpu": limits.cpus}
    made = cgroups.made({controller: amount for controller, amount in asked.items() if amount is not None})
    memory, cpu = made.get("memory"), made.get("cpu")
    groups = tuple(dict.fromkeys(made.values()))
    rlimits = {"CORE": 0} if limits.sandbox != "none" else {}
    if limits.memory is not None and memory is None:
        rlimits["AS"] = limits.memory
    if limits.storage is not None:
        rlimits["FSIZE"] = limits.storage
    try:
        yield Confines(
            limits,
            folders=tuple(folders),
            groups=groups,
            rlimits=rlimits,
            processors=_processors(limits.cpus) if limits.cpus is not None and cpu is None else (),
            memory=None if limits.memory is None else memory.means if memory else "address-space",
            cpus=None if limits.cpus is None else cpu.means if cpu else "affinity",
        )
    finally:
        for group in groups:
            group.remove()


def _processors(wanted: float) -> tuple[int, ...]:
    """So many of those that we may run on; not always the first, which other runs would take as well."""
    import math
    import random

    ours = sorted(os.sched_getaffinity(0))
    return tuple(sorted(random.sample(ours, min(len(ours), math.ceil(wanted)))))


def refused(limits: Limits) -> str | None:
    """Why this system does not allow what is asked; None if it does. For no-network a process really tries, in 20 ms."""
    if sys.platform != "linux":
        asked = (limits.sandbox == "no-network", limits.memory is not None, limits.cpus is not None)
        words = ("takes the network away", "bounds memory", "bounds processors")
        return next((f"only Linux {what}" for wanted, what in zip(asked, words, strict=True) if wanted), None)
    return namespaces.refused("network") if limits.sandbox == "no-network" else None


def home_variables(
    host: Mapping[str, str], home: str, temporary: str
) -> tuple[dict[str, str], dict[str, str]]:
    """In a sandbox: the host's variables without its user's places, and the variables of the run's own ones."""
    rest = {name: value for name, value in host.items() if not name.startswith(_OWN_PLACES)}
    return rest, {"HOME": home, "TMPDIR": temporary, "TEMP": temporary, "TMP": temporary}
