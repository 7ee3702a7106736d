"""Copies a store, or one package with its lineage, into another: an operation there, of which nothing is seen until
all of it has arrived. What is there already is not sent again; what is there otherwise is a conflict.

The contents go over first, and the records with them, as a tree whose paths are their keys. The decision names that
tree. So whoever finds the decision can carry it out (`landing`), also when the source is gone.
"""

from __future__ import annotations

import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from pkgrun.errors import Damaged, Erased, UsageError
from pkgrun.observe import Notice, Observer, Phase, Progress
from pkgrun.records import Actor, Copied, CopyRequest, Head, Intent, Outcome, Tree
from pkgrun.records.erasing import Receipt
from pkgrun.runs import cargo, decision, recover
from pkgrun.runs.cargo import Cargo
from pkgrun.runs.handle import error_of
from pkgrun.runs.heart import working
from pkgrun.runs.here import sign_of_life
from pkgrun.store import erased, erasing, operations, trees
from pkgrun.store.files import shown
from pkgrun.store.parallel import each
from pkgrun.store.root import Store
from pkgrun.store.transfer import Sent, transfer
from pkgrun.store.trees import Entry

_NAMED = 5


@dataclass(frozen=True, slots=True)
class Copy:
    """What a copy brought; `run` is its operation, None if all was there and nothing had to be done."""

    copied: Copied
    run: str | None


def check_apart(source: str, target: str) -> None:
    """Raises:
    UsageError: two places are the same, or one is in the other.
    """
    one, other = _place(source), _place(target)
    if one.startswith(other) or other.startswith(one):
        what = "is" if one == other else "and"
        raise UsageError(
            f"{shown(source)} {what} {shown(target)}: one cannot be a copy of the other",
            hint="name another place for the copy",
        )


def _place(url: str) -> str:
    path = url if "://" in url else os.path.realpath(os.path.expanduser(url))
    return path.rstrip("/") + "/"


def copy(source: Store, target: Store, *, package: str | None, by: Actor, observer: Observer) -> Copy:
    """Copy everything, or one package with its lineage; the numbers are kept.

    Raises:
        NotFound: the source has no such package.
        Conflict: the target has something else under a number, of a run, or for an idempotency key.
        Damaged: something in the source is not what it was; it is named.
        PermissionDenied, Temporary: either store refuses.
    """
    hasty, target = target.backend, target.apart().waiting(observer)
    observer(Phase("compare", time.time()))
    load = cargo.load(source, target, package)
    receipts = cargo.receipts(source, target, None if package is None else load)
    if not load.missing and not receipts:
        return Copy(_copied(load, Sent(), None), None)
    intent = _intent(source, package, by)
    with recover.never_open(target, intent), working(hasty, intent) as check:
        operations.begin(target.backend, intent)
        _bring(receipts, target, intent.run)
        target.objects.begun(intent.run)
        observer(Phase("copy", time.time()))
        load, sent = _send_all(source, target, package, load, observer, check, intent.run)
        observer(Phase("commit", time.time()))
        records = _pack(source, target, load, check)
        target.objects.flush()
        check()
        cargo.check_numbers(source, target, load)  # again: meanwhile somebody may have taken one of them
        copied = _copied(load, sent, records, len(receipts))
        outcome = Outcome(run=intent.run, decision="COMMIT", created=datetime.now(UTC), copied=copied)
        made = recover.carry_out(
            target, intent, operations.decide(target.backend, decision.check(target, outcome))
        )
    if made.error is not None:
        raise error_of(made)
    return Copy(copied, intent.run)


def _intent(source: Store, package: str | None, by: Actor) -> Intent:
    run = operations.new_run_id()
    return Intent(
        run=run,
        kind="copy",
        package=package,
        created=datetime.now(UTC),
        by=by,
        head=Head(major=0),
        alive=sign_of_life(run, "running", "copy"),
        copy_=CopyRequest(source=source.url, store=source.id),
    )


