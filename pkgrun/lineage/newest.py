"""Which version a name means to an audit: by what is listed, and by what runs say to have made; not by trying numbers.

Whoever tries one number after the other takes a record that is missing for the end.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Protocol

from pkgrun.errors import Damaged, NotFound, UsageError
from pkgrun.identity import Version, check_name
from pkgrun.lineage.relations import Relations
from pkgrun.records import RunRecord
from pkgrun.runs.inspection import number_of
from pkgrun.store import numbers
from pkgrun.store.backend import Backend
from pkgrun.store.fsck.forms import VERSION, parse
from pkgrun.store.operations import key as key_of


class Known(Relations, Protocol):
    """Relations that also tell of runs whose version is not there; they are believed in nothing, but where to look."""

    def unnumbered(self, package: str) -> list[str]:
        """The ids of the runs of a package that have decided to make a version, and that no version's record names."""


def meant(backend: Backend, relations: Known, name: str) -> tuple[str, Version]:
    """The number that a name means; whether it is there, and can be read, is for the audit to tell.

    Raises:
        UsageError, InvalidName: that is no version's name.
        NotFound: there is nothing of such a package.
    """
    package, at, number = name.partition("@")
    check_name(package)
    if at and not number:
        raise UsageError(f"{name!r} lacks the version after @", hint=f"such as {package}@1.0")
    if number and not re.fullmatch(r"[1-9][0-9]{0,7}", number):
        return package, Version.parse(number)
    major = int(number) if number else None
    there = {version for version in _listed(backend, package) if major in (None, version.major)}
    lost = {version for version in missing(backend, relations, package) if major in (None, version.major)}
    standing = [one for one in there if backend.stat(numbers.tombstone(package, one)) is None]
    if not (standing or lost):  # there is none: in the words that all commands have for it
        return package, numbers.newest(backend, package, major).version
    return package, max((*standing, *lost))


def _listed(backend: Backend, package: str) -> Iterator[Version]:
    """All numbers that have a record, whatever is missing between them."""
    for major in backend.list(f"packages/{package}"):
        for name in backend.list(f"packages/{package}/{major}"):
            if found := VERSION.fullmatch(f"packages/{package}/{major}/{name}"):
                yield Version(int(found[2]), int(found[3]))


def missing(backend: Backend, relations: Known, package: str) -> Iterator[Version]:
    """The numbers that runs have made, and that have no record."""
    for run in relations.unnumbered(package):
        key = key_of(run, "run.json")
        try:
            record = parse(RunRecord, backend.read(key), key)
        except (NotFound, Damaged):  # not carried out, or told by `store fsck`
            continue
        made = number_of(record) if record.package == package else None
        if made is not None and record.version is not None and backend.stat(made) is None:
            yield record.version
