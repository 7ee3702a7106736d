"""Stores as releases wrote them, and what each release saw in its own: every later one must see the same.

`store-N` is never written again once N's release is out; a release that changes what is written adds the next one:
`python -m tests.data store-N`. Nothing in them tells where they were made: that runs where the machine, the user and
the folders have other names.
"""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent

STORES = sorted(path.stem for path in FOLDER.glob("store-*.json"))
"""The stores that are kept."""

LARGE = bytes(1 << 20)
"""An object too large for a pack, and for being kept: whoever uses a store puts it back."""
