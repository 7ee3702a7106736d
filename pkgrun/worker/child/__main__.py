"""The first code in the package's environment: it takes its orders, then forks into guard and worker.

It owns the descriptors it was started with and the order of things; it never runs user code itself. It is started
as a file, not as a folder: `runpy` would cost 6 ms. The guard (this process) outlives the worker (its child) and
leaves nothing behind; the worker runs the package.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pkgrun.worker.child import calls, guard, protocol  # noqa: F401

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


def main() -> None:
    known = frozenset(sys.modules)
    folder = os.path.dirname(os.path.abspath(__file__))
    sys.path.insert(0, folder)  # PYTHONSAFEPATH leaves it out
    if not TYPE_CHECKING:
        import protocol

    control, events = out_of_the_way(int(sys.argv[1])), out_of_the_way(int(sys.argv[2]))
    line = protocol.receive(control)
    if not line:
        os._exit(1)  # nobody is there any more who could want a run
    init = protocol.decode(line)
    if init["version"] != protocol.VERSION:
        sys.exit("pkgrun was changed while it ran: start again")
    adopts = prctl(PR_SET_CHILD_SUBREAPER, 1)
    parent = os.getpid()
    worker = os.fork()
    if worker:
        _guard(control, events, worker, adopts)
    os.close(control)
    os.setpgid(0, 0)
    prctl(PR_SET_PDEATHSIG, SIGKILL)
    if os.getppid() != parent:
        os._exit(1)  # it died before it could be tied to us
    if not TYPE_CHECKING:
        import calls

    sys.exit(calls.work(init, events, known))


def _guard(control: int, events: int, worker: int, adopts: bool) -> None:
    try:
        if not TYPE_CHECKING:
            import guard

        os.close(events)
        guard.keep(control, worker, adopts)
    except BaseException:
        import traceback

        traceback.print_exc()
        os._exit(70)
    os._exit(0)


if __name__ == "__main__":
    main()
