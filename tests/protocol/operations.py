"""The protocol of operations as a model: intents, decisions, numbers; who crashes, and which answers are lost.

Each writer carries one operation out (`runs.engine`); helpers recover whatever they find (`runs.recover.settle`). Any of
them may stop for ever, or for a while, after every step. A request may take effect and its answer be lost, or take effect
much later, when whoever sent it has long gone on: then it is in `State.late`.

Not in it: imports of equal content, which share a number (`numbers._same_import`), and what follows from a version record.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Literal, NamedTuple

NOBODY = -1
Place = Literal["head", "intent", "content", "decide", "failing", "look", "create", "ended", "idle"]
"""The next step of a process: what it does then."""


class Bug(Enum):
    """What somebody might write instead."""

    OVERWRITE_DECISION = "deciding writes, instead of creating"
    OVERWRITE_NUMBER = "taking a number writes, instead of creating"
    NEWEST_PLUS_ONE = "MAX+1: each look for a free number begins behind the newest"
    REAPER_COMMITS = "who gives an operation up may commit it"
    TRUST_OWN_OUTCOME = "a refused decision is taken for one's own, instead of reading what stands"
    FAILURE_OVERWRITES = "an error after the decision writes FAILED over it"
    NEXT_WHEN_REFUSED = "a refused number is taken for another's: on to the next, instead of reading it again"
    NEXT_WHEN_UNANSWERED = "a number whose answer was lost is given up: on to the next"
    NUMBER_FIRST = "the number is taken before the decision"
    OWN_HEAD = "who recovers begins at the head that it sees itself, instead of the intent's"
    ACKNOWLEDGE_EARLY = "the decision is acknowledged, before there is a number"


class Actor(NamedTuple):
    """A process: which operation it carries out, where it is, and at which number it looks."""

    at: Place
    run: int
    number: int = NOBODY
    failing: bool = False
    """Its caller will be told an error, whatever becomes of the operation."""


class Operation(NamedTuple):
    """What the store says of one, and two facts that no store holds: what is durable, and what a caller was told."""

    head: int | None = None
    decision: Literal["", "COMMIT", "FAILED", "LOST"] = ""
    durable: bool = False
    told: int = NOBODY


class Late(NamedTuple):
    """A request to create something, still on its way."""

    run: int
    number: int
    decision: Literal["COMMIT", "FAILED", "LOST"] = "COMMIT"


class State(NamedTuple):
    """All there is. `numbers`: whose each is."""

    operations: tuple[Operation, ...]
    numbers: tuple[int, ...]
    late: frozenset[Late]
    writers: tuple[Actor, ...]
    helpers: tuple[Actor, ...]


Step = tuple[str, State]
_Answer = Literal["created", "refused", "error"]


@dataclass(frozen=True)
class Operations:
    """So many writers and helpers. `late`: requests may take effect after their sender gave up waiting."""

    writers: int
    helpers: int
    late: bool = True
    bug: Bug | None = None

    def initial(self) -> Iterator[State]:
        yield State(
            operations=(Operation(),) * self.writers,
            numbers=(NOBODY,) * (self.writers + 2),
            late=frozenset(),
            writers=tuple(Actor("head", run) for run in range(self.writers)),
            helpers=(Actor("idle", NOBODY),) * self.helpers,
        )

    # ------------------------------------------------------------------ what happens

    def steps(self, state: State) -> Iterator[Step]:
        for late in state.late:
            yield f"a late request arrives: {_shown(late)}", _without_vain(_arrived(state, late))
        for number, actor in enumerate(state.writers):
            for what, after, then in self._writer(state, actor):
                writers = _put(after.writers, number, then)
                yield f"writer {number}: {what}", _without_vain(after._replace(writers=writers))
        for number, actor in enumerate(state.helpers):
            for what, after, then in self._helper(state, actor):
                # Helpers are alike: whoever does it, it is the same state.
                helpers = tuple(sorted(_put(after.helpers, number, then)))
                yield f"helper {number}: {what}", _without_vain(after._replace(helpers=helpers))

    def _writer(self, state: State, me: Actor) -> Iterator[tuple[str, State, Actor]]:
        """`launch.train`, then `engine.run`."""
        if me.at == "ended":
            return
        yield "dies", state, Actor("ended", me.run)
        if me.at == "head":  # numbers.head
            yield "sees the head", state, me._replace(at="intent", number=_newest(state))
        elif me.at == "intent":  # operations.begin; nobody else wants this key
            begun = _change(state, me.run, head=me.number)
            yield "creates its intent", begun, me._replace(at="content", number=NOBODY)
        elif me.at == "content":  # Objects.flush
            early = self.bug is Bug.NUMBER_FIRST
            then = self._taking(state, me) if early else me._replace(at="decide")
            yield "makes its content durable", _change(state, me.run, durable=True), then
        elif me.at == "decide":
            yield from self._decide(state, me, "COMMIT")
        elif me.at == "failing":  # recover.never_open
            yield from self._decide(state, me._replace(failing=True), "FAILED")
        else:
            yield from self._take(state, me)

    def _helper(self, state: State, me: Actor) -> Iterator[tuple[str, State, Actor]]:
        """`recover.settle` of any operation: a decision is carried out, an open one may seem dead and be given up."""
        if me.at in ("ended", "failing"):
            yield "has ended", state, Actor("idle", NOBODY)
            return
        if me.at == "idle":
            for run, one in enumerate(state.operations):
                if one.head is not None and one.decision == "":
                    yield f"takes {run} for dead", state, Actor("decide", run)
                elif one.decision == "COMMIT":
                    yield f"finds {run} decided", state, self._taking(state, Actor("idle", run))
            return
        yield "dies", state, Actor("idle", NOBODY)
        if me.at == "decide":
            yield from self._decide(state, me, "COMMIT" if self.bug is Bug.REAPER_COMMITS else "LOST")
        else:
            yield from self._take(state, me)

    def _decide(
        self, state: State, me: Actor, decision: Literal["COMMIT", "FAILED", "LOST"]
    ) -> Iterator[tuple[str, State, Actor]]:
        """`operations.decide`."""
        overwrites = self.bug is Bug.OVERWRITE_DECISION or (
            self.bug is Bug.FAILURE_OVERWRITES and decision == "FAILED"
        )
        for what, after, answer in self._created(state, Late(me.run, NOBODY, decision), overwrites):
            told = f"{what} the outcome {decision}"
            if answer == "error":
                yield f"{told}, tries again", after, me  # wrappers.Retrying
                yield f"{told}, fails", after, Actor("ended" if me.failing else "failing", me.run)
                continue
            standing = after.operations[me.run].decision
            if answer == "refused" and self.bug is Bug.TRUST_OWN_OUTCOME:
                standing = decision
            yield told, after, self._carrying_out(after, me, standing)

    def _carrying_out(self, state: State, me: Actor, standing: str) -> Actor:
        """`recover.carry_out`."""
        if standing != "COMMIT":
            return Actor("ended", me.run)
        return self._taking(state, me)

    def _taking(self, state: State, me: Actor) -> Actor:
        head = state.operations[me.run].head
        if self.bug is Bug.NEWEST_PLUS_ONE or (self.bug is Bug.OWN_HEAD and me.at == "idle"):
            head = _newest(state)
        return me._replace(at="look", number=(NOBODY if head is None else head) + 1)

    def _take(self, state: State, me: Actor) -> Iterator[tuple[str, State, Actor]]:
        """`numbers.take`: one round of its loop is a look, and perhaps a create."""
        if self.bug is Bug.ACKNOWLEDGE_EARLY and state.operations[me.run].told == NOBODY:
            yield "acknowledges it", _change(state, me.run, told=me.number), me
            return
        if me.number >= len(state.numbers):
            return
        if me.at == "look":
            yield self._looked(state, me)
            return
        overwrites = self.bug is Bug.OVERWRITE_NUMBER
        for what, after, answer in self._created(state, Late(me.run, me.number), overwrites):
            told = f"{what} number {me.number} of {me.run}"
            again = me._replace(at="look")
            further = me._replace(at="look", number=me.number + 1)
            if self.bug is Bug.NEWEST_PLUS_ONE:
                again = self._taking(after, me)
            if answer == "error":
                given_up = self.bug is Bug.NEXT_WHEN_UNANSWERED
                yield f"{told}, tries again", after, further if given_up else again
                yield f"{told}, fails", after, Actor("ended" if me.failing else "failing", me.run)
            elif answer == "refused" and self.bug is Bug.NEXT_WHEN_REFUSED:
                yield told, after, further
            else:
                yield told, after, again

    def _looked(self, state: State, me: Actor) -> tuple[str, State, Actor]:
        owner = state.numbers[me.number]
        if owner == NOBODY:
            return f"sees {me.number} free", state, me._replace(at="create")
        if owner != me.run:
            return f"sees {me.number} taken", state, me._replace(number=me.number + 1)
        if self.bug is Bug.NUMBER_FIRST and state.operations[me.run].decision == "":
            return f"has {me.number}", state, me._replace(at="decide")
        told = state if me.failing else _change(state, me.run, told=me.number)
        return f"has {me.number}, done", told, Actor("ended", me.run)

    def _created(self, state: State, request: Late, overwrites: bool) -> Iterator[tuple[str, State, _Answer]]:
        """`Backend.create`: all that can become of one call."""
        free = overwrites or _free(state, request)
        done = _arrived(state, request, overwrites)
        yield ("creates", done, "created") if free else ("is refused", state, "refused")
        if free:
            yield "creates, but is not told,", done, "error"
        if self.late:
            yield "sends, late,", state._replace(late=state.late | {request}), "error"

    # ------------------------------------------------------------------ what must be

    def wrong(self, state: State) -> str | None:
        given = [run for run in state.numbers if run != NOBODY]
        if NOBODY in state.numbers[: len(given)]:
            return "the numbers have a gap"
        if len(set(given)) < len(given):
            return "an operation has two numbers"
        for run, one in enumerate(state.operations):
            if run in given and one.decision != "COMMIT":
                return f"an operation that is {one.decision or 'not decided'} has a number"
            if one.decision == "COMMIT" and not one.durable:
                return "an operation is committed without its content"
            if one.told != NOBODY and state.numbers[one.told] != run:
                return "what was acknowledged is not there"
        return None

    def undone(self, before: State, after: State) -> str | None:
        for was, now in zip(before.operations, after.operations, strict=True):
            if was.decision and was.decision != now.decision:
                return f"the decision {was.decision} became {now.decision}"
        for one, other in zip(before.numbers, after.numbers, strict=True):
            if one not in (NOBODY, other):
                return "a number was given a second time"
        return None

    def settled(self, state: State) -> bool:
        """Every operation that began is decided, and each COMMIT has its number, though nobody may be left but helpers."""
        return all(
            one.head is None or one.decision in ("FAILED", "LOST") or (one.decision and run in state.numbers)
            for run, one in enumerate(state.operations)
        )


def _newest(state: State) -> int:
    """`numbers.newest_minor`."""
    return max((number for number, run in enumerate(state.numbers) if run != NOBODY), default=NOBODY)


def _put(actors: tuple[Actor, ...], number: int, actor: Actor) -> tuple[Actor, ...]:
    return (*actors[:number], actor, *actors[number + 1 :])


def _change(state: State, run: int, **what: object) -> State:
    changed = state.operations[run]._replace(**what)  # type: ignore[arg-type]
    return state._replace(operations=(*state.operations[:run], changed, *state.operations[run + 1 :]))


def _free(state: State, request: Late) -> bool:
    if request.number == NOBODY:
        return not state.operations[request.run].decision
    return state.numbers[request.number] == NOBODY


def _arrived(state: State, request: Late, overwrites: bool = False) -> State:
    state = state._replace(late=state.late - {request})
    if not overwrites and not _free(state, request):
        return state
    if request.number == NOBODY:
        return _change(state, request.run, decision=request.decision)
    numbers = list(state.numbers)
    numbers[request.number] = request.run
    return state._replace(numbers=tuple(numbers))


def _without_vain(state: State) -> State:
    """Without late requests that will be refused: nobody hears of it."""
    if not state.late:
        return state
    return state._replace(late=frozenset(late for late in state.late if _free(state, late)))


def _shown(late: Late) -> str:
    return (
        f"{late.decision} of {late.run}" if late.number == NOBODY else f"number {late.number} of {late.run}"
    )
