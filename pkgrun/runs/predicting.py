"""A prediction by a version's own `main.py`, in its own serving environment: a person tries what was trained.

It works on a copy, and keeps nothing: there is no run, and the store is only read. What serves for long, or many at a
time, is something else.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO, Literal, TypeAlias

from pkgrun.errors import (
    Killed,
    NotFound,
    PackageInvalid,
    PermissionDenied,
    RunFailed,
    TimedOut,
    UsageError,
    UserCodeFailed,
)
from pkgrun.identity import Version
from pkgrun.observe import Notice, Observer
from pkgrun.packages import contract
from pkgrun.records import VersionRecord
from pkgrun.runs import asked, confining, inherited, labels, lookup
from pkgrun.runs.course import Course
from pkgrun.runs.place import Place, place
from pkgrun.runs.verdict import HINTS, verdict
from pkgrun.store import operations
from pkgrun.store.checkout import checkout
from pkgrun.store.files import shown
from pkgrun.store.local import translate
from pkgrun.store.root import Store
from pkgrun.worker import environment as environments
from pkgrun.worker import exchange, requirements, supervisor
from pkgrun.worker.environment import Environment
from pkgrun.worker.exchange import Exchange, Shape
from pkgrun.worker.limits import HOLDS_NOTHING, Limits, confined
from pkgrun.worker.overrides import NONE, Overrides
from pkgrun.worker.secrets import Masker
from pkgrun.worker.supervisor import Call, Exit, Job
from pkgrun.worker.variables import child_environment

Content: TypeAlias = str | os.PathLike[str] | bytes
"""What a file is given as: its path, or what is in it."""

_GIVEN: Mapping[Shape, str] = {
    "text": "a str (--text); --file gives bytes, --files a list of them",
    "bytes": "bytes (--file); --text gives a str, --files a list of bytes",
    "list": "a list of bytes (--files); --text gives a str, --file bytes",
}
_FAILURES: Mapping[str, type[RunFailed]] = {TimedOut.kind: TimedOut, Killed.kind: Killed}
_GRACE = 10.0


@dataclass(frozen=True, slots=True)
class Wish:
    """A prediction as the caller put it; `Workspace.predict` says what each part means."""

    package: str
    version: str | None
    text: str | None
    file: Content | None
    files: Sequence[Content] | None
    env: Mapping[str, str]
    secrets: Mapping[str, str] = field(repr=False)
    gpu: bool
    timeout: float | None
    python: str | None
    environment: Literal["isolated", "current"]
    upgrade: bool
    override: Overrides
    relax_pins: bool
    keep_workdir: bool
    limits: Limits = HOLDS_NOTHING

    @property
    def shape(self) -> Shape:
        """What the package's code is given."""
        return "text" if self.text is not None else "bytes" if self.file is not None else "list"

    @property
    def contents(self) -> tuple[Content, ...]:
        """Where that is, or what it is."""
        if self.text is not None:
            return (labels.text(self.text, "the text"),)
        return tuple(self.files or ()) if self.file is None else (self.file,)


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a version answered.

    `prediction` is the string that `predict` returned. `run` is the id of the run that made the version; the prediction
    itself is none. `python` is what it ran in, such as "3.11.7". `phases` tells what took how many of the `seconds`:
    `init` is the loading of `main.py`, `predict` the call.
    """

    package: str
    version: Version
    run: str
    prediction: str
    python: str
    seconds: float
    phases: Mapping[str, float]
    peak_memory_bytes: int


def predict(store: Store, wish: Wish, *, cache: str, observer: Observer) -> Prediction:
    """Have a version's code answer, in a fresh copy of the version, which is gone afterwards.

    Raises:
        UsageError, NotFound, PackageInvalid, PermissionDenied: before anything was begun.
        EnvironmentFailed, Temporary, Damaged: there is nothing to run it in.
        UserCodeFailed, TimedOut: there was no answer, or none that is a string.
    """
    _check(wish)
    base = _servable(lookup.version(store, wish.package, wish.version))
    course = Course(observer)
    with place(cache, operations.new_run_id(), base.package, keep=wish.keep_workdir) as at:
        if wish.keep_workdir:
            course.observe(Notice(f"the work directory stays: {at.package}"))
        given = _laid(wish, Path(at.scratch))
        course.enter("stage")
        count = course.counter("package", base.tree.bytes)
        checkout(store.objects, base.tree.digest, at.package, progress=count)
        course.enter("environment")
        environment = _environment(store, base, wish, package=Path(at.package), cache=cache, course=course)
        course.enter("start")
        ended = _called(wish, at, environment, given, course)
        _judge(base, wish, at, ended)
        answer = _answer(base, given, ended)
    facts = course.facts()
    return Prediction(
        package=base.package,
        version=base.version,
        run=base.run,
        prediction=answer,
        python=environment.python_version,
        seconds=(facts.ended - facts.started).total_seconds(),
        phases=MappingProxyType({phase.name: phase.seconds for phase in facts.phases}),
        peak_memory_bytes=ended.usage.peak_memory_bytes,
    )


def _check(wish: Wish) -> None:
    if sum(one is not None for one in (wish.text, wish.file, wish.files)) != 1:
        raise UsageError(
            "a prediction is made of a text, of a file, or of several files",
            hint="give one of --text, --file and --files",
        )
    for one in (wish.file,) if wish.files is None else wish.files:
        if wish.text is None and not isinstance(one, str | bytes | os.PathLike):
            raise UsageError(f"{one!r} is neither a path nor bytes", hint="give a file as one of these")
    labels.check(None, {}, wish.secrets)
    asked.check(
        env=wish.env,
        secrets=wish.secrets,
        timeout=wish.timeout,
        python=wish.python,
        environment=wish.environment,
        upgrade=wish.upgrade,
        replaces=wish.override != NONE or wish.relax_pins,
        gpu=wish.gpu,
    )


def _servable(base: VersionRecord) -> VersionRecord:
    if not base.contract.servable:
        raise PackageInvalid(
            f"{base.package}@{base.version} cannot serve: it has no {contract.MAIN_FILE} with a class "
            f"{contract.MAIN_CLASS} whose {contract.PREDICT} takes one argument",
            hint="`pkgrun package check FOLDER` says what is missing where",
        )
    return base


def _laid(wish: Wish, folder: Path) -> Exchange:
    """What the call is given, copied: nobody changes it meanwhile, and a pipe will do."""
    with ExitStack() as stack:
        contents = [one if isinstance(one, bytes) else _opened(one, stack) for one in wish.contents]
        try:
            return exchange.lay(folder, wish.shape, contents)
        except OSError as error:
            raise translate(error, "the input") from error


def _opened(path: str | os.PathLike[str], stack: ExitStack) -> BinaryIO:
    name = os.path.expanduser(os.fspath(path))
    try:
        return stack.enter_context(open(name, "rb"))
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:  # the last: a NUL in it
        raise NotFound(f"there is no file {shown(name)}", hint="name a file that is there") from error
    except IsADirectoryError as error:
        raise UsageError(
            f"{shown(name)} is a folder", hint="name the files in it, one by one, with --files"
        ) from error
    except PermissionError as error:
        raise PermissionDenied(
            f"{shown(name)} cannot be read", hint="check the owner and the mode of the file"
        ) from error
    except OSError as error:
        raise translate(error, shown(name)) from error


def _environment(
    store: Store, base: VersionRecord, wish: Wish, *, package: Path, cache: str, course: Course
) -> Environment:
    """The one that it was trained in, if serving requires the same; else its Python and what serving requires."""
    wanted = requirements.read(package, serving=True)
    if wish.environment == "current":
        return environments.current(wanted.digest)
    lock = inherited.lock(
        store, base, wanted=wanted.digest, asked=wish.python, overrides=wish.override.digest
    )
    return environments.ensure(
        wanted,
        package=package,
        cache=Path(cache),
        python=wish.python or inherited.python(base),
        lock=lock,
        upgrade=wish.upgrade,
        override=wish.override,
        relax=wish.relax_pins,
        observer=course.observe,
    )


def _called(wish: Wish, at: Place, environment: Environment, given: Exchange, course: Course) -> Exit:
    host, own = confining.own_places(wish.limits, at, dict(os.environ))
    variables, _ = child_environment(
        host=host, parameters=wish.env, defaults=own, secrets=wish.secrets, gpu=wish.gpu
    )
    with confined(wish.limits, folders=[Path(path) for path in confining.folders(at)]) as confines:
        job = Job(
            python=environment.python,
            workdir=Path(at.package),
            env=environment.activated(variables),
            calls=(Call(contract.PREDICT, exchange=given),),
            module=contract.MAIN_FILE.removesuffix(".py"),
            timeout=wish.timeout,
            grace=_GRACE,
            mask=Masker(wish.secrets.values()),
            confines=confines,
        )
        return supervisor.run(job, observer=course.observe)


def _judge(base: VersionRecord, wish: Wish, at: Place, ended: Exit) -> None:
    error = verdict(
        ended,
        workdir=at.package,
        timeout=wish.timeout,
        dataset=True,  # that `data/` is empty is nobody's mistake here
        limits=wish.limits,
        file=contract.MAIN_FILE,
        hints={
            **HINTS,
            "raised": "mend the code, then import its folder: what has changed becomes the next major"
            if ended.phase != contract.PREDICT
            else f"it was given {_GIVEN[wish.shape]}",
            "exited": f"{contract.PREDICT}() has to return",
            "out-of-memory": "give it less at a time, or use a machine with more memory",
        },
    )
    if error is None:
        return
    failed = _FAILURES.get(error.kind, UserCodeFailed)(
        f"{base.package}@{base.version}: {error.message}", hint=error.hint
    )
    if error.traceback:
        failed.traceback = error.traceback
        failed.add_note(error.traceback)  # where nobody catches it, Python shows it
    raise failed


def _answer(base: VersionRecord, given: Exchange, ended: Exit) -> str:
    """The string that was returned.

    Raises:
        UserCodeFailed: something else was, or too much.
    """
    called = f"{base.package}@{base.version}: {contract.PREDICT}()"
    try:
        data = exchange.answered(given)
        if data is not None:
            return data.decode()
    except exchange.TooLarge as error:
        raise UserCodeFailed(
            f"{called} returned {error.size:,} bytes, more than the {exchange.LARGEST >> 20} MiB that are read",
            hint="a prediction is a short text; write what is large into a file of its own",
        ) from None
    except UnicodeDecodeError as error:
        raise UserCodeFailed(
            f"{called} returned a text that is not Unicode: it holds half of a surrogate pair",
            hint="decode the bytes that it was made of by what they are, not by surrogateescape",
        ) from error
    except OSError as error:
        raise translate(error, "the answer") from error
    what = ended.types.get(contract.PREDICT, "something else")
    raise UserCodeFailed(
        f"{called} returned {'None' if what == 'NoneType' else what}, and not a string",
        hint="the contract: predict(self, mlskill_input) returns a str; json.dumps makes one of a dict or a list",
    )
