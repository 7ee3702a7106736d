"""Learns to tell three species of iris apart by four measurements, with the standard library alone.

Parameter, as an environment variable: every (one flower in so many is held out).
"""

import csv
import json
import os
from pathlib import Path

import bayes

MODEL = Path(__file__).parent / "model.json"
TARGET = "species"


def parameter(name, default):
    """An environment variable, as the type of its default."""
    return type(default)(os.environ.get(name, default))


def read(directory):
    with (Path(directory) / "iris.csv").open(newline="", encoding="utf-8") as table:
        return list(csv.DictReader(table))


def accuracy(model, rows):
    return sum(bayes.classify(model, row) == row[TARGET] for row in rows) / len(rows)


class Main:
    def __init__(self):
        self.model = json.loads(MODEL.read_text()) if MODEL.exists() else None

    def train(self, training_directory):
        rows = read(training_directory)
        every = parameter("every", 5)
        # The file is sorted by species, so this holds out the same share of each.
        held_out = rows[::every]
        learned = [row for number, row in enumerate(rows) if number % every]
        self.model = bayes.fit(learned, TARGET)
        metrics = {
            "accuracy": {
                "training": accuracy(self.model, learned),
                "held_out": accuracy(self.model, held_out),
            },
            "rows": {"training": len(learned), "held_out": len(held_out)},
        }
        artifacts = Path(parameter("artifacts_directory", "artifacts"))
        (artifacts / "metrics.json").write_text(json.dumps(metrics, indent=2))
        print(f"{metrics['accuracy']['held_out']:.1%} of {len(held_out)} held-out flowers named correctly")

    def evaluate(self, evaluation_directory):
        if self.model is None:
            raise RuntimeError("nothing to evaluate: this version has not been trained yet")
        return accuracy(self.model, read(evaluation_directory))

    def save(self):
        MODEL.write_text(json.dumps(self.model, indent=2))
