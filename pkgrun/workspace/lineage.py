"""The library's face for lineage: what made a version, who saw a file, and the proof of both. Composition only."""

from __future__ import annotations

from pkgrun.store.root import Store


class Lineage:
    """Where versions come from, what became of data, and whether that can be proven."""

    _store: Store
