"""The log of a run: what the package's code writes on stdout and stderr, masked, cut into lines, bounded.

It owns the reading; who shows or keeps the lines is an observer's affair. Control characters are kept as they are:
whoever displays a line escapes them.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Literal

from pkgrun.observe import Log
from pkgrun.worker.secrets import Masker

LINE_LIMIT = 64 * 1024  # bytes; the rest of a longer line follows as a line of its own
LAST_LINES = 1000
_PART = 256 * 1024


class Lines:
    """Cuts bytes into lines. Of a line that was drawn anew with carriage returns, the last drawing counts."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that are complete now, without their ends."""
        *lines, rest = (self._rest + data).split(b"\n")
        lines = [_last_drawing(line) if b"\r" in line else line for line in lines]
        if max(map(len, lines), default=0) > LINE_LIMIT:
            lines = [part for line in lines for part in _cut(line)]
        *parts, self._rest = _cut(_unfinished(rest))
        return lines + parts

    def finish(self) -> list[bytes]:
        """What stands after the last line end."""
        rest, self._rest = _last_drawing(self._rest), b""
        return _cut(rest) if rest else []


def _last_drawing(line: bytes) -> bytes:
    return line.rstrip(b"\r").rpartition(b"\r")[2]


def _unfinished(rest: bytes) -> bytes:
    """Without earlier drawings. A return at the very end stays: the line end may still be on its way."""
    _, found, last = rest[:-1].rpartition(b"\r")
    return last + rest[-1:] if found else rest


def _cut(line: bytes) -> list[bytes]:
    """Parts of at most LINE_LIMIT bytes, never within a character."""
    parts = []
    start = 0
    while len(line) - start > LINE_LIMIT:
        end = start + LINE_LIMIT
        while end > start + LINE_LIMIT - 4 and line[end] & 0xC0 == 0x80:
            end -= 1
        parts.append(line[start:end])
        start = end
    return [*parts, line[start:]]


class Reader:
    """Reads one stream to its end in a thread of its own.

    Up to `limit` bytes are told; of the rest, how many bytes it was, and the last 1,000 lines.
    """

    def __init__(
        self,
        descriptor: int,
        stream: Literal["out", "err"],
        *,
        mask: Masker,
        tell: Callable[[Log], None],
        limit: int,
    ) -> None:
        self._descriptor = descriptor
        self._stream = stream
        self._mask = mask.stream()
        self._lines = Lines()
        self._tell = tell
        self._left = limit
        self._dropped = 0
        self._last: deque[bytes] = deque(maxlen=LAST_LINES)
        self._quit, self._quitter = os.pipe()
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._read, name=f"pkgrun-{stream}", daemon=True)
        self._thread.start()

    def join(self, seconds: float) -> bool:
        """Waits for the end of the stream, `seconds` at most, then reads no further. Whether the end was reached."""
        self._thread.join(seconds)
        reached = not self._thread.is_alive()
        os.close(self._quitter)
        self._thread.join()
        os.close(self._quit)
        return reached

    def _read(self) -> None:
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        poll.register(self._quit, 0)
        while self._quit not in dict(poll.poll()):
            data = os.read(self._descriptor, _PART)
            if not data:
                break
            self._take(self._lines.feed(self._mask.feed(data)))
        self._take(self._lines.feed(self._mask.finish()))
        self._take(self._lines.finish())
        self._close()

    def _take(self, lines: list[bytes]) -> None:
        told = 0
        while told < len(lines) and self._left > 0:
            self._left -= len(lines[told]) + 1
            told += 1
        self._say(lines[:told])
        self._drop(lines[told:])

    def _drop(self, lines: list[bytes]) -> None:
        self._dropped += sum(map(len, lines)) + len(lines)
        self._last.extend(lines)

    def _say(self, lines: Iterable[bytes]) -> None:
        at = time.time()
        for line in lines:
            self._tell_one(Log(self._stream, line.decode("utf-8", "replace"), at))

    def _tell_one(self, event: Log) -> None:
        if self.error is None:
            try:
                self._tell(event)
            except Exception as error:  # a border: the package must not hang because its reader died
                self.error = error

    def _close(self) -> None:
        unseen = self._dropped - sum(map(len, self._last)) - len(self._last)
        if unseen > 0:
            self._tell_one(
                Log(self._stream, f"[pkgrun: {unseen:,} bytes of the log were dropped here]", time.time())
            )
        self._say(self._last)
