"""Two hosts on one machine: each a network of its own, with its own name and processes, and a cable to the servers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit


def possible() -> bool:
    """Whether this user may make them."""
    if os.geteuid() != 0 or not all(map(shutil.which, ("ip", "unshare"))):
        return False
    made = subprocess.run(("ip", "netns", "add", "pkgrun-try"), capture_output=True, check=False)
    subprocess.run(("ip", "netns", "del", "pkgrun-try"), capture_output=True, check=False)
    return made.returncode == 0


def _ip(*argv: str) -> None:
    subprocess.run(("ip", *argv), check=True, capture_output=True, text=True)


@dataclass(frozen=True, slots=True)
class Host:
    """A host, and where it finds the servers of this machine."""

    name: str
    gateway: str

    @property
    def enter(self) -> tuple[str, ...]:
        """What a command line begins with that runs there."""
        alone = ("unshare", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc")
        return ("ip", "netns", "exec", self.name, *alone, "sh", "-c", 'hostname "$0"; exec "$@"', self.name)

    def unplug(self) -> None:
        """Nothing gets out or in."""
        _ip("link", "set", self.name, "down")

    def plug_in(self) -> None:
        """The cable is back."""
        _ip("link", "set", self.name, "up")


@contextmanager
def host(number: int) -> Iterator[Host]:
    """A host for as long as the context."""
    name, inside, net = f"pkgrun-host{number}", f"inside{number}", f"10.213.{number}"
    made = Host(name, f"{net}.1")
    try:
        _ip("netns", "add", name)
        _ip("link", "add", name, "type", "veth", "peer", "name", inside, "netns", name)
        _ip("address", "add", f"{net}.1/24", "dev", name)
        _ip("link", "set", name, "up")
        _ip("-n", name, "address", "add", f"{net}.2/24", "dev", inside)
        _ip("-n", name, "link", "set", inside, "up")
        _ip("-n", name, "link", "set", "lo", "up")
        yield made
    finally:
        subprocess.run(("ip", "netns", "del", name), capture_output=True, check=False)
        subprocess.run(("ip", "link", "del", name), capture_output=True, check=False)


_RELAY = """
import asyncio, sys

async def pump(source, sink):
    try:
        while data := await source.read(1 << 16):
            sink.write(data)
            await sink.drain()
    except OSError:
        pass
    finally:
        sink.close()

async def meet(reader, writer):
    far_reader, far_writer = await asyncio.open_connection("127.0.0.1", int(sys.argv[2]))
    await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))

async def serve():
    server = await asyncio.start_server(meet, sys.argv[1], 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()

asyncio.run(serve())
"""


@contextmanager
def relay(address: str, endpoint: str) -> Iterator[str]:
    """The endpoint of a server on loopback, as it is reached at an address of this machine."""
    argv = (sys.executable, "-c", _RELAY, address, str(urlsplit(endpoint).port))
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            yield f"http://{address}:{int(process.stdout.readline())}"
        finally:
            process.kill()
