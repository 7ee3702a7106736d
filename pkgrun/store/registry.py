"""Datasets registered by name: which number is whose. As with versions, a record's existence IS the number.

Numbers begin at 1 and have no gaps, so the newest is found in a few reads. The same content as the newest is no new
number.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from pkgrun.errors import Damaged, NotFound
from pkgrun.identity import NAME_PATTERN, check_name
from pkgrun.records import DatasetEntry, DatasetRecord, Head
from pkgrun.store.backend import Backend
from pkgrun.store.numbers import gallop
from pkgrun.store.objects import digest_of

_NAME = re.compile(NAME_PATTERN)
RECORD = re.compile(rf"datasets/({NAME_PATTERN.strip('^$')})/([0-9]{{8}})\.json")
"""The keys of datasets' records: name and number."""

_LIST = "`pkgrun dataset list` shows what there is"


def key(dataset: str, number: int) -> str:
    """The key of a dataset's record."""
    return f"datasets/{dataset}/{number:08}.json"


def exists(backend: Backend, dataset: str, number: int) -> bool:
    """Whether the number is given."""
    return backend.stat(key(dataset, number)) is not None


def read(backend: Backend, dataset: str, number: int) -> DatasetRecord:
    """The record of a number.

    Raises:
        NotFound: it is not given.
        Damaged: its record is not what it should be.
    """
    return _read(backend, dataset, number)[0]


def _read(backend: Backend, dataset: str, number: int) -> tuple[DatasetRecord, bytes]:
    name = key(check_name(dataset, "dataset"), number)
    try:
        data = backend.read(name)
    except NotFound as error:
        known = exists(backend, dataset, 1)
        hint = f"`pkgrun dataset show {dataset}` shows its numbers" if known else _LIST
        raise NotFound(f"there is no dataset {dataset}@{number}", hint=hint) from error
    record = DatasetRecord.from_bytes(data, key=name)
    if (record.dataset, record.number) != (dataset, number):
        raise Damaged(f"{name} is the record of {record.label}")
    return record, data


def names(backend: Backend) -> list[str]:
    """The names of all registered datasets."""
    return sorted(
        name for name in backend.list("datasets") if _NAME.fullmatch(name) and exists(backend, name, 1)
    )


def newest_number(backend: Backend, dataset: str) -> int:
    """The newest number of a dataset; 0 if there is none."""
    found = gallop(lambda index: exists(backend, check_name(dataset, "dataset"), index + 1))
    return 0 if found is None else found + 1


def newest(backend: Backend, dataset: str) -> DatasetRecord:
    """The newest record of a dataset.

    Raises:
        NotFound: there is none.
    """
    number = newest_number(backend, dataset)
    if not number:
        raise NotFound(f"there is no dataset {dataset}", hint=_LIST)
    return read(backend, dataset, number)


def records(backend: Backend, dataset: str) -> Iterator[DatasetRecord]:
    """Every record of a dataset, ascending."""
    number = 1
    while exists(backend, dataset, number):
        yield read(backend, dataset, number)
        number += 1


def take(backend: Backend, entry: DatasetEntry, head: Head) -> DatasetRecord:
    """Give a decided entry its number, or find the one it has, as `numbers.take` does for versions.

    From the head seen at the intent: ours, or one of the same content, done; another's, go on; free, create; refused,
    read the SAME again.
    """
    number, before = head.major, _record_of(backend, entry.dataset, head.major)
    while True:
        if before is not None and (before[0].run == entry.run or before[0].tree == entry.tree):
            return before[0]
        following = _record_of(backend, entry.dataset, number + 1)
        if following is None:
            previous = digest_of(before[1]) if before is not None else None
            made = DatasetRecord(**entry.model_dump(), number=number + 1, previous=previous)
            backend.create(key(entry.dataset, number + 1), made.to_bytes())
            continue
        number, before = number + 1, following


def _record_of(backend: Backend, dataset: str, number: int) -> tuple[DatasetRecord, bytes] | None:
    return _read(backend, dataset, number) if number and exists(backend, dataset, number) else None
