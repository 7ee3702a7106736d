"""Goes through every state of a model, breadth first, so that what it finds wrong has the shortest story.

It knows nothing of what is modelled. A model is small enough that all of its states are seen, or the check fails.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

S = TypeVar("S", bound=Hashable)


class Model(Protocol[S]):
    """What may happen, and what must not."""

    def initial(self) -> Iterable[S]:
        """Where it may begin."""

    def steps(self, state: S) -> Iterator[tuple[str, S]]:
        """All that may happen next: what is done, by whom, and what comes of it."""

    def wrong(self, state: S) -> str | None:
        """What must never be so, if it is."""

    def undone(self, before: S, after: S) -> str | None:
        """What a step must never do, if it did."""

    def settled(self, state: S) -> bool:
        """Whether all has come to a good end: such a state must stay within reach, whatever happened."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check found: how many states there are, and the shortest story that ends in one that is wrong."""

    states: int
    steps: int
    wrong: str | None = None
    story: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.wrong is None:
            return f"{self.states:,} states, {self.steps:,} steps, nothing wrong"
        lines = (f"{number:3} {line}" for number, line in enumerate(self.story, 1))
        return "\n".join([f"{self.wrong}, after {len(self.story)} steps:", *lines])


class TooMany(Exception):
    """A model has more states than it was thought to have, so that not all of them were seen."""


def check(model: Model[S], *, most: int = 1_000_000, endings: bool = True) -> Checked:
    """Go through all states of a model.

    Args:
        most: states that it may have.
        endings: check too that a settled state can be reached from each.

    Raises:
        TooMany: it has more.
    """
    seen = _Seen[S](model)
    state = 0
    while state < len(seen.states):
        if (found := seen.go_on(state)) is not None:
            return found
        if len(seen.states) > most:
            raise TooMany(f"more than {most:,} states")
        state += 1
    if endings and (lost := seen.astray(model.settled)) is not None:
        return seen.checked("it can never come to a good end", lost)
    return seen.checked()


class _Seen(Generic[S]):
    """The states seen so far, each with the state and the step that led to it first."""

    def __init__(self, model: Model[S]) -> None:
        self._model = model
        self._numbers: dict[S, int] = {}
        self.states: list[S] = []
        self._from: list[tuple[int, str]] = []
        self._before: list[list[int]] = []
        self._steps = 0
        for state in model.initial():
            self._add(state, -1, "")

    def _add(self, state: S, before: int, step: str) -> None:
        number = self._numbers.setdefault(state, len(self.states))
        if number == len(self.states):
            self.states.append(state)
            self._from.append((before, step))
            self._before.append([])
        if before >= 0:
            self._before[number].append(before)

    def go_on(self, number: int) -> Checked | None:
        """Take every step from a state; what was found wrong, if anything."""
        state = self.states[number]
        if what := self._model.wrong(state):
            return self.checked(what, number)
        for step, after in self._model.steps(state):
            self._steps += 1
            if after == state:
                continue
            self._add(after, number, step)
            if what := self._model.undone(state, after):
                story = (*self._story(number), step)
                return Checked(len(self.states), self._steps, what, story)
        return None

    def astray(self, settled: Callable[[S], bool]) -> int | None:
        """The first state from which no settled one can be reached."""
        waiting = [number for number, state in enumerate(self.states) if settled(state)]
        good = set(waiting)
        while waiting:
            new = [number for number in self._before[waiting.pop()] if number not in good]
            good.update(new)
            waiting += new
        return next((number for number in range(len(self.states)) if number not in good), None)

    def checked(self, wrong: str | None = None, number: int = 0) -> Checked:
        story = self._story(number) if wrong else ()
        return Checked(len(self.states), self._steps, wrong, story)

    def _story(self, number: int) -> tuple[str, ...]:
        story: list[str] = []
        while self._from[number][0] >= 0:
            number, step = self._from[number]
            story.append(step)
        return tuple(reversed(story))
