"""Small packages that look, import, talk and leave things as real ones do: each must run unchanged."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from .lab import Lab
from .ways import LOOKS, Way, one_way

__all__ = ["one_way"]

# ---------------------------------------------------------------- where packages look, and what they import


BY_ITS_FILE = """
import os, pathlib
HERE = pathlib.Path(__file__).parent

class Main:
    def __init__(self):
        assert HERE == pathlib.Path(os.getcwd()), (HERE, os.getcwd())
        self.words = (HERE / "model" / "words.txt").read_text()
    def train(self, training_directory):
        self.words += "".join(sorted(os.listdir(os.path.join(os.path.dirname(__file__), "data"))))
    def save(self):
        (HERE / "model" / "words.txt").write_text(self.words)
"""


def test_it_finds_its_files_by_its_own_place(one_way: Way) -> None:
    found = one_way.run("training", BY_ITS_FILE, files={"model/words.txt": "a"}, data={"b": ""})

    assert found.good
    assert found.after["model/words.txt"] == "ab"
    assert found.facts.changes is not None
    assert (found.facts.changes.changed.names, found.facts.changes.unexpected.count) == (
        ("model/words.txt",),
        0,
    )


SETTINGS = """
import os

class Settings:
    _instance = None
    artifacts = os.environ["artifacts_directory"]
    training = os.listdir(os.environ["training_data_directory"])
    epochs = int(os.environ.get("epochs", "1"))
    here = os.listdir(artifacts)

    def __new__(cls):
        if cls._instance is None:
            cls._instance = super().__new__(cls)
        return cls._instance
"""
READS_SETTINGS = """
from project.settings import Settings
from project.models.net import Net

class Main:
    def __init__(self):
        assert Settings() is Settings()
    def train(self, training_directory):
        self.net = Net(Settings().epochs)
    def save(self):
        with open("model.txt", "w") as file:
            file.write(repr((self.net.depth, Settings.training, Settings.here)))
"""


def test_a_singleton_reads_the_environment_while_it_is_imported_from_a_namespace_package(
    one_way: Way,
) -> None:
    net = "from ..settings import Settings\nimport helper\nclass Net:\n    def __init__(self, depth):\n        self.depth = depth\n"
    files = {"project/settings.py": SETTINGS, "project/models/net.py": net, "helper.py": ""}
    found = one_way.run("training", READS_SETTINGS, files=files, data={"rows": ""}, env={"epochs": "7"})

    assert found.good
    assert found.after["model.txt"] == "(7, ['rows'], [])"
    assert set(found.after) - set(found.before) == {"model.txt"}, "no compiled code is kept"


INHERITS = """
from dataclasses import dataclass, field
from base import Base

@dataclass
class Config:
    epochs: int = 3
    layers: list = field(default_factory=lambda: [1, 2])

@dataclass
class Main(Base):
    config: Config = field(default_factory=Config)

    def train(self, training_directory):
        self.model = repr(self.config)
"""
BASE = "class Base:\n    def save(self):\n        open('model.txt', 'w').write(self.model)\n"


def test_main_is_a_dataclass_and_inherits_what_it_needs(one_way: Way) -> None:
    found = one_way.run("training", INHERITS, files={"base.py": BASE})

    assert found.good
    assert found.after["model.txt"] == "Config(epochs=3, layers=[1, 2])"


EITHER_NAME = """
import os

class Main:
    def evaluate(self, evaluation_directory):
        return len(os.listdir(os.environ[{name!r}]))
"""


@pytest.mark.parametrize("name", ["test_data_directory", "evaluation_data_directory", "data_directory"])
def test_it_finds_the_evaluation_set_by_either_name(one_way: Way, name: str) -> None:
    found = one_way.run("evaluation", EITHER_NAME.format(name=name), data={"a": "", "b": ""})

    assert (found.good, found.facts.score) == (True, 2)


RUNS_ON_IMPORT = """
import os

class Main:
    def train(self, training_directory):
        self.rows = os.listdir(training_directory)
    def save(self):
        with open("model.txt", "a") as file:
            file.write(repr(self.rows))

