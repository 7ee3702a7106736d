"""How versions, runs and datasets are related, as far as no single record tells it: the questions that go backwards."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from pkgrun.identity import Version


class Named(NamedTuple):
    """A version of a package."""

    package: str
    version: Version

    def __str__(self) -> str:
        return f"{self.package}@{self.version}"


class Held(NamedTuple):
    """A registered dataset that holds a directory: `label` is `irises@2`, `path` the first place in it; empty if it is the whole."""

    label: str
    path: str


class Relations(Protocol):
    """What is related to something that is known."""

    def children(self, of: Named) -> list[Named]:
        """The versions whose `parent` it is, and the imports whose origin is its record; ascending by when they were made."""

    def runs_from(self, of: Named) -> list[str]:
        """The ids of all pipeline runs that started from it, in order of their beginning; also those that made nothing."""

    def by_record(self, digest: str) -> list[Named]:
        """The versions of this store whose record has that digest."""

    def registered(self, tree: str) -> list[Held]:
        """The registered datasets that hold a directory of that digest, the oldest first."""


class Traced(Relations, Protocol):
    """What a lineage asks besides."""

    def reproductions(self, of: Named) -> list[str]:
        """Of the runs that started from it those that did an earlier one again, in order of their beginning."""

    def saw(self, digest: str) -> list[Named]:
        """The versions that were made with a content, and all that come from them."""
