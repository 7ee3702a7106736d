"""What is told of versions and runs that stand side by side: the columns, and a row for each fact. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeAlias

from pkgrun.identity import Version
from pkgrun.records import Data, Environment, Facts, RunRecord, Tree, VersionRecord
from pkgrun.runs.directions import best

Value: TypeAlias = str | float | bool | None
Group: TypeAlias = Literal[
    "made", "run", "content", "score", "metrics", "parameters", "options", "data", "environment", "packages"
]

_REQUEST = (
    "base",
    "tree",
    "data",
    "evaluation_data",
    "parameters",
    "secrets",
    "description",
    "tags",
    "reproduces",
    "pipeline",
)


@dataclass(frozen=True, slots=True)
class Column:
    """A version, or a run that made none, which stands for the content that it started from.

    `run` is the pipeline that made the version, or the run itself; None of an import. `removed`: that content was given up,
    so its files cannot be compared.
    """

    name: str
    package: str | None
    version: Version | None
    run: str | None
    kind: str
    status: str | None
    parent: Version | None
    created: datetime
    removed: bool


@dataclass(frozen=True, slots=True)
class Row:
    """One fact of each column, None where a column has none.

    `same`: all columns of which it can be told have the same; of an import no metric can. `best`: the columns that are,
    where the name tells.
    """

    group: Group
    name: str
    values: tuple[Value, ...]
    same: bool
    best: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class File:
    """A file that is not the same everywhere: columns with one number have one content; None: it is not there."""

    path: str
    contents: tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Columns, and what is told of them, also what is the same. `files`: None where a column has no content any more."""

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    files: tuple[File, ...] | None


@dataclass(frozen=True, slots=True)
class Subject:
    """All that is known of one column."""

    column: Column
    tree: Tree | None
    version: VersionRecord | None
    record: RunRecord | None
    environment: Environment | None
    packages: Mapping[str, str]

    @property
    def facts(self) -> Facts | None:
        return self.record.facts if self.record else None


def rows(subjects: Sequence[Subject]) -> tuple[Row, ...]:
    """Every row, group after group."""
    return tuple(_Rows(subjects).all())


class _Rows:
    """The rows of some columns."""

    def __init__(self, subjects: Sequence[Subject]) -> None:
        self._subjects = subjects
        self._facts = [one.facts for one in subjects]
        everywhere = range(len(subjects))
        run = [index for index in everywhere if subjects[index].record]
        built = [index for index in everywhere if subjects[index].environment]
        self._telling: Mapping[Group, Sequence[int]] = {
            "made": everywhere,
            "content": everywhere,
            "environment": built,
            "packages": built,
        }
        self._ran = run

    def all(self) -> Iterator[Row]:
        """Every row, group after group."""
        yield from self._made()
        yield from self._extent("content", "", [one.tree for one in self._subjects])
        yield self._row("score", "score", _each(self._facts, "score"))
        yield self._row("score", "baseline score", _each(self._facts, "baseline_score"))
        yield from self._union("metrics", [one or {} for one in _each(self._facts, "metrics")])
        yield from self._union("parameters", [_parameters(one.record) for one in self._subjects])
        yield from self._union("options", [_options(one.record) for one in self._subjects])
        yield from self._dataset("data", _each(self._facts, "data"))
        yield from self._dataset("evaluation data", _each(self._facts, "evaluation_data"))
        yield from self._passed()
        for name in ("python", "platform", "mode"):
            yield self._row("environment", name, _each([one.environment for one in self._subjects], name))
        yield from self._union("packages", [one.packages for one in self._subjects])

    def _row(self, group: Group, name: str, values: Sequence[Value]) -> Row:
        telling = [values[index] for index in self._telling.get(group, self._ran)]
        if len(telling) == 1:
            # How one run went, what it was asked or had installed is nothing to compare; what came out of it is told.
            same = group in ("run", "options", "packages") or telling[0] is None
        else:
            same = all(value == telling[0] for value in telling)
        marked = best(name, values) if group == "metrics" else ()
        return Row(group, name, tuple(values), same, marked)

    def _made(self) -> Iterator[Row]:
        columns, versions = [one.column for one in self._subjects], [one.version for one in self._subjects]
        yield self._row("made", "made by", [one.kind for one in columns])
        yield self._row("run", "status", [one.status for one in columns])
        yield self._row("made", "parent", [str(one.parent) if one.parent else None for one in columns])
        yield self._row("run", "seconds", [_seconds(facts) for facts in self._facts])
        yield self._row("made", "description", _each(versions, "description"))
        yield self._row("made", "commit", [one.git.commit if one and one.git else None for one in versions])

    def _union(self, group: Group, columns: Sequence[Mapping[str, Value]]) -> Iterator[Row]:
        """A row for each name that any column has."""
        for name in dict.fromkeys(name for column in columns for name in column):
            yield self._row(group, name, [column.get(name) for column in columns])

    def _dataset(self, what: str, found: Sequence[Data | None]) -> Iterator[Row]:
        if any(found):
            yield self._row("data", what, _each(found, "source"))
            yield self._row("data", f"{what} attested", _each(found, "attested"))
            yield from self._extent("data", what, _each(found, "tree"))

    def _passed(self) -> Iterator[Row]:
        """What each call was given, where the package's own code had made it out of the dataset."""
        found = [{one.call: one.tree for one in (facts.passed if facts else ())} for facts in self._facts]
        for name in dict.fromkeys(name for column in found for name in column):
            yield from self._extent("data", name, [column.get(name) for column in found])

    def _extent(self, group: Group, what: str, found: Sequence[Tree | None]) -> Iterator[Row]:
        for name in ("digest", "files", "bytes"):
            yield self._row(group, f"{what} {name}".lstrip(), _each(found, name))


def _each(found: Sequence[object | None], name: str) -> list[Any]:
    """What each has under a name; None of nothing."""
    return [getattr(one, name, None) for one in found]


def _seconds(facts: Facts | None) -> float | None:
    return (facts.ended - facts.started).total_seconds() if facts else None


def _parameters(record: RunRecord | None) -> dict[str, Value]:
    request = record.request if record else None
    if request is None:
        return {}
    # Whether a secret was the same nobody knows: only that one was given.
    return {**request.parameters, **dict.fromkeys(request.secrets, "(secret)")}


def _options(record: RunRecord | None) -> dict[str, Value]:
    """What else was asked of a run."""
    request = record.request if record else None
    asked = request.model_dump(mode="json", exclude=set(_REQUEST)) if request else {}
    return {name.replace("_", " "): _plain(value) for name, value in asked.items()}


def _plain(value: Any) -> Value:
    return value if isinstance(value, str | int | float | None) else str(value)
