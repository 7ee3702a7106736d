"""The benchmarks still run. What they measure is not looked at here: a time is no test."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
OTHERS = ("dvc", "restic", "borg", "mlflow")


@pytest.mark.slow
@pytest.mark.skipif(
    not (Path(sys.executable).parent / "pkgrun").exists(), reason="pkgrun is not installed here"
)
def test_every_benchmark_runs_and_tells_what_it_found(tmp_path: Path) -> None:
    found = tmp_path / "found.json"
    command = (sys.executable, "-m", "tests.bench", "--quick", "--python", sys.executable)
    without = (word for name in OTHERS for word in ("--without", name))
    done = subprocess.run(
        (*command, *without, "--work", str(tmp_path), "--json", str(found)),
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    assert "left out, as not there: dvc, metaflow, mlflow" in done.stdout
    reports = json.loads(found.read_text())["reports"]
    assert [len(report["rows"]) for report in reports] == [5, 3, 6, 2, 4, 8, 2, 3]
    assert all(report["samples"] for report in reports)
    assert list(tmp_path.iterdir()) == [found], "the benchmarks left something behind"


@pytest.mark.slow
@pytest.mark.skipif(
    not (Path(sys.executable).parent / "pkgrun").exists(), reason="pkgrun is not installed here"
)
def test_the_benchmark_of_lineage_runs_too(tmp_path: Path) -> None:
    found = tmp_path / "found.json"
    command = (sys.executable, "-m", "tests.bench", "lineage", "--quick", "--python", sys.executable)
    done = subprocess.run(
        (*command, "--work", str(tmp_path), "--json", str(found)),
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    (report,) = json.loads(found.read_text())["reports"]
    assert len(report["rows"]) == 5
