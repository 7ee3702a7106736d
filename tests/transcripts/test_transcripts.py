"""Every session goes as it is written down."""

from __future__ import annotations

import difflib
from pathlib import Path

import pytest

from .session import FOLDER, Session, in_order, read, written

FILES = sorted(FOLDER.glob("*.txt"))


@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
def test_session(file: Path, tmp_path: Path) -> None:
    expected = file.read_text(encoding="utf-8")
    actual = written(list(Session(tmp_path).carry_out(read(expected))))

    if actual != expected:
        lines = difflib.unified_diff(
            expected.splitlines(), actual.splitlines(), "expected", "actual", n=8, lineterm=""
        )
        pytest.fail(f"{file.name}:\n" + "\n".join(lines), pytrace=False)


def test_a_session_is_read_as_it_is_written() -> None:
    text = "# why\n$ one\nout\n\n  put\n? 3\n\n# more\n$ two\n$ three\n"

    assert written(read(text)) == text


def test_the_order_of_threads_does_not_count() -> None:
    phases = [f"<time> {name}" for name in ("stage", "train", "save", "collect", "commit")]
    lines = [*phases[:2], "run <run>", "  log", *phases[2:], "p 1.1", "  metric"]

    expected = ["run <run>", *phases[:3], "  log", *phases[3:], "p 1.1", "  metric"]
    assert in_order(lines) == expected
    assert (
        in_order([*phases[:1], "run <run>", *phases[1:3], "  log", *phases[3:], "p 1.1", "  metric"])
        == expected
    )
