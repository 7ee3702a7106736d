"""Learns to classify the rows of tables: every .csv of the data folder, one column of which is the answer.

Numbers are scaled and text columns become one column a value, so other tables work as well: set `target`.
Parameters, as environment variables: target, C (the inverse of regularisation), folds, seed.
"""

import csv
import json
import os
from pathlib import Path

import joblib
import numpy as np
from sklearn.feature_extraction import DictVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, classification_report, confusion_matrix
from sklearn.model_selection import StratifiedKFold, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

MODEL = Path(__file__).parent / "model.joblib"


def parameter(name, default):
    """An environment variable, as the type of its default."""
    return type(default)(os.environ.get(name, default))


def number_or_text(cell):
    try:
        return float(cell)
    except ValueError:
        return cell


def read_rows(directory):
    rows = []
    for path in sorted(Path(directory).glob("*.csv")):
        with path.open(newline="", encoding="utf-8") as table:
            rows += csv.DictReader(table)
    return rows


def write_rows(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as table:
        writer = csv.DictWriter(table, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def questions_and_answers(directory, target):
    rows = read_rows(directory)
    if not rows:
        raise FileNotFoundError(f"no rows: {directory} holds no .csv file, or only headers")
    answers = np.array([row.pop(target) for row in rows])
    questions = [{column: number_or_text(cell) for column, cell in row.items()} for row in rows]
    return np.array(questions, dtype=object), answers


def new_pipeline():
    classifier = LogisticRegression(C=parameter("C", 1.0), max_iter=1000)
    return make_pipeline(DictVectorizer(sparse=False), StandardScaler(), classifier)


def cross_validate(questions, answers):
    """The answer for each row by a model that never saw that row, and the accuracy of each fold."""
    folds = StratifiedKFold(parameter("folds", 5), shuffle=True, random_state=parameter("seed", 0))
    guesses, scores = np.empty_like(answers), []
    for known, held_out in folds.split(questions, answers):
        pipeline = new_pipeline().fit(questions[known], answers[known])
        guesses[held_out] = pipeline.predict(questions[held_out])
        scores.append(accuracy_score(answers[held_out], guesses[held_out]))
        print(
            f"fold {len(scores)} of {folds.n_splits}: {scores[-1]:.1%} of {len(held_out)} held-out rows correct"
        )
    return guesses, scores


def confusion_table(answers, guesses):
    labels = np.unique(answers)
    lines = ["rows: the truth, columns: the answer", "".join(f"{label:>14}" for label in ["", *labels])]
    for label, counts in zip(labels, confusion_matrix(answers, guesses, labels=labels), strict=True):
        lines.append(f"{label:>14}" + "".join(f"{count:14}" for count in counts))
    return "\n".join(lines)


def report(section, answers, guesses, **more):
    """Add a section to artifacts/metrics.json, and write artifacts/<section>.txt for people."""
    artifacts = Path(parameter("artifacts_directory", "artifacts"))
    details = classification_report(answers, guesses, output_dict=True, zero_division=0)
    metrics_path = artifacts / "metrics.json"
    metrics = json.loads(metrics_path.read_text()) if metrics_path.exists() else {}
    metrics[section] = {
        "accuracy": accuracy_score(answers, guesses),
        "recall": {str(label): details[label]["recall"] for label in np.unique(answers)},
        "rows": len(answers),
        **more,
    }
    metrics_path.write_text(json.dumps(metrics, indent=2))
    table = classification_report(answers, guesses, digits=3, zero_division=0)
    (artifacts / f"{section}.txt").write_text(f"{table}\n{confusion_table(answers, guesses)}\n")


class Main:
    def __init__(self):
        self.model = joblib.load(MODEL) if MODEL.exists() else None

    def process_data(self, input_directory):
        """Bring the rows to training/, and a stratified fifth of them to test/ unless that was filled already."""
        root = Path(input_directory)
        rows = read_rows(root)
        if not rows:
            return  # The dataset came with its own training/ and test/.
        if not any((root / "test").iterdir()):
            answers = [row[parameter("target", "diagnosis")] for row in rows]
            rows, test = train_test_split(
                rows, test_size=0.2, stratify=answers, random_state=parameter("seed", 0)
            )
            write_rows(root / "test" / "rows.csv", test)
        write_rows(root / "training" / "rows.csv", rows)

    def train(self, training_directory):
        target = parameter("target", "diagnosis")
        questions, answers = questions_and_answers(training_directory, target)
        guesses, scores = cross_validate(questions, answers)
        report("cross_validation", answers, guesses, worst_fold=min(scores))
        # The folds have told what to expect; the model that is kept learns from every row.
        pipeline = new_pipeline().fit(questions, answers)
        self.model = {"pipeline": pipeline, "columns": list(questions[0]), "target": target}
        print(f"{accuracy_score(answers, guesses):.1%} of {len(answers)} rows correct when held out")

    def evaluate(self, evaluation_directory):
        if self.model is None:
            raise RuntimeError("nothing to evaluate: this version has not been trained yet")
        questions, answers = questions_and_answers(evaluation_directory, self.model["target"])
        guesses = self.model["pipeline"].predict(questions)
        report("evaluation", answers, guesses)
        return float(accuracy_score(answers, guesses))

    def save(self):
        joblib.dump(self.model, MODEL)
