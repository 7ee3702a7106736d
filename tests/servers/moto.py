"""moto's server: a second opinion. It honours `If-None-Match`, and checks neither signatures nor checksums."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers import Server
from tests.servers.installed import programs
from tests.servers.process import answers, free_ports, ready, running

REQUIREMENTS = ("moto[server]==5.2.5",)


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """A server whose log lies in `folder`."""
    [port] = free_ports(1)
    log = folder / "moto.log"
    server = Server("moto", f"http://127.0.0.1:{port}", "pkgrun-tests", "test", "test")
    command: list[str | Path] = [
        programs("moto", REQUIREMENTS) / "moto_server",
        "-H",
        "127.0.0.1",
        "-p",
        str(port),
    ]
    with running(command, log=log) as process:
        ready(lambda: answers(server.endpoint, "/moto-api/data.json"), process, log=log)
        yield server.with_own_bucket()
