"""Words for people: errors, sizes, times, and the harmless form of whatever others wrote."""

from __future__ import annotations

import os
import re
import sys
import traceback
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from pkgrun.cli.options import Settings
    from pkgrun.errors import PkgrunError

_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


class Shown(Exception):
    """An end of which everything has been said."""

    def __init__(self, exit_code: int) -> None:
        super().__init__(exit_code)
        self.exit_code = exit_code


class Terminated(BaseException):
    """SIGTERM arrived, or SIGHUP, because the terminal is gone."""

    def __init__(self, signal: int) -> None:
        super().__init__(signal)
        self.exit_code = 128 + signal


def plain(text: str) -> str:
    """Text that a terminal only shows: control characters become visible, lines and tabs stay."""
    return _CONTROL.sub(lambda match: ascii(match[0])[1:-1], text)


def line(text: str) -> str:
    """The same on one line."""
    return plain(text).replace("\n", "\\n").replace("\t", " ")


def colours(stream: Any = None) -> bool:
    """Whether a stream wants colours."""
    stream = stream or sys.stderr
    return bool(stream.isatty()) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def tell(message: str) -> None:
    """A message on standard error, if anybody reads there: nothing fails because nobody does."""
    with suppress(OSError):
        click.echo(message, err=True)


def say(message: str, settings: Settings) -> None:
    """A remark, on standard error."""
    if not settings.quiet:
        tell(plain(message))


def _label(word: str, code: str) -> str:
    return f"\x1b[{code}m{word}\x1b[0m" if colours() else word


def show_error(error: PkgrunError, settings: Settings) -> None:
    """What happened, to which thing, and the way out; before it what the package's code raised, if nothing kept that."""
    trace: str | None = getattr(error, "traceback", None)
    if settings.json:
        document: dict[str, Any] = {
            "error": {"kind": error.kind, "message": error.message, "hint": error.hint}
        }
        if error.run_id:
            document["run_id"] = error.run_id
        if trace:
            document["error"]["traceback"] = trace
        emit(document)
    if trace:
        tell(plain(trace.rstrip()))
    tell(f"{_label('error:', '1;31')} {plain(error.message)}")
    if error.hint:
        tell(f"{_label('hint:', '1;36')} {plain(error.hint)}")


def show_usage(error: click.ClickException, settings: Settings) -> None:
    """A call that click refused."""
    ctx = getattr(error, "ctx", None)
    hint = f"`{ctx.command_path} --help` shows how it is called" if ctx else None
    if settings.json or "--json" in sys.argv:  # it may stand behind what was refused
        emit({"error": {"kind": "usage", "message": error.format_message(), "hint": hint}})
    if type(error).__name__ == "NoArgsIsHelpError":  # of click 8.2 and later: the message is the help
        tell(plain(error.format_message()))
        return
    tell(f"{_label('error:', '1;31')} {plain(error.format_message())}")
    if hint:
        tell(f"{_label('hint:', '1;36')} {hint}")


def show_bug(error: BaseException, settings: Settings) -> int:
    """Something that must not happen; the exit code."""
    if settings.json:
        emit({"error": {"kind": "bug", "message": f"{type(error).__name__}: {error}", "hint": None}})
    tell(plain("".join(traceback.format_exception(error))))
    tell(f"{_label('error:', '1;31')} this is a bug in pkgrun, not in your package")
    return 70


def emit(document: Any) -> None:
    """One JSON document on standard output."""
    import orjson

    try:
        data = orjson.dumps(document, option=orjson.OPT_INDENT_2, default=str)
    except TypeError:  # a lone surrogate: a path that is not UTF-8
        data = orjson.dumps(_encodable(document), option=orjson.OPT_INDENT_2, default=str)
    with suppress(BrokenPipeError):  # nobody reads; the exit code tells the rest
        sys.stdout.flush()
        sys.stdout.buffer.write(data + b"\n")


def _encodable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_encodable(key): _encodable(item) for key, item in value.items()}
    return [_encodable(item) for item in value] if isinstance(value, list | tuple) else value


def size(count: float) -> str:
    """Bytes for reading: `512 B`, `1.2 MB`; powers of a thousand."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5 or unit == "GB":
            return f"{count:.0f} {unit}" if unit == "B" or count >= 99.5 else f"{count:.1f} {unit}"
        count /= 1000
    return ""


def duration(seconds: float) -> str:
    """A stretch of time for reading: `42 ms`, `3.1 s`, `2 min 5 s`, `3 h 12 min`."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def moment(at: datetime) -> str:
    """A time for reading, in this machine's zone, which it names."""
    return at.astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")


def age(at: datetime) -> str:
    """How long ago, for reading: `just now`, `5 min ago`, `3 h ago`; the day if that is longer ago than yesterday."""
    seconds = datetime.now(at.tzinfo).timestamp() - at.timestamp()
    if seconds < 60:
        return "just now"
    if seconds < 3600:
        return f"{seconds // 60:.0f} min ago"
    if seconds < 86400:
        return f"{seconds // 3600:.0f} h ago"
    return at.astimezone().strftime("%Y-%m-%d")


def number(value: float) -> str:
    """A metric for reading."""
    return f"{value:.0f}" if value == int(value) and abs(value) < 1e15 else f"{value:.4g}"


def plural(count: int, word: str) -> str:
    """`1 file`, `2 files`."""
    return f"{count:,} {word}" + ("" if count == 1 else "s")


def interactive() -> bool:
    """Whether the terminal can redraw."""
    return os.environ.get("TERM") not in (None, "", "dumb")


def shown(path: str) -> str:
    """A path as text, whatever bytes it is made of."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def brief(name: str) -> str:
    """A name of data; a digest by its beginning."""
    return name[:15] if re.fullmatch("sha256:[0-9a-f]{64}", name) else name
