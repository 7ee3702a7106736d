"""The library's face for runs, of whatever process. Composition only; the work is done below."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

from pkgrun.records import RunRecord
from pkgrun.runs import lookup, recover
from pkgrun.runs.arguments import checked
from pkgrun.store import operations
from pkgrun.store.root import Store

if TYPE_CHECKING:
    from pkgrun.runs.comparison import Comparison
    from pkgrun.runs.handle import Run
    from pkgrun.runs.reaper import Recovery

_PIPELINES = {"training", "evaluation", "full", "reproduction"}


class Runs:
    """Runs are found, and those that nobody carries on are brought to their end."""

    _store: Store

    @checked
    def run(self, run: str) -> Run:
        """A handle on a run, by its id or the beginning of it, from whatever process.

        Raises:
            NotFound: there is no such run.
        """
        from pkgrun.runs.handle import Run

        return Run(self._store, lookup.run(self._store, run))

    @checked
    def runs(self, *, limit: int | None = None, everything: bool = False) -> Iterator[RunRecord]:
        """Runs, the newest first.

        Args:
            limit: so many at most.
            everything: also those that ran no pipeline: imports, registered datasets, copies.
        """
        records = (recover.settle(self._store, run) for run in operations.runs(self._store.backend))
        yield from islice((record for record in records if everything or record.kind in _PIPELINES), limit)

    @checked
    def compare(self, *names: str) -> Comparison:
        """Versions and runs, side by side: scores, metrics, parameters, data, environments, files.

        Args:
            names: `name@major.minor` (or less of it) or a run's id, or the beginning of one; of any packages.

        Raises:
            UsageError: fewer than two are named.
            NotFound, InvalidName: one is not there, or no name.
        """
        from pkgrun.runs.comparing import compare

        return compare(self._store, names)

    @checked
    def recover(self, *, silent_for: float = recover.SILENT) -> Recovery:
        """Bring to its end what nobody carries on: decided operations are carried out, dead and silent ones are lost.

        What is given up here can commit no more, also if it lives.

        Args:
            silent_for: seconds without a sign of life, by the store's clock, after which nobody works on an operation;
                30 or more, since one that lives gives one every 10 s.

        Raises:
            UsageError: live operations may be silent for so long.
            PermissionDenied, Temporary: the store refuses.
        """
        from pkgrun.runs.reaper import reap

        return reap(self._store, silent_for=silent_for)
