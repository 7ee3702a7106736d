"""ministack: the server of every test run. It honours `If-None-Match` and `If-Match`, also when a multipart upload
completes, and checks checksums. It checks no signatures and keeps everything in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers import Server
from tests.servers.installed import programs
from tests.servers.process import answers, free_ports, ready, running

REQUIREMENTS = ("ministack==1.5.33",)


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """A server whose log lies in `folder`."""
    [port] = free_ports(1)
    log = folder / "ministack.log"
    server = Server("ministack", f"http://127.0.0.1:{port}", "pkgrun-tests", "test", "test")
    # Without the first it listens on every address; without the last also on a fixed port, for another service.
    env = {
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "IOT_MTLS_ENABLED": "0",
        "LOG_LEVEL": "WARNING",
    }
    with running([programs("ministack", REQUIREMENTS) / "ministack"], log=log, env=env) as process:
        ready(lambda: answers(server.endpoint, "/_ministack/health"), process, log=log)
        yield server.with_own_bucket()
