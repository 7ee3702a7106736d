"""The library's face for packages and their versions. Composition only; the work is done below."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Literal

from pkgrun import __version__
from pkgrun.errors import NotFound
from pkgrun.identity import Version
from pkgrun.observe import Observer, silent
from pkgrun.records import Listing, VersionRecord
from pkgrun.records.collecting import Removal
from pkgrun.runs import lookup
from pkgrun.runs.arguments import checked
from pkgrun.runs.here import actor
from pkgrun.store import numbers, trees
from pkgrun.store.root import Store
from pkgrun.store.trees import Entry

if TYPE_CHECKING:
    from pkgrun.runs.exporting import Exported
    from pkgrun.runs.importing import Imported
    from pkgrun.runs.removing import Removed


class Packages:
    """Packages go in; their versions are looked at, taken out again and given up."""

    _store: Store

    @checked
    def add(
        self,
        package: str | os.PathLike[str],
        *,
        name: str | None = None,
        description: str | None = None,
        tags: Mapping[str, str] | None = None,
        listing: Listing | None = None,
        metadata: str | os.PathLike[str] | None = None,
        major: int | None = None,
        observer: Observer = silent,
    ) -> Imported:
        """Import a package as the next major, unless it has a version of that content already.

        Args:
            package: a folder, a zip that holds one, or `git+URL@REVISION#subdirectory=PATH`.
            listing: what else is said of it, by the fields of AI Center's form.
            metadata: of a zip that was exported, the file beside it that ends in `_metadata.json`: the name and the
                texts that it had, and its major, where it gets the next minor (or 0, if there is no such major here).
            major: another one than that.

        Raises:
            PackageInvalid: it can neither run a pipeline nor serve, or the zip or its metadata is not sound.
            InvalidName, NotFound, UsageError, PermissionDenied, Temporary: as their names say; the message names the thing.
        """
        from pkgrun.runs.importing import bring_in

        return bring_in(
            self._store,
            os.fspath(package),
            name=name,
            description=description,
            tags=tags or {},
            listing=listing,
            metadata=os.fspath(metadata) if metadata is not None else None,
            major=major,
            by=actor(__version__),
            observer=observer,
        )

    @checked
    def packages(self) -> dict[str, int]:
        """The names of all packages, ascending, with how many versions each has; those that were removed count too."""
        backend = self._store.backend
        return {name: numbers.count(backend, name) for name in numbers.packages(backend)}

    @checked
    def versions(self, package: str) -> list[VersionRecord]:
        """All versions of a package, ascending, also those that were removed (`removals`).

        Raises:
            NotFound: there is no such package.
        """
        found = list(numbers.versions(self._store.backend, package))
        if not found:
            raise NotFound(f"there is no package {package}", hint="`pkgrun package list` shows what there is")
        return found

    @checked
    def version(self, name: str, *, removed: bool = False) -> VersionRecord:
        """The version that `name`, `name@major` or `name@major.minor` means; without a number the newest.

        Args:
            removed: also the record of one that was removed, if it is named by its number.

        Raises:
            NotFound: there is none, or it was removed.
        """
        return lookup.version(self._store, name, removed=removed)

    @checked
    def removals(self, package: str) -> dict[Version, Removal]:
        """The versions of a package that were removed: when, by whom and why."""
        return numbers.removals(self._store.backend, package)

    @checked
    def remove(self, name: str, *, reason: str | None = None, force: bool = False) -> Removed:
        """Give up the content of a version, with the artifacts and the snapshot of the run that made it.

        Its record, its log and its number stay; the number is never given again. The space is freed by the next
        collection (`pkgrun.workspace.stores.gc`). One that was removed already stays as it is.

        Args:
            name: `name@major.minor`, in full.
            reason: kept with it.
            force: also if other versions came from it.

        Raises:
            UsageError: the name has not the version in full.
            NotFound: there is no such version.
            Conflict: other versions came from it, or an operation that goes on starts from it.
            PermissionDenied, Temporary: the store refuses.
        """
        from pkgrun.runs.removing import remove

        return remove(self._store, name, reason=reason, force=force, by=actor(__version__))

    @checked
    def files(self, name: str) -> Iterator[tuple[str, Entry]]:
        """The files, folders and links of a version by path, in order."""
        yield from sorted(trees.walk(self._store.objects, self.version(name).tree.digest))

    @checked
    def export(
        self,
        name: str,
        out: str | os.PathLike[str],
        *,
        form: Literal["folder", "zip", "aicenter"] = "folder",
        skip_erased: bool = False,
        observer: Observer = silent,
    ) -> Exported:
        """Write a version where there is nothing yet.

        Args:
            out: a new or empty folder for its files; of `zip` the file; of `aicenter` a folder, which gets the zip, the
                vendor's metadata, and where the version is from.
            skip_erased: leave out files that were erased; not of `aicenter`.

        Raises:
            NotFound: there is no such version.
            Erased: one of its files was erased.
            Conflict: something is there already.
            PackageInvalid: it holds what a zip may not hold, such as a link.
            UsageError: that is no such place.
            PermissionDenied, Temporary: it cannot be written.
        """
        from pkgrun.runs.exporting import export

        return export(
            self._store,
            self.version(name),
            os.fspath(out),
            form=form,
            skip_erased=skip_erased,
            observer=observer,
        )
