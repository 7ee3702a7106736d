"""The messages between supervisor, guard and worker: one JSON object a line, in ASCII, of bounded size.

It owns how they are written and read; it never touches the user's stdout. `json` itself is not imported, since
it draws in `re` and `enum`: 7 ms where a bare interpreter starts in 11. Its C part alone does the same work.

Supervisor → guard on the control socket: `init` first, then `terminate`; its end means "kill all that is left".
Guard → supervisor on the same socket, which the worker does not hold, so user code cannot forge them: `started`
with the worker's process id, `exit` when nothing is left. Worker → supervisor on the events pipe: `refused`, and
nothing else; or `phase`, `look` and `tolerated`, then `failure`, or `result` and `ended`.

Where a call is to be looked at, there is a third way, the view socket: of an overlay the worker hands over, once, the
folder as it sees it; after each `look` it waits there for one byte before it makes the call.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

VERSION = 4
LINE_LIMIT = 1 << 20  # bytes; a longer line is no message
TRACEBACK_LIMIT = 60_000  # characters, of which each takes at most 12 bytes in a line
MESSAGE_LIMIT = 8_000
NOTES_LIMIT = 4_000


class _ScannerOptions:
    """What the C scanner asks of a decoder."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = float
    memo: dict[str, str] = {}  # noqa: RUF012


def _codec() -> tuple[Callable[[str], str], Callable[[str], Any]]:
    """The functions that quote a string and read a value; without CPython's C part, those of `json`."""
    try:
        from _json import encode_basestring_ascii, make_scanner
    except ImportError:
        import json

        return json.dumps, json.loads
    scan = make_scanner(_ScannerOptions())  # type: ignore[arg-type]
    return encode_basestring_ascii, lambda text: scan(text, 0)[0]


_quote, _parse = _codec()


def _written(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _quote(value)
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, dict):
        return "{" + ",".join(_quote(key) + ":" + _written(value[key]) for key in value) + "}"
    return "[" + ",".join(map(_written, value)) + "]"


def encode(message: dict[str, Any]) -> bytes:
    """One message as a line.

    It begins with a line end too, so that a half line which user code wrote before it spoils only itself.
    """
    return ("\n" + _written(message) + "\n").encode("ascii")


def decode(line: bytes) -> dict[str, Any]:
    """The message of a trusted line, without its line ends. Lines of user code are for `json` proper."""
    message: dict[str, Any] = _parse(line.decode("ascii"))
    return message


def bounded(text: str, limit: int) -> str:
    """At most about `limit` characters of `text`: its head and its tail, and between them how many are missing."""
    if len(text) <= limit:
        return text
    head = limit // 2
    tail = limit - head
    return "%s\n[... %d characters left out ...]\n%s" % (text[:head], len(text) - limit, text[-tail:])


def send(descriptor: int, message: dict[str, Any]) -> None:
    """Writes a message whole. A reader that is gone, or a descriptor that user code closed, is no error here."""
    data = encode(message)
    try:
        while data:
            data = data[os.write(descriptor, data) :]
    except OSError:
        return


def receive(descriptor: int) -> bytes:
    """The one line that is on its way: nothing follows it before an answer. b"" when nothing comes any more."""
    data = b""
    while not data.strip() or not data.endswith(b"\n"):
        part = os.read(descriptor, 65536)
        if not part:
            return b""
        data += part
    return data.strip()
