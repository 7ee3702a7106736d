"""Git repositories for tests, and a web server that serves them by git's own `http-backend`."""

from __future__ import annotations

import base64
import os
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ENVIRONMENT = {
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@example.org",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.org",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
}
TRAIN = "class Main:\n    def train(self, folder):\n        pass\n    def save(self):\n        open('model.txt', 'a').write('x')\n"
MAIN = "class Main:\n    def predict(self, text):\n        return text\n"


@dataclass(frozen=True)
class Repository:
    """A repository with a working tree."""

    root: Path

    @property
    def address(self) -> str:
        return f"git+file://{self.root}"

    def git(self, *arguments: str, stdin: bytes = b"") -> str:
        done = subprocess.run(
            ["git", *arguments],
            cwd=self.root,
            env={**os.environ, **ENVIRONMENT},
            input=stdin,
            check=True,
            capture_output=True,
        )
        return done.stdout.decode().strip()

    def commit(self, message: str = "change") -> str:
        """Commit all that is there; the commit's id."""
        self.git("add", "--all", "--force")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        return self.git("rev-parse", "HEAD")

    def tree(self, entries: Sequence[tuple[str, bytes, str]]) -> str:
        """A tree as git itself would refuse to make it, of modes, names and ids."""
        data = b"".join(
            mode.encode() + b" " + name + b"\0" + bytes.fromhex(one) for mode, name, one in entries
        )
        return self.git("hash-object", "-w", "-t", "tree", "--stdin", "--literally", stdin=data)

    def point(self, tree: str, branch: str = "trunk") -> None:
        """Let the branch be one commit with that tree."""
        self.git("update-ref", f"refs/heads/{branch}", self.git("commit-tree", tree, "-m", "odd"))

    def blob(self, data: bytes = b"x") -> str:
        return self.git("hash-object", "-w", "--stdin", stdin=data)


def repository(root: Path) -> Repository:
    """One whose root is a package that trains and serves, and which holds another in `packages/churn`."""
    made = Repository(root)
    for folder in (root, root / "packages" / "churn"):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "train.py").write_text(TRAIN)
        (folder / "main.py").write_text(MAIN)
    made.git("init", "--quiet", "--initial-branch", "trunk")
    made.commit("first")
    return made


@dataclass
class Web:
    """A server of repositories: where it is, and what it was asked."""

    url: str
    asked: list[str] = field(default_factory=list)


@contextmanager
def web(root: Path, *, login: str | None = None) -> Iterator[Web]:
    """Serve the repositories below a folder on loopback, to whoever has the login (`user:password`) if there is one."""
    told: list[str] = []

    class Handler(_Handler):
        folder, wanted, asked = root, login, told

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield Web(f"http://127.0.0.1:{server.server_port}", told)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    folder: Path
    wanted: str | None
    asked: list[str]

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        self._answer(self._body())

    def log_message(self, format: str, *args: Any) -> None:
        self.asked.append(format % args)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _answer(self, body: bytes) -> None:
        expected = self.wanted and "Basic " + base64.b64encode(self.wanted.encode()).decode()
        if expected and self.headers.get("Authorization") != expected:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="packages"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        path, _, query = self.path.partition("?")
        done = subprocess.run(
            ["git", "http-backend"],
            env={
                "PATH": os.environ["PATH"],
                **ENVIRONMENT,
                "GIT_PROJECT_ROOT": str(self.folder),
                "GIT_HTTP_EXPORT_ALL": "1",
                "REQUEST_METHOD": self.command,
                "PATH_INFO": path,
                "QUERY_STRING": query,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "CONTENT_LENGTH": str(len(body)),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            },
            input=body,
            capture_output=True,
            check=False,
        )
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().splitlines() if ": " in line)
        self.send_response(int(fields.pop("Status", "200").split()[0]))
        for name, value in fields.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
