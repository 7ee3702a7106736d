"""What a caller attaches to a version, a description and tags: checked, so that every record can hold it."""

from __future__ import annotations

from collections.abc import Mapping

from pkgrun.errors import UsageError
from pkgrun.worker.secrets import Masker

LIMIT = 1 << 16
"""Bytes that all tags, and the description, may have."""


def check(description: str | None, tags: Mapping[str, str], secrets: Mapping[str, str] | None = None) -> None:
    """Let through what a record can hold.

    Raises:
        UsageError: a text is none, is not UTF-8, is too long, or holds the value of a secret.
    """
    mask, sizes = Masker((secrets or {}).values()), {"description": 0, "tags": 0}
    words = [("description", description or "")]
    words += [("tags", word) for pair in tags.items() for word in pair]
    for what, word in words:
        data = text(word, what)
        sizes[what] += written(data)
        if mask.found_in(data):
            raise UsageError(
                f"the {what} holds the value of a secret, and it is recorded", hint="leave the value out"
            )
    for what, size in sizes.items():
        if size > LIMIT:
            raise UsageError(
                f"the {what} is larger than {LIMIT >> 10} KiB",
                hint="put long texts into a file of the package",
            )


def text(word: object, what: str) -> bytes:
    """The bytes of a text.

    Raises:
        UsageError: it is no text, or not UTF-8.
    """
    if not isinstance(word, str):
        raise UsageError(f"{what}: {word!r} is no text", hint="give it as a string")
    try:
        return word.encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"{what}: {word!r} is not UTF-8", hint="encode it") from error


def written(data: bytes) -> int:
    """The bytes that a text takes in JSON, where a control character takes six."""
    return len(data) + 5 * sum(data.count(code) for code in range(32)) + data.count(b'"') + data.count(b"\\")
