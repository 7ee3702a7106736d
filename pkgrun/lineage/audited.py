"""What an audit tells: what was looked at, how much of it, what is wrong, and what weakens the claim. Values only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pkgrun.lineage.pedigree import Part
from pkgrun.records import Tree
from pkgrun.store.fsck.findings import Finding, Scope

Verdict = Literal["verified", "verified-with-reservations", "broken"]
"""Never renamed."""

What = Literal["bytes", "directories", "run", "decision", "record"]
"""The rungs, from the bytes up. `bytes`: files of packages, artifacts, snapshots, logs and locks, each hashed. `directories`: each
has its digest, and says rightly what is below it. `run`: its records are there, in their form, and `run.json` and `_results.json`
follow from them. `decision`: what was asked, what was decided and what the number's record says agree. `record`: it lies at its
key, and the chain goes through it."""

Doubt = Literal[
    "data-unattested",
    "data-unlisted",
    "content-erased",
    "content-removed",
    "origin-unchecked",
    "claim-missing",
    "evaluations-unknown",
]
"""Never renamed."""


@dataclass(frozen=True, slots=True)
class Check:
    """One rung. `count`: files, directories, or records that were read; of contents each is counted once, by the oldest that
    holds it. `erased`: files that a receipt says were erased, so that nobody can read them."""

    what: What
    count: int
    bytes: int
    ok: bool
    erased: int = 0


@dataclass(frozen=True, slots=True)
class Given:
    """Data that a run was given. `label`: of a registered dataset. `listed`: the store holds the names and digests of all its
    files; `kept`: these too, still and all of them. `gone`: why they are not, if they were: given up with the version, or some of them
    erased; also of registered data."""

    role: Literal["input", "trained", "evaluated"]
    label: str | None
    source: str
    tree: Tree
    attested: bool
    listed: bool
    kept: bool
    gone: Literal["removed", "erased"] | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """A version, dataset or evaluation, and what was checked of it. `digest`: of its record; None of an evaluation, or if that
    cannot be read. `commit`: as the import said it; nobody can check that here."""

    label: str
    part: Part
    kind: str | None
    run: str | None
    created: datetime | None
    digest: str | None
    given: tuple[Given, ...]
    commit: str | None
    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong with it."""
        return all(check.ok for check in self.checks)


@dataclass(frozen=True, slots=True)
class Reservation:
    """A fact that weakens the claim, and is no fault of the store's. `about`: a version, dataset or run."""

    kind: Doubt
    about: str
    message: str


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """An origin that was audited in the store that it is of: which version came from it, its name there, and what was found."""

    label: str
    origin: str
    store: str
    verdict: Verdict
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Audit:
    """One version, from every byte up.

    `record`: the digest of its record, which names its content, its run, its parent, and the record before it.
    `fingerprint`: of that and every other record that it rests on, so also of what its runs were given and what they
    found out: the SHA-256 of what `sha256sum` prints of `records`, in that order. Empty if one of them is not there,
    or cannot be read.
    `chain`: how many records `previous` leads through, besides the steps' own. `expected`: what was to be found, if that was told.
    """

    name: str
    verdict: Verdict
    record: str | None
    fingerprint: str
    records: tuple[str, ...]
    expected: str | None
    steps: tuple[Step, ...]
    chain: Check
    findings: tuple[Finding, ...]
    reservations: tuple[Reservation, ...]
    elsewhere: tuple[Elsewhere, ...]
    scope: Scope

    @property
    def sound(self) -> bool:
        """Whether nothing is missing or altered."""
        return self.verdict != "broken"
