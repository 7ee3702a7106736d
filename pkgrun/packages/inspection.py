"""What a package can do, judged by its source, which is parsed and never imported.

There are packages that run a whole training when they are imported. The names that are looked for are `contract`'s.
"""

from __future__ import annotations

import keyword
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Literal

from pkgrun.errors import PackageInvalid
from pkgrun.packages import parameters
from pkgrun.packages.classes import NoClass, Opaque, Outline, outline
from pkgrun.packages.contract import (
    HIDDEN_FOLDERS,
    INIT,
    MAIN_CLASS,
    MAIN_FILE,
    MAIN_METHODS,
    PARAMETERS,
    PIPELINES,
    REQUIREMENTS_FILE,
    SERVING,
    TRAIN_FILE,
    TRAIN_METHODS,
    TRAIN_REQUIREMENTS_FILE,
)
from pkgrun.packages.imports import foreign, imported, relative, trainings
from pkgrun.packages.modules import Module, Sources, Unreadable
from pkgrun.packages.parameters import Declared, Parameter
from pkgrun.packages.signatures import complaint


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding about a package: where, what, and which pipelines (or "serving") it makes impossible."""

    severity: Literal["error", "warning"]
    file: str | None
    line: int | None
    message: str
    rules_out: tuple[str, ...] = ()

    def __str__(self) -> str:
        """`train.py:12: class Main has no method save; rules out training, full`."""
        place = ":".join(str(part) for part in (self.file, self.line) if part is not None)
        consequence = f"; rules out {', '.join(self.rules_out)}" if self.rules_out else ""
        return f"{place}: {self.message}{consequence}" if place else f"{self.message}{consequence}"


@dataclass(frozen=True, slots=True)
class Report:
    """What a package can do, and what was found on the way.

    `methods` are those of `train.Main` that are certain, besides `__init__`, `pipelines` those that no problem rules out, and
    `requirements` the file that a training's environment is built from.
    """

    problems: tuple[Problem, ...]
    methods: tuple[str, ...]
    pipelines: tuple[str, ...]
    servable: bool
    requirements: str | None
    parameters: dict[str, Parameter] = field(default_factory=dict)

    @property
    def usable(self) -> bool:
        """Whether the package can do anything at all."""
        return self.servable or bool(self.pipelines)


@dataclass(frozen=True, slots=True)
class _Entry:
    """A file at the package's root with a class `Main`, and what was found there."""

    file: str
    methods: tuple[str, ...]
    everything: tuple[str, ...]
    sources: Sources
    module: Module | Unreadable | None
    main: Outline | Opaque | NoClass | Unreadable | None

    def needing(self, method: str) -> tuple[str, ...]:
        """What cannot be done without the method."""
        return tuple(kind for kind in self.everything if kind == SERVING or method in PIPELINES[kind].methods)

    def calling(self, method: str) -> tuple[str, ...]:
        """What cannot be done when a call of the method fails."""
        return tuple(kind for kind in self.everything if kind == SERVING or PIPELINES[kind].calls(method))


def check(root: Path, name: str | None = None) -> Report:
    """What the package in the folder `root` can do under the name `name`, read from its source.

    Raises PackageInvalid when `root` is not a readable folder; everything else is a Problem of the Report.
    """
    top = _listing(root)
    declared = parameters.read(root)
    entries = (
        _entry(root, TRAIN_FILE, TRAIN_METHODS, tuple(PIPELINES)),
        _entry(root, MAIN_FILE, MAIN_METHODS, (SERVING,)),
    )
    found = chain(
        _name(name, top),
        *(_entry_problems(entry, top) for entry in entries),
        _hidden_folders(top),
        _declarations(declared),
    )
    return replace(_report(tuple(found), entries[0], top), parameters=declared.parameters)


def _declarations(declared: Declared) -> Iterator[Problem]:
    for reason in declared.problems:
        yield Problem("error", parameters.FILE, None, reason, tuple(PIPELINES))


def _report(problems: tuple[Problem, ...], train: _Entry, top: Mapping[str, bool]) -> Report:
    out = {kind for problem in problems for kind in problem.rules_out}
    pipelines = tuple(kind for kind in PIPELINES if kind not in out)
    servable = SERVING not in out
    if not pipelines and not servable:
        useless = Problem("error", None, None, "the package can neither run a pipeline nor serve")
        problems = (*problems, useless)
    methods = train.main.methods if isinstance(train.main, Outline) else {}
    known = tuple(method for method in TRAIN_METHODS if method in methods and method != INIT)
    return Report(problems, known, pipelines, servable, _requirements(top))


def _listing(root: Path) -> Mapping[str, bool]:
    """The names at the package's root, each with whether it is a folder."""
    try:
        with os.scandir(root) as entries:
            return {entry.name: Path(entry).is_dir() for entry in sorted(entries, key=lambda one: one.name)}
    except OSError as error:
        raise PackageInvalid(f"{root} is not a package: {error.strerror}") from error


def _requirements(top: Mapping[str, bool]) -> str | None:
    files = (TRAIN_REQUIREMENTS_FILE, REQUIREMENTS_FILE)
    return next((file for file in files if top.get(file) is False), None)


def _entry(root: Path, file: str, methods: tuple[str, ...], everything: tuple[str, ...]) -> _Entry:
    sources = Sources(root)
    module = sources.read(file)
    main = outline(sources, module, MAIN_CLASS) if isinstance(module, Module) else None
    return _Entry(file, methods, everything, sources, module, main)