open({mark!r}, "a").close()
main = Main()
main.train("./data")
main.save()
"""


def test_what_runs_on_import_is_not_run_by_a_check_but_by_a_training(one_way: Way, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    lab = Lab(Path.cwd(), Path(os.environ["PKGRUN_CACHE"]))
    folder = lab.package("odd", RUNS_ON_IMPORT.format(mark=str(mark)))
    lab.pkgrun("package", "check", folder)
    lab.pkgrun("package", "add", folder)
    assert not mark.exists()

    found = one_way.run("training", RUNS_ON_IMPORT.format(mark=str(mark)), data={"a": ""})
    assert found.good
    assert found.after["model.txt"] == "['a']['a']"
    assert mark.exists()


# ---------------------------------------------------------------- what packages leave


LEAVES_THINGS = """
import os

class Main:
    def train(self, training_directory):
        os.makedirs("catboost_info/tmp")
        open("catboost_info/learn_error.tsv", "w").close()
        os.makedirs("logs/empty")

    def save(self):
        assert os.path.isdir("model"), "an empty folder is a folder all the same"
        with open("model/model.txt", "w") as file:
            file.write("x")
"""


def test_unexpected_files_are_kept_and_named_and_empty_folders_stay(one_way: Way) -> None:
    (Path.cwd() / "packages" / "odd" / "model").mkdir(parents=True)
    found = one_way.run("training", LEAVES_THINGS)

    assert found.good
    assert (found.before["model"], found.after["logs/empty"], found.after["catboost_info/tmp"]) == (None,) * 3
    assert found.facts.changes is not None
    assert "catboost_info/learn_error.tsv" in found.facts.changes.unexpected.names


def test_a_model_that_is_saved_elsewhere_is_warned_of(one_way: Way, tmp_path: Path) -> None:
    place = tmp_path / "elsewhere.txt"
    code = "class Main:\n    def train(self, training_directory): pass\n    def save(self):\n"
    found = one_way.run("training", code + f"        open({str(place)!r}, 'w').close()\n")

    assert found.good
    assert any("changed no file of the package" in warning for warning in found.facts.warnings)


READS_ABOVE = """
import os

class Main:
    def train(self, training_directory):
        print(sorted(os.listdir("..")))
        with open("../stray.txt", "w") as file:
            file.write("x")
        with open("../neighbour.csv") as file:
            file.read()
    def save(self): pass
"""


def test_nothing_of_the_package_lies_above_it(one_way: Way) -> None:
    """The folder above is the run's own, and goes with it, with what was written there."""
    found = one_way.run("training", READS_ABOVE)

    assert found.record.error is not None
    assert "neighbour.csv" in found.record.error.message
    assert "store" not in found.said[0]


TALKS = """
import logging, sys, warnings
logging.basicConfig(level=logging.INFO)

class Main:
    def train(self, training_directory):
        logging.info("an epoch")
        warnings.warn("old style")
        for part in (10, 50, 100):
            sys.stderr.write("\\r%3d%%|####" % part)
            sys.stderr.flush()
        sys.stderr.write("\\n")
        print("ünïcode \\ud83d\\ude00".encode("utf-16", "surrogatepass").decode("utf-16"))
        sys.stdout.write("no end of line")
    def save(self): pass
"""


def test_it_talks_on_both_streams(one_way: Way) -> None:
    found = one_way.run("training", TALKS)

    assert found.good
    said = "\n".join(found.said)
    for words in (
        "INFO:root:an epoch",
        "UserWarning: old style",
        "100%|####",
        "ünïcode 😀",
        "no end of line",
    ):
        assert words in said


def test_training_needs_other_things_than_serving(lab: Lab) -> None:
    """In an environment of its own: what only serving needs cannot even be installed."""
    files = {"requirements.txt": "no-such-thing-at-all==1\n", "train_requirements.txt": ""}
    run = lab.workspace().train(lab.package("p", LOOKS, files)).wait(120)

    assert run.record.facts is not None
    assert run.record.facts.environment is not None
    assert run.record.facts.environment.mode == "isolated"
