"""Versions side by side: what a person reads, and what a program gets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import pkgrun
from pkgrun.errors import InvalidName, NotFound, UsageError
from pkgrun.runs.comparison import Comparison, Row

from .lab import Lab
from .test_display import final_screen, terminal

LEARNER = """
import json, os

class Main:
    def train(self, training_directory):
        epochs = float(os.environ.get("epochs", "1"))
        if epochs < 0:
            raise ValueError("cannot unlearn")
        self.metrics = {"accuracy": 0.9 + epochs / 1000000, "loss": 1 / epochs, "rows": 120}
        self.model = str(epochs)

    def save(self):
        with open("model.txt", "w") as file:
            file.write(self.model)
        with open(os.path.join(os.environ["artifacts_directory"], "metrics.json"), "w") as file:
            json.dump(self.metrics, file)
"""


SPLITTER = """
import os, shutil

class Main:
    def process_data(self, input_directory):
        for number, name in enumerate(sorted(name for name in os.listdir(input_directory) if "." in name)):
            part = "test" if number % 2 else "training"
            shutil.copy(os.path.join(input_directory, name), os.path.join(input_directory, part))

    def train(self, training_directory):
        self.model = str(len(os.listdir(training_directory)))

    def save(self):
        with open("model.txt", "w") as file:
            file.write(self.model)

    def evaluate(self, evaluation_directory):
        return len(os.listdir(evaluation_directory))
