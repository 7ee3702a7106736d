"""What packages, versions, runs and contents are called: the form of each, and the checks at the edge.

Names become keys, paths, URLs and arguments of other programs, so they are made of what none of these can mistake.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from pkgrun.errors import InvalidName, UsageError

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"
RUN_ID_PATTERN = r"^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$"
DIGEST_PATTERN = r"^sha256:[0-9a-f]{64}$"
VERSION_PATTERN = r"^[1-9][0-9]{0,7}\.(0|[1-9][0-9]{0,7})$"


class Version(NamedTuple):
    """`major.minor`. An import begins a major with minor 0; every training on it takes the next minor."""

    major: int
    minor: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"

    @classmethod
    def parse(cls, text: str) -> Version:
        """Read `"1.2"`.

        Raises:
            UsageError: it is not two whole numbers with a dot between, or the major is 0.
        """
        if not re.fullmatch(VERSION_PATTERN, text):
            raise UsageError(f"{text!r} is no version", hint="a version is MAJOR.MINOR, such as 1.0 or 2.13")
        major, minor = text.split(".")
        return cls(int(major), int(minor))


def check_name(text: str, what: str = "package") -> str:
    """Return `text` if it may name something; names become keys, paths and URLs.

    Raises:
        InvalidName: it holds anything but letters, digits, `.`, `_`, `-`, or begins with a sign.
    """
    if not re.fullmatch(NAME_PATTERN, text) or text.endswith("\n"):
        raise InvalidName(
            f"{text!r} cannot name a {what}",
            hint="use letters, digits, '.', '_' and '-', beginning with a letter or digit, 128 at most",
        )
    return text


def check_run_id(text: str) -> str:
    """Return `text` if it has the form of a run id.

    Raises:
        InvalidName: it has not.
    """
    if not re.fullmatch(RUN_ID_PATTERN, text) or text.endswith("\n"):
        raise InvalidName(f"{text!r} is no run id", hint="`pkgrun run list` shows the runs and their ids")
    return text
