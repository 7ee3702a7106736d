"""Row 9: what fails on a full disk says so, loses nothing, and works when there is room."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults import full, images
from tests.faults.operations import OPERATIONS

pytestmark = pytest.mark.row(9)


@pytest.mark.slow
@pytest.mark.skipif(not images.possible(), reason="only root can mount file systems")
@pytest.mark.parametrize("what", list(full.ROOM))
@pytest.mark.parametrize("operation", list(OPERATIONS))
def test_a_full_disk_fails_cleanly_and_loses_nothing(tmp_path: Path, operation: str, what: str) -> None:
    tally = full.attempts(tmp_path, operation, what)
    assert tally.wrong == []
    assert tally.faults or operation == "gc"
