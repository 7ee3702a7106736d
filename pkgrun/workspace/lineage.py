"""The library's face for lineage: what made a version, who saw a file, and the proof of both. Composition only."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from pkgrun.observe import Observer, silent
from pkgrun.runs.arguments import checked
from pkgrun.store.root import Store

if TYPE_CHECKING:
    from pkgrun.lineage.audited import Audit
    from pkgrun.lineage.difference import Diff
    from pkgrun.lineage.erasing import Erasure, ErasurePlan
    from pkgrun.lineage.graph import Graph
    from pkgrun.lineage.history import History
    from pkgrun.lineage.overlap import Overlap
    from pkgrun.lineage.uses import Uses
    from pkgrun.runs.handle import Run


class Lineage:
    """Where versions come from, what became of data, and whether that can be proven."""

    _store: Store

    @checked
    def lineage(
        self,
        name: str,
        *,
        direction: Literal["up", "down", "both"] = "up",
        depth: int | None = None,
        limit: int | None = None,
    ) -> Graph:
        """What a version came from, what came from it, or both: versions, runs, data, environments, commits. `pkgrun.draw`
        makes a picture of it.

        What was removed stands there still; what is missing or damaged is told, not raised.

        Args:
            name: `name@major.minor` (or less of it), or a run's id, or the beginning of one.
            depth: so many generations of versions; 0: only how it was made itself. By default all.
            limit: so many versions, and as many runs that made none, are read downwards; the nearest first, and of siblings
                the newest. By default all.

        Raises:
            UsageError, InvalidName: that is no name, or a number is negative.
            NotFound: there is no such version or run.
            Damaged: its own record is not what it should be; or, but for `up`, any that has to be looked at.
            PermissionDenied, Temporary: the store cannot be read.
        """
        from pkgrun.lineage.direct import related
        from pkgrun.lineage.tracing import trace

        with related(self._store, up=direction == "up") as relations:
            return trace(self._store, relations, name, direction=direction, depth=depth, limit=limit)

    @checked
    def history(self, name: str, *, limit: int | None = None) -> History:
        """What happened to a package: its versions, all runs that began with them, removals, erasures. Or to a dataset: its numbers,
        what changed from one to the next, and the runs that were given them.

        Args:
            name: of either; where both have it the package is meant. `dataset:NAME` and `package:NAME` force it.
            limit: the newest so many. By default all.

        Raises:
            NotFound: there is neither.
            UsageError, InvalidName: that is no name, or the limit is negative.
            Damaged: a record that says what there is cannot be read.
            PermissionDenied, Temporary: the store cannot be read.
        """
        from pkgrun.lineage.chronicle import history
        from pkgrun.lineage.index import opened

        with opened(self._store) as index:
            return history(self._store, index, name, limit=limit)

    @checked
    def used_by(
        self, content: str | os.PathLike[str], *, verify: bool = False, observer: Observer = silent
    ) -> Uses:
        """Every version that was trained or evaluated on a content, under whatever name, and all that inherits it.

        Args:
            content: a file or folder, a URL, `name[@n][/path]` of a registered dataset, or `sha256:…`.
            verify: believe no index, but read and verify every record and every directory.
            observer: told how far the reading of a folder is, from several threads.

        Raises:
            UsageError: that is no digest, or means nothing.
            NotFound, DataInvalid: nothing is there, or something else.
            Damaged: a record or a directory of the store is not what it should be; it is named.
            PermissionDenied, Temporary: the store or the data cannot be read.
        """
        from pkgrun.lineage import contents, uses

        found = contents.find(
            self._store, os.fspath(content), machine=contents.this_machine(), observer=observer
        )
        return uses.used_by(self._store, found, verify=verify, observer=observer)

    @checked
    def overlap(self, train: str, test: str | os.PathLike[str], *, observer: Observer = silent) -> Overlap:
        """Which files of test data a version, or one that it comes from, was made with.

        Args:
            train: `name[@major[.minor]]`.
            test: as `used_by` takes it.
            observer: told how far the reading of a folder is, from several threads.

        Raises:
            UsageError, InvalidName: one of them means nothing.
            NotFound, DataInvalid: there is no such version, or no such data.
            Damaged: a record or a directory of the store is not what it should be; it is named.
            PermissionDenied, Temporary: the store or the data cannot be read.
        """
        from pkgrun.lineage import contents
        from pkgrun.lineage.overlap import overlap

        return overlap(
            self._store, train, os.fspath(test), machine=contents.this_machine(), observer=observer
        )

    @checked
    def reproduce(
        self,
        name: str,
        *,
        data: str | os.PathLike[str] | None = None,
        evaluation_data: str | os.PathLike[str] | None = None,
        secrets: Mapping[str, str] | None = None,
        timeout: float | None = None,
        keep_workdir: bool = False,
        observer: Observer = silent,
    ) -> Run:
        """Start to do a run again and return at once: the same version, data, lock, Python, parameters and hash seed.

        Its result has a `reproduction`: whether the same came out byte for byte, which files differ, and what is known to be
        the cause. No number is taken. That it comes out otherwise is no error here.

        Args:
            name: a run's id, or the beginning of one; or `name[@major[.minor]]` of a version that a run made.
            data: where the run's dataset is now: a file, a folder, a URL, or `name[@n][/folder]` of a registered one. It must
                have the digest that the run's had. By default the store's own copy, else the place that it came from.
            evaluation_data: the same of an evaluation set that was given apart.
            secrets: the secrets that the run had; all of them, and no others.
            timeout: seconds that the package's code may take; by default as then.
            keep_workdir: leave the work directory; `observer` is told where.
            observer: told what happens, from several threads.

        Raises:
            UsageError: it is no run that can be done again, a secret is missing, or this machine lacks what it needs.
            NotFound: there is no such run, or its data, its version or the one that it started from is not there any more.
            Mismatch: the data is there and is not what it was; the files are named where they are known.
            Erased: some of it was erased.
            EnvironmentFailed: there is no Python of the series that it had.
        """
        from pkgrun import __version__
        from pkgrun.runs import reproducing
        from pkgrun.runs.here import actor
        from pkgrun.settings import cache_folder, cache_limit

        wish = reproducing.Wish(
            name=name,
            data=None if data is None else os.fspath(data),
            evaluation_data=None if evaluation_data is None else os.fspath(evaluation_data),
            secrets=dict(secrets or {}),
            timeout=timeout,
            keep_workdir=keep_workdir,
        )
        return reproducing.begin(
            self._store,
            wish,
            by=actor(__version__),
            cache=cache_folder(),
            cache_limit=cache_limit(),
            observer=observer,
        )

    @checked
    def audit(
        self,
        name: str,
        *,
        expect: str | None = None,
        source: str | os.PathLike[str] | None = None,
        observer: Observer = silent,
    ) -> Audit:
        """Prove a version, from every byte up to all that it came from; nothing is changed.

        Args:
            name: `name@major.minor`, or less of it for the newest.
            expect: the `fingerprint` of an earlier audit, or the digest of the version's record, kept outside the store.
            source: the store that an import came from: what it was exported from is audited there, too.
            observer: told how far it is, from several threads.

        Raises:
            UsageError, InvalidName: that is no version's name, no digest, or no store's place; or nothing came from that store.
            NotFound: there is no such version, or no such other store.
            PermissionDenied, Temporary: a store cannot be read.
        """
        from pkgrun.lineage.audit import audit, related
        from pkgrun.settings import cache_folder
        from pkgrun.store.root import open_store

        cache = cache_folder()
        other = open_store(os.fspath(source), create=False, cache=cache) if source is not None else None
        with related(self._store) as relations:
            return audit(self._store, relations, name, expect=expect, other=other, observer=observer)

    @checked
    def erase_plan(self, content: str | os.PathLike[str]) -> ErasurePlan:
        """What `erase` would do, and which versions are to be trained again; nothing is changed.

        Raises:
            UsageError: it is a folder, empty, or no digest; or a record, a log or a lock of this store; or it may mean two things.
            NotFound, PermissionDenied, Temporary: the file, or the store, cannot be read.
        """
        from pkgrun.lineage import erasing

        return erasing.plan(self._store, os.fspath(content))

    @checked
    def erase(self, content: str | os.PathLike[str], *, reason: str, observer: Observer = silent) -> Erasure:
        """Remove a content everywhere: from this store and from this machine's caches. A receipt stays, for ever; by it nobody adds the
        content again, and whoever misses it is told. All else stays what it is, also every digest.

        Anybody may work meanwhile. Erased before, what came back is removed, and the receipt is the one that there is.

        Args:
            content: a file, which is hashed and left alone; `sha256:…`; or a file of a registered dataset, `name@n/path`.
            reason: why; the receipt tells it.
            observer: told how far it is.

        Raises:
            UsageError: it is a folder, empty, or no digest; or a record, a log or a lock of this store; or it may mean two things. Or there
                is no reason.
            NotFound: there is no such file.
            Damaged: a pack that holds it cannot be read; `store repair` first.
            PermissionDenied, Temporary: the store refuses. If the receipt is there, the same call goes on with it.
        """
        from pkgrun import __version__
        from pkgrun.lineage import erasing
        from pkgrun.runs.here import actor

        return erasing.erase(
            self._store, os.fspath(content), reason=reason, by=actor(__version__), observer=observer
        )

    @checked
    def diff(self, one: str, other: str, *, patch: bool = False, observer: Observer = silent) -> Diff:
        """What leads from one version, run or dataset to another, in depth; `compare` sets more than two side by side.

        Args:
            one, other: `name@major.minor` (or less of it); a run's id, or the beginning of one; `name@n[/folder]` of a
                registered dataset, `dataset:` before it where a package has the name, too; a path or a URL.
            patch: also the lines that differ in small text files.
            observer: told how far it is, where a folder is read.

        Raises:
            UsageError, InvalidName: one of them can mean nothing.
            NotFound, DataInvalid, PermissionDenied: one of them means nothing that there is.
            Damaged: what the store holds of one cannot be read.
        """
        from pkgrun.lineage.contents import Machine
        from pkgrun.lineage.differing import diff
        from pkgrun.settings import cache_folder, cache_limit

        machine = Machine(cache_folder(), cache_limit())
        return diff(self._store, one, other, patch=patch, machine=machine, observer=observer)
