"""What can be wrong with a store, in words that programs may branch on. It owns no way of finding it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

Severity = Literal["hole", "damage", "pending", "rubbish", "note"]
"""`hole`: something that was acknowledged is missing or altered. `damage`: a file is altered, but all that it held is
elsewhere, follows from others or is not needed. `pending`: a decision that nobody carried out, a run that nobody ends.
`rubbish`: what may as well go. `note`: nothing is wrong with it."""

SEVERITIES: tuple[Severity, ...] = get_args(Severity)

Kind = Literal[
    "record-malformed",
    "record-misplaced",
    "record-missing",
    "record-altered",
    "chain-broken",
    "number-unfounded",
    "tombstone-unfounded",
    "key-unfounded",
    "derived-wrong",
    "pack-damaged",
    "object-altered",
    "object-missing",
    "directory-missing",
    "listing-missing",
    "directory-malformed",
    "counts-wrong",
    "decision-pending",
    "run-silent",
    "run-dead",
    "key-unused",
    "unreferenced",
    "leftover",
    "strange",
    "run-without-intent",
    "quarantined",
    "erased",
    "erased-present",
    "erased-unproven",
    "origin-unfounded",
    "unexpected",
]
"""Never renamed."""


class Need(NamedTuple):
    """Who needs something: a version, dataset or run, and the path in it; empty where that is all of it."""

    label: str
    path: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be.

    `key`: the file that it is about; of something missing, where it would be. `message` names the thing, `hint` the way
    out. `size`: of the file or the content. `digests`: of the contents that are lost with it, or altered.
    """

    kind: Kind
    severity: Severity
    key: str
    message: str
    hint: str
    needed_by: tuple[Need, ...] = ()
    size: int = 0
    digests: frozenset[bytes] = frozenset()


def strange(key: str, size: int) -> Finding:
    """What is nothing that the format knows."""
    message = f"{key} is nothing that the format knows"
    return Finding("strange", "rubbish", key, message, "whoever put it there may take it away", size=size)


REPAIR = "`pkgrun store repair` shows what can be done"
FROM = "`pkgrun store repair --from OTHER` brings it back from a copy of this store"
GC = "`pkgrun store gc` removes it when nobody can want it any more"


@dataclass(frozen=True, slots=True)
class Scope:
    """What was looked at. `read`: bytes whose digests were checked, of `bytes`; `seed`: which of them, if not all."""

    records: int
    objects: int
    bytes: int
    read: int = 0
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """All findings, the worst first."""

    findings: tuple[Finding, ...]
    scope: Scope

    @property
    def sound(self) -> bool:
        """Whether nothing acknowledged is lost or altered: no hole, no damage."""
        return not any(one.severity in ("hole", "damage") for one in self.findings)

    @property
    def counts(self) -> Mapping[Severity, int]:
        """How many there are of each severity."""
        found = [one.severity for one in self.findings]
        return {severity: found.count(severity) for severity in SEVERITIES}

    @property
    def affected(self) -> tuple[str, ...]:
        """The versions, datasets and runs that are not whole."""
        needs = (need for one in self.findings if one.severity == "hole" for need in one.needed_by)
        return tuple(dict.fromkeys(need.label for need in needs))


def report(found: Iterable[Finding], scope: Scope) -> Report:
    """Findings in order; of one kind each file has one."""
    once: dict[tuple[str, str], Finding] = {}
    for finding in found:
        once.setdefault((finding.kind, finding.key), finding)
    return Report(
        tuple(sorted(once.values(), key=lambda one: (SEVERITIES.index(one.severity), one.kind, one.key))),
        scope,
    )
