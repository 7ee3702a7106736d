"""A training that waits until it is told to go on, so that something can happen meanwhile."""

from __future__ import annotations

import subprocess

from .lab import Lab, until

HOUR = 3600.0

PATIENT = """
import os, time

class Main:
    def train(self, training_directory):
        print("waiting", flush=True)
        open(os.environ["began"], "w").close()
        while not os.path.exists(os.environ["go"]):
            time.sleep(0.01)
        print("going on")

    def save(self):
        open("model.txt", "w").close()
"""


def patient(lab: Lab) -> list[str]:
    """The words that train a package whose code waits for the mark `go`; the package is there."""
    lab.workspace().add(lab.package("p", PATIENT))
    given = [word for name in ("began", "go") for word in ("-e", f"{name}={lab.mark(name)}")]
    return ["train", "p@1.0", "--environment", "current", *given]


def waiting(lab: Lab, *more: str) -> tuple[subprocess.Popen[str], str]:
    """A training in a process of its own, which waits for `go`; and its run."""
    process = lab.start(*patient(lab), *more)
    until(lab.mark("began").exists, what="the training's beginning")
    [record] = lab.workspace().runs()
    return process, record.run
