"""The moment before an operation decides: what was erased while it went on is taken out again, and what leads there fails.

Whoever erases waits for nobody. So an operation either sees the receipt here, or had all that it wrote in the store before there was one.
"""

from __future__ import annotations

from collections.abc import Callable

from pkgrun.errors import Erased, RunLost
from pkgrun.records import Outcome, Tree
from pkgrun.runs.results import run_error
from pkgrun.store import operations
from pkgrun.store.files import shown
from pkgrun.store.root import Store


def decide(store: Store, outcome: Outcome) -> Outcome:
    """Decide; what would commit and leads to what was erased meanwhile has failed. The decision that stands."""
    refused = refusal(store, outcome)
    if refused is not None and outcome.decision == "COMMIT":
        failed = {"decision": "FAILED", "entry": None, "dataset": None, "error": run_error(refused, "commit")}
        outcome = outcome.model_copy(update=failed)
    return operations.decide(store.backend, outcome)


def check(store: Store, outcome: Outcome) -> Outcome:
    """The same outcome, which may be decided.

    Raises:
        Erased: it leads to what was erased meanwhile.
    """
    if (refused := refusal(store, outcome)) is not None:
        raise refused
    return outcome


def refusal(store: Store, outcome: Outcome) -> Erased | None:
    """Look once more what was erased, and sweep the store of what is new there; why the outcome is refused, if it leads there.

    Raises:
        PermissionDenied, Temporary: the store refuses.
    """
    objects = store.objects
    if not (fresh := objects.erased.fresh()):
        return None
    from pkgrun.store import erasing  # which no other run needs
    from pkgrun.store.fsck.needs import whose
    from pkgrun.store.roots import Root, blobs_of, trees_of

    objects.at_rest()
    erasing.sweep(store.backend, check=still_open(store, outcome.run))
    objects.look_again()
    objects.erased.known(fresh)
    listed = outcome.facts.listed if outcome.facts else ()
    unnamed = (Tree(digest="sha256:" + raw.hex(), files=0, bytes=0) for raw in sorted(objects.erased.folders))
    root = Root("", "", (*trees_of(outcome), *listed, *unnamed), tuple(blobs_of(outcome)))
    if (raw := objects.erased.noted(fresh)) is not None:
        return objects.erased.error(raw, "what it was given")
    for raw, needs in whose(objects, [root], fresh).items():
        return objects.erased.error(raw, shown(needs[0].path))
    return None


def still_open(store: Store, run: str) -> Callable[[], None]:
    """What raises once an operation was given up: then it must take nothing away any more."""

    def check() -> None:
        if operations.decided_already(store.backend, run):
            raise RunLost("somebody has given the operation up", hint="do it again", run_id=run)

    return check
