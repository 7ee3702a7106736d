"""Small packages that do to their data what real ones do: each must run unchanged, however its dataset gets to its place."""

from __future__ import annotations

import pytest

from tests.datasets.test_mount import cloning_disk

from .lab import Lab
from .ways import LOOKS, Way, one_way, way

__all__ = ["cloning_disk", "one_way", "way"]

ROWS = {"a.csv": "1\n", "deep/b.csv": "2\n"}

# ---------------------------------------------------------------- what packages do to their data


WRITES_INTO_ITS_DATA = """
import os, pathlib, sqlite3

class Main:
    def train(self, training_directory):
        folder = pathlib.Path(training_directory)
        (folder / "images").mkdir(exist_ok=True)
        (folder / "images" / "plot.svg").write_text("<svg/>")
        (folder / "a.csv").write_text((folder / "a.csv").read_text() + "9\\n")
        (folder / "deep" / "b.csv").unlink()
        base = sqlite3.connect(str(folder / "cache.db"))
        base.execute("create table t (x)")
        base.execute("insert into t values (1)")
        base.commit()
        base.close()
        self.seen = sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))

    def save(self):
        with open("model.txt", "w") as file:
            file.write(repr(self.seen))
"""


def test_it_writes_into_its_data(way: Way) -> None:
    found = way.run("training", WRITES_INTO_ITS_DATA, data=ROWS)

    assert found.good
    assert found.source == ROWS
    assert found.after["model.txt"] == "['a.csv', 'cache.db', 'deep', 'images', 'images/plot.svg']"
    assert set(found.after) - set(found.before) == {"model.txt"}
    assert found.facts.data is not None
    assert (found.facts.data.mount, found.facts.data.attested) == (way.mount, True)


SPLITS = """
import os, shutil

class Main:
    def process_data(self, input_directory):
        test = os.environ["evaluation_data_directory"]
        if os.path.isdir(test) and not os.listdir(test):
            shutil.move(os.path.join(input_directory, "a.csv"), os.environ["training_data_directory"])
            shutil.move(os.path.join(input_directory, "deep"), os.environ["test_data_directory"])

    def evaluate(self, evaluation_directory):
        return sum(len(names) for _, _, names in os.walk(evaluation_directory))

    def train(self, training_directory):
        self.seen = os.listdir(training_directory)

    def save(self):
        with open("model.txt", "w") as file:
            file.write(repr(self.seen) + repr(sorted(os.listdir("dataset"))))
"""


def test_it_splits_by_moving_if_there_is_no_evaluation_set(way: Way) -> None:
    found = way.run("full", SPLITS, data=ROWS)

    assert found.good
    assert found.source == ROWS
    assert found.after["model.txt"] == "['a.csv']['test', 'training']"
    assert (found.facts.baseline_score, found.facts.score) == (1, 1)
    assert [(one.role, one.tree.files) for one in found.facts.passed] == [
        *(("evaluated", 1), ("trained", 1), ("evaluated", 1)),
    ]


def test_it_leaves_an_evaluation_set_as_it_is(way: Way) -> None:
    found = way.run("full", SPLITS, data=ROWS, evaluation_data={"x": "1", "y": "2", "z/z": "3"})

    assert found.good
    assert found.after["model.txt"] == "[]['a.csv', 'deep', 'test', 'training']"
    assert found.facts.score == 3
    assert found.facts.data is not None
    assert found.facts.data.written is not None
    assert found.facts.data.written.added.names == (), "an evaluation set is nobody's writing"


MAKES_ITS_FOLDERS_ANEW = SPLITS.replace(
    "        test = os",
    """        for name in ("training", "test"):
            shutil.rmtree(os.path.join(input_directory, name), ignore_errors=True)
            os.makedirs(os.path.join(input_directory, name))
        test = os""",
)


@pytest.mark.parametrize("given", [{}, {"training/old": "x", "test/old": "y"}])
def test_it_makes_its_folders_anew(way: Way, given: dict[str, str]) -> None:
    found = way.run("full", MAKES_ITS_FOLDERS_ANEW, data={**ROWS, **given})

    assert found.good
    assert found.source == {**ROWS, **given}
    assert (found.after["model.txt"], found.facts.score) == ("['a.csv']['test', 'training']", 1)


