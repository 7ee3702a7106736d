"""What the first code of a process asks of the system: signs of death, orphans, descriptors out of the way.

It owns no state, and knows neither guard nor worker.
"""

from __future__ import annotations

import os
import sys

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
SIGKILL = 9


def prctl(option: int, value: int) -> bool:
    """Linux's prctl, False where there is none. `_ctypes` alone, since `ctypes` costs 2 ms."""
    if sys.platform != "linux":
        return False
    try:
        import _ctypes

        program = _ctypes.dlopen(None, 0)  # type: ignore[arg-type]
        address = _ctypes.dlsym(program, "prctl")
        return bool(_ctypes.call_function(address, (option, value, 0, 0, 0)) == 0)
    except (ImportError, AttributeError, OSError):
        return False


def out_of_the_way(descriptor: int) -> int:
    """The same open file at a high number, since user code closes low ones; the number depends on the limit."""
    import fcntl

    for lowest in (200, 100, 50, 10):
        try:
            moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, lowest)
        except OSError:
            continue
        os.close(descriptor)
        return moved
    os.set_inheritable(descriptor, False)
    return descriptor
