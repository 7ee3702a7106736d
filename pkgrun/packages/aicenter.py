"""What UiPath AI Center writes beside an exported package, read and written. Pure: bytes in, values out, and back.

Every name of the vendor's is here. What its form wants and nobody has said is filled in when it is written, and is
nothing that was said when it is read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pkgrun.errors import PackageInvalid
from pkgrun.identity import VERSION_PATTERN, Version
from pkgrun.packages.contract import TRAINING
from pkgrun.records import Listing, VersionRecord

LIMIT = 1 << 20
"""Bytes of a metadata file that are read."""

NAME, DESCRIPTION, VERSION = "name", "description", "version"
INPUT_TYPES = ("json", "file", "files")
LISTED = {
    "displayName": "display_name",
    "inputDescription": "input_description",
    "outputDescription": "output_description",
    "mlPackageLanguage": "language",
    "inputType": "input_type",
    "languageVersion": "language_version",
    "retrainable": "retrainable",
    "gpu": "gpu",
    "changeLog": "change_log",
}
"""The vendor's names for the fields of a listing."""

_FLAGS = ("retrainable", "gpu")
_LANGUAGE = "PYTHON"
_TEXT_LIMIT = 1 << 16


@dataclass(frozen=True, slots=True)
class Metadata:
    """What a metadata file says; `unknown` are fields of it that mean nothing here."""

    name: str
    version: Version
    description: str | None
    listing: Listing
    unknown: tuple[str, ...] = ()


class _Wrong(Exception):
    """What a field says cannot be."""


def stem(package: str, version: Version) -> str:
    """What an exported version is called: its zip, the root folder in it, and how the files beside it begin."""
    return f"{package}_v{version}"


def zip_name(package: str, version: Version) -> str:
    """The file with the package."""
    return f"{stem(package, version)}.zip"


def metadata_name(package: str, version: Version) -> str:
    """The vendor's file beside it."""
    return f"{stem(package, version)}_metadata.json"


def passport_name(package: str, version: Version) -> str:
    """Our own file beside it."""
    return f"{stem(package, version)}_pkgrun.json"


def render(record: VersionRecord) -> bytes:
    """The metadata of a version, with every field."""
    said = record.listing.said if record.listing else {}
    python = record.environment.python if record.environment else ""
    assumed: dict[str, str | bool] = {
        "display_name": record.package,
        "language": _LANGUAGE,
        "language_version": ".".join(python.split(".")[:2]),
        "input_type": "json",
        "retrainable": TRAINING in record.contract.pipelines,
        "gpu": False,
    }
    fields = {theirs: said.get(ours, assumed.get(ours, "")) for theirs, ours in LISTED.items()}
    whole = {
        NAME: record.package,
        DESCRIPTION: record.description or "",
        VERSION: str(record.version),
    } | fields
    return json.dumps(whole, indent=2, ensure_ascii=False).encode() + b"\n"


def parse(data: bytes, label: str) -> Metadata:
    """Read a metadata file.

    Raises:
        PackageInvalid: it is none; every field that is wrong is named.
    """
    fields = _object(data, label)
    wrong: list[str] = []

    def take(name: str, check: Callable[[str, Any], Any]) -> Any:
        try:
            return check(name, fields.get(name))
        except _Wrong as error:
            wrong.append(str(error))
            return None

    name, version = take(NAME, _required), take(VERSION, _version)
    description = take(DESCRIPTION, _text)
    listed = {ours: take(theirs, _check_of(theirs)) for theirs, ours in LISTED.items()}
    if wrong:
        raise PackageInvalid(
            f"{label} is no package's metadata:\n  " + "\n  ".join(wrong),
            hint=f"it has the fields {', '.join((NAME, DESCRIPTION, VERSION, *LISTED))}",
        )
    if listed["display_name"] == name:
        listed["display_name"] = None
    unknown = tuple(sorted(fields.keys() - {NAME, DESCRIPTION, VERSION, *LISTED}))
    return Metadata(name, version, description, Listing(**listed), unknown)


def _object(data: bytes, label: str) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise ValueError("a field is there twice")
        return found

    try:
        found = json.loads(data.decode("utf-8-sig"), object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise PackageInvalid(
            f"{label} is no JSON: {error}", hint="export the package again, or leave --metadata out"
        ) from error
    if not isinstance(found, dict):
        raise PackageInvalid(f"{label} is no package's metadata: it is no JSON object")
    return found


def _check_of(field: str) -> Callable[[str, Any], Any]:
    if field in _FLAGS:
        return _flag
    return _input_type if field == "inputType" else _text


def _text(name: str, value: Any) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise _Wrong(f"{name} is {_shown(value)}, and should be a text")
    try:
        data = value.encode()
    except UnicodeEncodeError as error:
        raise _Wrong(f"{name} is not UTF-8") from error
    if len(data) > _TEXT_LIMIT:
        raise _Wrong(f"{name} is larger than {_TEXT_LIMIT >> 10} KiB")
    return value


def _required(name: str, value: Any) -> str:
    found = _text(name, value)
    if found is None:
        raise _Wrong(f"{name} is missing")
    return found


def _version(name: str, value: Any) -> Version:
    text = _required(name, value)
    if not re.fullmatch(VERSION_PATTERN.strip("^$"), text):
        raise _Wrong(f"{name} is {_shown(value)}, and should be MAJOR.MINOR, such as 7.3")
    return Version.parse(text)


def _input_type(name: str, value: Any) -> str | None:
    text = _text(name, value)
    if text is not None and text.lower() not in INPUT_TYPES:
        raise _Wrong(f"{name} is {_shown(value)}, and should be one of {', '.join(INPUT_TYPES)}")
    return text.lower() if text else None


def _flag(name: str, value: Any) -> bool | None:
    if value is None or value == "":
        return None
    words = {"true": True, "false": False}
    found = value if isinstance(value, bool) else words.get(value.lower()) if isinstance(value, str) else None
    if found is None:
        raise _Wrong(f"{name} is {_shown(value)}, and should be true or false")
    return found


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:60] + "…"
