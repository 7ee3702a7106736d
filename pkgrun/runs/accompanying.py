"""What is said of a package that comes in: by whoever imports it, and by the files that lie beside its zip.

What the caller says counts more. The files are read whole and with a bound, never through a link; they are judged by
`packages/aicenter.py` (the vendor's metadata) and `passports.py` (where it is from).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from pkgrun.errors import DataInvalid, InvalidName, PackageInvalid, UsageError
from pkgrun.identity import Version, check_name
from pkgrun.observe import Notice, Observer
from pkgrun.packages import aicenter
from pkgrun.packages.contract import TRAINING
from pkgrun.packages.inspection import Report
from pkgrun.packages.sources import Fetched
from pkgrun.records import Listing, Origin, Tree
from pkgrun.records.passport import Passport
from pkgrun.runs import labels, passports
from pkgrun.store.files import open_regular, shown
from pkgrun.store.local import translate

_METADATA, _PASSPORT = "_metadata.json", "_pkgrun.json"
_MAJORS = range(1, 10**8)


@dataclass(frozen=True, slots=True)
class Said:
    """What is said of a package: by the caller, then with what the files beside it say.

    `exported`: the number that it had where it is from. `major`: the one that it shall have here; None for the next free.
    """

    name: str | None = None
    description: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    listing: Listing | None = None
    metadata: str | None = None
    major: int | None = None
    exported: Version | None = None
    passport: tuple[Passport, str] | None = None

    def check(self) -> None:
        """Let through what a caller may say.

        Raises:
            UsageError: a text cannot be kept, or a major is none.
        """
        labels.check(self.description, self.tags)
        said = self.listing.said if self.listing else {}
        sizes = [
            labels.written(labels.text(text, name)) for name, text in said.items() if isinstance(text, str)
        ]
        if sum(sizes) > labels.LIMIT:
            raise UsageError(
                f"what is said of the package is larger than {labels.LIMIT >> 10} KiB",
                hint="put long texts into a file of the package",
            )
        if self.major is not None and (type(self.major) is not int or self.major not in _MAJORS):
            raise UsageError(f"{self.major!r} is no major", hint="a whole number from 1 on")
        if self.major is not None and self.metadata is None:
            raise UsageError(
                "a major is chosen for what was exported, with its metadata",
                hint="give --metadata, or leave --major out: a package gets the next free major",
            )

    def origin(self, tree: Tree) -> Origin | None:
        """Where the content is from, if that is told.

        Raises:
            PackageInvalid: what is told is about another content.
        """
        return passports.origin(self.passport[0], tree, self.passport[1]) if self.passport else None


def gather(said: Said, fetched: Fetched, observer: Observer) -> Said:
    """What is said of a package by its caller and by the files beside it.

    Raises:
        PackageInvalid: a file is not what it should be.
        UsageError: metadata is given, and no zip.
        NotFound, PermissionDenied, Temporary: a file cannot be read.
    """
    if fetched.archive is None:
        if said.metadata is not None:
            raise UsageError(
                f"{fetched.label} is no zip, and metadata is of an exported zip",
                hint="name the zip that was exported with it",
            )
        return said
    stem = fetched.archive.removesuffix(".zip")
    if said.metadata is None:
        _point_to(stem + _METADATA, observer)
        return replace(said, passport=_passport([stem]))
    path = os.path.expanduser(said.metadata)
    found = aicenter.parse(_read(path, aicenter.LIMIT), shown(said.metadata))
    for name in found.unknown:
        observer(Notice(f"{shown(said.metadata)}: nothing here has the field {name!r}; it is left out"))
    name = said.name if said.name is not None else found.name
    try:
        check_name(name)
    except InvalidName as error:
        raise InvalidName(error.message, hint="give it another with --name") from error
    passport = _passport([stem, path.removesuffix(_METADATA)])
    named = passport and (passport[0].package if said.name is None else found.name, passport[0].version)
    if passport and named != (found.name, found.version):
        raise PackageInvalid(
            f"{shown(said.metadata)} is about {found.name} {found.version}, and {passport[1]} about "
            f"{passport[0].package} {passport[0].version}",
            hint="give the metadata that was exported with the zip, or take the other file away",
        )
    return replace(
        said,
        name=name,
        description=found.description if said.description is None else said.description,
        listing=_merged(found.listing, said.listing),
        major=found.version.major if said.major is None else said.major,
        exported=found.version,
        passport=passport,
    )


def remark(said: Said, report: Report, observer: Observer) -> None:
    """Tell what is said of a package and is not so."""
    if said.listing and said.listing.retrainable and TRAINING not in report.pipelines:
        observer(Notice("it is said to be retrainable, and no training of it can run"))


def _point_to(path: str, observer: Observer) -> None:
    if os.path.isfile(path):
        observer(
            Notice(
                f"{shown(os.path.basename(path))} lies beside the zip and is not asked",
                hint=f"--metadata {shown(path)} gives it the name, the major and the texts that it was exported with",
            )
        )


def _merged(found: Listing, said: Listing | None) -> Listing | None:
    merged = found.model_copy(update=said.said if said else {})
    return merged if merged.said else None


def _passport(stems: list[str]) -> tuple[Passport, str] | None:
    """The first passport that lies there, and what it is called."""
    for stem in stems:
        path = stem + _PASSPORT
        if os.path.lexists(path):
            return passports.read(_read(path, aicenter.LIMIT).rstrip(b"\n"), shown(path)), shown(path)
    return None


def _read(path: str, limit: int) -> bytes:
    try:
        descriptor = open_regular(path)
    except DataInvalid as error:
        raise PackageInvalid(error.message) from error
    try:
        with os.fdopen(descriptor, "rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise translate(error, shown(path)) from error
    if len(data) > limit:
        raise PackageInvalid(f"{shown(path)} is larger than {limit >> 10} KiB, and no metadata is")
    return data
