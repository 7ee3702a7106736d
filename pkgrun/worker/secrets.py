"""Secrets: where their values come from, and how they are kept out of everything that is written.

It owns the values for the length of a run. It never writes one: not to a message, a `repr` or a record.
"""

from __future__ import annotations

import base64
import json
import re
import urllib.parse
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from pkgrun.errors import UsageError

REPLACEMENT = "***"
SHORTEST = 4  # characters; a shorter value would be found everywhere
SHORTEST_FORM = 8  # of an encoding, or of one line of many
LARGEST = 120 * 1024  # bytes; the kernel takes no variable beyond 128 KiB

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_WAYS = "export it and give --secret NAME, or name a file (NAME=@FILE), or pipe it in (NAME=-)"


def resolve(specs: Sequence[str], environ: Mapping[str, str], stdin: BinaryIO) -> dict[str, str]:
    """The values of `NAME` (from `environ`), `NAME=@FILE` and `NAME=-` (all of `stdin`), by name.

    One line end at the end of a file or of stdin is not part of the value. Raises UsageError, which names the
    secret and never a value.
    """
    found: dict[str, str] = {}
    from_stdin: str | None = None
    for position, spec in enumerate(specs, start=1):
        name, equals, source = spec.partition("=")
        if not _NAME.match(name):
            # Not shown: whoever swaps name and value would find the value in a log.
            raise UsageError(f"secret number {position} has no valid name", hint="letters, digits and _ only")
        if name in found:
            raise UsageError(f"secret {name} is given twice", hint="give it once")
        if source == "-":
            if from_stdin is not None:
                raise UsageError(
                    f"secrets {from_stdin} and {name} both want stdin", hint="give one of them by file"
                )
            from_stdin = name
        found[name] = _checked(
            name, _read(name, source, environ, stdin) if equals else _exported(name, environ)
        )
    return found


def _exported(name: str, environ: Mapping[str, str]) -> str:
    if name not in environ:
        raise UsageError(f"secret {name} is not in the environment", hint=_WAYS)
    return environ[name]


def _read(name: str, source: str, environ: Mapping[str, str], stdin: BinaryIO) -> str:
    if source == "-":
        data = stdin.read(LARGEST + 3)
    elif source.startswith("@") and len(source) > 1:
        data = _content(name, Path(source[1:]))
    else:
        raise UsageError(
            f"secret {name} is given with its value, which the shell's history would keep", hint=_WAYS
        )
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise UsageError(
            f"secret {name} is not UTF-8 text", hint="encode it, for example as base64"
        ) from None
    return text.removesuffix("\n").removesuffix("\r") if text.endswith("\r\n") else text.removesuffix("\n")


