"""From a caller's wish to a run that has begun: everything is looked up and checked before anything is written."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, get_args

from pkgrun.errors import NotFound, PkgrunError, UsageError
from pkgrun.observe import Notice, Observer
from pkgrun.packages import contract
from pkgrun.records import Actor, Intent, RunRecord, TrainingRequest, VersionRecord, WantedMount
from pkgrun.runs import engine, idempotency, labels, lookup, recover
from pkgrun.runs.handle import LiveRun, Run
from pkgrun.runs.here import sign_of_life
from pkgrun.runs.order import Order
from pkgrun.runs.plan import plan
from pkgrun.store import numbers, operations
from pkgrun.store.files import shown
from pkgrun.store.root import Store
from pkgrun.worker.limits import HOLDS_NOTHING, Limits
from pkgrun.worker.secrets import LARGEST
from pkgrun.worker.variables import child_environment, devices

if TYPE_CHECKING:
    from pkgrun.datasets.sources import Dataset

_PARAMETERS_LIMIT = 1 << 18


@dataclass(frozen=True, slots=True)
class Wish:
    """A training as the caller put it; `Workspace.train` says what each part means.

    What has a default here came with a later release than the first, and so does every further part: `asked` rests on it.
    """

    package: str
    version: str | None
    data: str | None
    env: Mapping[str, str]
    secrets: Mapping[str, str] = field(repr=False)
    save_training_data: bool
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


def train(
    store: Store,
    wish: Wish,
    *,
    by: Actor,
    cache: str,
    cache_limit: int,
    observer: Observer,
    idempotency_key: str | None,
) -> Run:
    """Begin a training, or find the one that the idempotency key stands for."""
    _check(wish)
    dataset, wish = _dataset(store, wish, cache, observer)
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
        store, wish, base, dataset, run=run, by=by, cache=cache, cache_limit=cache_limit, key=idempotency_key
    )

    def work(live: LiveRun) -> RunRecord:
        return engine.run(store.apart(), order, observer=observer, stop=live.stop, opened=live.opened)

    with recover.never_open(store, order.intent):
        if not operations.begin(store.backend, order.intent):
            return _known(store, run, observer)
        _check_base(store, order)
        return LiveRun(store, run, work)


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


def _dataset(store: Store, wish: Wish, cache: str, observer: Observer) -> tuple[Dataset | None, Wish]:
    """The dataset that is meant, and the wish with its name in full, the same wherever the caller stands."""
    if wish.data is None:
        return None, wish
    from pkgrun.datasets.sources import Source  # only a dataset needs it

    dataset = lookup.dataset(store, wish.data, observer)
    if not isinstance(dataset, Source):
        return dataset, replace(wish, data=dataset.label)
    lookup.apart(store, dataset, cache)
    return dataset, replace(wish, data=dataset.path)


def _check(wish: Wish) -> None:
    labels.check(wish.description, wish.tags, wish.secrets)
    _check_parameters(wish)
    if wish.timeout is not None and not 0 < wish.timeout < 1e9:
        raise UsageError(f"a timeout of {wish.timeout:g} s is none", hint="give a number of seconds above 0")
    if wish.python and not re.fullmatch(r"\d+(\.\d+){0,2}|.*/.*", wish.python):
        raise UsageError(
            f"{wish.python!r} is no version of Python", hint="such as 3.12, or an interpreter's path"
        )
    if wish.python and (2, 0) <= _series(wish.python) < (3, 8):
        raise UsageError(f"Python {wish.python} is too old", hint="the package's code needs 3.8 or newer")
    if wish.environment == "current" and (wish.python or wish.upgrade):
        raise UsageError(
            "environment 'current' is the Python at hand: it takes neither another Python nor an upgrade",
            hint="leave one of them out",
        )
    if wish.mount not in get_args(WantedMount):
        raise UsageError(f"{wish.mount!r} is no way to mount", hint=", ".join(get_args(WantedMount)))
    if wish.gpu and not devices():
        raise UsageError("a GPU is asked for, and this machine has none", hint="leave --gpu out")


def _check_parameters(wish: Wish) -> None:
    for name, value in wish.env.items():
        labels.text(name, "a parameter's name")
        if len(labels.text(value, f"parameter {name}")) > LARGEST:
            raise UsageError(
                f"parameter {name} is larger than {LARGEST >> 10} KiB", hint="put it into the dataset"
            )
    child_environment(host={}, parameters=wish.env, defaults={}, secrets=wish.secrets, gpu=wish.gpu)
    if sum(labels.written(word.encode()) for pair in wish.env.items() for word in pair) > _PARAMETERS_LIMIT:
        raise UsageError(
            f"the parameters are larger than {_PARAMETERS_LIMIT >> 10} KiB",
            hint="put large values into the dataset",
        )


def _series(python: str) -> tuple[int, ...]:
    """The numbers of a version of Python; none of a path."""
    found = re.fullmatch(r"(\d+)(?:\.(\d+))?(?:\.\d+)?", python)
    return (int(found[1]), int(found[2] or 99)) if found else ()


def _was_folder(wish: Wish, folder: bool) -> bool:
    """Whether the same call meant a folder before there was a package of that name."""
    return not folder and wish.version is None and "@" not in wish.package and os.path.isdir(wish.package)


def _folder(path: str) -> str:
    """Which folder is meant, wherever one stands; an idempotency key is for this folder."""
    real = os.path.realpath(os.path.expanduser(path)) if path and "\0" not in path else path
    if "/" not in path and path and "\0" not in path and not os.path.isdir(real):
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

    imported = bring_in(store, wish.package, name=None, description=None, tags={}, by=by, observer=observer)
    record = imported.record
    said = "imported" if imported.new else "unchanged since it was imported"
    observer(Notice(f"{shown(wish.package)}: {said} as {record.package} {record.version}"))
    return record


def _order(
    store: Store,
    wish: Wish,
    base: VersionRecord,
    dataset: Dataset | None,
    *,
    run: str,
    by: Actor,
    cache: str,
    cache_limit: int,
    key: str | None,
) -> Order:
    keeps = wish.save_training_data or contract.wants_snapshot(wish.env)
    parameters = dict(wish.env)
    request = TrainingRequest(
        base=base.version,
        tree=base.tree,
        data=dataset.label if dataset else None,
        parameters=parameters,
        secrets=tuple(sorted(wish.secrets)),
        save_training_data=keeps,
        gpu=wish.gpu,
        timeout=wish.timeout,
        python=wish.python,
        environment=wish.environment,
        upgrade=wish.upgrade,
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
        kind=contract.TRAINING,
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
        plan=plan(contract.TRAINING, base, {contract.SAVE_TRAINING_DATA: str(keeps).lower()} | parameters),
        cache=cache,
        cache_limit=cache_limit,
        secrets=dict(wish.secrets),
        keep_workdir=wish.keep_workdir,
        limits=wish.limits,
    )
