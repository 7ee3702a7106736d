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
    from typing import Any

    from pkgrun.worker.child import calls, guard, limits, mounts, protocol, system  # noqa: F401


def main() -> None:
    known = frozenset(sys.modules)
    folder = os.path.dirname(os.path.abspath(__file__))
    sys.path.insert(0, folder)  # PYTHONSAFEPATH leaves it out
    if not TYPE_CHECKING:
        import protocol
        import system

    control, events, *views = (system.out_of_the_way(int(number)) for number in sys.argv[1:4])
    line = protocol.receive(control)
    if not line:
        os._exit(1)  # nobody is there any more who could want a run
    init = protocol.decode(line)
    if init["version"] != protocol.VERSION:
        sys.exit("pkgrun was changed while it ran: start again")
    adopts = system.prctl(system.PR_SET_CHILD_SUBREAPER, 1)
    parent = os.getpid()
    worker = os.fork()
    if worker:
        for view in views:
            os.close(view)
        _guard(control, events, worker, adopts, init["limits"])
    os.close(control)
    os.setpgid(0, 0)
    if init["overlay"] or init["readonly"] or init["network"] or init["limits"]:
        _confine(init, events)  # before the next line, since a change of powers can undo that
    if views and init["overlay"]:
        _show(views[0], init["overlay"]["target"])
    system.prctl(system.PR_SET_PDEATHSIG, system.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)  # it died before it could be tied to us
    if not TYPE_CHECKING:
        import calls

    sys.exit(calls.work(init, events, views[0] if views else None, known))


def _show(view: int, target: str) -> None:
    """Hands over the data folder as only this process and those it starts see it."""
    import _socket
    from array import array

    with_us = os.dup(view)  # the socket object closes what it was given
    speaker = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0, with_us)
    folder = os.open(target.encode("latin-1"), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    speaker.sendmsg([b"o"], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, array("i", [folder]))])
    os.close(folder)
    speaker.close()


def _confine(init: dict[str, Any], events: int) -> None:
    """Enters the run's own view of the system and goes under its limits, or says why not, and ends."""
    if not TYPE_CHECKING:
        import protocol
    what = "limits"
    try:
        if init["limits"]:
            if not TYPE_CHECKING:
                import limits

            limits.enter(init["limits"])
        what = "namespaces"
        if init["overlay"] or init["readonly"] or init["network"]:
            if not TYPE_CHECKING:
                import mounts

            mounts.enter(init["overlay"], init["readonly"], network=init["network"])
    except Exception as error:  # also that this Python was built without _ctypes
        reason = protocol.bounded(str(error), protocol.MESSAGE_LIMIT)
        protocol.send(events, {"event": "refused", "what": what, "reason": reason})
        os._exit(1)


def _guard(control: int, events: int, worker: int, adopts: bool, wanted: dict[str, Any] | None) -> None:
    try:
        if not TYPE_CHECKING:
            import guard

        os.close(events)
        guard.keep(control, worker, adopts, tuple(wanted["groups"]) if wanted else ())
    except BaseException:
        import traceback

        traceback.print_exc()
        os._exit(70)
    os._exit(0)


if __name__ == "__main__":
    main()
