"""A package that does what the world outside says, and its runs done again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pkgrun import Reproduction, Workspace

from .lab import Lab
from .scripted import dataset

CODE = """
import os

class Main:
    def train(self, training_directory):
        self.seen = [open(os.path.join(training_directory, name)).read() for name in sorted(os.listdir(training_directory))]
        self.world("train")

    def evaluate(self, evaluation_directory):
        return float(len(os.listdir(evaluation_directory)))

    def save(self):
        with open("model.txt", "a") as file:
            file.write(str(self.seen))
        with open(os.path.join(os.environ["artifacts_directory"], "metrics.json"), "w") as file:
            file.write('{"rows": %d}' % len(self.seen))
        self.world("save")

    def world(self, when):
        place = os.path.join(os.environ.get("world", ""), when + ".py")
        if os.path.exists(place):
            exec(open(place).read(), {"os": os})
"""
"""A package that also does what lies in a folder of the world outside, where nothing holds that."""


def reproduced(workspace: Workspace, name: str, **options: Any) -> Reproduction:
    found = workspace.reproduce(name, **options).wait(60).reproduction
    assert found is not None
    return found


@pytest.fixture
def package(lab: Lab) -> Path:
    return lab.package("p", CODE)


@pytest.fixture
def world(lab: Lab) -> Path:
    folder = lab.folder / "world"
    folder.mkdir()
    return folder


@pytest.fixture
def flat(lab: Lab) -> Path:
    """A dataset without a sub-folder."""
    return dataset(lab, "flat", {"a.csv": "1,2\n", "b.csv": "3\n"})


@pytest.fixture
def workspace(lab: Lab) -> Workspace:
    return lab.workspace()
