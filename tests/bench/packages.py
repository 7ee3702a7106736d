"""The packages and data that the benchmarks train, written out where they are wanted."""

from __future__ import annotations

import os
from pathlib import Path

from .peers import SCRIPT

_CHUNK = 1 << 20

_AVERAGE = '''\
"""The mean of a column."""

import csv
import time


def average(file):
    with open(file, newline="") as lines:
        values = [float(row["value"]) for row in csv.DictReader(lines)]
    return {"mean": sum(values) / len(values), "at": time.time_ns()}
'''

_TRAIN = """\
import json
from pathlib import Path

from average import average

HERE = Path(__file__).parent


class Main:
    def train(self, training_directory):
        self.model = average(Path(training_directory) / "values.csv")

    def save(self):
        (HERE / "model.json").write_text(json.dumps(self.model))
"""

_MAIN = """\
import json
from pathlib import Path


class Main:
    def __init__(self):
        self.model = json.loads((Path(__file__).parent / "model.json").read_text())

    def predict(self, mlskill_input):
        return json.dumps(self.model["mean"])
"""

_RUN = """\
from train import Main

main = Main()
main.train("./data")
main.save()
"""

_ENTER = """\
import os
import time


class Main:
    def train(self, training_directory):
        with open(os.environ["entered"], "w") as file:
            file.write(str(time.time_ns()))

    def save(self):
        pass
"""

_REPLACE = """\
import os
from pathlib import Path

WEIGHTS = Path(__file__).parent / "weights"


class Main:
    def train(self, training_directory):
        self.file = sorted(WEIGHTS.iterdir())[int(os.environ["number"])]

    def save(self):
        self.file.write_bytes(os.urandom(self.file.stat().st_size))
"""


def trivial(folder: Path) -> Path:
    """A package of three small files of the standard library; each training makes another model."""
    folder.mkdir(parents=True)
    for name, text in (("train.py", _TRAIN), ("main.py", _MAIN), ("average.py", _AVERAGE)):
        (folder / name).write_text(text)
    return folder


def values(folder: Path) -> Path:
    """A dataset of one file of a hundred lines."""
    folder.mkdir(parents=True)
    (folder / "values.csv").write_text("value\n" + "".join(f"{number}\n" for number in range(100)))
    return folder


def entering(folder: Path) -> Path:
    """A package whose training only tells when it began: `entered` says in which file."""
    folder.mkdir(parents=True)
    (folder / "train.py").write_text(_ENTER)
    return folder


def script(folder: Path) -> Path:
    """The script that does what a training of the trivial package does, with its modules and data beside it."""
    trivial(folder)
    values(folder / "data")
    (folder / SCRIPT).write_text(_RUN)
    return folder


def weights(folder: Path, *, files: int, size: int) -> Path:
    """A package of `files` files of `size` random bytes each; a training replaces the one that `number` says."""
    (folder / "weights").mkdir(parents=True)
    (folder / "train.py").write_text(_REPLACE)
    for number in range(files):
        random(folder / "weights" / f"{number:03}.bin", size)
    return folder


def random(file: Path, size: int) -> None:
    """A file of random bytes."""
    with file.open("wb") as out:
        for start in range(0, size, _CHUNK):
            out.write(os.urandom(min(_CHUNK, size - start)))
