"""Why requirements do not install on a Python, where that Python is the reason: what has no wheel for it, and the ways out.

It asks and words; it changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from pkgrun.errors import EnvironmentFailed
from pkgrun.worker import pins
from pkgrun.worker.pins import Requirement
from pkgrun.worker.wheels import PYTHONS, Unknown, Wheels

LISTED = 10

_ASKED = 40  # of those that lack a wheel, for which other Pythons they have one

# What uv says where a wheel was missing; of other failures nothing is asked.
_SIGNS = (
    "Failed to build",
    "Failed to download and build",
    "no wheels with",
    "no usable wheels",
    "no wheels are available",
    "does not satisfy Python",
    "source distribution or wheel for the current platform",
)


@dataclass(frozen=True, slots=True)
class Blame:
    """The first requirement that does not install, and all that have no wheel for this Python, itself among them.

    `unasked` says why nothing but uv's word for it is known, "" where an index was asked.
    """

    culprit: Requirement
    lacking: tuple[Requirement, ...] = ()
    unasked: str = ""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What an index says of a failure.

    `culprit` is the first requirement that does not install, `others` those that have no wheel for the Python `series`
    either; `wheels` the Pythons that each has wheels for; `advice` the newest Python that has them for all that are
    required, None where there is none. `unasked` says why nothing of this is known, "" where it is.
    """

    culprit: Requirement
    series: str
    others: tuple[Requirement, ...] = ()
    wheels: dict[Requirement, list[str]] = field(default_factory=dict)
    advice: str | None = None
    unasked: str = ""


def is_suspect(message: str) -> bool:
    """Whether the failure may come from a wheel that is missing."""
    return any(sign in message for sign in _SIGNS)


def blame(
    message: str,
    *,
    asked: Sequence[Requirement],
    locked: Sequence[Requirement],
    wheels: Wheels | str,
    python: str,
) -> Blame | None:
    """Which requirement uv's `message` is about; None where none that it names lacks a wheel.

    Args:
        message: what uv said.
        asked: what the requirements ask for.
        locked: what that was resolved to, if it was.
        wheels: whom to ask, or why nobody can be asked.
        python: the version at hand.

    Raises:
        Killed: the run is to end.
    """
    known = locked or asked
    suspects = pins.named(message, known) if is_suspect(message) else []
    if not suspects:
        return None
    if isinstance(wheels, str):
        return Blame(suspects[0], unasked=wheels)
    try:
        lacking = wheels.lacking(list(dict.fromkeys([*suspects, *known])), python)
    except Unknown as reason:
        return Blame(suspects[0], unasked=str(reason))
    culprit = next((one for one in suspects if one in lacking), None)
    return (
        Blame(culprit, tuple(one for one in lacking if one in known or one == culprit)) if culprit else None
    )


def diagnose(found: Blame, *, asked: Sequence[Requirement], wheels: Wheels | str, python: str) -> Diagnosis:
    """What an index has for other Pythons.

    Raises:
        Killed: the run is to end.
    """
    series = ".".join(python.split(".")[:2])
    if found.unasked or isinstance(wheels, str):
        return Diagnosis(found.culprit, series, unasked=found.unasked)
    try:
        return _diagnosis(found, asked, wheels, series)
    except Unknown as reason:
        return Diagnosis(found.culprit, series, unasked=str(reason))


def _diagnosis(found: Blame, asked: Sequence[Requirement], wheels: Wheels, series: str) -> Diagnosis:
    pythons = [python for python in PYTHONS if python != series]
    others = [one for one in found.lacking if one != found.culprit][:_ASKED]
    having = wheels.pythons([found.culprit, *others], pythons)
    # What has no wheel for any Python (much that is pure Python) is built everywhere, and mostly that works.
    others = [one for one in others if having[one]]
    names = {one.name for one in found.lacking}
    rest = [one for one in asked if one.name not in names]
    fitting = (
        python
        for python in reversed(pythons)
        if all(python in having[one] for one in [found.culprit, *others]) and wheels.fit(rest, python)
    )
    return Diagnosis(found.culprit, series, tuple(others), having, next(fitting, None))


def explained(
    failed: EnvironmentFailed,
    found: Diagnosis,
    *,
    source: str,
    ways: Sequence[str],
    here: Sequence[str],
    download: bool,
    notes: Sequence[str] = (),
) -> EnvironmentFailed:
    """The error that says all of it.

    Args:
        failed: what uv said.
        source: what asks for it, such as "requirements.txt".
        ways: the ways out beside another Python.
        here: the Pythons of this machine.
        download: whether uv may fetch others.
        notes: what else was tried.
    """
    first = f"{source}: {found.culprit.shown} does not install on Python {found.series}{_but(found)}"
    nowhere = ["no Python has wheels for all that is required"]
    nowhere = nowhere if _is_hopeless(found) else []
    lines = [first, *_others(found), *nowhere, *notes, failed.message]
    python = []
    if found.advice:
        reach = (
            "" if found.advice in here else ", which uv downloads" if download else ", not on this machine"
        )
        all_ = "all that is required" if found.others else "it"
        python = [f"--python {found.advice} (the newest with wheels for {all_}{reach})"]
    elif found.unasked:
        python = ["an older Python: --python X"]
    return EnvironmentFailed("\n".join(lines), hint="; or ".join([*python, *ways]))


_USABLE = f"{PYTHONS[0]} to {PYTHONS[-1]}"


def _is_hopeless(found: Diagnosis) -> bool:
    return not found.unasked and found.advice is None and bool(found.wheels[found.culprit])


def _but(found: Diagnosis) -> str:
    if found.unasked:
        return f" (which Pythons it has wheels for was not asked: {found.unasked})"
    pythons = found.wheels[found.culprit]
    if not pythons:
        return f": it has wheels for none of the Pythons that can be used ({_USABLE}), and cannot be built from source"
    return f": for this platform it has wheels for Python {', '.join(pythons)} (of {_USABLE})"


def _others(found: Diagnosis) -> list[str]:
    if not found.others:
        return []
    told = [f"{one.shown} ({', '.join(found.wheels[one])})" for one in found.others[:LISTED]]
    more = len(found.others) - LISTED
    return [f"no wheel for it either: {', '.join(told)}{f' and {more} more' if more > 0 else ''}"]
