"""The events of a run as JSON lines: spooled to a file while it runs, kept as its log afterwards.

Progress is not kept; phases, notices and log lines are. Others read the segments that `heart` publishes.
"""

from __future__ import annotations

import os
import threading
from typing import Any

import orjson

from pkgrun.errors import Damaged
from pkgrun.observe import Event, Log, Notice, Observer, Phase, Progress
from pkgrun.records import Blob
from pkgrun.store.objects import SMALL, Objects


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
    """The event of one line, or None of a kind that is not known here.

    Raises:
        Damaged: it is no event.
    """
    try:
        fields = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise _no_event(line) from error
    match fields:
        case {"event": "phase", "name": str(name), "at": int() | float() as at}:
            return Phase(name, at)
        case {
            "event": "log",
            "stream": "out" | "err" as stream,
            "text": str(text),
            "at": int() | float() as at,
        }:
            return Log(stream, text, at)
        case {"event": "notice", "message": str(message), "hint": None | str() as hint}:
            return Notice(message, hint)
        case {"event": str(kind)} if kind not in {"phase", "log", "notice"}:
            return None
    raise _no_event(line)


def _no_event(line: bytes) -> Damaged:
    return Damaged(f"a log holds a line that is no event: {line[:60]!r}")


class Journal:
    """Takes events from any thread: spools them, and passes them on."""

    def __init__(self, path: str, forward: Observer) -> None:
        self._forward = forward
        self._file = open(path, "a+b", buffering=0)  # noqa: SIM115 - closed by `close`
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
        # Not by its path: the package's code may have removed what it finds around its work directory.
        with self._changed:
            if self._closed:
                raise FileNotFoundError(self.path)
            data = os.pread(self._file.fileno(), 1 << 20, start)
        return data[: data.rfind(b"\n") + 1] or data

    def keep(self, objects: Objects) -> Blob:
        """Keep all that was written so far."""
        with self._changed:
            ours, size = os.fstat(self._file.fileno()), self.size
            if size >= SMALL and ours.st_size == size and _same(self.path, ours):
                taken = objects.take(self.path, own=True)
                return Blob(digest=taken.digest, bytes=taken.size)
            return objects.put(os.pread(self._file.fileno(), size, 0))

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


def _same(path: str, ours: os.stat_result) -> bool:
    """Whether the spool still is where it was: the package's code may have removed or replaced it."""
    try:
        return os.path.samestat(os.lstat(path), ours)
    except OSError:
        return False
