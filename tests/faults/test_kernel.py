"""Row 8: death at any system call loses nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults import kernel

pytestmark = pytest.mark.row(8)


@pytest.mark.slow
@pytest.mark.skipif(not kernel.possible(), reason="needs strace and the right to trace")
@pytest.mark.parametrize("call", kernel.CALLS)
def test_death_at_a_system_call_loses_nothing(tmp_path: Path, call: str) -> None:
    tally = kernel.deaths(tmp_path, call)
    assert tally.wrong == []
    assert tally.faults or call in kernel.RARE
