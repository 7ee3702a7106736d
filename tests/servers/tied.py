"""Runs a command that dies with whoever started it, also by SIGKILL: `python -S tied.py PARENT COMMAND…`.

Where there is no such tie (macOS) the command merely runs; whoever started it ends it when it ends itself.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    parent = int(sys.argv[1])
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit("whoever wanted this is gone")
    os.execvp(sys.argv[2], sys.argv[2:])


if __name__ == "__main__":
    main()
