"""A package that does what a test's parameters say, writes down what it finds at each call, and the runs of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pkgrun import Log, Run, RunRecord
from pkgrun.records import Facts
from pkgrun.runs.results import results

from .lab import Lab

SCRIPTED = """
import json, os, sys, time

def there():
    found = []
    for top in ("artifacts", "data", "dataset", "evaluation_data"):
        for above, folders, names in os.walk(top):
            found += [above + "/", *(os.path.join(above, name) for name in names)]
    return sorted(found)

def write(path, text):
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open(path, "w") as file:
        file.write(text)

def read(path):
    with open(path) as file:
        return file.read()

class Main:
    def __init__(self):
        self.calls, self.trained, self.evaluations = [], False, 0
        self.environment = dict(os.environ)
        self.note("init", None)

    def note(self, name, given):
        self.calls.append({"call": name, "given": given, "there": there(), "instance": id(self), "process": os.getpid()})
        exec(os.environ.get("on_" + name, ""), globals(), {"self": self, "given": given})
        if os.path.isdir("artifacts"):
            write("artifacts/seen.json", json.dumps([self.calls, self.environment]))

    def process_data(self, input_directory):
        self.note("process_data", input_directory)

    def train(self, training_directory):
        self.trained = True
        self.note("train", training_directory)

    def evaluate(self, evaluation_directory):
        name = "evaluate" if self.trained or os.path.isdir("evaluation_data") else "baseline"
        self.note(name, evaluation_directory)
        return eval(os.environ.get(name + "_returns", "0.5"))

    def save(self):
        self.note("save", None)
        with open("model.txt", "a") as file:
            file.write("a model\\n")
"""
"""What `on_train` and so on hold is run in that call; `evaluate_returns` and `baseline_returns` are expressions."""

UNPREPARED = SCRIPTED.replace("def process_data", "def _process_data")

SPLIT = "write('dataset/training/a.csv', read('dataset/rows.csv')); write('dataset/test/b.csv', '2')"
"""What a `process_data` does."""


@dataclass(frozen=True)
class Seen:
    """A run that has ended, and what its code saw. `said` are its log lines."""

    run: Run
    record: RunRecord
    calls: list[dict[str, Any]]
    environment: dict[str, str]
    said: list[str]

    @property
    def facts(self) -> Facts:
        assert self.record.facts is not None
        return self.record.facts

    @property
    def names(self) -> list[str]:
        """The calls in their order."""
        return [call["call"] for call in self.calls]

    @property
    def results(self) -> dict[str, Any]:
        """`_results.json` as it lies in the store; its location is left out."""
        written = results(self.record, "STORE")
        assert written is not None
        found: dict[str, Any] = json.loads(written.model_dump_json().replace(self.run.id, "RUN"))
        return found

    @property
    def outputs(self) -> dict[str, Any]:
        found: dict[str, Any] = self.results["run_summary"]["outputs"]
        return found

    @property
    def passed(self) -> list[tuple[str, str, int, bool]]:
        """Call, role, files and whether attested, of what was made for the calls."""
        return [(one.call, one.role, one.tree.files, one.attested) for one in self.facts.passed]

    def there(self, call: str) -> list[str]:
        """What was below the run's folders when the call was made, but for this package's own account."""
        [found] = [one["there"] for one in self.calls if one["call"] == call]
        return [path for path in found if path != "artifacts/seen.json"]

    def warned(self, words: str) -> bool:
        return any(words in warning for warning in self.facts.warnings)


def dataset(lab: Lab, name: str = "rows", files: Mapping[str, str] | None = None) -> Path:
    """A folder of data; a name that ends in a slash is an empty folder."""
    folder = lab.folder / name
    folder.mkdir(parents=True, exist_ok=True)
    for path, content in ({"rows.csv": "1,2\n"} if files is None else files).items():
        (folder / path if path.endswith("/") else (folder / path).parent).mkdir(parents=True, exist_ok=True)
        if not path.endswith("/"):
            (folder / path).write_text(content)
    return folder


def seen(run: Run) -> Seen:
    """Wait for the end, whatever it is, and look."""
    record = run.ended(60)
    store = run._store
    kept = dict(run.artifacts()).get("seen.json")
    data = b"".join(store.objects.stream(kept.digest)) if kept else b"[[], {}]"
    calls, environment = json.loads(data)
    said = [event.text for event in run.log() if isinstance(event, Log)]
    return Seen(run, record, calls, environment, said)


def evaluated(lab: Lab, package: str | Path | None = None, **options: Any) -> Seen:
    """An evaluation of the scripted package, in the Python at hand."""
    options = {"environment": "current", **options}
    return seen(lab.workspace().evaluate(package or lab.package("p", SCRIPTED), **options))


def full(lab: Lab, package: str | Path | None = None, **options: Any) -> Seen:
    """A full pipeline of the scripted package, in the Python at hand."""
    options = {"environment": "current", **options}
    return seen(lab.workspace().full(package or lab.package("p", SCRIPTED), **options))


def unprepared(lab: Lab) -> Path:
    """The scripted package without `process_data`."""
    return lab.package("unprepared", UNPREPARED)
