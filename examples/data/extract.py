"""Writes the datasets of this folder again, from scikit-learn 1.9.1 and SciPy 1.17.1 (see SOURCES.md)."""

import ast
import csv
import hashlib
import re
import sys
from collections import defaultdict
from importlib.util import find_spec
from pathlib import Path

from sklearn.datasets import load_breast_cancer, load_iris

TOPICS = ("optimize", "signal", "sparse", "stats")
HELD_OUT_PER_TOPIC = 30
# Texts per topic, of which each batch takes the next ones.
BATCHES = (8, 22, 79)


def write(path, header, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as table:
        writer = csv.writer(table, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def table(bunch, answer):
    """Header and rows of one of scikit-learn's tables, with the class by its name in the last column."""
    header = [name.replace(" (cm)", "").replace(" ", "_") for name in bunch.feature_names]
    names = bunch.target_names[bunch.target].tolist()
    return [*header, answer], [[*row, name] for row, name in zip(bunch.data.tolist(), names, strict=True)]


def digest(text):
    """An order that is arbitrary but the same everywhere."""
    return hashlib.sha256(text.encode()).hexdigest()


def plain(docstring, limit=300):
    """The first sentences of a docstring's introduction, without markup and without the library's name."""
    introduction = re.split(r"\n[A-Z][A-Za-z ]+\n-{4,}", docstring)[0]
    paragraphs = [
        p for p in introduction.split("\n\n") if not p.lstrip().startswith((".. ", ">>>", "*", "-"))
    ]
    text = " ".join(" ".join(paragraphs).split())
    text = re.sub(r":\w+:`~?([^`<]+?)(?: <[^>]+>)?`", r"\1", text)
    text = re.sub(r"\s*\[\d+\]_", "", text).translate(str.maketrans("", "", "`*"))
    kept = ""
    for sentence in re.split(r"(?<=[.])\s+(?=[A-Z])", text):
        if len(kept) + len(sentence) >= limit:
            break
        if (
            sentence.isascii()
            and "\\" not in sentence
            and not re.search("numpy|scipy", sentence, re.IGNORECASE)
        ):
            kept = f"{kept} {sentence}".strip()
    return kept if len(kept.split()) >= 8 else ""


def introductions(folder):
    """{file: texts} of one part of SciPy."""
    texts = defaultdict(set)
    for path in sorted(folder.rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        # A file that states a licence of its own may not be under SciPy's.
        if "tests" in path.parts or re.search("copyright|licen[cs]e", source, re.IGNORECASE):
            continue
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
                texts[path.relative_to(folder).as_posix()].add(plain(ast.get_docstring(node) or ""))
    return {file: found - {""} for file, found in texts.items()}


def held_out_and_rest(folder):
    """Whole files are held out: functions of one file describe themselves in the same words."""
    held_out, rest = set(), set()
    by_file = introductions(folder)
    for file in sorted(by_file, key=digest):
        (held_out if len(held_out) < HELD_OUT_PER_TOPIC else rest).update(by_file[file])
    return sorted(held_out, key=digest)[:HELD_OUT_PER_TOPIC], sorted(rest - held_out, key=digest)


def main(data):
    write(data / "iris" / "iris.csv", *table(load_iris(), "species"))

    header, patients = table(load_breast_cancer(), "diagnosis")
    write(data / "diagnosis" / "patients.csv", header, [row for n, row in enumerate(patients) if n % 5])
    write(data / "diagnosis-held-out" / "patients.csv", header, patients[::5])

    scipy = Path(find_spec("scipy").origin).parent
    parts = {topic: held_out_and_rest(scipy / topic) for topic in TOPICS}
    held_out = [(topic, text) for topic, (texts, _) in parts.items() for text in texts]
    for number, size in enumerate(BATCHES, 1):
        start = sum(BATCHES[: number - 1])
        batch = [(topic, text) for topic, (_, texts) in parts.items() for text in texts[start : start + size]]
        folder = data / "routing" / f"batch{number}"
        for name, rows in (("train.csv", batch), ("held_out.csv", held_out)):
            write(folder / name, ("topic", "text"), sorted(rows, key=lambda row: digest(row[1])))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
