"""Runs a program that must not outlive whoever asked for it: `tether.py CONTROL PROGRAM [ARGUMENT]…`.

CONTROL is the number of a socket. Anything that comes over it asks the program's group to end; when its other end
closes, by SIGKILL of the holder too, everything that the program has started is killed. The exit code is the program's.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pkgrun.worker.child import guard, system
else:
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    import guard
    import system


def main() -> None:
    control = system.out_of_the_way(int(sys.argv[1]))
    adopts = system.prctl(system.PR_SET_CHILD_SUBREAPER, 1)
    parent = os.getpid()
    program = os.fork()
    if program:
        status = guard.keep(control, program, adopts)
        os._exit(128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status))
    os.setpgid(0, 0)
    system.prctl(system.PR_SET_PDEATHSIG, system.SIGKILL)
    if os.getppid() == parent:
        os.execv(sys.argv[2], sys.argv[2:])


if __name__ == "__main__":
    main()