STARTS_PROCESSES = """
import multiprocessing, os, pickle

class Row:
    def __init__(self, name):
        self.name = name

def read(row):
    with open(os.path.join("data", row.name)) as file:
        text = file.read()
    with open(os.path.join("data", row.name + ".seen"), "w") as file:
        file.write(text)
    return Row(text.strip())

class Main:
    def train(self, training_directory):
        self.seen = []
        for how in ("fork", "spawn"):
            with multiprocessing.get_context(how).Pool(2) as pool:
                rows = pool.map(read, [Row("a.csv"), Row("deep/b.csv")])
            self.seen.append([row.name for row in rows])
        self.seen.append(sorted(os.listdir("data")))

    def save(self):
        with open("model.txt", "w") as file:
            file.write(repr(self.seen))
        with open("model.pkl", "wb") as file:
            pickle.dump(Row("x"), file)
"""


def test_it_starts_processes_by_fork_and_by_spawn(way: Way) -> None:
    """What they are sent is of classes of train.py; they see the same data, and may write there."""
    found = way.run("training", STARTS_PROCESSES, data=ROWS)

    assert found.good
    assert found.after["model.txt"] == "[['1', '2'], ['1', '2'], ['a.csv', 'a.csv.seen', 'deep']]"
    assert "train" in str(found.after["model.pkl"])
    assert "__main__" not in str(found.after["model.pkl"])
    assert found.source == ROWS


CHANGES_FOLDER = """
import os

class Main:
    def train(self, training_directory):
        os.chdir(training_directory)
        self.seen = sorted(os.listdir("."))

    def save(self):
        with open({path}, "w") as file:
            file.write(repr(self.seen))
"""


def test_it_changes_its_folder_and_saves_beside_its_code(way: Way) -> None:
    path = "os.path.join(os.path.dirname(os.path.abspath(__file__)), 'model.txt')"
    found = way.run("training", CHANGES_FOLDER.format(path=path), data=ROWS)

    assert found.good
    assert found.after["model.txt"] == "['a.csv', 'deep']"


def test_it_changes_its_folder_and_loses_its_model_in_the_data(way: Way) -> None:
    found = way.run("training", CHANGES_FOLDER.format(path="'model.txt'"), data=ROWS)

    assert found.good
    assert set(found.after) == set(found.before)
    assert any("changed no file of the package" in warning for warning in found.facts.warnings)
    assert found.facts.data is not None
    assert found.facts.data.written is not None
    assert found.facts.data.written.added.names == ("model.txt",)


SHIPPED = {
    "data/sample.csv": "mine",
    "dataset/training/sample.csv": "mine",
    "dataset/notes": "mine",
    "evaluation_data/deep/x": "mine",
    "artifacts/readme": "mine",
}


@pytest.mark.parametrize(
    ("kind", "seen"),
    [
        ("training", "['data/a.csv', 'dataset/notes', 'dataset/training/sample.csv', 'evaluation_data/deep/x']"),
        ("evaluation", "['data/sample.csv', 'dataset/notes', 'dataset/training/sample.csv', 'evaluation_data/a.csv']"),
        ("full", "['data/sample.csv', 'dataset/a.csv', 'evaluation_data/deep/x']"),
    ],
)  # fmt: skip
def test_it_ships_folders_of_the_same_names(way: Way, kind: str, seen: str) -> None:
    found = way.run(kind, LOOKS, files=SHIPPED, data={"a.csv": "1"})

    assert found.good
    assert found.said == [seen]
    if kind != "evaluation":
        assert found.after == {**found.before, "model.txt": ""}
        assert {path: text for path, text in found.after.items() if path in SHIPPED} == SHIPPED


def test_it_ships_folders_where_an_evaluation_set_comes_to_lie(way: Way) -> None:
    """Without process_data there are three folders of the run's, two of them in another."""
    code = LOOKS.replace("def process_data", "def other")
    found = way.run("full", code, files=SHIPPED, data={"a.csv": "1"}, evaluation_data={"b.csv": "2"})

    assert found.good
    assert "dataset/test/b.csv', 'dataset/training/a.csv'" in found.said[0]
    assert "notes" not in found.said[0]
    assert found.after == {**found.before, "model.txt": ""}


def test_the_check_warns_of_such_folders(lab: Lab) -> None:
    said = lab.pkgrun("package", "check", lab.package("p", LOOKS, SHIPPED))

    for folder in ("data", "dataset", "evaluation_data", "artifacts"):
        assert f"{folder}/" in said.out + said.err


def test_a_folder_of_code_that_is_hidden_is_named(one_way: Way) -> None:
    """`from data.loader import …` is usual; only renaming it helps."""
    code = "from data.loader import load\n" + LOOKS
    files = {"data/__init__.py": "", "data/loader.py": "def load(): pass\n"}
    found = one_way.run("training", code, files=files, data={"a.csv": "1"})

    assert found.record.error is not None
    assert found.record.status == "failed"
    assert "data" in str(found.record.error.hint)
    assert "rename" in str(found.record.error.hint)
