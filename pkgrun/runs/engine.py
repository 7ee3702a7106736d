"""A run from its intent to its results. The order of the lines of `run` and `_attempt` is what happens."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing, suppress
from datetime import UTC, datetime
from functools import partial

from pkgrun.errors import Erased, Killed, PkgrunError, Temporary
from pkgrun.observe import Event, Notice, Observer
from pkgrun.records import Facts, Outcome, RunError, RunRecord, Tree, VersionEntry
from pkgrun.runs import data, decision, recover, steps
from pkgrun.runs.course import Course
from pkgrun.runs.heart import beating
from pkgrun.runs.journal import Journal
from pkgrun.runs.order import Order
from pkgrun.runs.place import Place, place
from pkgrun.runs.results import run_error
from pkgrun.runs.unrecorded import decided, kept
from pkgrun.runs.verdict import DECISIONS
from pkgrun.store import erased
from pkgrun.store.root import Store
from pkgrun.worker.secrets import Masker
from pkgrun.worker.supervisor import Stop


def run(
    store: Store,
    order: Order,
    *,
    observer: Observer,
    stop: Stop,
    opened: Callable[[Journal], object] = lambda journal: None,
) -> RunRecord:
    """Carry an order out, whose intent has been created; whatever happens, it is decided in the end.

    Args:
        observer: told what happens, from several threads.
        stop: asks the run to end.
        opened: handed the run's journal once it exists.

    Raises:
        PkgrunError: pkgrun itself failed. That the run failed is no error here but a status of the record.
    """
    name = order.intent.run
    with (
        recover.never_open(store, order.intent),
        place(
            order.cache,
            name,
            order.base.package,
            keep=order.keep_workdir,
            erased=partial(erased.raws, store.backend),
        ) as at,
        closing(Journal(at.journal, observer)) as journal,
        beating(store.backend, name, journal, stop.request) as heart,
    ):
        opened(journal)

        def note(event: Event) -> None:
            heart.observe(event)
            journal(event)

        course = Course(note)
        # Not the heart's: it only tells how the run stands, and does that again soon.
        store = store.waiting(course.observe, over=lambda: stop.reason == "killed")
        store.objects.begun(name)
        if store.objects.erased:
            from pkgrun.runs.caches import honour

            honour(order.cache, store.id, store.objects.erased.raws)
        if order.keep_workdir:
            note(Notice(f"the work directory stays: {at.package}"))
        result = _attempt(store, order, at, course, stop)
        try:
            course.enter("commit")
            facts = course.facts().model_copy(update={"log": journal.keep(store.objects)})
            outcome = _outcome(order, result, facts)
            store.objects.flush()
            standing = decision.decide(store, outcome)
        except Temporary as error:
            raise kept(error, order, at, course) from error
        heart.stop()
        _forget(store, order, standing)
        try:
            return recover.carry_out(store, order.intent, standing)
        except Temporary as error:
            raise decided(error, name) from error


def _attempt(store: Store, order: Order, at: Place, course: Course, stop: Stop) -> Tree | RunError | None:
    """All steps up to the decision; the new version's tree if the pipeline makes one, or why the run failed.

    Of a reproduction the tree gets no number: what it is worth is that it was compared.
    """
    try:
        steps.stage(store, order, at, course)
        environment = steps.environment(store, order, at, course, stop)
        with data.given(store, order, at, course, stop, environment.python) as given:
            _stopped(stop)
            ended = steps.call(store, order, at, course, environment, given, stop)
            failure = given.attest(steps.judge(order, at, course, given, ended))
        leak = _kept_artifacts(store, order, at, course, failure)
        if failure or leak:
            return failure or leak
        made = steps.collect_package(store, order, at, course) if order.plan.pipeline.makes_version else None
        if order.original is not None and not isinstance(made, RunError):
            steps.compare(store, order, course, made, environment)
        return made
    except Temporary as error:
        return run_error(kept(error, order, at, course), course.phase)
    except PkgrunError as error:
        return run_error(error, course.phase)


def _kept_artifacts(
    store: Store, order: Order, at: Place, course: Course, failure: RunError | None
) -> RunError | None:
    """Collect the artifacts; that they cannot be kept is no reason to forget why the package's code failed."""
    try:
        return steps.collect_artifacts(store, order, at, course)
    except PkgrunError as error:
        if failure is None:
            raise
        if isinstance(error, Temporary):
            error = kept(error, order, at, course)
        course.warn(f"the artifacts were not kept: {error.message}", error.hint)
        return None


def _forget(store: Store, order: Order, outcome: Outcome) -> None:
    """A dataset that was fetched for a run, and refused, does not stay in the cache."""
    if outcome.error is not None and outcome.error.kind == Erased.kind:
        from pkgrun.runs.caches import drop_copies

        with suppress(PkgrunError):
            drop_copies(order.cache, store.objects.erased.raws)


def _stopped(stop: Stop) -> None:
    if stop.reason is not None:
        raise Killed("the run was stopped before the package's code began")


def _outcome(order: Order, result: Tree | RunError | None, facts: Facts) -> Outcome:
    error = result if isinstance(result, RunError) else None
    outcome = Outcome(
        run=order.intent.run,
        decision=DECISIONS.get(error.kind, "FAILED") if error else "COMMIT",
        created=datetime.now(UTC),
        entry=_entry(order, result, facts) if isinstance(result, Tree) and order.original is None else None,
        error=error,
        facts=facts,
    )
    if not order.secrets:
        return outcome
    return _masked(outcome, Masker(order.secrets.values()))


def _masked(outcome: Outcome, mask: Masker) -> Outcome:
    """Without secrets where the package's code can have put words; a digest or a time may look like a secret too."""
    found = outcome.model_dump(mode="json")
    facts = found["facts"]
    if found["error"]:
        found["error"] |= {name: mask.json(found["error"][name]) for name in ("message", "hint", "traceback")}
    for name in ("metrics", "changes", "warnings"):
        facts[name] = mask.json(facts[name])
    if facts["reproduced"]:
        told = ("files", "artifacts", "before", "now", "doubts", "causes")
        facts["reproduced"] |= {name: mask.json(facts["reproduced"][name]) for name in told}
    for one in filter(None, (facts["data"], facts["evaluation_data"])):
        one |= {name: mask.json(one[name]) for name in ("source", "unstable", "doubt", "written")}
    return Outcome.model_validate(found)


def _entry(order: Order, tree: Tree, facts: Facts) -> VersionEntry:
    return VersionEntry(
        package=order.base.package,
        kind=order.intent.kind,
        run=order.intent.run,
        parent=order.base.version,
        tree=tree,
        description=order.base.description
        if order.request.description is None
        else order.request.description,
        tags=order.request.tags,
        contract=order.base.contract,
        environment=facts.environment,
        git=order.base.git,
        listing=order.base.listing.inherited() if order.base.listing else None,
        created=facts.ended,
    )
