"""The events of a run as JSON lines: spooled to a file while it runs, kept as its log afterwards.

Progress is not kept; phases, notices and log lines are. Others read the segments that `heart` publishes.
"""

from __future__ import annotations

import threading
from typing import Any

import orjson

from pkgrun.observe import Event, Log, Notice, Observer, Phase, Progress


def encode(event: Event) -> bytes | None:
    """One line, or None of what is not kept."""
    match event:
        case Phase(name, at):
            line: dict[str, Any] = {"event": "phase", "name": name, "at": at}
        case Log(stream, text, at):
            line = {"event": "log", "stream": stream, "text": text, "at": at}
        case Notice(message, hint):
            line = {"event": "notice", "message": message, "hint": hint}
        case Progress():
            return None
    try:
        return orjson.dumps(line) + b"\n"
    except orjson.JSONEncodeError:  # a lone surrogate
        return orjson.dumps({key: _plain(value) for key, value in line.items()}) + b"\n"


def _plain(value: Any) -> Any:
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def decode(line: bytes) -> Event | None:
    """The event of one line, or None of a kind that is not known here."""
    fields = orjson.loads(line)
    match fields.get("event"):
        case "phase":
            return Phase(fields["name"], fields["at"])
        case "log":
            return Log(fields["stream"], fields["text"], fields["at"])
        case "notice":
            return Notice(fields["message"], fields["hint"])
    return None


class Journal:
    """Takes events from any thread: spools them, and passes them on."""

    def __init__(self, path: str, forward: Observer) -> None:
        self._forward = forward
        self._file = open(path, "ab", buffering=0)  # noqa: SIM115 - closed by `close`
        self.path = path
        self.size = 0
        self._changed = threading.Condition()
        self._closed = False

    def __call__(self, event: Event) -> None:
        if line := encode(event):
            with self._changed:
                self._file.write(line)
                self.size += len(line)
                self._changed.notify_all()
        self._forward(event)

    def read(self, start: int) -> bytes:
        """What was written from `start` on, at most a mebibyte; it ends with a whole line unless one is longer."""
        with open(self.path, "rb", buffering=0) as file:
            file.seek(start)
            data = file.read(1 << 20)
        return data[: data.rfind(b"\n") + 1] or data

    def wait_beyond(self, offset: int) -> bool:
        """Wait until there is more than `offset` bytes, or no more will come; whether no more will."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self.size > offset)
            return self._closed

    def close(self) -> None:
        """No event comes any more."""
        with self._changed:
            self._file.close()
            self._closed = True
            self._changed.notify_all()
