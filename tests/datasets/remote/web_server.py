"""An HTTP server on loopback that does what it is told: validators, ranges, cuts, lies. Its requests are counted."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass
class File:
    """A file that the server has, and how it behaves for it. `None` leaves the header out."""

    data: bytes
    etag: str | None = '"1"'
    modified: str | None = None
    ranges: bool = True
    length: int | None = -1
    status: int = 200
    location: str | None = None
    encoding: str | None = None
    cut: int = 1 << 62
    """Bytes after which an answer's connection is cut."""
    cuts: int = 1 << 30
    """How many answers are cut."""
    fails: int = 0
    """How many requests are answered 503 first."""
    gate: threading.Event | None = None
    """What the answers wait for, once they have sent `before` bytes."""
    gated: str = ""
    """How the range ends for which they wait."""
    before: int = 0
    served: Callable[[File], None] = field(default=lambda file: None)
    """Called before an answer to more than the first byte."""


@dataclass(frozen=True)
class Asked:
    """A request that was answered, or begun to be."""

    path: str
    range: str | None
    authorization: str | None

    @property
    def looks(self) -> bool:
        """Whether it asks only what there is."""
        return self.range == "bytes=0-0"


class WebServer:
    """Its files by path, and what it was asked for."""

    def __init__(self) -> None:
        self.files: dict[str, File] = {}
        self.asked: list[Asked] = []
        self.begun = threading.Event()
        """Set when an answer has come to `before` and waits."""
        self.url = ""

    @property
    def downloads(self) -> list[Asked]:
        """The requests for content."""
        return [asked for asked in self.asked if not asked.looks]


@contextmanager
def web_server(certificate: Path | None = None) -> Iterator[WebServer]:
    """A server that runs until the context ends; with a certificate, and its key behind it, for https."""
    state = WebServer()

    class Handler(_Handler):
        web = state

    class Server(ThreadingHTTPServer):
        daemon_threads = False  # and so waited for

        def handle_error(self, *_: object) -> None:
            """A client that went away is what the tests are about."""

    with Server(("127.0.0.1", 0), Handler) as server:
        state.url = f"http://127.0.0.1:{server.server_address[1]}"
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
            state.url = f"https://localhost:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield state
        finally:
            for file in state.files.values():
                if file.gate is not None:
                    file.gate.set()
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    web: WebServer
    protocol_version = "HTTP/1.1"
    timeout = 5

    def log_message(self, *_: object) -> None:
        """Nothing on stderr."""

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.web.asked.append(Asked(self.path, wanted, self.headers.get("Authorization")))
        file = self.web.files.get(self.path.partition("?")[0])
        if file is None or file.status >= 400:
            self._refuse(file.status if file else 404)
            return
        if file.fails:
            file.fails -= 1
            self._refuse(503)
            return
        if wanted != "bytes=0-0":
            file.served(file)
        self._answer(file, wanted if file.ranges else None)

    def _refuse(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _answer(self, file: File, wanted: str | None) -> None:
        size = len(file.data)
        start, end = 0, size
        if file.location is not None:
            self.send_response(302)
            self.send_header("Location", file.location)
        elif wanted and size:
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            start, end = int(first), min(int(last) + 1, size)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{size}")
        elif wanted:
            self.send_response(416)
        else:
            self.send_response(200)
        for name, value in (
            ("ETag", file.etag),
            ("Last-Modified", file.modified),
            ("Content-Encoding", file.encoding),
            (
                "Content-Length",
                None if file.length is None else str(file.length if file.length >= 0 else end - start),
            ),
        ):
            if value is not None:
                self.send_header(name, value)
        if file.length is None:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        self._send(file, file.data[start:end], wanted or "")

    def _send(self, file: File, data: bytes, wanted: str) -> None:
        if len(data) > file.cut and file.cuts > 0:
            file.cuts -= 1
            self.wfile.write(data[: file.cut])
            self._hang_up()
            return
        if file.gate is not None and len(data) > 1 and wanted.endswith(file.gated):
            self.wfile.write(data[: file.before])
            self.wfile.flush()
            self.web.begun.set()
            file.gate.wait(60)
            data = data[file.before :]
        self.wfile.write(data)
        if file.length not in {None, -1}:
            self._hang_up()

    def _hang_up(self) -> None:
        self.wfile.flush()
        self.close_connection = True
