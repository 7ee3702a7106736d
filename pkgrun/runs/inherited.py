"""What a version's environment leaves to whoever runs its code again: its Python, and its lock where that still holds."""

from __future__ import annotations

import platform

from pkgrun.errors import Bug, Damaged
from pkgrun.records import Environment, RunRecord, VersionRecord
from pkgrun.store.root import Store


def python(base: VersionRecord) -> str | None:
    """The Python that the version came from, unless it is the one at hand."""
    before = base.environment
    if before is None or before.mode != "isolated":
        return None
    series = ".".join(before.python.split(".")[:2])
    return None if series == ".".join(platform.python_version_tuple()[:2]) else series


def lock(
    store: Store, base: VersionRecord, *, wanted: str, asked: str | None, overrides: str | None = None
) -> str | None:
    """The lock that the version came from, if it still answers what is required.

    Args:
        wanted: the digest of the requirements.
        asked: the version of Python that is asked for, if one is.
        overrides: the digest of what is to replace requirements; without any, those of the version still do.

    Raises:
        Damaged: it is no text.
    """
    before = base.environment
    if before is None or before.mode != "isolated" or before.requirements != wanted:
        return None
    if overrides not in (None, before.overrides):
        return None
    if asked and not f"{before.python}.".startswith(f"{asked}."):
        return None
    return text(store, before)


def text(store: Store, before: Environment) -> str:
    """What a lock says.

    Raises:
        Damaged: it is no text, or not there.
    """
    try:
        return store.objects.read(before.lock.digest).decode()
    except UnicodeDecodeError as error:
        raise Damaged(f"the lock {before.lock.digest} is no text") from error


def of_run(original: RunRecord) -> Environment:
    """The environment that a run used, to the letter: a reproduction has it again."""
    if original.facts is None or original.facts.environment is None:
        raise Bug(f"the run {original.run} came to its end without an environment")
    return original.facts.environment


def beside(before: Environment | None, environment: Environment) -> Environment:
    """An environment of an earlier one's lock, with what made that lock another than its requirements say."""
    if before is None:
        return environment
    return environment.model_copy(update={"overrides": before.overrides, "relaxed": before.relaxed})
