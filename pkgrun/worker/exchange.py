"""What a call is given, and the text it returns, where they are too large for a message: by files beside the package.

It owns their names and sizes. It never looks into them, and what the package's code may have put in their place it
takes for no answer.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from pkgrun.worker.namespaces import spelt

Shape = Literal["text", "bytes", "list"]
"""What the call's one argument is: a str of UTF-8, bytes, or a list of bytes in the order of the files."""

LARGEST = 1 << 28
"""Bytes of an answer, which is held in memory."""

_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Exchange:
    """The files of one call: `given` to it, of the `answer` nothing is there until a text was returned."""

    shape: Shape
    given: tuple[Path, ...]
    answer: Path

    def spelt(self) -> dict[str, object]:
        """As the child is told."""
        return {
            "shape": self.shape,
            "given": [spelt(path) for path in self.given],
            "answer": spelt(self.answer),
        }


class TooLarge(Exception):
    """An answer that is larger than what is held in memory; how large."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.size = size


def lay(folder: Path, shape: Shape, contents: Sequence[bytes | BinaryIO]) -> Exchange:
    """Put what a call is given into an existing folder, which holds nothing of these names yet.

    Raises:
        OSError: it cannot be read or written.
    """
    given = tuple(folder / f"given-{number}" for number in range(len(contents)))
    for path, content in zip(given, contents, strict=True):
        with path.open("xb") as file:
            if isinstance(content, bytes):
                file.write(content)
                continue
            while piece := content.read(_PIECE):
                file.write(piece)
    return Exchange(shape, given, folder / "answer")


def answered(exchange: Exchange) -> bytes | None:
    """What a call that has returned left as its answer; None if that was no text.

    Raises:
        TooLarge: there is too much of it.
        OSError: it cannot be read.
    """
    try:
        descriptor = os.open(exchange.answer, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    with open(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            return None
        if found.st_size > LARGEST:
            raise TooLarge(found.st_size)
        return file.read(LARGEST)
