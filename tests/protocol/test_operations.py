"""The protocol of operations, in all orders of its steps; and that whoever changes it carelessly is found out."""

from __future__ import annotations

import pytest

from tests.protocol.checker import check
from tests.protocol.operations import Bug, Operations


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(Operations(writers=1, helpers=2), id="one writer, two who recover"),
        pytest.param(Operations(writers=2, helpers=1), id="two writers, one who recovers, late requests"),
        pytest.param(
            Operations(writers=2, helpers=2, late=False),
            id="two writers, two who recover",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            Operations(writers=3, helpers=0, late=False), id="three writers", marks=pytest.mark.slow
        ),
    ],
)
def test_every_commit_gets_one_number_whatever_dies(model: Operations) -> None:
    found = check(model, endings=model.helpers > 0)
    print(found)
    assert found.wrong is None, str(found)


CAUGHT = {
    Bug.OVERWRITE_DECISION: "the decision COMMIT became",
    Bug.OVERWRITE_NUMBER: "a number was given a second time",
    Bug.NEWEST_PLUS_ONE: "an operation has two numbers",
    Bug.REAPER_COMMITS: "committed without its content",
    Bug.TRUST_OWN_OUTCOME: "LOST has a number",
    Bug.FAILURE_OVERWRITES: "the decision COMMIT became FAILED",
    Bug.NEXT_WHEN_REFUSED: "an operation has two numbers",
    Bug.NEXT_WHEN_UNANSWERED: "an operation has two numbers",
    Bug.NUMBER_FIRST: "not decided has a number",
    Bug.OWN_HEAD: "an operation has two numbers",
    Bug.ACKNOWLEDGE_EARLY: "what was acknowledged is not there",
}


@pytest.mark.parametrize("bug", Bug, ids=lambda bug: bug.name.lower())
def test_a_seeded_bug_is_caught(bug: Bug) -> None:
    found = check(Operations(writers=2, helpers=1, late=False, bug=bug), endings=False)
    print(f"{bug.value}:\n{found}")
    assert CAUGHT[bug] in (found.wrong or "")
