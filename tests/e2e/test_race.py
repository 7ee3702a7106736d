"""Sixteen processes at once: every number is given once, and none is left out."""

from __future__ import annotations

import pytest

from .lab import TRAIN, Lab, chain_is_intact, minors, until

COUNT = 16

TOGETHER = """
import os, time

class Main:
    def train(self, training_directory):
        self.name = f"{os.environ['mark']}-{os.getpid()}"
        open(self.name, "w").close()

    def save(self):
        folder, prefix = os.path.split(os.environ["mark"])
        while sum(name.startswith(prefix) for name in os.listdir(folder)) < int(os.environ["count"]):
            time.sleep(0.002)
        with open("model.txt", "w") as file:
            file.write(self.name)
"""


@pytest.mark.parametrize("environment", ["current", "isolated"])
def test_trainings_of_one_version_get_sixteen_numbers(lab: Lab, environment: str) -> None:
    """All of them wait in save() for the last one, so that all decide at once."""
    lab.pkgrun("package", "add", lab.package("p", TOGETHER))
    given = ["-e", f"mark={lab.mark('here')}", "-e", f"count={COUNT}", "--environment", environment, "-q"]
    processes = [lab.start("train", "p@1.0", *given, "--json") for _ in range(COUNT)]
    ends = [(*process.communicate(timeout=120), process.returncode) for process in processes]

    assert [code for _, _, code in ends] == [0] * COUNT, [err for _, err, code in ends if code]
    records = lab.workspace().versions("p")
    assert [str(record.version) for record in records] == [f"1.{minor}" for minor in range(COUNT + 1)]
    assert {str(record.parent) for record in records[1:]} == {"1.0"}
    assert len({record.tree.digest for record in records}) == COUNT + 1
    assert len({record.run for record in records}) == COUNT + 1
    assert chain_is_intact(lab.store, "p", 1)
    assert [run.status for run in lab.workspace().runs()] == ["successful"] * COUNT
    assert lab.leftovers() == []


def test_imports_of_one_folder_make_one_version(lab: Lab) -> None:
    source = """
        import os, sys, time, pkgrun
        open(sys.argv[3] + "-" + sys.argv[4], "w").close()
        while not os.path.exists(sys.argv[3]):
            time.sleep(0.002)
        imported = pkgrun.open(sys.argv[1]).add(sys.argv[2])
        print(imported.record.version, imported.record.run)
    """
    go, package = lab.mark("go"), lab.package("p", TRAIN)
    started = [lab.python(source, lab.store, package, go, str(number)) for number in range(COUNT)]
    until(lambda: len(list(go.parent.iterdir())) == COUNT, what="all beginnings")
    go.touch()
    said = [process.communicate(timeout=60)[0] for process in started]

    assert len(set(said)) == 1
    assert said[0].startswith("1.0 ")
    assert minors(lab.store, "p") == [0]
    assert [str(record.version) for record in lab.workspace().versions("p")] == ["1.0"]


def test_imports_of_different_folders_get_majors_without_gaps(lab: Lab) -> None:
    folders = []
    for number in range(COUNT):
        folder = lab.package(f"source{number}", TRAIN, {"which.txt": str(number)})
        folders.append(folder)
    started = [lab.start("package", "add", folder, "--name", "p", "-q") for folder in folders]
    said = sorted(process.communicate(timeout=60)[0] for process in started)

    assert said == sorted(f"p {major}.0\n" for major in range(1, COUNT + 1))


def test_a_training_beside_an_import_of_the_same_folder(lab: Lab) -> None:
    package = lab.package("p", TRAIN)
    started = [lab.start("train", package, "--environment", "current", "-q") for _ in range(8)]
    ends = [(*process.communicate(timeout=60), process.returncode) for process in started]

    assert [code for _, _, code in ends] == [0] * 8, [err for _, err, code in ends if code]
    assert minors(lab.store, "p") == list(range(9))
    assert [str(record.version) for record in lab.workspace().versions("p")] == [f"1.{n}" for n in range(9)]
