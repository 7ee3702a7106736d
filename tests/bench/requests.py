"""A proxy on loopback that counts the HTTP requests which pass through it; it changes nothing of them.

What passes is slowed down by it: it is for counting, never for timing.
"""

from __future__ import annotations

import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO
from urllib.parse import urlsplit

_CHUNK = 1 << 16


class Counted:
    """How many requests there were, by method."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._methods: Counter[str] = Counter()

    def note(self, method: str) -> None:
        """One more."""
        with self._lock:
            self._methods[method] += 1

    @property
    def total(self) -> int:
        """All of them."""
        with self._lock:
            return self._methods.total()

    def __str__(self) -> str:
        with self._lock:
            return ", ".join(f"{count} {method}" for method, count in self._methods.most_common())


@contextmanager
def counting(endpoint: str) -> Iterator[tuple[str, Counted]]:
    """Another endpoint by which the one is reached, and the count of what is asked there."""
    target = urlsplit(endpoint)
    if target.hostname is None or target.port is None:
        raise ValueError(f"{endpoint} has no host and port")
    counted = Counted()
    with socket.create_server(("127.0.0.1", 0), backlog=128) as server:
        address = (target.hostname, target.port)
        threading.Thread(target=_serve, args=(server, address, counted), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}", counted
        finally:
            with suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)  # wakes who waits in accept


def _serve(server: socket.socket, address: tuple[str, int], counted: Counted) -> None:
    with suppress(OSError):  # it is closed: enough was counted
        while True:
            client, _ = server.accept()
            threading.Thread(target=_connected, args=(client, address, counted), daemon=True).start()


def _connected(client: socket.socket, address: tuple[str, int], counted: Counted) -> None:
    with client, suppress(OSError), socket.create_connection(address) as target:
        for one in (client, target):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        back = threading.Thread(target=_answers, args=(target, client), daemon=True)
        back.start()
        with suppress(OSError), client.makefile("rb") as asked:
            while _request(asked, target, counted):
                pass
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)
        back.join()


def _answers(target: socket.socket, client: socket.socket) -> None:
    with suppress(OSError):
        while data := target.recv(_CHUNK):
            client.sendall(data)
        client.shutdown(socket.SHUT_RDWR)


def _request(asked: BinaryIO, target: socket.socket, counted: Counted) -> bool:
    """Pass one request on, as it comes; False if there is none."""
    line = asked.readline()
    if not line.strip():
        return False
    counted.note(line.split()[0].decode("latin-1"))
    head, length, chunked = [line], 0, False
    while (line := asked.readline()).strip():
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
        chunked |= name.lower() == b"transfer-encoding" and b"chunked" in value.lower()
        head.append(line)
    target.sendall(b"".join(head) + line)
    if chunked:
        _pass_chunks(asked, target)
    else:
        _pass_bytes(asked, target, length)
    return True


def _pass_bytes(asked: BinaryIO, target: socket.socket, count: int) -> None:
    while count and (data := asked.read(min(count, _CHUNK))):
        target.sendall(data)
        count -= len(data)


def _pass_chunks(asked: BinaryIO, target: socket.socket) -> None:
    while size := asked.readline():
        target.sendall(size)
        count = int(size.split(b";")[0], 16)
        _pass_bytes(asked, target, count + 2 if count else 0)
        if not count:
            break
    while line := asked.readline():  # trailers, and the empty line
        target.sendall(line)
        if not line.strip():
            break
