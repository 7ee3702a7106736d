"""Erases a content from a store: an operation like any other, whose receipt is what counts. And sweeps again what has one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from pkgrun.errors import Bug, UsageError
from pkgrun.observe import Counted, Observer
from pkgrun.records import Actor, ErasureRequest, Head, Intent, Outcome, Swept
from pkgrun.records.erasing import Receipt
from pkgrun.runs import recover
from pkgrun.runs.caches import Dropped, drop
from pkgrun.runs.decision import still_open
from pkgrun.runs.handle import error_of
from pkgrun.runs.heart import working
from pkgrun.runs.here import dead, sign_of_life
from pkgrun.store import erased, erasing, operations
from pkgrun.store.root import Store


@dataclass(frozen=True, slots=True)
class Done:
    """What an erasure did.

    `new`: it was not erased before. `run`: its operation; None if there was nothing to do. `unread`: packs that cannot be read, so
    that nobody knows whether they hold it. `open`: the operations that go on, which may bring it in for a moment, and take
    it out again.
    """

    receipt: Receipt
    new: bool
    run: str | None
    swept: Swept = field(default_factory=Swept)
    dropped: Dropped = field(default_factory=Dropped)
    unread: tuple[str, ...] = ()
    open: tuple[str, ...] = ()


def erase(store: Store, request: ErasureRequest, *, by: Actor, observer: Observer) -> Done:
    """Erase a content; if it was before, take out what came back.

    Raises:
        UsageError: it came as a directory while its receipt was created.
        Damaged: its receipt, or a pack that holds it, is not what it should be.
        PermissionDenied, Temporary: the store refuses. If there is a receipt, the next erasure goes on with it.
    """
    raw = bytes.fromhex(request.digest[7:])
    standing = erased.receipt(store.backend, raw)
    if standing is not None and not (found := erasing.find(store.backend, {raw})):
        return Done(standing, False, None, dropped=_drop(store, raw), unread=found.unread)
    run, swept, unread = _operate(store, request, by, observer)
    receipt = erased.receipt(store.backend, raw)
    if receipt is None:
        raise Bug(f"the receipt of {request.digest} is gone")
    if raw not in store.apart().objects.erased:
        raise UsageError(
            f"{request.digest} has come as a directory meanwhile, and stays: only files can be erased",
            hint="nobody heeds the receipt; name each file by its own digest",
        )
    going = tuple(
        name for name in operations.undecided(store.backend) if name != run and _goes_on(store, name)
    )
    return Done(receipt, receipt.run == run, run, swept, _drop(store, raw), unread, going)


def _goes_on(store: Store, run: str) -> bool:
    """Whether an operation that is not decided may still be worked on."""
    beat = operations.heartbeat(store.backend, run) or operations.intent(store.backend, run).alive
    return beat is None or not dead(beat)


def sweep_again(store: Store, *, by: Actor, observer: Observer) -> Swept:
    """Take out whatever is there against a receipt.

    Raises:
        PermissionDenied, Temporary: the store refuses.
    """
    raws = erased.raws(store.backend)
    if not raws or not erasing.find(store.backend, raws):
        return Swept()
    return _operate(store, None, by, observer)[1]


def _operate(
    store: Store, request: ErasureRequest | None, by: Actor, observer: Observer
) -> tuple[str, Swept, tuple[str, ...]]:
    hasty, store = store.backend, store.apart().waiting(observer)
    intent = _intent(request, by)
    with recover.never_open(store, intent), working(hasty, intent) as check:
        operations.begin(store.backend, intent)
        store.objects.begun(intent.run)
        if (receipt := erased.receipt_of(intent)) is not None:
            raw = bytes.fromhex(receipt.digest[7:])
            store.backend.create(erased.key(raw), receipt.to_bytes())
            store.objects.erased.known(frozenset({raw}))
        swept, unread = erasing.sweep(
            store.backend, check=_both(check, still_open(store, intent.run)), told=Counted(observer)
        )
        outcome = Outcome(run=intent.run, decision="COMMIT", created=datetime.now(UTC), erased=swept)
        made = recover.carry_out(store, intent, operations.decide(store.backend, outcome))
    if made.error is not None:
        raise error_of(made)
    return intent.run, swept, unread


def _intent(request: ErasureRequest | None, by: Actor) -> Intent:
    run = operations.new_run_id()
    return Intent(
        run=run,
        kind="erasure",
        created=datetime.now(UTC),
        by=by,
        head=Head(major=0),
        alive=sign_of_life(run, "running", "erasure"),
        erasure=request,
    )


def _drop(store: Store, raw: bytes) -> Dropped:
    return drop(store.cache, {raw}) if store.cache is not None else Dropped()


def _both(one: Callable[[], object], other: Callable[[], object]) -> Callable[[], None]:
    def check() -> None:
        one()
        other()

    return check
