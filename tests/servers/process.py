"""A server's processes: started, waited for, and ended with the tests whatever happens to these."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

TIED = Path(__file__).with_name("tied.py")
GRACE = 5.0


class DidNotStart(Exception):
    """A server ended, or was not ready in time; with the end of its log."""


def free_ports(count: int) -> list[int]:
    """Ports of loopback that were free just now, all different."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@contextmanager
def running(
    command: Sequence[str | Path], *, log: Path, env: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A process in a group of its own, whose output goes to `log`; the group is ended in the end."""
    tied = [sys.executable, "-S", str(TIED), str(os.getpid()), *map(str, command)]
    with log.open("ab") as out:
        process = subprocess.Popen(
            tied,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            cwd=log.parent,
            env={**os.environ, **(env or {})},
            start_new_session=True,
        )
    try:
        yield process
    finally:
        end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """Ask the whole group to end, and insist."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(GRACE)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def ready(
    done: Callable[[], bool], process: subprocess.Popen[bytes], *, log: Path, seconds: float = 30
) -> None:
    """Wait until it is done.

    Raises:
        DidNotStart: the process ended before, or the time is over.
    """
    deadline = time.monotonic() + seconds
    while not done():
        code = process.poll()
        if code is not None or time.monotonic() > deadline:
            why = f"it ended with {code}" if code is not None else f"not ready after {seconds:.0f} s"
            raise DidNotStart(f"{process.args!r}: {why}\n{log.read_text(errors='replace')[-3000:]}")
        time.sleep(0.02)


def answers(endpoint: str, path: str = "/") -> bool:
    """Whether something at the endpoint speaks HTTP, whatever it says."""
    connection = http.client.HTTPConnection(urlsplit(endpoint).netloc, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status < 500
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def listens(port: int) -> bool:
    """Whether something on loopback accepts connections there."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=2):
        return True
    return False
