"""Learns which topic a text belongs to, batch after batch: each training continues from the version it runs on.

A batch is a folder with train.csv to learn from and held_out.csv to be measured on, both `topic,text`.
Parameter, as an environment variable: alpha (smoothing; counts when the first batch is learned).
"""

import csv
import json
import os
from pathlib import Path

import joblib
import numpy as np
import words
from sklearn.naive_bayes import MultinomialNB

MODEL = Path(__file__).parent / "model.joblib"


def parameter(name, default):
    """An environment variable, as the type of its default."""
    return type(default)(os.environ.get(name, default))


def read(path):
    with path.open(newline="", encoding="utf-8") as table:
        rows = list(csv.DictReader(table))
    return [row["text"] for row in rows], [row["topic"] for row in rows]


def untrained():
    return {
        # Naive Bayes adds up counts: batches learned one by one give what all of them at once would give.
        "classifier": MultinomialNB(alpha=parameter("alpha", 0.1)),
        "batches": 0,
        "examples": 0,
    }


class Main:
    def __init__(self):
        self.model = joblib.load(MODEL) if MODEL.exists() else untrained()

    def train(self, training_directory):
        texts, topics = read(Path(training_directory) / "train.csv")
        # A model that has learned nothing answers nothing, so nothing correctly.
        before = self.evaluate(training_directory) if self.model["batches"] else 0.0
        known = None if self.model["batches"] else np.unique(topics)
        self.model["classifier"].partial_fit(words.count(texts), topics, classes=known)
        self.model["batches"] += 1
        self.model["examples"] += len(texts)
        after = self.evaluate(training_directory)

        metrics = {
            "held_out_accuracy": {"before": before, "after": after},
            "examples": {"this_batch": len(texts), "in_total": self.model["examples"]},
            "batches": self.model["batches"],
        }
        artifacts = Path(parameter("artifacts_directory", "artifacts"))
        (artifacts / "metrics.json").write_text(json.dumps(metrics, indent=2))
        print(f"batch {self.model['batches']}: {len(texts)} texts, {self.model['examples']} in total")
        print(f"held-out accuracy: {before:.1%} before, {after:.1%} after")

    def evaluate(self, evaluation_directory):
        if not self.model["batches"]:
            raise RuntimeError("nothing to evaluate: this version has not been trained yet")
        texts, topics = read(Path(evaluation_directory) / "held_out.csv")
        return float(self.model["classifier"].score(words.count(texts), topics))

    def save(self):
        joblib.dump(self.model, MODEL, compress=3)
