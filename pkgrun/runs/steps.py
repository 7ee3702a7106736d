"""The steps of a run, each one thing, in the order in which `engine` takes them. Findings go to the course."""

from __future__ import annotations

import json
import math
import os
import platform
import stat as mode
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pkgrun.errors import DataInvalid, NotFound, SecretFound, UsageError, UserCodeFailed
from pkgrun.packages import contract
from pkgrun.packages.contract import Step
from pkgrun.packages.sources import produced
from pkgrun.records import Blob, Changes, Device, FileList, RelaxedPin, RunError, Tree
from pkgrun.records import Environment as EnvironmentRecord
from pkgrun.records import Exit as ExitRecord
from pkgrun.records import Usage as UsageRecord
from pkgrun.records.runs import make_ready
from pkgrun.runs import confining, inherited
from pkgrun.runs.course import Course
from pkgrun.runs.data import Given
from pkgrun.runs.order import Order
from pkgrun.runs.place import Place
from pkgrun.runs.verdict import HINTS, verdict
from pkgrun.store import intake, trees
from pkgrun.store.checkout import checkout
from pkgrun.store.files import shown
from pkgrun.store.intake import Ingested
from pkgrun.store.root import Store
from pkgrun.store.trees import Entry
from pkgrun.worker import accelerators, requirements, supervisor
from pkgrun.worker import environment as environments
from pkgrun.worker.environment import Environment
from pkgrun.worker.limits import confined
from pkgrun.worker.overrides import Overrides
from pkgrun.worker.secrets import Masker
from pkgrun.worker.supervisor import Exit, Job, Stop
from pkgrun.worker.variables import child_environment

METRICS_FILE = "metrics.json"
_METRICS_BYTES = 1 << 20
_METRICS_COUNT = 1000


def stage(store: Store, order: Order, at: Place, course: Course) -> None:
    """Lay the version out in the work directory, without what the run's own folders hide, and make those."""
    course.enter("stage")
    count = course.counter("package", order.base.tree.bytes)
    checkout(store.objects, order.base.tree.digest, at.package, skip=order.plan.folders, progress=count)
    for folder, entry in _hidden(store, order):
        if entry.kind == "file":
            raise UsageError(
                f"the run's folder {folder!r} is a file of the package", hint=_elsewhere(order, folder)
            )
    for folder in order.plan.folders:
        _make(at.package, folder, hint=_elsewhere(order, folder))


def _elsewhere(order: Order, folder: str) -> str:
    """What to do where a folder of the run's cannot be: only that of the artifacts can be named."""
    if folder == order.plan.artifacts:
        return f"name another with {contract.ARTIFACTS_DIRECTORY}"
    return "rename what the package has there"


def _make(package: str, folder: str, *, hint: str) -> None:
    """Make one of the run's own folders, where its name says and not where a link of the package leads."""
    path = os.path.join(package, folder)
    above = os.path.realpath(os.path.dirname(path))
    reason: str | None = "a link of the package is in the way"
    try:
        astray = above != os.path.dirname(os.path.join(os.path.realpath(package), folder))
        if not astray:
            os.makedirs(path, exist_ok=True)
    except OSError as error:
        astray, reason = True, error.strerror
    if astray:
        raise UsageError(
            f"the run's folder {folder!r} cannot be made in the package: {reason}",
            hint=hint,
        )


def environment(store: Store, order: Order, at: Place, course: Course, stop: Stop) -> Environment:
    """The Python that the package's code will run in, and its lock, kept beside the version."""
    course.enter("environment")
    wanted = requirements.read(Path(at.package))
    override, before = Overrides(order.request.override_requirements or ""), None
    known = inherited.of_run(order.original) if order.original else order.base.environment
    if order.request.environment == "current":
        found = environments.current(wanted.digest)
    else:
        if order.original is not None:
            before = inherited.text(store, inherited.of_run(order.original))
        elif not order.request.upgrade:
            before = inherited.lock(
                store,
                order.base,
                wanted=wanted.digest,
                asked=order.request.python,
                overrides=override.digest,
            )
        found = environments.ensure(
            wanted,
            package=Path(at.package),
            cache=Path(order.cache),
            python=order.request.python or inherited.python(order.base),
            lock=before,
            upgrade=order.request.upgrade,
            override=override,
            relax=order.request.relax_pins,
            observer=course.observe,
            stop=lambda: stop.reason is not None,
        )
    lock = store.objects.put(found.lock.encode())
    course.environment = EnvironmentRecord(
        mode=found.mode,
        python=found.python_version,
        platform=platform.system().lower() + "-" + platform.machine(),
        requirements=found.requirements,
        lock=Blob(digest=lock.digest, bytes=lock.bytes),
        overrides=override.digest,
        relaxed=tuple(RelaxedPin(pin=pin, version=version) for pin, version in found.relaxed),
    )
    if found.lock == before:
        course.environment = inherited.beside(known, course.environment)
    return found


