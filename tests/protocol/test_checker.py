"""The checker itself: it sees every state, and its stories are the shortest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.protocol.checker import TooMany, check


@dataclass(frozen=True)
class Jugs:
    """Two jugs, of three and of five; `unwanted` is an amount that must not come about."""

    unwanted: int
    leaks: bool = False

    def initial(self) -> Iterator[tuple[int, int]]:
        yield 0, 0

    def steps(self, state: tuple[int, int]) -> Iterator[tuple[str, tuple[int, int]]]:
        three, five = state
        if five < 0:
            return
        yield "fill 3", (3, five)
        yield "fill 5", (three, 5)
        yield "empty 3", (0, five)
        yield "empty 5", (three, 0)
        poured = min(three, 5 - five)
        yield "3 into 5", (three - poured, five + poured)
        poured = min(3 - three, five)
        yield "5 into 3", (three + poured, five - poured)
        if self.leaks:
            yield "break", (0, -1)

    def wrong(self, state: tuple[int, int]) -> str | None:
        return f"{self.unwanted} measured" if self.unwanted in state else None

    def undone(self, before: tuple[int, int], after: tuple[int, int]) -> str | None:
        return None

    def settled(self, state: tuple[int, int]) -> bool:
        return state == (0, 0)


def test_all_states_are_seen() -> None:
    found = check(Jugs(unwanted=6))
    assert (found.states, found.wrong) == (16, None)


def test_the_story_is_the_shortest() -> None:
    found = check(Jugs(unwanted=4))
    assert found.wrong == "4 measured"
    assert found.story == ("fill 5", "5 into 3", "empty 3", "5 into 3", "fill 5", "5 into 3")
    assert str(found).splitlines()[1:3] == ["  1 fill 5", "  2 5 into 3"]


def test_a_state_without_a_way_back_is_found() -> None:
    found = check(Jugs(unwanted=6, leaks=True))
    assert (found.wrong, found.story) == ("it can never come to a good end", ("break",))


def test_a_model_that_is_larger_than_thought_is_no_success() -> None:
    with pytest.raises(TooMany, match="more than 10 states"):
        check(Jugs(unwanted=6), most=10)
