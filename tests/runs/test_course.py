"""What a run finds out, and when."""

from __future__ import annotations

import pytest

from pkgrun.observe import Event, Phase
from pkgrun.runs.course import Course


def test_phases_follow_one_clock_whatever_their_events_say() -> None:
    """The clock of the machine may be set while a run goes on."""
    told: list[Event] = []
    course = Course(told.append)
    course.enter("stage")
    course.observe(Phase("init", at=0.0))
    course.observe(Phase("train", at=9e9))
    facts = course.facts()
    assert [phase.name for phase in facts.phases] == ["stage", "init", "train"]
    moments = [facts.started, *(phase.started for phase in facts.phases), facts.ended]
    assert moments == sorted(moments)
    assert all(0 <= phase.seconds < 5 for phase in facts.phases)
    heard = [event.at for event in told if isinstance(event, Phase)]
    assert heard == pytest.approx([phase.started.timestamp() for phase in facts.phases], abs=1e-5)