def _entry_problems(entry: _Entry, top: Mapping[str, bool]) -> Iterator[Problem]:
    match entry.module:
        case None:
            yield Problem("warning", entry.file, None, "the package has no such file", entry.everything)
        case Unreadable(line=line, reason=reason):
            yield Problem("error", entry.file, line, reason, entry.everything)
        case Module() as module:
            yield from _class(entry)
            yield from _relative_imports(entry, module)
            yield from _requirements_missing(entry, module, top)
            yield from _hidden_imports(entry, module)
            if entry.file == TRAIN_FILE:
                yield from _training_on_import(module)


def _name(name: str | None, top: Mapping[str, bool]) -> Iterator[Problem]:
    if name is None:
        return
    if keyword.iskeyword(name):
        message = f"the package name {name} is a Python keyword"
        yield Problem("error", None, None, message, (*PIPELINES, SERVING))
    shadows = [entry for entry in (name, f"{name}.py") if entry in top]
    for entry in shadows:
        yield Problem("warning", entry, None, f"has the package's own name {name}, which may shadow it")


def _class(entry: _Entry) -> Iterator[Problem]:
    match entry.main:
        case Outline() as main:
            yield from _broken_ancestors(entry, main)
            yield from _missing_methods(entry, main)
            yield from _signatures(entry, main)
        case Opaque(reason=reason):
            message = f"{MAIN_CLASS} cannot be read from the source ({reason}): its methods are not known"
            yield Problem("warning", entry.file, None, message)
        case NoClass(file=file, line=line):
            yield Problem("error", file, line, f"{MAIN_CLASS} is not a class", entry.everything)
        case Unreadable(file=file, line=line, reason=reason):
            yield Problem("error", file, line, f"{reason}, and {MAIN_CLASS} comes from it", entry.everything)
        case None:
            message = f"no class {MAIN_CLASS} at the top level"
            yield Problem("error", entry.file, None, message, entry.everything)


def _broken_ancestors(entry: _Entry, main: Outline) -> Iterator[Problem]:
    for file in main.broken:
        message = f"{file.reason}, and {MAIN_CLASS} inherits from it"
        yield Problem("error", file.file, file.line, message, entry.everything)


def _missing_methods(entry: _Entry, main: Outline) -> Iterator[Problem]:
    missing = [method for method in entry.methods if method not in main.methods and method != INIT]
    if missing and main.unknown:
        message = f"not known whether class {MAIN_CLASS} has {', '.join(missing)}: {'; '.join(main.unknown)}"
        yield Problem("warning", main.file, main.line, message)
        return
    for method in () if main.broken else missing:
        message = f"class {MAIN_CLASS} has no method {method}"
        if replaced := [
            kind for kind, pipeline in PIPELINES.items() if method in pipeline.unless_evaluation_set
        ]:
            message += f": a {', '.join(replaced)} pipeline needs an evaluation set then"
        yield Problem("warning", main.file, main.line, message, entry.needing(method))


def _signatures(entry: _Entry, main: Outline) -> Iterator[Problem]:
    for method in entry.methods:
        definition = main.methods.get(method)
        if definition is None or definition.function is None:
            continue
        given = PARAMETERS[method]
        if reason := complaint(definition.function, len(given)):
            message = f"{MAIN_CLASS}.{method} {reason} (expected: {method}({', '.join(('self', *given))}))"
            yield Problem("error", definition.file, definition.line, message, entry.calling(method))


def _relative_imports(entry: _Entry, module: Module) -> Iterator[Problem]:
    for line in relative(module):
        message = f"{entry.file} is not inside a Python package, so that a relative import fails"
        yield Problem("error", entry.file, line, message, entry.everything)


def _requirements_missing(entry: _Entry, module: Module, top: Mapping[str, bool]) -> Iterator[Problem]:
    accepted = (
        (REQUIREMENTS_FILE,) if entry.file == MAIN_FILE else (TRAIN_REQUIREMENTS_FILE, REQUIREMENTS_FILE)
    )
    if any(top.get(file) is False for file in accepted):
        return
    if needed := foreign(entry.sources, module):
        named = ", ".join(f"{name} (line {line})" for name, line in needed.items())
        message = f"imports {named}, and there is no {' or '.join(reversed(accepted))} to install it from"
        yield Problem("warning", entry.file, min(needed.values()), message)


def _hidden_imports(entry: _Entry, module: Module) -> Iterator[Problem]:
    if entry.file != TRAIN_FILE:
        return
    for name, line in imported(module):
        folder = name.partition(".")[0]
        hidden = (
            folder in HIDDEN_FOLDERS and (entry.sources.root / folder).is_dir() and entry.sources.has(name)
        )
        if hidden:
            message = f"imports {name}, and a run may hide {folder}/ behind its own folder"
            yield Problem("warning", entry.file, line, message)


def _hidden_folders(top: Mapping[str, bool]) -> Iterator[Problem]:
    for folder in HIDDEN_FOLDERS:
        if top.get(folder):
            message = "is hidden behind the run's own folder while a pipeline that uses one of this name runs"
            yield Problem("warning", f"{folder}/", None, message)


def _training_on_import(module: Module) -> Iterator[Problem]:
    for line, call in trainings(module):
        message = (
            f'{call} seems to train when {module.file} is imported; put it under if __name__ == "__main__"'
        )
        yield Problem("warning", module.file, line, message)
