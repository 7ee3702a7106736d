"""Relations for going up where the index cannot be made, because some record of the store is damaged: what can be looked up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import NoReturn

from pkgrun.errors import Damaged, NotFound
from pkgrun.identity import Version
from pkgrun.lineage.index import opened
from pkgrun.lineage.relations import Held, Named, Traced
from pkgrun.store import erased, numbers, registry
from pkgrun.store.root import Store


@contextmanager
def related(store: Store, *, up: bool) -> Iterator[Traced]:
    """What is related to what: by the index, or, for who goes up only, by what can be looked up without it.

    Raises:
        Damaged: the index cannot be made, and is needed.
    """
    with ExitStack() as stack:
        try:
            found: Traced = stack.enter_context(opened(store))
        except Damaged as error:
            if not up:
                raise
            found = Direct(store, error)
        yield found


class Direct:
    """What can be said without an index: whole registered datasets, versions by their own numbers. `why` there is none."""

    def __init__(self, store: Store, why: Damaged) -> None:
        self._store, self.why = store, why

    def children(self, of: Named) -> NoReturn:
        """Not without an index."""
        raise self.why

    def runs_from(self, of: Named) -> NoReturn:
        """Not without an index."""
        raise self.why

    def reproductions(self, of: Named) -> NoReturn:
        """Not without an index."""
        raise self.why

    def by_record(self, digest: str) -> list[Named]:
        """The versions of this store whose record has that digest."""
        return [named for named in self._versions() if self._digest(named) == digest]

    def registered(self, tree: str) -> list[Held]:
        """The registered datasets that are that directory; those that hold it somewhere are not looked for."""
        found = []
        for name in registry.names(self._store.backend):
            with suppress(Damaged, NotFound):
                records = registry.records(self._store.backend, name)
                found += [Held(record.label, "") for record in records if record.tree.digest == tree]
        return found

    def saw(self, digest: str) -> list[Named]:
        """Of a content that was erased, the versions that its receipt names."""
        found = erased.receipt(self._store.backend, bytes.fromhex(digest[7:]))
        names = (name.partition("@") for name in found.versions) if found else ()
        return [Named(package, Version.parse(number)) for package, _, number in names]

    def _versions(self) -> Iterator[Named]:
        backend = self._store.backend
        for package in numbers.packages(backend):
            for major in numbers.majors(backend, package):
                last = numbers.newest_minor(backend, package, major)
                for minor in range(-1 if last is None else last + 1):
                    yield Named(package, Version(major, minor))

    def _digest(self, named: Named) -> str | None:
        try:
            return numbers.digest(self._store.backend, *named)
        except (Damaged, NotFound):
            return None