def call(
    store: Store, order: Order, at: Place, course: Course, environment: Environment, given: Given, stop: Stop
) -> Exit:
    """Run the package's code in a process of its own, while the dataset is hashed."""
    course.enter("start")
    host, own = confining.own_places(order.limits, at, dict(os.environ))
    variables, course.inherited = child_environment(
        host=host,
        parameters=order.request.parameters,
        defaults={**own, **order.plan.variables},
        secrets=order.secrets,
        gpu=order.request.gpu,
    )
    course.hash_seed = variables["PYTHONHASHSEED"]
    if order.request.gpu:
        course.devices = tuple(Device(**asdict(one)) for one in accelerators.look(variables).shown)
    with confined(order.limits, folders=[Path(path) for path in confining.folders(at)]) as confines:
        course.confined = confining.recorded(confines)
        job = Job(
            python=environment.python,
            workdir=Path(at.package),
            env=environment.activated(variables),
            calls=order.plan.calls,
            timeout=order.request.timeout,
            grace=order.grace,
            mask=Masker(order.secrets.values()),
            overlay=given.overlay,
            readonly=(Path(store.backend.url),) if given.overlay and store.backend.capabilities.paths else (),
            confines=confines,
            look=given.look,
        )
        given.witness()
        ended = supervisor.run(job, observer=course.observe, stop=stop, meanwhile=make_ready)
    course.exit = ExitRecord(reason=ended.reason, code=ended.code, signal=ended.signal, cause=ended.cause)
    course.usage = UsageRecord(
        peak_memory_bytes=ended.usage.peak_memory_bytes, cpu_seconds=ended.usage.cpu_seconds
    )
    return ended


def judge(order: Order, at: Place, course: Course, given: Given, ended: Exit) -> RunError | None:
    """Whether the package's code failed, and how good it says to be."""
    _note_scores(order, at, course, ended)
    return verdict(
        ended,
        workdir=at.package,
        timeout=order.request.timeout,
        dataset=order.dataset is not None,
        overlay=given.overlay is not None,
        limits=order.limits,
        hints=HINTS | {"raised": _MENDING[order.intent.kind]},
    )


_MENDING = {
    contract.TRAINING: HINTS["raised"],
    contract.EVALUATION: "train it first if it is not trained yet; else mend the code, then evaluate its folder",
    contract.FULL: "mend the code, then run its folder: what has changed becomes the next major",
    "reproduction": "it ran to its end then: what it needs beside its data, its network or its machine may be gone",
}


def _note_scores(order: Order, at: Place, course: Course, ended: Exit) -> None:
    course.score = ended.scores.get(contract.EVALUATE)
    course.baseline_score = ended.scores.get(contract.BASELINE)
    for label, failure in ended.tolerated.items():
        first = failure.message.strip().split("\n", 1)[0][:300]
        said = f"raised {failure.type}" + (f": {first}" if first else "")
        course.warn(
            f"the {label} evaluation, before the training, {first if failure.exits else said}",
            "a package that is not trained yet need not be able to; --no-baseline leaves it out",
        )
    for step in order.plan.steps:
        kind = ended.types.get(step.label)
        if step.method == contract.EVALUATE and kind is not None and step.label not in ended.scores:
            course.warn(
                f"{step.method}() returned no finite number but {_article(kind)}, so there is no {_score_of(step)}",
                "it has to return one score",
            )


def _score_of(step: Step) -> str:
    return "score" if step.label == contract.EVALUATE else f"{step.label} score"


def _article(kind: str) -> str:
    """What was returned, by the name of its type."""
    if kind.startswith("float"):  # numpy's too
        return "nan or infinity"
    return "None" if kind == "NoneType" else f"a value of type {kind}"


def collect_artifacts(store: Store, order: Order, at: Place, course: Course) -> RunError | None:
    """Keep what lies in the artifacts folder, of failed runs too, but for files that hold a secret."""
    course.enter("collect")
    folder = os.path.join(at.package, order.plan.artifacts)
    if not os.path.isdir(folder) or os.path.islink(folder):
        return None
    mask = Masker(order.secrets.values())
    taken = intake.ingest(folder, store.objects, watch=mask.watch, lenient=True)
    for reason in taken.refused[:10]:
        course.warn(f"an artifact was left out: {mask.text(reason)}")
    course.artifacts = taken.tree
    course.metrics = _metrics(os.path.join(folder, METRICS_FILE), course)
    return _leak(taken, mask, order.plan.artifacts + "/")


