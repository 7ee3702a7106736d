"""Every call of the store fails, once before it takes effect and once after, while a package is imported. Afterwards
the version is there, wholly, or importing again makes it; no number is lost, and none is given twice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from pathlib import Path
from typing import Literal

import pytest

from pkgrun import Workspace
from pkgrun.errors import Damaged, PermissionDenied, PkgrunError, Temporary
from pkgrun.identity import Version
from pkgrun.store import numbers
from pkgrun.store.backend import Backend
from pkgrun.store.local import LocalBackend
from pkgrun.store.objects import Objects
from pkgrun.store.operations import new_run_id
from pkgrun.store.root import Store
from pkgrun.store.wrappers import RETRIED, Retrying
from pkgrun.testing import Fault, Faulty, MemoryBackend, Plan
from tests.packages.folders import TRAIN, package

pytestmark = pytest.mark.row(9)

When = Literal["before", "after"]

ERRORS = {
    "temporary": Temporary("the server answers 503"),
    "permission": PermissionDenied("the server refuses (403)"),
    "damaged": Damaged("the bytes are not what they were"),
}
NUMBERS = ["1.0", "2.0", "3.0"]
ENOUGH = 200
"""More calls than an import makes."""


class Trial:
    """Three packages with one name, and fresh places to import them to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.packages = [package(folder / number, train=f"{TRAIN}# {number}\n") for number in NUMBERS]
        self._made = 0

    def local(self) -> Backend:
        self._made += 1
        root = self.folder / f"store{self._made}"
        root.mkdir()
        return LocalBackend(root)

    def add(self, backend: Backend, number: str) -> str:
        """Import the package that should get this number; the number that it gets."""
        added = workspace(backend).add(self.packages[NUMBERS.index(number)], name="p")
        return str(added.record.version)

    def check(self, backend: Backend) -> None:
        """The second version is there or can be made, and all else is as it was."""
        known = versions(backend)
        assert known in (NUMBERS[:1], NUMBERS[:2])
        self.check_content(backend)
        for _ in range(2):
            assert self.add(backend, "2.0") == "2.0"
        ended = {run.run: run.version for run in workspace(backend).runs(everything=True)}
        assert {str(version) for version in ended.values() if version} == {"1.0", "2.0"}
        assert self.add(backend, "3.0") == "3.0"
        assert versions(backend) == NUMBERS
        self.check_content(backend)
        assert chained(backend)

    def check_content(self, backend: Backend) -> None:
        for number in versions(backend):
            self._made += 1
            out = self.folder / f"out{self._made}"
            workspace(backend).export(f"p@{number}", out)
            assert content(out) == content(self.packages[NUMBERS.index(number)])


def workspace(backend: Backend) -> Workspace:
    return Workspace(Store(backend, Objects(backend), new_run_id()))


def versions(backend: Backend) -> list[str]:
    return [str(record.version) for record in workspace(backend).versions("p")]


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def chained(backend: Backend) -> bool:
    """Whether each version's record names the digest of the one before it."""
    records = [numbers.read(backend, "p", Version.parse(number)) for number in NUMBERS]
    keys = [numbers.key("p", record.version) for record in records]
    digests = ["sha256:" + hashlib.sha256(backend.read(key)).hexdigest() for key in keys]
    return [record.previous for record in records] == [None, *digests[:-1]]


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    return Trial(tmp_path)


def attempted(trial: Trial, backend: Backend) -> str | None:
    """Import the second version; None if that went well, else the kind of the error."""
    try:
        assert trial.add(backend, "2.0") == "2.0"
    except PkgrunError as error:
        return error.kind
    return None


def faults(
    trial: Trial, fresh: Callable[[], Backend], error: PkgrunError, when: When
) -> Iterator[tuple[Backend, Plan]]:
    """A place with the first version, and a plan by which the k-th call fails, for every k that there is."""
    for at in range(1, ENOUGH):
        backend, plan = fresh(), Plan(Fault(None, at, when, error))
        assert trial.add(backend, "1.0") == "1.0"
        yield backend, plan
        if not plan.fired:
            assert at > 10
            return
    raise AssertionError(f"more than {ENOUGH} calls")


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    ("place", "error"),
    # On a disk one kind of error is enough: the code is the same, and its turns cost time.
    [("local", "temporary"), *product(("renaming", "not-renaming"), sorted(ERRORS))],
)
def test_whatever_fails_an_import_is_whole_or_can_be_made(
    trial: Trial, place: str, error: str, when: When
) -> None:
    places: dict[str, Callable[[], Backend]] = {
        "local": trial.local,
        "renaming": partial(MemoryBackend, rename=True),
        "not-renaming": partial(MemoryBackend, rename=False),
    }
    failed = set()
    for backend, plan in faults(trial, places[place], ERRORS[error], when):
        if (kind := attempted(trial, Faulty(backend, plan))) is not None:
            assert kind == error, plan.calls
            failed.add(plan.calls[plan.fired[0].at - 1].method)
        trial.check(backend)
    assert {"create", "read", "flush", "upload", "upload.write", "upload.publish"} <= failed


@pytest.mark.parametrize("when", ["before", "after"])
def test_what_fails_once_is_tried_again(trial: Trial, when: When) -> None:
    for backend, plan in faults(trial, MemoryBackend, ERRORS["temporary"], when):
        retrying = Retrying(Faulty(backend, plan), first=0)
        if attempted(trial, retrying) is not None:
            method = plan.calls[plan.fired[0].at - 1].method
            assert method not in RETRIED | {"create"}, plan.calls
        trial.check(backend)
