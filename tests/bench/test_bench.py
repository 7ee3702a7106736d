"""The benchmarks still run. What they measure is not looked at here: a time is no test."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[2]
OTHERS = ("dvc", "restic", "borg", "mlflow")


pytestmark = pytest.mark.slow


def reports(folder: Path, *words: str) -> tuple[list[dict[str, Any]], str]:
    """What benchmarks tell that run as quickly as they can: in their file, and on the screen."""
    found = folder / "found.json"
    command = (sys.executable, "-m", "tests.bench", *words, "--quick", "--python", sys.executable)
    done = subprocess.run(
        (*command, "--work", str(folder), "--json", str(found)),
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    assert list(folder.iterdir()) == [found], "the benchmarks left something behind"
    told: list[dict[str, Any]] = json.loads(found.read_text())["reports"]
    assert all(report["samples"] for report in told)
    return told, done.stdout


def test_every_benchmark_runs_and_tells_what_it_found(tmp_path: Path) -> None:
    told, said = reports(tmp_path, *(word for name in OTHERS for word in ("--without", name)))
    assert "left out, as not there: dvc, metaflow, mlflow" in said
    assert [len(report["rows"]) for report in told] == [5, 3, 6, 2, 4, 8, 2, 3]


def test_the_benchmark_of_lineage_runs_too(tmp_path: Path) -> None:
    (report,), _ = reports(tmp_path, "lineage")
    assert len(report["rows"]) == 5
