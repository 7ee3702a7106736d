"""The library's face for keeping some versions and giving up others. Composition only; the work is done below."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pkgrun import __version__
from pkgrun.runs.arguments import checked
from pkgrun.runs.here import actor
from pkgrun.store.root import Store

if TYPE_CHECKING:
    from pkgrun.runs.removing import Loss
    from pkgrun.runs.retention import Pruned, Verdict


class Retention:
    """Which versions go, by name or by a rule. What goes leaves its record and its number, which is never given again."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @checked
    def loss(self, name: str, *, force: bool = False) -> Loss:
        """What would be lost with `name@major.minor`; nothing is removed.

        Raises:
            UsageError, NotFound, Conflict: it cannot be removed, as `Workspace.remove` says.
        """
        from pkgrun.runs import removing

        return removing.plan(self._store, name, force=force)

    @checked
    def plan(
        self,
        package: str | None = None,
        *,
        keep_last: int | None = None,
        keep_within: float | None = None,
        force: bool = False,
    ) -> list[Verdict]:
        """What `prune` would do with each version of a package, or of all packages; nothing is removed.

        Raises:
            UsageError: no rule is given, or none that keeps anything.
            NotFound: there is no such package.
        """
        from pkgrun.runs import retention

        rule = retention.Rule(keep_last, keep_within)
        return retention.plan(self._store, package, rule, force=force)

    @checked
    def prune(
        self,
        package: str | None = None,
        *,
        keep_last: int | None = None,
        keep_within: float | None = None,
        force: bool = False,
    ) -> Pruned:
        """Remove the versions that a rule does not keep. Kept are what either part of it keeps, the newest of each major,
        what a kept version came from, and what an operation that goes on starts from.

        Args:
            package: the one that is meant; without it every one is.
            keep_last: so many of each package, by the time they were made.
            keep_within: what was made within so many seconds.
            force: remove also what kept versions came from. They stay whole, and show that it was removed.

        Raises:
            UsageError: no rule is given, or none that keeps anything.
            NotFound: there is no such package.
            PermissionDenied, Temporary: the store refuses.
        """
        from pkgrun.runs import retention

        rule = retention.Rule(keep_last, keep_within)
        return retention.prune(self._store, package, rule, force=force, by=actor(__version__))
