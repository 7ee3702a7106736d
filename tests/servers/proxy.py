"""A proxy between a client and a real S3 server: it counts requests, answers trouble, loses answers, cuts them short, is slow,
and is away.

It understands HTTP only so far as to know where a request ends. What it is not told to spoil it passes on as it is.
"""

from __future__ import annotations

import http.client
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from tests.servers import Server


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong with a request.

    lost: the server does it, and its answer never comes. cut: only so many bytes of the answer's body come.
    status: it never reaches the server, which seems to answer this; with `done` the server does it before.
    late: so many seconds pass first. stray: the client is hung up on, and the server does it so many seconds later.
    strike: what happens besides, before the server is asked; with `done` or `lost` after it.
    """

    lost: bool = False
    cut: int | None = None
    status: int | None = None
    done: bool = False
    late: float = 0
    stray: float | None = None
    strike: Callable[[], object] | None = None


LOST = Fault(lost=True)
"""Done, but the answer is lost."""

CODES = {
    409: "ConditionalRequestConflict",
    412: "PreconditionFailed",
    500: "InternalError",
    503: "SlowDown",
}
"""What Amazon calls them."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it came in."""

    method: str
    path: str
    size: int


@dataclass(frozen=True, slots=True)
class Asked:
    """All of a request, so that it can be made of the server behind."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


class Proxy:
    """`server` is reached through it; `requests` are all that came, `spoilt` those that something went wrong with."""

    def __init__(self, behind: Server) -> None:
        self._behind = urlsplit(behind.endpoint).netloc
        self._planned: dict[str, list[Fault | None]] = {}
        self._always: dict[str, Fault] = {}
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._straying: list[threading.Thread] = []
        self.requests: list[Request] = []
        self.spoilt: list[Request] = []
        self._handler = type("Handler", (_Handler,), {"proxy": self})
        self._port = 0
        self.come_back()
        self.server = replace(behind, endpoint=f"http://127.0.0.1:{self._port}")

    def plan(self, method: str, *faults: Fault | None) -> None:
        """What happens to the next requests of a method, in their order; None: nothing."""
        with self._lock:
            self._planned[method] = list(faults)

    def always(self, method: str, fault: Fault) -> None:
        """What happens to all requests of a method that nothing else is planned for."""
        with self._lock:
            self._always[method] = fault

    def heal(self) -> None:
        """Nothing goes wrong from now on."""
        with self._lock:
            self._planned.clear()
            self._always.clear()

    def come_back(self) -> None:
        """Serve again, at the same address."""
        self._ended.clear()
        self._http = _Http(("127.0.0.1", self._port), self._handler)
        self._port = self._http.server_address[1]
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def leave(self) -> None:
        """Serve nobody any more: who connects is refused. What strays has arrived then."""
        if self._ended.is_set():
            return
        self._ended.set()
        self._http.shutdown()
        self._thread.join()
        self._http.hang_up()
        self._http.server_close()  # waits for the threads of all connections
        for stray in self._straying:
            stray.join()

    def meet(self, request: Request) -> Fault:
        """Note a request, wait if it is to be late; what goes wrong with it."""
        with self._lock:
            self.requests.append(request)
            planned = self._planned.get(request.method)
            fault = planned.pop(0) if planned else self._always.get(request.method)
            self.spoilt += [request] if fault is not None else []
        if fault is not None and fault.late:
            self._ended.wait(fault.late)
        return fault or Fault()

    def ask(self, asked: Asked) -> tuple[http.client.HTTPResponse, bytes]:
        """Let the server behind do it."""
        connection = http.client.HTTPConnection(self._behind, timeout=60)
        try:
            connection.putrequest(asked.method, asked.path, skip_host=True, skip_accept_encoding=True)
            for name, value in asked.headers:
                connection.putheader(name, value)
            connection.endheaders(asked.body)
            answer = connection.getresponse()
            return answer, answer.read()
        finally:
            connection.close()

    def ask_later(self, asked: Asked, seconds: float) -> None:
        """Let the server behind do it some time after the client has gone, or when we leave, whichever is first."""

        def arrive() -> None:
            self._ended.wait(seconds)
            with suppress(OSError, http.client.HTTPException):
                self.ask(asked)

        stray = threading.Thread(target=arrive)
        self._straying.append(stray)
        stray.start()


class _Http(ThreadingHTTPServer):
    daemon_threads = False
    request_queue_size = 64

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._connections: set[socket.socket] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        """End the connections that clients keep open for later."""
        for connection in list(self._connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are nothing to report."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or each small answer waits for an acknowledgement
    proxy: Proxy

    def _pass(self) -> None:
        size = int(self.headers.get("content-length") or 0)
        body = self.rfile.read(size)
        if len(body) < size:  # the client has hung up, or we have
            self.close_connection = True
            return
        asked = Asked(self.command, self.path, tuple(self.headers.items()), body)
        fault = self.proxy.meet(Request(self.command, self.path, len(body)))
        if fault.stray is not None:
            self.proxy.ask_later(asked, fault.stray)
            self._hang_up()
        elif fault.status is not None or fault.strike is not None:
            self._refuse(asked, fault)
        else:
            self._answer(asked, fault)

    def _refuse(self, asked: Asked, fault: Fault) -> None:
        """Answer in the server's place, or strike and say nothing."""
        if fault.done or fault.lost:
            self.proxy.ask(asked)
        if fault.strike is not None:
            fault.strike()
        if fault.status is None:
            self._hang_up()
            return
        code = CODES.get(fault.status)
        data = f"<Error><Code>{code}</Code></Error>".encode() if code and self.command != "HEAD" else b""
        self.send_response(fault.status)
        self.send_header("content-type", "application/xml")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _answer(self, asked: Asked, fault: Fault) -> None:
        """What the server answers, or the part of it that arrives."""
        answer, data = self.proxy.ask(asked)
        if fault.lost:
            self._hang_up()
            return
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in {"transfer-encoding", "connection", "content-length"}:
                self.send_header(name, value)
        self.send_header("content-length", answer.getheader("content-length") or str(len(data)))
        self.end_headers()
        self.wfile.write(data[: fault.cut])
        if fault.cut is not None:
            self._hang_up()

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _pass  # noqa: N815 - the names are http.server's

    def _hang_up(self) -> None:
        """Reset the connection, as a machine does that has died."""
        self.close_connection = True
        with suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is printed."""


@contextmanager
def proxy(behind: Server) -> Iterator[Proxy]:
    """A proxy in front of a server, until the end of the block."""
    made = Proxy(behind)
    try:
        yield made
    finally:
        made.leave()
