"""The README's commands are the ones that are run."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CHECK = "python3 -m venv .venv && .venv/bin/pip install -q -e '.[test]' && .venv/bin/python -m tests"


def test_ci_runs_the_line_of_the_readme_and_nothing_else() -> None:
    script = ROOT / ".ci" / "run"
    lines = [line for line in script.read_text().splitlines() if line and not line.startswith("#")]

    assert os.access(script, os.X_OK)
    assert lines == ["set -euo pipefail", 'cd "$(dirname "$0")/.."', CHECK]


def test_the_readme_says_how_everything_is_checked() -> None:
    lines = [line.strip() for line in (ROOT / "README.md").read_text(encoding="utf-8").splitlines()]

    assert CHECK in lines
