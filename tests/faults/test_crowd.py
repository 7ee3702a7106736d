"""Rows 8 and 14: a crowd that is killed and stopped, with collections among them, loses and doubles nothing."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.faults.crowds import CROWD, crowd

pytestmark = [pytest.mark.row(8), pytest.mark.row(14)]


@pytest.mark.slow
def test_a_crowd_that_is_killed_and_stopped_loses_and_doubles_nothing(tmp_path: Path) -> None:
    tally = crowd(tmp_path, random.randrange(1 << 30))
    assert tally.wrong == []
    assert tally.operations == CROWD
    assert tally.faults > CROWD // 4
