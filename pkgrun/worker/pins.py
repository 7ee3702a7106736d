"""The text of single requirements: what is pinned in them, and what a pin becomes when it is relaxed.

It reads and rewrites lines. Whether something installs, and where from, is found out elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_HASH = re.compile(r"\s--hash[=\s]\S+")
_REGISTRY = re.compile(r"([A-Za-z0-9](?:[\w.-]*[A-Za-z0-9])?)\s*(\[[^\]]*\])?\s*([<>=!~(][^;@]*)?(;.*)?")
_EXACT = re.compile(r"\(?\s*={2,3}\s*(v?(\d+)(?:\.\d+)*[a-z0-9.]*?)(\.\*)?(\+[\w.]+)?\s*\)?", re.IGNORECASE)
_TOKEN = re.compile(r"(?<![\w.-])([A-Za-z0-9](?:[\w.-]*[A-Za-z0-9])?)(?:==([\w.!+]*[A-Za-z0-9]))?(?![\w-])")


@dataclass(frozen=True, slots=True)
class Requirement:
    """One line that asks an index for something.

    `name` is its normal form ("scikit-learn"), `line` without hashes. `version` is what it is pinned to, None where
    it is not; `major` that version's first number.
    """

    name: str
    line: str
    version: str | None = None
    major: int = 0

    @property
    def shown(self) -> str:
        """Without its marker: what a person calls it."""
        return self.line.partition(";")[0].strip()

    def relaxed(self, below: int) -> Requirement:
        """The same as a range: at least what it is pinned to, and below the major version `below`."""
        found = _REGISTRY.fullmatch(self.line)
        if found is None or self.version is None:
            return self
        extras, marker = found[2] or "", f" {found[4]}" if found[4] else ""
        return Requirement(self.name, f"{found[1]}{extras}>={self.version},<{below}{marker}")


def normal(name: str) -> str:
    """The normal form of a project's name."""
    return re.sub(r"[-_.]+", "-", name).lower()


def parse(line: str) -> Requirement | None:
    """The requirement on a line; None for an option, a path, a URL."""
    plain = _HASH.sub("", line).strip()
    found = _REGISTRY.fullmatch(plain)
    if found is None or plain.startswith("-"):
        return None
    pinned = _EXACT.fullmatch((found[3] or "").strip())
    if pinned is None:
        return Requirement(normal(found[1]), plain)
    return Requirement(normal(found[1]), plain, pinned[1].lower().removeprefix("v"), int(pinned[2]))


def of(lines: Iterable[str]) -> list[Requirement]:
    """The requirements on `lines`, each once."""
    return list(dict.fromkeys(filter(None, map(parse, lines))))


def bounds(pin: Requirement) -> tuple[int, ...]:
    """Below which major versions a pin may be relaxed, in the order to try.

    That is its next major. A version 0.x promises nothing from one minor to the next, so what came after it as 1.x is as
    near as the last 0.x was.
    """
    return (pin.major + 1,) if pin.major else (1, 2)


def widest(pin: Requirement) -> Requirement:
    """The most that a pin may be relaxed to."""
    return pin.relaxed(bounds(pin)[-1])


def rewritten(text: str, old: Requirement, new: str) -> str:
    """The lines of `text`, those that ask for `old` replaced by `new`."""
    return "".join(f"{new if parse(line) == old else line}\n" for line in text.splitlines())


def named(message: str, among: Iterable[Requirement]) -> list[Requirement]:
    """Those that a message speaks of, in its order; of what it calls `name==version`, only what is pinned to that.

    What it calls so and is not among them (something that they need) is one, too.
    """
    known: dict[str, list[Requirement]] = {}
    for one in among:
        known.setdefault(one.name, []).append(one)
    found: list[Requirement] = []
    for name, version in _TOKEN.findall(message):
        here = known.get(normal(name), [])
        if version:
            exact = Requirement(normal(name), f"{name}=={version}", version)
            here = [one for one in here if one.version in (None, version) or "*" in one.line] or [exact]
        found += here
    return list(dict.fromkeys(found))
