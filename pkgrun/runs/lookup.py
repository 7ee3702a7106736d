"""From what a caller writes to the thing that is meant: a version, a run."""

from __future__ import annotations

import re

from pkgrun.errors import InvalidName, NotFound, UsageError
from pkgrun.identity import NAME_PATTERN, RUN_ID_PATTERN, Version, check_name
from pkgrun.records import VersionRecord
from pkgrun.store import numbers, operations
from pkgrun.store.root import Store


def is_folder(store: Store, text: str) -> bool:
    """Whether `text` means a folder: it has no `@`, and no package has that name; `./` forces it."""
    if re.match(r"(\.{1,2}|~|)/|\.{1,2}$", text):
        return True
    if "@" in text:
        return False
    return not re.fullmatch(NAME_PATTERN, text) or not numbers.majors(store.backend, text)


def version(store: Store, text: str, given: str | None = None) -> VersionRecord:
    """The version that `name`, `name@major` or `name@major.minor` means; without a number the newest.

    Raises:
        NotFound: there is none.
        InvalidName, UsageError: that is not how a version is written.
    """
    name, _, number = text.partition("@")
    check_name(name)
    if given is not None and number:
        raise UsageError(f"{text} and the version {given} are both given", hint="give the version once")
    number = given or number
    if not number and "@" in text:
        raise UsageError(f"{text!r} lacks the version after @", hint=f"such as {name}@1.0, or {name} alone")
    if re.fullmatch(r"[1-9][0-9]{0,7}", number):
        return numbers.newest(store.backend, name, int(number))
    if number:
        return numbers.read(store.backend, name, Version.parse(number))
    return numbers.newest(store.backend, name)


def run(store: Store, text: str) -> str:
    """The id of the run that an id, or the beginning of one, means.

    Raises:
        NotFound: there is none.
        InvalidName: that cannot be an id.
        UsageError: several ids begin so.
    """
    if re.fullmatch(RUN_ID_PATTERN, text):
        operations.intent(store.backend, text)
        return text
    if not re.fullmatch(r"[0-9a-f][0-9a-f-]{3,35}", text):
        raise InvalidName(f"{text!r} is no run id", hint="`pkgrun run list` shows the runs and their ids")
    found = [name for name in operations.runs(store.backend) if name.startswith(text)]
    if len(found) > 1:
        raise UsageError(
            f"{len(found)} runs' ids begin with {text}", hint="give more of it: " + ", ".join(found[:3])
        )
    if not found:
        raise NotFound(f"there is no run {text}", hint="`pkgrun run list` shows the runs")
    return found[0]
