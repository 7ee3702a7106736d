"""Runs uv: in a scrubbed environment, stoppable, gone when pkgrun is gone, its errors in pkgrun's words.

It knows nothing of environments and their folders; it starts one program and says how that ended.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pkgrun.errors import EnvironmentFailed, Killed, Temporary
from pkgrun.worker.requirements import masked

if TYPE_CHECKING:
    import socket
    import subprocess
    from collections.abc import Callable, Mapping, Sequence

TETHER = Path(__file__).parent / "child" / "tether.py"

_POLL = 0.05  # seconds between two looks at `stop`
_GRACE = 2.0  # seconds from SIGTERM to SIGKILL
_HEAD, _TAIL = 3, 12  # lines of a long error that are shown
_NOISE = ("Using Python ", "warning: Failed to inspect Python interpreter")
_TEMPORARY = (
    ("No space left on device", "free some space, then run it again"),
    ("Disk quota exceeded", "free some space, then run it again"),
    ("error sending request", "look at the network, the proxy and pip's index settings, then run it again"),
    ("operation timed out", "run it again; PIP_TIMEOUT or UV_HTTP_TIMEOUT give it more seconds"),
)


def run(
    arguments: Sequence[str | Path],
    *,
    folder: Path,
    variables: Mapping[str, str],
    doing: str,
    hint: str,
    stop: Callable[[], bool],
) -> str:
    """Run `uv ARGUMENTS` in `folder` with nothing but `variables`; returns what it wrote to stdout.

    `doing` begins the message of an error ("requirements.txt cannot be resolved"), `hint` is its way out. Raises
    `EnvironmentFailed` with uv's essential lines, `Temporary` when the disk is full or the network does not
    answer, `Killed` when `stop` turned true (uv has ended by then).
    """
    code, output, errors = attempt(["--quiet", *arguments], folder=folder, variables=variables, stop=stop)
    if code == 0:
        return output
    message = f"{doing}:\n{essential(errors) or f'uv ended with code {code} and said nothing'}"
    for phrase, remedy in _TEMPORARY:
        if phrase in errors:
            raise Temporary(message, hint=remedy)
    raise EnvironmentFailed(message, hint=hint)


def attempt(
    arguments: Sequence[str | Path], *, folder: Path, variables: Mapping[str, str], stop: Callable[[], bool]
) -> tuple[int, str, str]:
    """Run `uv ARGUMENTS`; returns its exit code (128 and more: a signal), stdout and stderr. Raises only `Killed`."""
    import socket
    import subprocess
    import tempfile

    ours, theirs = socket.socketpair()
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors, ours:
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-s", "-E", TETHER, str(theirs.fileno()), program(), *arguments],
                cwd=folder,
                env=dict(variables),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # without a terminal to ask for passwords on
            )
        try:
            _wait(process, stop)
        finally:
            _end(process, ours)
        output.seek(0)
        errors.seek(0)
        said = output.read().decode(errors="replace"), errors.read().decode(errors="replace")
        return process.returncode, *said


def essential(errors: str) -> str:
    """The lines of uv's stderr that a person needs, at most fifteen, without credentials."""
    lines = [line.rstrip() for line in masked(errors).splitlines()]
    lines = [line for line in lines if line and not line.startswith(_NOISE)]
    if len(lines) > _HEAD + _TAIL:
        lines = [*lines[:_HEAD], "…", *lines[-_TAIL:]]
    return "\n".join(lines)


def _wait(process: subprocess.Popen[bytes], stop: Callable[[], bool]) -> None:
    from subprocess import TimeoutExpired

    while True:
        try:
            process.wait(_POLL)
            return
        except TimeoutExpired:
            if stop():
                raise Killed("stopped while the environment was being built") from None


def _end(process: subprocess.Popen[bytes], control: socket.socket) -> None:
    """End uv and what it started, if it still runs."""
    from contextlib import suppress
    from subprocess import TimeoutExpired

    if process.poll() is None:
        with suppress(OSError, TimeoutExpired):
            control.send(b"end\n")
            process.wait(_GRACE)
    control.close()
    process.wait()


def program() -> str:
    """Where uv is.

    Raises:
        EnvironmentFailed: it is not installed.
    """
    from uv import find_uv_bin

    try:
        return find_uv_bin()
    except FileNotFoundError:
        if found := shutil.which("uv"):
            return found
        raise EnvironmentFailed("uv is not installed", hint="pip install uv") from None
