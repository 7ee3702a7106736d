"""From a run, or a version that one made, to the same run again: everything is looked up and checked before it begins.

The same base, data, lock, Python, parameters, hash seed, sandbox and limits. It takes no number: what comes out is
compared (`reproduced`) and kept beside.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from pkgrun.datasets.sources import Dataset
from pkgrun.errors import Bug, EnvironmentFailed, UsageError
from pkgrun.observe import Notice, Observer
from pkgrun.packages import contract
from pkgrun.records import Actor, Data, Facts, Intent, RunRecord, TrainingRequest, VersionRecord
from pkgrun.runs import asked, confining, inherited, launch, originals
from pkgrun.runs.handle import Run
from pkgrun.runs.here import sign_of_life
from pkgrun.runs.order import Order
from pkgrun.runs.plan import Plan, plan
from pkgrun.runs.same_data import Search, check_not_erased, find
from pkgrun.store import numbers, operations
from pkgrun.store.root import Store
from pkgrun.worker import accelerators, interpreters


@dataclass(frozen=True, slots=True)
class Wish:
    """What the caller said; `Workspace.reproduce` says what each part means."""

    name: str
    data: str | None = None
    evaluation_data: str | None = None
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout: float | None = None
    keep_workdir: bool = False


def begin(store: Store, wish: Wish, *, by: Actor, cache: str, cache_limit: int, observer: Observer) -> Run:
    """Begin to do a run again.

    Raises:
        UsageError: it is no run that can be done again, a secret is missing, or this machine has not what it needs.
        NotFound: there is no such run, or what it needs is not there any more.
        Mismatch: its data is not what it was.
        Erased: some of it was erased.
        EnvironmentFailed: there is no Python of the series that it had.
    """
    original = originals.original(store, wish.name)
    request, facts = original.request, original.facts
    if request is None or facts is None:
        raise Bug(f"the run {original.run} came to its end without facts")
    base = originals.base(store, original, request)
    _check(original, request, wish)
    python = _python(store, original, cache, observer)
    search = Search(store, original.run, cache, cache_limit, observer)
    check_not_erased(replace(search, what="the version at the start"), base.tree)
    data = _dataset(search, facts.data, wish.data)
    search = replace(search, what="the evaluation set", option="--evaluation-data")
    evaluation = _dataset(search, facts.evaluation_data, wish.evaluation_data)
    request = request.model_copy(
        update={
            "data": data.label if data else None,
            "evaluation_data": evaluation.label if evaluation else None,
            "timeout": wish.timeout or request.timeout,
            "python": python,
            "upgrade": False,  # the lock is the original's, whatever made that
            "relax_pins": False,
            "description": None,
            "tags": {},
            "reproduces": original.run,
            "pipeline": original.kind,
        }
    )
    order = Order(
        intent=_intent(store, base, request, by),
        request=request,
        base=base,
        dataset=data,
        evaluation=evaluation,
        plan=_plan(original, request, base, evaluation_set=evaluation is not None),
        cache=cache,
        cache_limit=cache_limit,
        secrets=dict(wish.secrets),
        keep_workdir=wish.keep_workdir,
        limits=confining.wanted(request.sandbox, request.memory, request.cpus, request.storage),
        original=original,
    )
    made = f", which made {original.package}@{original.version}" if original.version else ""
    observer(Notice(f"doing the {original.kind} {original.run[:13]} again{made}"))
    started = launch.started(store, order, observer)
    if started is None:
        raise Bug(f"the id {order.intent.run} is taken")
    return started


def _intent(store: Store, base: VersionRecord, request: TrainingRequest, by: Actor) -> Intent:
    run = operations.new_run_id()
    return Intent(
        run=run,
        kind="reproduction",
        package=base.package,
        created=datetime.now(UTC),
        by=by,
        head=numbers.head(store.backend, base.package, base.version.major),
        alive=sign_of_life(run, "scheduled", "start"),
        training=request,
    )


def _plan(
    original: RunRecord, request: TrainingRequest, base: VersionRecord, *, evaluation_set: bool
) -> Plan:
    variables = _keeping(original.kind, request) | request.parameters
    return plan(original.kind, base, variables, evaluation_set=evaluation_set, baseline=request.baseline)


def _check(original: RunRecord, request: TrainingRequest, wish: Wish) -> None:
    """That what is needed beside content is at hand: secrets by name, a GPU, a sandbox.

    Raises:
        UsageError: it is not.
    """
    lacking = sorted(set(request.secrets) - wish.secrets.keys())
    if lacking:
        raise UsageError(
            f"the run {original.run[:13]} had secrets, whose values are not recorded: {', '.join(lacking)}",
            hint="give them again: " + " ".join(f"--secret {name}" for name in lacking),
        )
    for name, value in wish.secrets.items():
        if not isinstance(value, str):
            raise UsageError(f"the secret {name} must be text, not {type(value).__name__}")
    if new := sorted(wish.secrets.keys() - set(request.secrets)):
        raise UsageError(
            f"the run {original.run[:13]} had no secret {', '.join(new)}",
            hint="leave it out: nothing else may be given",
        )
    if request.gpu:
        _check_gpu(request, original.facts)
    asked.check(
        env=request.parameters,
        secrets=wish.secrets,
        timeout=wish.timeout,
        python=None,
        environment=request.environment,
        upgrade=False,
        gpu=request.gpu,
    )


def _check_gpu(request: TrainingRequest, facts: Facts | None) -> None:
    try:
        accelerators.require({**os.environ, **request.parameters})
    except UsageError as error:
        names = ", ".join(one.name or one.id for one in facts.devices) if facts else ""
        raise UsageError(
            f"the run was shown {names or 'a GPU'}, and {error.message}",
            hint="reproduce it on a machine that has one",
        ) from error


def _python(store: Store, original: RunRecord, cache: str, observer: Observer) -> str | None:
    """The Python to ask for: the very one that the run had, else one of its series; of the Python at hand nothing.

    Raises:
        EnvironmentFailed: there is none such.
    """
    environment = inherited.of_run(original)
    inherited.text(store, environment)  # the lock is there
    series = ".".join(environment.python.split(".")[:2])
    if environment.mode == "current":
        if ".".join(platform.python_version_tuple()[:2]) != series:
            raise EnvironmentFailed(
                f"the run {original.run[:13]} ran in the Python at hand, which was {environment.python}; "
                f"the one at hand now is {platform.python_version()}",
                hint=f"run pkgrun with Python {series}",
            )
        return None
    asked = interpreters.nearest(environment.python, cache=Path(cache), variables=os.environ)
    try:
        interpreters.find(
            asked,
            cache=Path(cache),
            variables=os.environ,
            stop=lambda: False,
            announce=lambda said: observer(Notice(said)),
        )
    except EnvironmentFailed as error:
        raise EnvironmentFailed(
            f"the run {original.run[:13]} had Python {environment.python}, and {error.message}",
            hint=f"install a Python {series}, then reproduce it",
        ) from error
    return asked


def _dataset(search: Search, data: Data | None, given: str | None) -> Dataset | None:
    if data is not None:
        return find(search, data, given)
    if given is not None:
        raise UsageError(
            f"the run {search.run[:13]} was given nothing of what {search.option} names",
            hint=f"leave {search.option} out",
        )
    return None


def _keeping(kind: str, request: TrainingRequest) -> dict[str, str]:
    """The variables that say which data is kept, as the run's code read them, where its parameters do not say so already."""
    variables = {**contract.PIPELINES[kind].variables, **request.parameters}
    found = {}
    said = {
        contract.SAVE_TRAINING_DATA: request.save_training_data,
        contract.SAVE_TEST_DATA: request.save_test_data,
    }
    roles: dict[str, contract.Role] = {
        contract.SAVE_TRAINING_DATA: "trained",
        contract.SAVE_TEST_DATA: "evaluated",
    }
    for name, keeps in said.items():
        if name in variables and contract.wants_snapshot(roles[name], variables) != keeps:
            found[name] = str(keeps).lower()
    return found
