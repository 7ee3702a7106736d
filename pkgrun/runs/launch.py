"""From a caller's wish to a run that has begun: everything is looked up and checked before anything is written."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, get_args

from pkgrun.errors import NotFound, PkgrunError, UsageError
from pkgrun.observe import Notice, Observer, silent
from pkgrun.packages import contract
from pkgrun.packages.git_addresses import is_address, parse
from pkgrun.records import Actor, Intent, RunRecord, TrainingRequest, VersionRecord, WantedMount
from pkgrun.runs import asked, declared, engine, idempotency, labels, lookup, recover
from pkgrun.runs.handle import LiveRun, Run
from pkgrun.runs.here import sign_of_life
from pkgrun.runs.order import Order
from pkgrun.runs.plan import plan
from pkgrun.store import numbers, operations
from pkgrun.store.files import shown
from pkgrun.store.root import Store
from pkgrun.worker.limits import HOLDS_NOTHING, Limits

if TYPE_CHECKING:
    from pkgrun.datasets.sources import Dataset

Kind = Literal["training", "evaluation", "full"]


@dataclass(frozen=True, slots=True)
class Wish:
    """A run of a pipeline as the caller put it; `Workspace.train` says what each part means.

    What has a default here came with a later release than the first, and so does every further part: `asked` rests on it.
    """

    package: str
    version: str | None
    data: str | None
    env: Mapping[str, str]
    secrets: Mapping[str, str] = field(repr=False)
    save_training_data: bool | None
    gpu: bool
    timeout: float | None
    python: str | None
    environment: Literal["isolated", "current"]
    upgrade: bool
    description: str | None
    tags: Mapping[str, str]
    mount: WantedMount
    require_stable_data: bool
    keep_workdir: bool
    limits: Limits = HOLDS_NOTHING
    kind: Kind = "training"
    evaluation_data: str | None = None
    save_test_data: bool | None = None
    baseline: bool = True
    override_requirements: str | None = None
    relax_pins: bool = False

    def asked(self) -> bytes:
        """What two calls with one idempotency key must have in common: all but the secrets' values.

        A request of an earlier release says the same in this one: what came later is told only where it is not as it
        was before there was such a thing, which is its default. That default is for ever.
        """
        told = {name: value for name, value in _told(self).items() if name != "keep_workdir"}
        told["secrets"] = sorted(self.secrets)
        if "limits" in told:
            told["limits"] = _told(self.limits)
        # Not orjson: a path need not be UTF-8.
        return json.dumps(told, sort_keys=True).encode()


def _told(given: Wish | Limits) -> dict[str, Any]:
    """Its parts by name, but for those that have a default and are at it."""
    parts = ((part, getattr(given, part.name)) for part in fields(given))
    return {part.name: value for part, value in parts if value != part.default}


def begin(
    store: Store,
    wish: Wish,
    *,
    by: Actor,
    cache: str,
    cache_limit: int,
    observer: Observer,
    idempotency_key: str | None,
) -> Run:
    """Begin a run of a pipeline, or find the one that the idempotency key stands for."""
    _check(wish)
    dataset, data = _dataset(store, wish.data, cache, observer)
    evaluation, evaluation_data = _dataset(store, wish.evaluation_data, cache, observer)
    wish = replace(wish, data=data, evaluation_data=evaluation_data)
    folder = lookup.is_folder(store, wish.package)
    meant = replace(wish, package=_folder(wish.package)) if folder else wish
    run = None
    if idempotency_key is not None:
        new = operations.new_run_id()
        # A folder's first training makes a package of its name, and a bare name then means that: still the same call.
        before = replace(wish, package=_folder(wish.package)) if _was_folder(wish, folder) else meant
        run = idempotency.claim(store, idempotency_key, asked=meant.asked(), before=before.asked(), run=new)
        if run != new and operations.exists(store.backend, run):
            return _known(store, run, observer)
    base = _imported(store, wish, by, observer) if folder else _base(store, wish, observer)
    run = run or operations.new_run_id()  # after the import's, so that ids tell the order
    order = _order(
        store,
        wish,
        base,
        dataset,
        evaluation,
        run=run,
        by=by,
        cache=cache,
        cache_limit=cache_limit,
        key=idempotency_key,
        observer=observer,
    )
    return started(store, order, observer) or _known(store, run, observer)


def started(store: Store, order: Order, observer: Observer) -> Run | None:
    """Begin what was looked up and checked; None if a run of that id has begun before.

    Raises:
        NotFound: the version to start from was removed meanwhile.
    """

    def work(live: LiveRun) -> RunRecord:
        return engine.run(store.apart(), order, observer=observer, stop=live.stop, opened=live.opened)

    with recover.never_open(store, order.intent):
        if not operations.begin(store.backend, order.intent):
            return None
        _check_base(store, order)
        return LiveRun(store, order.intent.run, work)


def _known(store: Store, run: str, observer: Observer) -> Run:
    observer(Notice(f"the idempotency key stands for the run {run}, which was begun before"))
    return Run(store, run)


def _check_base(store: Store, order: Order) -> None:
    """From here on nobody removes what the run starts from; before, somebody may have."""
    try:
        lookup.there(store, order.base)
    except PkgrunError as error:
        error.run_id = order.intent.run
        raise


def _dataset(
    store: Store, text: str | None, cache: str, observer: Observer
) -> tuple[Dataset | None, str | None]:
    """The dataset that is meant, and its name in full, the same wherever the caller stands."""
    if text is None:
        return None, None
    from pkgrun.datasets.sources import Source  # only a dataset needs it

    dataset = lookup.dataset(store, text, observer)
    if not isinstance(dataset, Source):
        return dataset, dataset.label
    lookup.apart(store, dataset, cache)
    return dataset, dataset.path


def _check(wish: Wish) -> None:
    labels.check(wish.description, wish.tags, wish.secrets)
    asked.check(
        env=wish.env,
        secrets=wish.secrets,
        timeout=wish.timeout,
        python=wish.python,
        environment=wish.environment,
        upgrade=wish.upgrade,
        gpu=wish.gpu,
        replaces=wish.override_requirements is not None or wish.relax_pins,
    )
    if wish.mount not in get_args(WantedMount):
        raise UsageError(f"{wish.mount!r} is no way to mount", hint=", ".join(get_args(WantedMount)))


def _was_folder(wish: Wish, folder: bool) -> bool:
    """Whether the same call meant a folder before there was a package of that name."""
    return not folder and wish.version is None and "@" not in wish.package and os.path.isdir(wish.package)


def _folder(path: str) -> str:
    """Which folder is meant, wherever one stands; an idempotency key is for this folder."""
    if is_address(path):
        return parse(path).text
    real = os.path.realpath(os.path.expanduser(path)) if path and "\0" not in path else path
    if "/" not in path and path and "\0" not in path and not os.path.exists(real):
        raise NotFound(
            f"there is no package and no folder {path}", hint="`pkgrun package list` shows what there is"
        )
    return real


def _base(store: Store, wish: Wish, observer: Observer) -> VersionRecord:
    """The version in the store to start from."""
    if "@" not in wish.package and os.path.isdir(wish.package):
        observer(
            Notice(
                f"{wish.package} is a package in the store and also a folder here; the package is meant",
                hint=f"./{wish.package} means the folder",
            )
        )
    return lookup.version(store, wish.package, wish.version)


def _imported(store: Store, wish: Wish, by: Actor, observer: Observer) -> VersionRecord:
    """The version to start from where a folder is meant: it is imported, or found unchanged."""
    if wish.version is not None:
        raise UsageError("a folder has no version", hint="name the package instead of its folder")
    from pkgrun.runs.importing import bring_in  # only a folder needs it, and its parsers

    imported = bring_in(
        store,
        wish.package,
        name=None,
        description=None,
        tags={},
        by=by,
        observer=observer,
        accept=lambda report: declared.used(report.parameters, wish.env, wish.secrets, silent),
    )
    record = imported.record
    said = "imported" if imported.new else "unchanged since it was imported"
    place = parse(wish.package).text if is_address(wish.package) else shown(wish.package)
    observer(Notice(f"{place}: {said} as {record.package} {record.version}"))
    return record


def _order(
    store: Store,
    wish: Wish,
    base: VersionRecord,
    dataset: Dataset | None,
    evaluation: Dataset | None,
    *,
    run: str,
    by: Actor,
    cache: str,
    cache_limit: int,
    key: str | None,
    observer: Observer,
) -> Order:
    parameters = declared.used(declared.of_version(base.contract), wish.env, wish.secrets, observer)
    variables = _keeping(wish) | parameters
    planned = plan(wish.kind, base, variables, evaluation_set=evaluation is not None, baseline=wish.baseline)
    if planned.data != planned.pipeline.data:
        observer(Notice(f"the package has no process_data, so the dataset lies at {planned.data} as it is"))
    request = TrainingRequest(
        base=base.version,
        tree=base.tree,
        data=dataset.label if dataset else None,
        parameters=parameters,
        secrets=tuple(sorted(wish.secrets)),
        save_training_data=bool(wish.save_training_data)
        or contract.wants_snapshot("trained", planned.variables),
        evaluation_data=evaluation.label if evaluation else None,
        save_test_data=bool(wish.save_test_data) or contract.wants_snapshot("evaluated", planned.variables),
        baseline=wish.baseline,
        gpu=wish.gpu,
        timeout=wish.timeout,
        python=wish.python,
        environment=wish.environment,
        upgrade=wish.upgrade,
        override_requirements=wish.override_requirements,
        relax_pins=wish.relax_pins,
        mount=wish.mount,
        require_stable_data=wish.require_stable_data,
        sandbox=wish.limits.sandbox,
        memory=wish.limits.memory,
        cpus=wish.limits.cpus,
        storage=wish.limits.storage,
        description=wish.description,
        tags=dict(wish.tags),
    )
    intent = Intent(
        run=run,
        kind=wish.kind,
        package=base.package,
        created=datetime.now(UTC),
        by=by,
        head=numbers.head(store.backend, base.package, base.version.major),
        alive=sign_of_life(run, "scheduled", "start"),
        idempotency_key=idempotency.digest(key) if key is not None else None,
        training=request,
    )
    return Order(
        intent=intent,
        request=request,
        base=base,
        dataset=dataset,
        evaluation=evaluation,
        plan=planned,
        cache=cache,
        cache_limit=cache_limit,
        secrets=dict(wish.secrets),
        keep_workdir=wish.keep_workdir,
        limits=wish.limits,
    )


def _keeping(wish: Wish) -> dict[str, str]:
    """The variables that say which data is kept, where the caller said so; the package's code can read them."""
    asked = {
        contract.SAVE_TRAINING_DATA: wish.save_training_data,
        contract.SAVE_TEST_DATA: wish.save_test_data,
    }
    known = contract.PIPELINES[wish.kind].variables
    return {name: str(said).lower() for name, said in asked.items() if said is not None and name in known}
