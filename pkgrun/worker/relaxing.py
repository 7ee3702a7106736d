"""Which pins are relaxed, and to what: one after the other, and only those that do not install as they are.

It decides and words; the environment is tried elsewhere, again after each one. A pin becomes a range up to its next
major version. Where an index has a wheel of that range for this Python, nothing of it is built from source.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pkgrun.worker import locks, pins
from pkgrun.worker.pins import Requirement

if TYPE_CHECKING:
    from pkgrun.worker.diagnosis import Blame
    from pkgrun.worker.wheels import Wheels


@dataclass(frozen=True, slots=True)
class Relaxed:
    """A pin, the range that stands in its place, and whether only wheels of that are taken."""

    pin: str
    range: str
    wheels: bool


def applied(text: str, relaxed: Sequence[Relaxed]) -> str:
    """The requirements `text` with the ranges in the places of the pins."""
    for one in relaxed:
        if (pin := pins.parse(one.pin)) is not None:
            text = pins.rewritten(text, pin, one.range)
    return text


def options(relaxed: Sequence[Relaxed]) -> str:
    """The lines that keep the relaxed ones from being built."""
    names = [found.name for one in relaxed if one.wheels and (found := pins.parse(one.pin))]
    return "".join(f"--only-binary {name}\n" for name in dict.fromkeys(names))


def candidate(
    message: str, found: Blame | None, direct: Sequence[Requirement], *, conflict: bool
) -> Requirement | None:
    """The pin to relax next, None where that is no way out.

    It is the one that is to blame or, in a `conflict` (something was relaxed, and now no versions go together), the first
    that uv names.
    """
    pinned = [one for one in direct if one.version is not None]
    if found is not None:
        return next((one for one in pinned if one.name == found.culprit.name), None)
    return next((one for one in pins.named(message, pinned) if one in pinned), None) if conflict else None


def loosened(pin: Requirement, found: Blame | None, wheels: Wheels | str, python: str) -> Relaxed | None:
    """What a pin becomes; None where nothing of what it may become has a wheel, though the pin has some.

    Args:
        pin: what is relaxed.
        found: what it is blamed for; None: it stands in the way of others.
        wheels: whom to ask.
        python: the version at hand.

    Raises:
        Killed: the run is to end.
    """
    from pkgrun.worker.wheels import PYTHONS, Unknown

    ranges = [pin.relaxed(below) for below in pins.bounds(pin)] if found else [pins.widest(pin)]
    try:
        if not isinstance(wheels, str):
            for one in ranges:
                if wheels.fit([one], python):
                    return Relaxed(pin.line, one.line, wheels=True)
            if found and any(wheels.fit([pin], other) for other in PYTHONS):
                return None
    except Unknown:
        pass  # then it is tried
    return Relaxed(pin.line, ranges[-1].line, wheels=False)


def outcome(relaxed: Sequence[Relaxed], lock: str) -> tuple[tuple[str, str], ...]:
    """Each pin with the version that `lock` has in its place; one whose marker leaves it out has none."""
    versions = {one.name: one.version for one in pins.of(locks.required(lock)) if one.version}
    found = [pin for one in relaxed if (pin := pins.parse(one.pin))]
    return tuple((pin.shown, versions[pin.name]) for pin in found if pin.name in versions)


def dumped(relaxed: Sequence[Relaxed]) -> str:
    """For a file, which `loaded` reads."""
    return json.dumps([[one.pin, one.range, one.wheels] for one in relaxed], indent=1) + "\n"


def loaded(text: str | None) -> tuple[Relaxed, ...]:
    """What a file says was relaxed; nothing if it is spoilt, which only means finding it out again."""
    try:
        return tuple(
            Relaxed(str(pin), str(range_), bool(wheels)) for pin, range_, wheels in json.loads(text or "[]")
        )
    except (ValueError, TypeError):
        return ()
