"""Twins: two stores' records of one number that mean the same, because each was given the same content by itself.

Each store keeps its own record, of when it was made and by whom; the run that made the other one can come beside it. It is
what `registry.take` and `numbers.take` do within a store, where two register or import the same content at once. What a
training has made has no twin: it is that run's, with its parameters and its data.
"""

from __future__ import annotations

from collections.abc import Sequence

from pkgrun.errors import Conflict
from pkgrun.records import DatasetRecord, VersionRecord

Numbered = VersionRecord | DatasetRecord


def parsed(key: str, data: bytes) -> Numbered:
    """The record of a number, of a package or of a dataset, as its key says.

    Raises:
        Damaged: it is none.
    """
    kind = DatasetRecord if key.startswith("datasets/") else VersionRecord
    return kind.from_bytes(data, key=key)


def label(record: Numbered) -> str:
    """What it is called: `name@number`."""
    return record.label if isinstance(record, DatasetRecord) else f"{record.package}@{record.version}"


def twins(one: Numbered, other: Numbered) -> bool:
    """Whether one may stand for the other."""
    if isinstance(one, VersionRecord) and isinstance(other, VersionRecord):
        imported = one.kind == other.kind == "import"
    else:
        imported = isinstance(one, DatasetRecord) and isinstance(other, DatasetRecord)
    return imported and (label(one), one.tree) == (label(other), other.tree)


def conflict(keys: Sequence[str], source: str, target: str) -> Conflict:
    """That two stores have different records under the same keys."""
    return Conflict(f"{_things(keys)} is not the same in {source} and in {target}", hint=_KEPT)


def made_twice(keys: Sequence[str], source: str, target: str) -> Conflict:
    """That two stores have the same content under the same numbers, each made by a run of its own."""
    return Conflict(
        f"{_things(keys)} has the same content in {source} and in {target}, but another run made it in each",
        hint=_KEPT,
    )


def chained(twin: str, after: str, source: str, target: str) -> Conflict:
    """That a record cannot come, because it names the digest of one that has only a twin in the target."""
    registered = twin.startswith("datasets/")
    given = "registered" if registered else "imported"
    itself = f"export {_thing(after)} and add it in {target} too, or " if registered else ""
    return Conflict(
        f"{_thing(twin)} has the same content in {source} and in {target}, but was {given} in each by itself, "
        f"and {_thing(after)} is chained to the record in {source}",
        hint=itself + "copy into another store",
    )


_KEPT = "numbers are kept: copy into another store, or one --package that is the same in both"


def _things(keys: Sequence[str]) -> str:
    things = list(dict.fromkeys(map(_thing, keys)))
    return things[0] + (f" (and {len(things) - 1} more)" if len(things) > 1 else "")


def _thing(key: str) -> str:
    """What a record is called by people."""
    match key.removesuffix(".json").split("/"):
        case ["packages", name, major, minor]:
            return f"{name}@{int(major)}.{int(minor)}"
        case ["datasets", name, number]:
            return f"the dataset {name}@{int(number)}"
        case ["runs", run, *_]:
            return f"the run {run}"
        case _:
            return f"what the idempotency key {key} stands for"
