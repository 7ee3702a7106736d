"""Requirements that replace those of the same names, whoever asks for them: a file that the caller gives.

It reads and checks; uv is what replaces. The text goes into records as it is, so it may hold nothing secret and
nothing that only this machine has.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from pkgrun.errors import NotFound, UsageError
from pkgrun.worker import pins

LARGEST = 1 << 16

_BOUNDS = re.compile(r"[(<>=!~].*")
_BOUND = re.compile(r"(===|~=|==|!=|<=|>=|<|>)\s*[A-Za-z0-9][\w.!+*-]*")
_COMMENT = re.compile(r"(^|\s+)#.*$")
_URL = re.compile(r"([A-Za-z0-9][\w.-]*)\s*(?:\[[^\]]*\])?\s*@\s*([\w.+-]+)://([^/\s;]*)\S*\s*(;.*)?")


@dataclass(frozen=True, slots=True)
class Overrides:
    """`text`: a requirement a line, no comments; "" replaces nothing."""

    text: str = ""

    @property
    def digest(self) -> str | None:
        """Of the text; None where nothing is replaced."""
        return "sha256:" + hashlib.sha256(self.text.encode()).hexdigest() if self.text else None

    @property
    def names(self) -> frozenset[str]:
        """What is replaced, by the normal forms of the names."""
        return frozenset(
            pins.normal(re.split(r"[^\w.-]", line, maxsplit=1)[0]) for line in self.text.splitlines()
        )


NONE = Overrides()


def read(path: str | os.PathLike[str]) -> Overrides:
    """The overrides in the file `path`.

    Raises:
        NotFound: there is no such file.
        UsageError: it is no text, is too large, or has a line that is no requirement; file and line are named.
    """
    try:
        with Path(path).expanduser().open("rb") as stream:
            data = stream.read(LARGEST + 1)
    except FileNotFoundError as error:
        raise NotFound(f"{os.fspath(path)} does not exist", hint="name a file of requirements") from error
    except (OSError, ValueError) as error:
        raise UsageError(f"{os.fspath(path)} cannot be read: {error}") from error
    if len(data) > LARGEST:
        raise UsageError(f"{os.fspath(path)} is larger than {LARGEST >> 10} KiB", hint="override less")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{os.fspath(path)} is not a text in UTF-8", hint="save it as UTF-8") from error
    lines = [
        (number, _COMMENT.sub("", line).strip()) for number, line in enumerate(text.splitlines(), start=1)
    ]
    return Overrides(
        "".join(f"{_checked(line, f'{os.fspath(path)}:{number}')}\n" for number, line in lines if line)
    )


def _is_bounded(line: str) -> bool:
    """Whether each bound of a requirement has an operator and a version."""
    said = _BOUNDS.search(line.partition(";")[0])
    return said is None or all(_BOUND.fullmatch(one.strip()) for one in said[0].strip("() ").split(","))


def _checked(line: str, where: str) -> str:
    if "\0" in line:
        raise UsageError(f"{where}: holds a NUL character", hint="save it as UTF-8 text")
    if pins.parse(line) is not None and "--" not in line and _is_bounded(line):
        return line
    found = _URL.fullmatch(line)
    if found is None or found[2].lower() == "file" or "--" in line:
        raise UsageError(
            f"{where}: {line[:200]!r} is no requirement", hint="one a line, such as numpy>=1.26,<2"
        )
    if "@" in found[3].replace("git@", "") and "$" not in found[3]:
        raise UsageError(
            f"{where}: the address of {found[1]} holds a password or a token, and what is overridden is recorded",
            hint="write https://${NAME}@…, and set the variable NAME",
        )
    return line