def collect_package(store: Store, order: Order, at: Place, course: Course) -> Tree | RunError:
    """Keep the work directory as the next version: without the run's folders, with what they hid."""
    if not os.path.isdir(at.package):
        return RunError(
            kind=UserCodeFailed.kind,
            message="the package's code removed its work directory, so there is nothing to keep",
            hint="write below the current directory, and leave it there",
            phase="collect",
        )
    mask = Masker(order.secrets.values())
    before = dict(trees.walk(store.objects, order.base.tree.digest))
    hidden = set(order.plan.folders) | set(_scaffold(order, at, before))
    try:
        taken = intake.ingest(
            at.package,
            store.objects,
            keep=lambda path, folder: path not in hidden and produced(path, folder),
            watch=mask.watch,
            graft=dict(_hidden(store, order)),
            before=before,
        )
    except DataInvalid as error:
        message = (
            "the package's code left what no version can hold: " + error.message.partition("\n")[2].strip()
        )
        return RunError(kind=UserCodeFailed.kind, message=message, hint=error.hint, phase="collect")
    if leak := _leak(taken, mask, ""):
        return leak
    course.changes = changes(store, order.base.tree.digest, taken.tree.digest)
    if not (course.changes.changed.count or course.changes.added.count):
        course.warn(
            "the training changed no file of the package, so the new version serves what the old one did",
            hint="save() has to write inside the package folder, where main.py looks for the model",
        )
    return taken.tree


def _scaffold(order: Order, at: Place, before: Mapping[str, Entry]) -> Iterator[str]:
    """Folders that were made only to hold a folder of the run's, and hold nothing else."""
    for folder in order.plan.folders:
        child, above = folder, os.path.dirname(folder)
        while above and above not in before and _holds_only(os.path.join(at.package, above), child):
            yield above
            child, above = above, os.path.dirname(above)


def _holds_only(folder: str, child: str) -> bool:
    try:
        return os.listdir(folder) == [os.path.basename(child)]
    except OSError:
        return False


def _hidden(store: Store, order: Order) -> Iterator[tuple[str, Entry]]:
    """What the version has at the places of the run's own folders: it comes back unchanged."""
    for folder in order.plan.folders:
        try:
            yield folder, trees.find(store.objects, order.base.tree.digest, folder)
        except NotFound:
            continue


def _leak(taken: Ingested, mask: Masker, below: str) -> RunError | None:
    if not taken.flagged:
        return None
    names = ", ".join(mask.text(shown(below + path)) for path in taken.flagged[:10])
    return RunError(
        kind=SecretFound.kind,
        message=f"the package's code wrote a secret's value into {names}",
        hint="the file was not kept; read the secret from the environment at serving time instead",
        phase="collect",
    )


def compare(store: Store, order: Order, course: Course, made: Tree | None, environment: Environment) -> None:
    """Of a reproduction: how what came out compares with what the original had."""
    from pkgrun.runs.reproduced import judge  # only a reproduction needs it
    from pkgrun.worker.installed import altered

    course.enter("compare")
    others = altered(environment.python) if environment.mode == "isolated" else []
    course.reproduced = judge(store, order, course, made, altered=others)


def changes(store: Store, old: str, new: str) -> Changes:
    """How one tree differs from another, and which new files nobody would have expected there."""
    found: dict[str, list[str]] = {"changed": [], "added": [], "removed": []}
    for difference in trees.diff(store.objects, old, new):
        found[difference.how].append(difference.path)
    homes = {path.rpartition("/")[0] for path in found["changed"]}
    unexpected = [path for path in found["added"] if not _at_home(path, homes)]
    named = {how: FileList.of([shown(path) for path in sorted(paths)]) for how, paths in found.items()}
    return Changes(**named, unexpected=FileList.of([shown(path) for path in sorted(unexpected)]))


def _at_home(path: str, homes: set[str]) -> bool:
    """Whether a new file lies in, or below, a folder that held changed files; of the root only in it."""
    folder = path.rpartition("/")[0]
    if folder in homes:
        return True
    while folder:
        folder = folder.rpartition("/")[0]
        if folder and folder in homes:
            return True
    return False


def _metrics(path: str, course: Course) -> dict[str, float] | None:
    """The numbers of `artifacts/metrics.json` (nested objects, as DVC reads them), names joined by dots."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    with open(descriptor, "rb") as file:
        if not mode.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        data = file.read(_METRICS_BYTES + 1)
    if len(data) > _METRICS_BYTES:
        course.warn(f"{METRICS_FILE} was kept but not read: it is larger than a mebibyte")
        return None
    try:
        numbers = dict(_flat(json.loads(data), ""))
    except (ValueError, RecursionError) as error:
        course.warn(f"{METRICS_FILE} was kept but not read: {error}")
        return None
    if odd := [name for name, value in numbers.items() if not math.isfinite(value)]:
        course.warn(f"{METRICS_FILE}: not finite, so not recorded: {', '.join(odd[:10])}")
    numbers = {name: value for name, value in numbers.items() if name not in set(odd)}
    if len(numbers) > _METRICS_COUNT:
        course.warn(f"of {len(numbers)} metrics the first {_METRICS_COUNT} were read")
    return dict(list(numbers.items())[:_METRICS_COUNT])


def _flat(value: Any, name: str) -> Iterator[tuple[str, float]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(inner, f"{name}.{key}" if name else str(key))
    elif isinstance(value, int | float) and not isinstance(value, bool) and name:
        yield name, _as_float(value)


def _as_float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf
