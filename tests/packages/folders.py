"""Package folders on disk, and what the check says of them."""

from __future__ import annotations

from pathlib import Path

from pkgrun.packages.inspection import Problem, Report, check

TRAIN = """\
class Main:
    def __init__(self):
        self.model = None

    def train(self, training_directory):
        pass

    def evaluate(self, evaluation_directory):
        return 0.5

    def save(self):
        pass

    def process_data(self, input_directory):
        pass
"""
MAIN = "class Main:\n    def __init__(self): pass\n    def predict(self, mlskill_input): return ''\n"
ALL = ("training", "evaluation", "full")


def package(root: Path, **files: str) -> Path:
    """A folder with a complete package, whose files are then replaced; names are without `.py`."""
    for name, text in {"train": TRAIN, "main": MAIN, **files}.items():
        path = root / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (root / "requirements.txt").write_text("")
    return root


def trained(root: Path, train: str, **files: str) -> Report:
    return check(package(root, train=train, **files))


def texts(report: Report) -> list[str]:
    return [str(problem) for problem in report.problems]


def only(report: Report) -> Problem:
    assert len(report.problems) == 1, texts(report)
    return report.problems[0]
