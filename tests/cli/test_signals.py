"""A command that is asked to end ends properly, whatever it is doing just then."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

MODULE = """
import os, sys, time
os.kill(os.getpid(), int(sys.argv[1]))
time.sleep(0.1)
whole = True
"""

PROGRAM = """
import sys, time
from pkgrun.cli import signals, text

signals.disregard()
signals.heed()
try:
    import asked
    while True:
        time.sleep(0.01)
except (KeyboardInterrupt, text.Terminated) as stopped:
    print(type(stopped).__name__, asked.whole)
"""


@pytest.mark.parametrize(
    ("number", "error"),
    [
        (signal.SIGINT, "KeyboardInterrupt"),
        (signal.SIGTERM, "Terminated"),
        (signal.SIGHUP, "Terminated"),
    ],
)
def test_no_module_is_broken_off_while_it_is_loaded(tmp_path: Path, number: int, error: str) -> None:
    """It could leave the lock of imports held, for which every thread would wait for ever."""
    (tmp_path / "asked.py").write_text(MODULE)
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{PROGRAM}"]
    ended = subprocess.run(
        [*command, str(int(number))], capture_output=True, text=True, check=False, timeout=30
    )
    assert (ended.returncode, ended.stdout) == (0, f"{error} True\n"), ended.stderr


def test_before_anything_has_begun_ctrl_c_ends_at_once(tmp_path: Path) -> None:
    program = "import os, signal, time; from pkgrun.cli import signals; signals.disregard()\n"
    program += "os.kill(os.getpid(), signal.SIGINT); time.sleep(10)"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False, timeout=30)
    assert (ended.returncode, ended.stderr) == (-signal.SIGINT, b"")
