"""A run in the caller's hand: what happens, how it ended, and the way to stop it, from whatever process."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self

from pkgrun.errors import Bug, NotFound, PkgrunError, Temporary, by_kind
from pkgrun.identity import Version
from pkgrun.observe import Event
from pkgrun.records import Reproduction, RunRecord, Tree
from pkgrun.records.collecting import Removal
from pkgrun.runs import lookup, recover
from pkgrun.runs.arguments import checked
from pkgrun.runs.heart import KILL
from pkgrun.runs.journal import Journal, decode
from pkgrun.runs.results import Role, kept, results
from pkgrun.store import numbers, trees
from pkgrun.store.operations import key
from pkgrun.store.root import Store
from pkgrun.store.trees import Entry

POLL = 0.2
"""Seconds between looks at a run of another process."""


@dataclass(frozen=True, slots=True)
class RunResult:
    """A run that has made its version. `record` has everything; `results` is `_results.json`.

    `removal`: that the version was removed since, when, by whom and why; of a run that was begun before, such as one that
    an idempotency key stands for. It stays the run that was asked for, and is not done again.
    """

    record: RunRecord
    results: dict[str, Any] | None
    removal: Removal | None = None

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self.record.run

    @property
    def status(self) -> str:
        """`successful`; `wait` raises of any other end."""
        return self.record.status

    @property
    def package(self) -> str:
        """The package's name."""
        return self.record.subject

    @property
    def version(self) -> Version | None:
        """The version that the run made."""
        return self.record.version

    @property
    def parent(self) -> Version | None:
        """The version that it started from."""
        return self.record.parent

    @property
    def reproduction(self) -> Reproduction | None:
        """Of a reproduction: its verdict, which files differ, and what is known to be the cause."""
        return self.record.reproduced

    @property
    def metrics(self) -> dict[str, float]:
        """What the package wrote to `artifacts/metrics.json`, names joined by dots."""
        return dict(self.record.facts.metrics or {}) if self.record.facts else {}

    @property
    def score(self) -> float | None:
        """What the evaluation returned, after the training if there was one; None of what was no finite number."""
        return self.record.facts.score if self.record.facts else None

    @property
    def baseline_score(self) -> float | None:
        """What the evaluation before the training returned."""
        return self.record.facts.baseline_score if self.record.facts else None