def _copied(load: Cargo, sent: Sent, records: Tree | None, receipts: int = 0) -> Copied:
    return Copied(
        versions=cargo.share(load.versions),
        datasets=cargo.share(load.datasets),
        runs=cargo.share(load.runs),
        removals=cargo.share(load.removals).copied,
        receipts=receipts,
        open=load.open,
        files=sent.files,
        bytes=sent.bytes,
        records=records,
    )


def _send_all(
    source: Store,
    target: Store,
    package: str | None,
    load: Cargo,
    observer: Observer,
    check: Callable[[], None],
    run: str,
) -> tuple[Cargo, Sent]:
    """The contents that the target lacks; and of what. If they are gone because versions were removed from the source
    meanwhile, and collected, it goes on without what these alone needed; likewise without what was erased there."""
    while True:
        try:
            return load, _send(source, target, load, observer, check)
        except Erased:
            source.objects.erased.look()
            if not (new := cargo.receipts(source, target, None if package is None else load)):
                raise
            _bring(new, target, run)
            target.objects.erased.look()
        except Damaged:
            again = cargo.load(source, target, package)
            gone = sorted(again.removed - load.removed)
            if not gone:
                raise
            names = ", ".join(f"{package}@{version}" for package, version in gone[:_NAMED])
            more = f" and {len(gone) - _NAMED} more" if len(gone) > _NAMED else ""
            observer(Notice(f"removed meanwhile, so that only the records are copied: {names}{more}"))
            load = again


def _bring(receipts: list[bytes], target: Store, run: str) -> None:
    """What the source has erased is erased in the target, too, before anything else comes."""
    for data in receipts:
        receipt = Receipt.from_bytes(data, key="a receipt of the source")
        target.backend.create(erased.key(bytes.fromhex(receipt.digest[7:])), data)
    if receipts:
        erasing.sweep(target.backend, check=decision.still_open(target, run))
        target.objects.look_again()


def _send(source: Store, target: Store, load: Cargo, observer: Observer, check: Callable[[], None]) -> Sent:
    """The contents that the target lacks."""
    wanted = [tree for item in load.missing for tree in item.trees]
    blobs = [blob for item in load.missing for blob in item.blobs]
    listings = [tree for item in load.missing for tree in item.listings]
    total = sum(tree.bytes for tree in wanted) + sum(blob.bytes for blob in blobs)
    done, lock = 0, threading.Lock()

    def told(size: int) -> None:
        nonlocal done
        check()
        with lock:
            done += size
            observer(Progress("copy", done, total, "bytes"))

    return transfer(source.objects, target.objects, wanted, blobs, listings, progress=told)


# ---------------------------------------------------------------------- the records as a tree


def _pack(source: Store, target: Store, load: Cargo, check: Callable[[], None]) -> Tree:
    """Keep the missing records as files whose paths are their keys."""

    def keep(key: str) -> Entry:
        check()
        name = key.rpartition("/")[2]
        blob = target.objects.put(_record(source, key))
        return Entry(name, "file", blob.digest, 1, blob.bytes)

    keys = [key for item in load.missing for key in item.keys]
    folders: dict[str, list[Entry]] = defaultdict(list)
    for key, entry in zip(keys, each(keep, keys), strict=True):
        folders[key.rpartition("/")[0]].append(entry)
    return _sealed(folders, target)


def _record(source: Store, key: str) -> bytes:
    """A record's bytes; of a run, what follows from the others, also where nobody could write it down."""
    if key.endswith("/run.json"):
        return recover.settle(source, key.split("/")[1]).to_bytes()
    return source.backend.read(key)


def _sealed(folders: dict[str, list[Entry]], target: Store) -> Tree:
    """The directories over the entries of each, the deepest first."""
    for path in sorted(
        {above for path in folders for above in _above(path)}, key=lambda path: -path.count("/")
    ):
        tree = trees.write_node(folders.pop(path), target.objects)
        parent, _, name = path.rpartition("/")
        folders[parent].append(Entry(name, "dir", tree.digest, tree.files, tree.bytes))
    return trees.write_node(folders[""], target.objects)


def _above(path: str) -> list[str]:
    """A folder and those that it is in, but for the root."""
    parts = path.split("/")
    return ["/".join(parts[: end + 1]) for end in range(len(parts))]