"""


@pytest.fixture
def trained(lab: Lab) -> Lab:
    """A lab where `p` 1.0 was trained into 1.1 (one epoch, a), 1.2 (two, b) and 1.3 (one, a)."""
    ws = lab.workspace()
    ws.add(lab.package("p", LEARNER))
    for epochs, folder in (("1", "a"), ("2", "b"), ("1", "a")):
        (lab.folder / folder).mkdir(exist_ok=True)
        (lab.folder / folder / "rows.csv").write_text(folder)
        ws.train("p@1.0", data=folder, env={"epochs": epochs}, environment="current").wait(60)
    return lab


def row(found: Comparison, name: str) -> Row:
    return next(row for row in found.rows if row.name == name)


def test_what_differs_is_told_and_what_is_the_same_is_marked(trained: Lab) -> None:
    found = trained.workspace().compare("p@1.1", "p@1.2")

    assert isinstance(found, pkgrun.Comparison)
    assert [column.name for column in found.columns] == ["p@1.1", "p@1.2"]
    assert row(found, "epochs").values == ("1", "2")
    assert not row(found, "epochs").same
    assert row(found, "rows").values == (120, 120)
    assert row(found, "rows").same
    assert row(found, "parent").values == ("1.0", "1.0")
    source = row(found, "data").values
    assert [Path(str(value)).name for value in source] == ["a", "b"]
    assert not row(found, "data digest").same
    assert row(found, "data bytes").same
    assert row(found, "mode").values == ("current", "current")
    assert [(file.path, file.contents) for file in found.files or ()] == [("model.txt", (0, 1))]


def test_the_best_is_marked_where_the_name_tells_which_way(trained: Lab) -> None:
    found = trained.workspace().compare("p@1.1", "p@1.2", "p@1.3")

    assert row(found, "accuracy").best == (1,)
    assert row(found, "loss").best == (1,)
    assert row(found, "rows").best == row(found, "score").best == ()


def test_equal_contents_have_equal_numbers(trained: Lab) -> None:
    found = trained.workspace().compare("p@1.0", "p@1.1", "p@1.2", "p@1.3")

    assert [(file.path, file.contents) for file in found.files or ()] == [("model.txt", (None, 0, 1, 0))]


def test_a_version_that_was_imported_has_no_run(trained: Lab) -> None:
    found = trained.workspace().compare("p@1.0", "p@1.1")

    assert [column.run is None for column in found.columns] == [True, False]
    assert row(found, "made by").values == ("import", "training")
    assert row(found, "accuracy").values == (None, 0.900001)
    assert not row(found, "accuracy").same
    assert row(found, "gpu").same  # what only one run was asked is no difference
    page = trained.pkgrun("compare", "p@1.0", "p@1.1").out
    assert "import, no run" in page


def test_scores_and_what_each_call_was_given_are_told_of_full_pipelines(lab: Lab) -> None:
    ws = lab.workspace()
    ws.add(lab.package("f", SPLITTER))
    for rows in (4, 5):
        folder = lab.folder / f"rows-{rows}"
        folder.mkdir()
        for number in range(rows):
            (folder / f"{number}.csv").write_text(str(number))
        ws.full("f@1.0", data=folder, environment="current").wait(60)
    found = ws.compare("f@1.1", "f@1.2")

    assert row(found, "made by").values == ("full", "full")
    assert row(found, "score").values == row(found, "baseline score").values == (2.0, 2.0)
    assert row(found, "evaluate digest").same
    assert row(found, "train files").values == (2, 3)


def test_versions_of_other_packages_will_do(trained: Lab) -> None:
    trained.workspace().add(trained.package("q", files={"words.txt": "a"}))
    found = trained.workspace().compare("p@1.0", "q@1.0")

    assert {file.path: file.contents for file in found.files or ()} == {
        "train.py": (0, 1),
        "words.txt": (None, 0),
    }


def test_a_run_that_failed_stands_beside_one_that_did_not(trained: Lab) -> None:
    ws = trained.workspace()
    failed = ws.train("p@1.0", env={"epochs": "-1"}, environment="current")
    with pytest.raises(pkgrun.PkgrunError):
        failed.wait(60)
    found = ws.compare(
        failed.id[:18], "p@1.1", next(run.run for run in ws.runs() if str(run.version) == "1.2")
    )

    assert [column.name for column in found.columns] == [failed.id, "p@1.1", "p@1.2"]
    assert [column.status for column in found.columns] == ["failed", "successful", "successful"]
    assert row(found, "epochs").values == ("-1", "1", "2")
    # It made nothing, so it stands for what it started from.
    assert [(file.path, file.contents) for file in found.files or ()] == [("model.txt", (None, 0, 1))]


def test_a_version_that_was_removed_has_facts_and_no_files(trained: Lab) -> None:
    trained.workspace().remove("p@1.1")
    found = trained.workspace().compare("p@1.1", "p@1.2")

    assert [column.removed for column in found.columns] == [True, False]
    assert found.files is None
    assert row(found, "epochs").values == ("1", "2")
    assert "files cannot be compared" in trained.pkgrun("compare", "p@1.1", "p@1.2").out


def test_secrets_are_told_by_name_only(trained: Lab) -> None:
    ws = trained.workspace()
    ws.train("p@1.0", secrets={"KEY": "correct-horse"}, environment="current").wait(60)

    assert row(ws.compare("p@1.1", "p@1.4"), "KEY").values == (None, "(secret)")


@pytest.mark.parametrize(
    ("names", "error"),
    [
        (["p@1.1"], UsageError),
        (["p@1.1", "p@9.9"], NotFound),
        (["p@1.1", "nobody"], NotFound),
        (["p@1.1", "01a1ff57"], NotFound),
        (["p@1.1", "../p"], InvalidName),
    ],
)
def test_what_cannot_be_compared_is_said(trained: Lab, names: list[str], error: type[Exception]) -> None:
    with pytest.raises(error):
        trained.workspace().compare(*names)


# ---------------------------------------------------------------- the command


def test_the_page_leaves_out_what_is_the_same_unless_told(trained: Lab) -> None:
    page = trained.pkgrun("compare", "p@1.1", "p@1.2").out
    assert "epochs" in page
    assert "platform" not in page
    assert "the same everywhere; --all shows them" in page

    whole = trained.pkgrun("compare", "p@1.1", "p@1.2", "--all").out
    assert "platform" in whole
    assert "--all" not in whole


def test_numbers_that_differ_never_look_the_same(trained: Lab) -> None:
    line = next(
        line for line in trained.pkgrun("compare", "p@1.1", "p@1.2").out.splitlines() if "accuracy" in line
    )

    assert line.split() == ["accuracy", "0.900001", "0.900002", "*"]


def test_as_json_it_is_one_document_with_all_rows(trained: Lab) -> None:
    document: Any = trained.document("compare", "p@1.1", "p@1.2")

    assert [column["name"] for column in document["columns"]] == ["p@1.1", "p@1.2"]
    rows = {(row["group"], row["name"]): row for row in document["rows"]}
    assert len(rows) == len(document["rows"])
    assert rows["metrics", "loss"] == {
        "group": "metrics",
        "name": "loss",
        "values": [1.0, 0.5],
        "same": False,
        "best": [1],
    }
    assert document["files"] == [{"path": "model.txt", "contents": [0, 1]}]
    assert json.dumps(document) == json.dumps(trained.document("compare", "p@1.1", "p@1.2"))


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("names", [["p@1.1", "p@1.2"], ["p@1.0", "p@1.1", "p@1.2", "p@1.3", "p@1.1"]])
def test_a_narrow_terminal_cuts_nothing_that_tells_them_apart(
    trained: Lab, width: int, names: list[str]
) -> None:
    with terminal(trained, "compare", *names, width=width) as screen:
        lines = final_screen(screen.read_all())

    assert not any("…" in line for line in lines)
    for folder in ("a", "b"):
        assert any(str(trained.folder / folder) in line for line in lines)
    assert all(len(line) <= width for line in lines if str(trained.folder) not in line)
