"""pkgrun's command line, which tells at its end how much memory this one process had at most.

PYTHON resident.py FILE ARGUMENTS ...
"""

from __future__ import annotations

import atexit
import resource
import sys
from pathlib import Path


def peak() -> int:
    """Bytes that this process held at most. The kernel's other count, `ru_maxrss`, begins with the parent's."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # of macOS, in bytes
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def main() -> None:
    """Run, then tell."""
    file = Path(sys.argv.pop(1))
    atexit.register(lambda: file.write_text(str(peak())))
    from pkgrun.cli.main import main as program

    program()


if __name__ == "__main__":
    main()
