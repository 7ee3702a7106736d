"""Row 8: after a power cut everything that was acknowledged is there."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.faults import images
from tests.faults.power import cuts

pytestmark = pytest.mark.row(8)

CUTS = 12


@pytest.mark.slow
@pytest.mark.skipif(not images.possible(), reason="only root can mount file systems")
def test_nothing_that_was_acknowledged_is_lost_when_the_power_is_cut(tmp_path: Path) -> None:
    tally = cuts(tmp_path, CUTS, random.randrange(1 << 30))
    assert tally.wrong == []
    assert tally.acknowledged > CUTS
