"""A small store with some of everything that a version can rest on, and what an audit says of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

import pkgrun
from pkgrun.errors import NotFound
from pkgrun.lineage.audit import audit
from pkgrun.lineage.audited import Audit
from pkgrun.lineage.relations import Held, Named
from pkgrun.store import numbers, operations
from pkgrun.store.backend import Backend
from pkgrun.store.fsck.findings import Finding
from pkgrun.store.root import open_store
from tests.e2e.copies import LEARNS, train
from tests.e2e.lab import Lab

RECORD = "packages/p/00000001/{:08}.json"
"""The key of a minor's record."""

EVALUATES = (
    LEARNS
    + """
    def evaluate(self, evaluation_directory):
        return float(len(os.listdir(evaluation_directory)))
"""
)
"""Trains, and is evaluated."""


def generations(lab: Lab) -> Lab:
    """A lab with `p@1.0` to `p@1.3`, each from the one before it, the first two on registered data, the third on a kept snapshot
    of a folder, with a large file; and an evaluation of `p@1.3`."""
    data = lab.folder / "rows"
    data.mkdir()
    (data / "sub").mkdir()
    (data / "sub" / "deep.csv").write_text("deep\n")
    (data / "rows.csv").write_text("a,b\n")
    workspace = lab.workspace()
    workspace.datasets.add("rows", data)
    (data / "rows.csv").write_text("a,b\n1,2\n")
    workspace.datasets.add("rows", data)
    package = lab.package("p", EVALUATES)
    train(workspace, package, data="rows@1", idempotency_key="nightly", env={"mark": "one"})
    train(workspace, "p@1.1", data="rows@2", env={"mark": "two"})
    (data / "large.bin").write_bytes(b"\x07" * (3 << 20))
    train(workspace, "p@1.2", data=data, save_training_data=True, env={"mark": "three"})
    evaluate(workspace, "p@1.3", data="rows@2")
    return lab


def others(lab: Lab) -> Lab:
    """Besides, what has nothing to do with these: another package, another dataset."""
    workspace = lab.workspace()
    workspace.datasets.add("strange", lab.package("q"))
    train(workspace, lab.package("q", EVALUATES, files={"q.txt": "q"}), data="strange@1")
    return lab


def evaluate(workspace: pkgrun.Workspace, package: str, **more: Any) -> None:
    workspace.evaluate(package, environment="current", **more).wait(60)


class Walking:
    """Relations by reading everything: slow, and evidently right."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def children(self, of: Named) -> list[Named]:
        raise NotImplementedError

    def registered(self, tree: str) -> list[Held]:
        raise NotImplementedError

    def runs_from(self, of: Named) -> list[str]:
        return sorted(run for run in operations.runs(self._backend) if self._starts(run, of))

    def _starts(self, run: str, of: Named) -> bool:
        try:
            intent = operations.intent(self._backend, run)
        except (pkgrun.PkgrunError, NotFound):
            return False
        return intent.training is not None and (intent.package, intent.training.base) == of

    def unnumbered(self, package: str) -> list[str]:
        named = {record.run for record in numbers.versions(self._backend, package)}
        return sorted(run for run in operations.runs(self._backend) if run not in named)

    def by_record(self, digest: str) -> list[Named]:
        return [one for one in self._versions() if numbers.digest(self._backend, *one) == digest]

    def _versions(self) -> Iterator[Named]:
        for package in numbers.packages(self._backend):
            for record in numbers.versions(self._backend, package):
                yield Named(package, record.version)


def audited(store: Path, name: str = "p@1.3", relations: Walking | None = None, **more: Any) -> Audit:
    """What an audit says, by a fresh look at the store."""
    opened = open_store(str(store), create=False, cache=None)
    return audit(opened, relations or Walking(opened.backend), name, **more)


def naming(found: Audit, key: str) -> list[Finding]:
    """The findings that name a file."""
    bad = (one for one in found.findings if one.severity in ("hole", "damage"))
    return [one for one in bad if key in one.key or key in one.message]


def kinds(found: Audit, key: str) -> set[str]:
    return {one.kind for one in naming(found, key)}


def run_of(store: Path, number: int) -> str:
    """The run that made a minor."""
    return str(orjson.loads((store / RECORD.format(number)).read_bytes())["run"])


def open_backend(store: Path) -> Backend:
    return open_store(str(store), create=False, cache=None).backend
