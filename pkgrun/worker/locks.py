"""The text of a lock: one pinned requirement after the other, without credentials.

It reads and rewrites text. What is resolved or installed, and where a lock is kept, is decided elsewhere.
"""

from __future__ import annotations

import re

_URL = re.compile(r"([A-Za-z][\w.+-]*)://([^/\s]*)@([^\s;#]*)")


def required(text: str) -> list[str]:
    """The requirements in a canonical text or a lock, each on one line; options left out."""
    joined = text.replace("\\\n", " ")
    return [
        " ".join(line.split())
        for line in joined.splitlines()
        if line.strip() and not line.startswith(("-", "#"))
    ]


def without_credentials(lock: str) -> str:
    """`lock` without the passwords and tokens of its URLs: what may be kept and shown."""
    return _URL.sub(lambda found: _public(*found.groups()), lock)


def with_credentials(lock: str, asked: str) -> str:
    """The lock with the credentials that the requirements `asked` hold for the same addresses."""
    for scheme, userinfo, rest in _URL.findall(asked):
        address = rest.partition("@")[0]
        lock = lock.replace(_public(scheme, userinfo, address), f"{scheme}://{userinfo}@{address}")
    return lock


def _public(scheme: str, userinfo: str, rest: str) -> str:
    """The URL without what is secret in it; over SSH the bare user name ("git@") is part of the address."""
    keep = "" if "http" in scheme else userinfo.partition(":")[0] + "@"
    return f"{scheme}://{keep}{rest}"
