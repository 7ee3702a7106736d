"""File names as the trees write them: text, whatever bytes the file system allows, and back again.

A name that is UTF-8 without `%` is written as it is. Every other byte, and `%`, becomes `%XX`. So each name has
exactly one written form, and what is not that form is refused.
"""

from __future__ import annotations

import os
import re

from pkgrun.errors import Damaged

_ESCAPED = re.compile(r"%([0-9A-F]{2})")


def write(name: str) -> str:
    """The written form of a name as `os` functions return it."""
    if name.isascii() and "%" not in name:
        return name
    text = os.fsencode(name).decode("utf-8", "surrogateescape").replace("%", "%25")
    return "".join(f"%{ord(c) - 0xDC00:02X}" if "\udc80" <= c <= "\udcff" else c for c in text)


def read(text: str) -> str:
    """The name, as `os` functions take it, of a written form.

    Raises:
        Damaged: no name is written so.
    """
    if text.isascii() and "%" not in text:
        return text
    try:
        name = os.fsdecode(_unescape(text))
    except UnicodeEncodeError as error:
        raise Damaged(f"a tree holds {text!r}, which is no file name") from error
    if write(name) != text:
        raise Damaged(f"a tree holds {text!r}, which is no file name")
    return name


def _unescape(text: str) -> bytes:
    pieces = _ESCAPED.split(text)
    return b"".join(
        bytes.fromhex(piece) if index % 2 else piece.encode() for index, piece in enumerate(pieces)
    )


def is_entry(name: str) -> bool:
    """Whether a directory can have an entry of this name."""
    return name not in ("", ".", "..") and "/" not in name and "\0" not in name


def leaves(depth: int, target: str) -> bool:
    """Whether a symbolic link, `depth` folders below the root, may point out of the root.

    Only leading `..` are counted up; one after a name may start from wherever a further link leads, so it is
    taken as leaving. By induction, links that pass this test never lead out, whatever chain they form.
    """
    if not target or target.startswith("/") or "\0" in target:
        return True
    parts = [part for part in target.split("/") if part not in ("", ".")]
    ups = next((i for i, part in enumerate(parts) if part != ".."), len(parts))
    return ups > depth or ".." in parts[ups:]
