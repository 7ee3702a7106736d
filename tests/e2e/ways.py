"""Every way that a dataset can be put at its place here, by whoever: the same package must not notice.

As an ordinary user a run is made by a process that has given its powers up, with the system's own Python.
"""

from __future__ import annotations

import encodings.ascii  # noqa: F401  # before a process is a user, who may not read where this Python lives
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pkgrun import Log, Run, RunRecord
from pkgrun.records import Facts
from pkgrun.store import trees
from tests.processes import WRITABLE, open_folder, powerless

from .lab import Lab
from .scripted import dataset

WAYS = ("overlay", "overlay as a user", "reflink", "copy")
_PYTHONS = ("/usr/bin/python3", "/usr/local/bin/python3")


@dataclass(frozen=True)
class Outcome:
    """What is left of a run. Files by path, as text; a folder's text is None."""

    record: RunRecord
    said: list[str]
    before: dict[str, str | None]
    after: dict[str, str | None]
    artifacts: dict[str, str | None]
    source: dict[str, str]

    @property
    def facts(self) -> Facts:
        assert self.record.facts is not None
        return self.record.facts

    @property
    def good(self) -> bool:
        """Whether it succeeded; what it failed by is shown otherwise."""
        assert self.record.error is None, self.record.error
        return self.record.status == "successful"


@dataclass(frozen=True)
class Way:
    """One way, and a ground for it."""

    name: str
    folder: Path

    @property
    def mount(self) -> str:
        return self.name.split()[0]

    def run(
        self,
        kind: str,
        train: str,
        *,
        files: Mapping[str, str] | None = None,
        data: Mapping[str, str] | None = None,
        evaluation_data: Mapping[str, str] | None = None,
        **options: Any,
    ) -> Outcome:
        """Run a pipeline on a package and a dataset that are written down here."""
        work = partial(_run, self, kind, train, files, data, evaluation_data, options)
        if self.name != "overlay as a user":
            return work()
        work()  # so that all that is needed is loaded
        outcome = powerless(partial(_as_user, self.folder / "user", work))
        assert isinstance(outcome, Outcome), outcome
        return outcome


def unusable(name: str) -> str | None:
    """Why a way cannot be gone here at all."""
    if sys.platform != "linux" and name != "copy":
        return "only Linux has that"
    if name == "overlay as a user" and (os.geteuid() != 0 or not _python()):
        return "only root can become a user, with a Python that every user may run"
    return None


def _python() -> str | None:
    usable = [path for path in _PYTHONS if Path(path).exists()]
    return next((path for path in usable if powerless(partial(_runs, path))), None)


def _runs(python: str) -> bool:
    return subprocess.run([python, "-c", ""], check=False, capture_output=True).returncode == 0


def _as_user(folder: Path, work: Callable[[], Outcome]) -> Outcome:
    folder.mkdir()
    os.chdir(folder)
    os.environ |= {"PKGRUN_CACHE": str(folder / "cache"), "HOME": str(folder)}
    sys.executable = next(path for path in _PYTHONS if Path(path).exists())
    return work()


def _run(
    way: Way,
    kind: str,
    train: str,
    files: Mapping[str, str] | None,
    data: Mapping[str, str] | None,
    evaluation_data: Mapping[str, str] | None,
    options: dict[str, Any],
) -> Outcome:
    lab = Lab(Path.cwd(), Path(os.environ["PKGRUN_CACHE"]))
    workspace = lab.workspace()
    if data is not None:
        options = {"data": dataset(lab, "rows", data), **options}
    if evaluation_data is not None:
        options = {"evaluation_data": dataset(lab, "held-out", evaluation_data), **options}
    starts: dict[str, Callable[..., Run]] = {
        "training": workspace.train,
        "evaluation": workspace.evaluate,
        "full": workspace.full,
    }
    package = lab.package("odd", train, files)
    run = starts[kind](package, environment="current", mount=way.mount, **options)
    record = run.ended(60)
    facts = record.facts
    assert facts is not None
    source = lab.folder / "rows"
    return Outcome(
        record=record,
        said=[event.text for event in run.log() if isinstance(event, Log)],
        before=_files(workspace._store, record.input.digest if record.input else None),
        after=_files(workspace._store, record.output.digest if record.output else None),
        artifacts=_files(workspace._store, facts.artifacts.digest if facts.artifacts else None),
        source={
            str(path.relative_to(source)): path.read_text() for path in source.rglob("*") if path.is_file()
        },
    )


def _files(store: Any, digest: str | None) -> dict[str, str | None]:
    if digest is None:
        return {}
    return {
        path: b"".join(store.objects.stream(entry.digest)).decode("utf-8", "replace")
        if entry.kind == "file"
        else None
        for path, entry in trees.walk(store.objects, digest)
    }


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Way]:
    """Each way that can be gone here."""
    if reason := unusable(request.param):
        pytest.skip(reason)
    with open_folder() as folder:
        os.chmod(folder, WRITABLE)
        place = request.getfixturevalue("cloning_disk") if request.param == "reflink" else Path(folder)
        yield from _way(request.param, place, monkeypatch)


@pytest.fixture
def one_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Way]:
    """Where the mount does not matter."""
    yield from _way("auto", tmp_path, monkeypatch)


def _way(name: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Way]:
    (place / "here").mkdir()
    monkeypatch.setenv("PKGRUN_CACHE", str(place / "cache"))
    monkeypatch.chdir(place / "here")
    yield Way(name, place)
    monkeypatch.chdir("/")
    left = place / "cache" / "work"
    assert not left.exists() or not os.listdir(left), "every work directory is gone"


LOOKS = """
import os

class Main:
    def __init__(self):
        tops = ("data", "dataset", "evaluation_data", "artifacts")
        walks = [(top, names) for folder in tops for top, _, names in os.walk(folder)]
        print(sorted(top + "/" + name for top, names in walks for name in names))
    def process_data(self, input_directory): pass
    def evaluate(self, evaluation_directory): return 1
    def train(self, training_directory): pass
    def save(self):
        open("model.txt", "w").close()
"""
"""A package that says what is in the folders that a run may hide."""
