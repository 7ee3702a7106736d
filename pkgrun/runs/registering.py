"""Registers a dataset under a name: a snapshot of what lies there now, with the next number; the same only once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from pkgrun.datasets import snapshot
from pkgrun.datasets.arrival import here
from pkgrun.datasets.cache import Copies
from pkgrun.datasets.sources import Source
from pkgrun.errors import Erased, PkgrunError, Temporary
from pkgrun.identity import check_name
from pkgrun.observe import Observer, Progress
from pkgrun.records import Actor, DatasetEntry, DatasetRecord, DatasetRequest, Head, Intent, Outcome
from pkgrun.runs import decision, labels, lookup, recover
from pkgrun.runs.caches import drop_copies, honour
from pkgrun.runs.heart import working
from pkgrun.runs.here import sign_of_life
from pkgrun.runs.lookup import apart
from pkgrun.store import operations, registry
from pkgrun.store.backend import Backend
from pkgrun.store.files import shown
from pkgrun.store.intake import Ingested
from pkgrun.store.root import Store


@dataclass(frozen=True, slots=True)
class Registered:
    """The number that a dataset's content has; `new` if it was given just now."""

    record: DatasetRecord
    new: bool


def register(
    store: Store,
    name: str,
    data: str,
    *,
    description: str | None,
    tags: Mapping[str, str],
    by: Actor,
    cache: str,
    cache_limit: int,
    observer: Observer,
) -> Registered:
    """Keep a snapshot of a dataset as the next number of `name`, unless the newest has its content already.

    Raises:
        InvalidName: that is no name for a dataset.
        DataInvalid, NotFound, PermissionDenied, Temporary: something in it cannot be kept or read.
    """
    check_name(name, "dataset")
    labels.check(description, tags)
    dataset = lookup.dataset(store, data, observer)
    if isinstance(dataset, Source):
        apart(store, dataset, cache)
    hasty, store = store.backend, store.apart().waiting(observer)
    if store.objects.erased:
        honour(cache, store.id, store.objects.erased.raws)
    copies = Copies(os.path.join(cache, "datasets"), cache_limit, observer=observer)
    with _refused(store, cache), here(dataset, copies=copies, objects=store.objects) as source:
        registration = _Registration(store, hasty, name, source, by)
        with registration.whole:
            content = _taken(registration, store, source, cache, observer)
            if registration.intent is None and (known := registration.unchanged(content.tree.digest)):
                return Registered(known, new=False)
            intent = registration.begin()
            entry = DatasetEntry(
                dataset=name,
                run=intent.run,
                tree=content.tree,
                source=source.label,
                description=description,
                tags=dict(tags),
                created=datetime.now(UTC),
            )
            store.objects.flush()
            registration.check()
            return _commit(store, intent, entry)


@contextmanager
def _refused(store: Store, cache: str) -> Iterator[None]:
    """What was fetched and is refused does not stay in the cache."""
    try:
        yield
    except Erased:
        with suppress(PkgrunError):
            drop_copies(cache, store.objects.erased.raws)
        raise


def _taken(
    registration: _Registration, store: Store, source: Source, cache: str, observer: Observer
) -> Ingested:
    def told(done: int, total: int) -> None:
        registration.check()
        observer(Progress("data", done, total, "bytes"))

    content = snapshot.of(source, store.objects, cache, told, begin=registration.begin)
    if content.unstable:
        raise Temporary(
            f"{shown(content.unstable[0])} changed while it was read",
            hint="add it again when nobody writes there",
        )
    return content


class _Registration:
    """The operation, which begins only when there is something to keep."""

    def __init__(self, store: Store, hasty: Backend, name: str, source: Source, by: Actor) -> None:
        self._store, self._hasty, self._name, self._source, self._by = store, hasty, name, source, by
        self.intent: Intent | None = None
        self.whole = ExitStack()
        self._check: Callable[[], None] = lambda: None

    def check(self) -> None:
        """Raises:
        Killed, RunLost: somebody does not want it any more.
        """
        self._check()

    def unchanged(self, digest: str) -> DatasetRecord | None:
        """The newest record, if it is of this content."""
        number = registry.newest_number(self._store.backend, self._name)
        record = registry.read(self._store.backend, self._name, number) if number else None
        return record if record is not None and record.tree.digest == digest else None

    def begin(self) -> Intent:
        """Create the intent, once."""
        if self.intent is None:
            run = operations.new_run_id()
            self.intent = Intent(
                run=run,
                kind="dataset",
                dataset=self._name,
                created=datetime.now(UTC),
                by=self._by,
                head=Head(major=registry.newest_number(self._store.backend, self._name)),
                alive=sign_of_life(run, "running", "dataset"),
                registration=DatasetRequest(source=self._source.label),
            )
            self.whole.enter_context(recover.never_open(self._store, self.intent))
            self._check = self.whole.enter_context(working(self._hasty, self.intent))
            operations.begin(self._store.backend, self.intent)
            self._store.objects.begun(run)
        return self.intent


def _commit(store: Store, intent: Intent, entry: DatasetEntry) -> Registered:
    outcome = Outcome(run=intent.run, decision="COMMIT", created=entry.created, dataset=entry)
    made = recover.carry_out(store, intent, operations.decide(store.backend, decision.check(store, outcome)))
    if made.number is None:
        raise Temporary("somebody gave it up while it was going on", hint="add it again", run_id=intent.run)
    record = registry.read(store.backend, entry.dataset, made.number)
    return Registered(record, new=record.run == intent.run)