class Run:
    """A run in the store, of this process or another."""

    def __init__(self, store: Store, run: str) -> None:
        self._store = store
        self.id = run

    def __enter__(self) -> Self:
        """`with ws.train(…) as run:` waits for a run of this process at the end, and stops it on an exception."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        """Nothing, for a run of another process."""

    def record(self) -> RunRecord:
        """All that is known of it now.

        Raises:
            NotFound: there is no such run.
        """
        return recover.settle(self._store, self.id)

    @property
    def live(self) -> bool:
        """Whether this process works on it: then the observer that it was started with is told what happens."""
        return False

    def events(self) -> Iterator[Event]:
        """Phases, notices and log lines from the beginning, then as they come, until the run has ended.

        Raises:
            Temporary: there has been no sign of life for long.
        """
        offset, segment, rest = 0, 0, b""
        while True:
            record = self.record()
            final = record.final
            while (data := self._segment(segment)) is not None:
                segment, offset = segment + 1, offset + len(data)
                *lines, rest = (rest + data).split(b"\n")
                yield from _events(lines)
            if final:
                yield from _decoded(self._pieces(offset), rest)
                return
            _heard(record)
            time.sleep(POLL)

    def _segment(self, number: int) -> bytes | None:
        try:
            return self._store.backend.read(key(self.id, f"events/{number:08}.jsonl"))
        except NotFound:
            return None

    def log(self) -> Iterator[Event]:
        """The events so far, read bit by bit; of an open or a lost run those that were published."""
        yield from _decoded(self._pieces(0))

    def _pieces(self, offset: int) -> Iterator[bytes]:
        """The bytes of the log from an offset on."""
        for piece in self._whole():
            yield piece[offset:]
            offset = max(0, offset - len(piece))

    def _whole(self) -> Iterator[bytes]:
        facts = self.record().facts
        if facts and facts.log:
            yield from self._store.objects.stream(facts.log.digest)
            return
        number = 0
        while (data := self._segment(number)) is not None:
            yield data
            number += 1

    def artifacts(self) -> list[tuple[str, Entry]]:
        """What lies in its artifacts folder, by path; also of a failed run, nothing of an open one.

        Raises:
            NotFound: the version that it made was removed, and they with it.
        """
        facts = self._there().facts
        if facts is None or facts.artifacts is None:
            return []
        return sorted(trees.walk(self._store.objects, facts.artifacts.digest), key=lambda item: item[0])

    @checked
    def export_artifacts(self, out: str | os.PathLike[str], *, skip_erased: bool = False) -> int:
        """Write the artifacts into a folder, which must be new or empty; how many files they are.

        Args:
            skip_erased: leave out files that were erased.

        Raises:
            Erased: a file was erased.
            NotFound: the version that it made was removed, and they with it.
            Conflict: the folder holds something.
            PermissionDenied, Temporary: it cannot be written.
        """
        facts = self._there().facts
        return self._export(facts.artifacts if facts else None, out, skip_erased=skip_erased)

    @checked
    def export_snapshot(
        self, out: str | os.PathLike[str], *, role: Role = "input", skip_erased: bool = False
    ) -> int:
        """Write a snapshot of its data into a folder, which must be new or empty; how many files they are.

        Args:
            role: the dataset as it was put there, or, of a full pipeline, what was `trained` or `evaluated` on.
            skip_erased: leave out files that were erased.

        Raises:
            Erased: a file was erased.
            NotFound: it kept none, or the version that it made was removed, and that with it.
            Conflict: the folder holds something.
            PermissionDenied, Temporary: it cannot be written.
        """
        facts = self._there().facts
        tree = kept(facts, role) if facts else None
        if tree is None:
            what = "its data" if role == "input" else f"what it {role} on"
            raise NotFound(
                f"the run {self.id} kept no snapshot of {what}",
                hint="--save-training-data or --save-test-data keeps one",
            )
        return self._export(tree, out, skip_erased=skip_erased)

    def excerpts(self) -> dict[str, list[str]]:
        """Of a reproduction: the first lines that differ in small texts, by path, as a diff has them; of no other run any."""
        from pkgrun.runs.excerpts import excerpts  # only a page needs it

        return excerpts(self._store, self.record())

    @checked
    def export_reproduction(self, out: str | os.PathLike[str]) -> int:
        """Write what a reproduction made, the package as its version would have been, into a folder, which must be new or
        empty; how many files they are.

        Raises:
            NotFound: it made none, or the version that it reproduces was removed, and that with it.
            Conflict: the folder holds something.
            PermissionDenied, Temporary: it cannot be written.
        """
        made = self._there().reproduced
        if made is None or made.tree is None:
            raise NotFound(
                f"the run {self.id} is no reproduction that made a package",
                hint="`pkgrun package export NAME@V` writes out a version",
            )
        return self._export(made.tree, out)

    def removal(self) -> Removal | None:
        """That the version which it made, or reproduces, was removed, and by whom; None if it was not."""
        return self._removal(self.record())

    def _removal(self, record: RunRecord) -> Removal | None:
        if record.reproduced is not None:
            with suppress(NotFound):
                return Run(self._store, record.reproduced.run).removal()
        if record.package is None or record.version is None:
            return None
        return numbers.removed(self._store.backend, record.package, record.version)

    def _there(self) -> RunRecord:
        """The record, if what the run kept is there still."""
        record = self.record()
        removal = self._removal(record)
        if removal is None:
            return record
        raise NotFound(
            f"what the run {self.id} kept went with its version: {removal.package}@{removal.version} "
            + lookup.was_removed(removal),
            hint="its record and its log stay: `pkgrun run show`, `pkgrun run logs`",
            run_id=self.id,
        )

    def _export(self, tree: Tree | None, out: str | os.PathLike[str], *, skip_erased: bool = False) -> int:
        from pkgrun.store.export import export_tree

        digest = tree.digest if tree else None
        left = export_tree(self._store.objects, digest, os.fspath(out), skip_erased=skip_erased)
        return tree.files - len(left) if tree else 0

    @checked
    def wait(self, timeout: float | None = None) -> RunResult:
        """Wait for the end.

        Args:
            timeout: seconds to wait at most; the run goes on.

        Raises:
            Temporary: it has not ended in time, or there has been no sign of life for long.
            PkgrunError: it ended without a version; `kind` and `exit_code` say how, `run_id` names it.
        """
        record = self.ended(timeout)
        return result(self._store, record, None if self.live else self._removal(record))

    @checked
    def ended(self, timeout: float | None = None) -> RunRecord:
        """Wait for the end, however it ends.

        Raises:
            Temporary: it has not ended in time, or there has been no sign of life for long.
        """
        until = None if timeout is None else time.monotonic() + timeout
        while not (record := self.record()).final:
            _heard(record)
            if until is not None and time.monotonic() >= until:
                raise Temporary(f"the run {self.id} has not ended yet", run_id=self.id)
            time.sleep(POLL)
        return record

    def kill(self) -> None:
        """Ask the run to stop, from whatever machine; its supervisor sees it within a second or two."""
        self._store.backend.write(key(self.id, KILL), b"{}")


class LiveRun(Run):
    """A run whose supervisor is a thread of this process.

    A program that ends waits for it; one that ends by an exception stops it first.
    """

    def __init__(self, store: Store, run: str, work: Callable[[LiveRun], RunRecord]) -> None:
        from pkgrun.worker.supervisor import Stop  # only a run of this process needs one

        super().__init__(store, run)
        self.stop = Stop()
        self._journal: Journal | None = None
        self._opened = threading.Event()
        self._record: RunRecord | None = None
        self._failure: BaseException | None = None
        # Not Thread.join: in CPython before 3.13 an interrupted join takes the thread for ended.
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, args=(work,), name=f"pkgrun-{run[:8]}")
        try:
            self._thread.start()
        except BaseException:  # a signal's: the caller gets no handle to stop it with
            self.kill()
            raise

    def _work(self, work: Callable[[LiveRun], RunRecord]) -> None:
        try:
            self._record = work(self)
        except BaseException as error:
            self._failure = error
        finally:
            self._opened.set()
            self._ended.set()

    @property
    def live(self) -> bool:
        return True

    def opened(self, journal: Journal) -> None:
        """The engine has a journal now."""
        self._journal = journal
        self._opened.set()

    def events(self) -> Iterator[Event]:
        offset = 0
        while (data := self._spooled(offset)) is not None:
            offset += len(data)
            yield from _events(data.split(b"\n"))
        yield from _decoded(self._pieces(offset))

    def _spooled(self, offset: int) -> bytes | None:
        """What the journal has beyond an offset; None once there is no journal any more."""
        try:
            self._opened.wait()
            if self._journal is None:
                return None
            self._journal.wait_beyond(offset)
            return self._journal.read(offset)
        except FileNotFoundError:
            self._ended.wait()
            return None
        except KeyboardInterrupt:
            self._give_up()
            raise

    def _give_up(self) -> None:
        """Whoever interrupts the waiting does not want the run to go on behind their back."""
        self.kill()
        self._ended.wait()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if kind is not None:
            self._give_up()
        self._ended.wait()

    @checked
    def ended(self, timeout: float | None = None) -> RunRecord:
        try:
            ended = self._ended.wait(timeout)
        except BaseException:
            self._give_up()
            raise
        if not ended:
            raise Temporary(f"the run {self.id} has not ended yet", run_id=self.id)
        if self._failure is not None:
            raise self._failure
        if self._record is None:
            raise Bug("a run ended without a record", run_id=self.id)
        return self._record

    def kill(self) -> None:
        self.stop.request("killed")


def _heard(record: RunRecord) -> None:
    """Who waits for it does not wait for ever."""
    if record.status == "silent" and record.heard is not None:
        raise Temporary(
            f"the run {record.run} on {record.by.host} has given no sign of life since "
            f"{record.heard:%Y-%m-%d %H:%M:%S} UTC",
            hint="`pkgrun run recover` gives it up if its machine is gone",
            run_id=record.run,
        )


def _decoded(pieces: Iterable[bytes], rest: bytes = b"") -> Iterator[Event]:
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        yield from _events(lines)
    yield from _events([rest])


def _events(lines: list[bytes]) -> Iterator[Event]:
    for line in lines:
        if line and (event := decode(line)) is not None:
            yield event


def result(store: Store, record: RunRecord, removal: Removal | None = None) -> RunResult:
    """The result of a run that has ended; `removal`: of the version that it made.

    Raises:
        PkgrunError: it made no version.
    """
    if record.error is not None:
        raise error_of(record)
    vendor = results(record, store.url)
    return RunResult(record, vendor.model_dump(mode="json") if vendor else None, removal)


def error_of(record: RunRecord) -> PkgrunError:
    """The error that a failed run stands for."""
    error = record.error
    if error is None:
        return Bug(f"the run {record.run} did not fail", run_id=record.run)
    return by_kind(error.kind)(error.message, hint=error.hint, run_id=record.run)
