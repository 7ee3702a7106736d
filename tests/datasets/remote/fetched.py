"""What fetching brings, and what it tells."""

from __future__ import annotations

from pathlib import Path

from pkgrun.datasets.cache import Copies
from pkgrun.datasets.remote import transfer
from pkgrun.datasets.remote.fetching import fetch
from pkgrun.observe import Event, Notice

LARGE = bytes(range(256)) * (4 * transfer.RANGE // 256) + b"end"
"""The content of a file that is fetched in five ranges."""


def content(url: str, copies: Copies) -> bytes:
    with fetch(url, copies) as fetched:
        return Path(fetched.path).read_bytes()


def tree(url: str, copies: Copies) -> dict[str, bytes]:
    with fetch(url, copies) as fetched:
        root = Path(fetched.path)
        return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def notices(events: list[Event]) -> list[str]:
    return [event.message for event in events if isinstance(event, Notice)]