def _content(name: str, path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(LARGEST + 3)
    except OSError as error:
        raise UsageError(
            f"secret {name}: its file cannot be read: {error.strerror}", hint=f"look at {path}"
        ) from error


def _checked(name: str, value: str) -> str:
    if not value:
        raise UsageError(f"secret {name} is empty", hint=_WAYS)
    if len(value) < SHORTEST:
        raise UsageError(
            f"secret {name} has fewer than {SHORTEST} characters, so it cannot be masked",
            hint="give it as a parameter if it is none, else take a longer one",
        )
    if "\0" in value:
        raise UsageError(
            f"secret {name} holds a NUL, which no variable can", hint="encode it, for example as base64"
        )
    if len(value.encode("utf-8", "surrogateescape")) > LARGEST:
        raise UsageError(
            f"secret {name} is larger than {LARGEST // 1024} KiB",
            hint="give the package a file to read instead",
        )
    return value


class Masker:
    """Replaces secrets by `***`, in every form that programs commonly write them in.

    The forms of a value: itself, without surrounding white space, URL-quoted, as inside a JSON string or a `repr`,
    and within any base64 text (those of 8 and more). Of a value of several lines, each line of 8 and more as well,
    but only in what is masked: a `Scanner` finds whole values, since such lines also stand in harmless files.
    """

    def __init__(self, values: Iterable[str] = ()) -> None:
        values = [value for value in values if value]
        whole = {form for value in values for form in _forms(value)}
        self._whole = _by_length(whole)
        self._texts = _by_length(whole | {line for value in values for line in _lines(value)})
        self._bytes = [_encoded(form) for form in self._texts]
        self._text_pattern = re.compile("|".join(map(re.escape, self._texts))) if self._texts else None
        self._bytes_pattern = re.compile(b"|".join(map(re.escape, self._bytes))) if self._bytes else None

    def text(self, text: str) -> str:
        """`text` with the secrets masked."""
        return text if self._text_pattern is None else self._text_pattern.sub(REPLACEMENT, text)

    def json(self, value: Any) -> Any:
        """A copy of a JSON value in which all strings, keys too, are masked."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(str(key)): self.json(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.json(item) for item in value]
        return value

    def stream(self) -> MaskedStream:
        """For bytes that come in parts."""
        return MaskedStream(self._bytes, self._bytes_pattern)

    def scanner(self) -> Scanner:
        """For finding out whether a file, read in parts, holds a secret."""
        return Scanner([_encoded(form) for form in self._whole])

    @property
    def watch(self) -> Callable[[], Callable[[bytes], bool]] | None:
        """Begins a scanner for each of many files; None if there is no secret to find."""
        return (lambda: self.scanner().feed) if self._whole else None

    def found_in(self, data: bytes) -> bool:
        """Whether `data` holds a secret."""
        return self.scanner().feed(data)


class MaskedStream:
    """Masks bytes across every boundary between parts: what comes out is what masking the whole would give."""

    def __init__(self, forms: Sequence[bytes], pattern: re.Pattern[bytes] | None) -> None:
        self._forms = forms
        self._pattern = pattern
        self._held = b""
        self._reach = max(map(len, forms), default=1) - 1
        self._width = min([4, *map(len, forms)])
        self._by_head: dict[bytes, list[bytes]] = {}
        for form in forms:
            self._by_head.setdefault(form[: self._width], []).append(form)
        # Ahead only, so that heads which overlap are all seen.
        self._head = re.compile(b"(?=%s)" % b"|".join(map(re.escape, self._by_head)))

    def feed(self, data: bytes) -> bytes:
        """What is certain now; held back is only what may be the beginning of a secret."""
        if self._pattern is None:
            return data
        data = self._held + data
        doubtful = self._doubtful(data, 0)
        if not any(form in data for form in self._forms):
            self._held = data[doubtful:]
            return data[:doubtful]
        done: list[bytes] = []
        position = 0
        for match in self._pattern.finditer(data):
            if match.start() >= doubtful:
                break
            done += (data[position : match.start()], REPLACEMENT.encode())
            position = match.end()
            if position > doubtful:
                doubtful = self._doubtful(data, position)
        self._held = data[doubtful:]
        return b"".join((*done, data[position:doubtful]))

    def finish(self) -> bytes:
        """What was held back, masked. The stream is empty afterwards."""
        data, self._held = self._held, b""
        return data if self._pattern is None else self._pattern.sub(REPLACEMENT.encode(), data)

    def _doubtful(self, data: bytes, start: int) -> int:
        """The first position from which all the rest is the beginning of a secret, or the length."""
        begin = max(start, len(data) - self._reach)
        for match in self._head.finditer(data, begin):
            rest = data[match.start() :]
            if any(
                len(rest) < len(form) and form.startswith(rest) for form in self._by_head[rest[: self._width]]
            ):
                return match.start()
        for position in range(max(begin, len(data) - self._width + 1), len(data)):
            if any(form.startswith(data[position:]) for form in self._forms):
                return position
        return len(data)


class Scanner:
    """Looks for secrets in bytes that come in parts."""

    def __init__(self, forms: Sequence[bytes]) -> None:
        self._forms = forms
        self._reach = max(map(len, forms), default=1) - 1
        self._tail = b""
        self._found = False

    def feed(self, chunk: bytes) -> bool:
        """Whether a secret was in what has come so far."""
        if not self._found and self._forms:
            data = self._tail + chunk
            self._found = any(form in data for form in self._forms)
            self._tail = data[-self._reach :] if self._reach else b""
        return self._found


def _forms(value: str) -> Iterator[str]:
    plain = {value, value.strip()} - {""}
    yield from (form for form in plain if len(form) >= min(SHORTEST, len(value)))
    others: set[str] = set()
    for form in plain:
        others |= {urllib.parse.quote(form, safe=safe, errors="surrogateescape") for safe in ("", "/")}
        others.add(urllib.parse.quote_plus(form, errors="surrogateescape"))
        others |= {json.dumps(form)[1:-1], json.dumps(form, ensure_ascii=False)[1:-1], repr(form)[1:-1]}
        others |= set(_base64(_encoded(form)))
    yield from (form for form in others if len(form) >= SHORTEST_FORM)


def _base64(data: bytes) -> Iterator[str]:
    """What of `data` shows in base64 whatever stands before and after it: one text for each alignment."""
    for before in range(3):
        head = (before * 8 + 5) // 6
        length = (before + len(data)) * 8 // 6
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            yield encode(b"\0" * before + data).decode("ascii")[head:length]


def _lines(value: str) -> Iterator[str]:
    lines = [line.strip() for line in value.splitlines()]
    if len(lines) > 1:
        yield from (line for line in lines if len(line) >= SHORTEST_FORM and not line.startswith("-----"))


def _encoded(form: str) -> bytes:
    return form.encode("utf-8", "surrogateescape")


def _by_length(forms: Iterable[str]) -> list[str]:
    """The longest first, so that an alternative never hides a longer one."""
    return sorted(forms, key=lambda form: (-len(_encoded(form)), form))
