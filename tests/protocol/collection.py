"""The protocol of collection as a model: what is condemned, what is spared, what is deleted, and who writes meanwhile.

Everything in the store is a letter: a capital is a directory, a small letter a small file, `L` a large one. A key is the
letters that lie under it: `Dfg` is a pack of two files and a directory, `L` an object. So the same content has the same
key, as it has in the store: what was deleted may be written again under its own name. A key that begins with `-` is a
pack that a collector has written anew: its directories vouch for nothing.

Any operation may be given up at any time, and its writer goes on without knowing it, or never moves again. A collector may
die after every step; another one, or its successor, goes on with what it left.

One thing is assumed: to look whether something is still ours, and then to do it, is one step. It is for deleting
(`sentences._while_it_stands`, if it looks before each) and for publishing directories. Whoever sleeps just between the two, and so
long that others come to an end meanwhile, could do harm; nothing that only reads and writes objects can rule that out.

Not modelled: times, damage, and `store repair`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Literal, TypeVar

from tests.protocol.collection_needs import Needs
from tests.protocol.collection_states import (
    LARGE,
    NONE,
    Bug,
    Collector,
    Keys,
    Marking,
    Sentence,
    Stands,
    State,
    Writer,
    change,
    condemned,
    decided,
    lacking_open,
    open_runs,
    waits_for,
)

Step = tuple[str, State]
A = TypeVar("A")


@dataclass(frozen=True, kw_only=True)
class Collection(Needs):
    """A store, and what goes on in it.

    Args:
        below, wants, bugs: see `Needs`.
        present: the keys that are there in the beginning.
        committed: how many of them have been committed already; the others have writers.
        removable: those whose version may be removed, once committed.
        asleep: a collector that sleeps in the beginning; of what it writes anew, the letters.
        deciding: writers have found all they want before the beginning, in packs that no sentence names.
        early: writers have looked for directories before they begin.
        young: what is there may have been written since the operations that go on began, so that it stays as it is.
        apart: writers put files and directories into packs of their own.
        standing: sentences that stand in the beginning.
        collectors: how many there are at once.
        lasting: they do not die.
        helped: writers do not only wait for a collector that deletes.
        sentences: how many may stand at once.
    """

    present: tuple[str, ...]
    committed: int = 0
    removable: tuple[int, ...] = ()
    asleep: Collector | None = None
    deciding: bool = False
    early: bool = False
    young: bool = False
    apart: bool = False
    collectors: int = 1
    lasting: bool = False
    helped: bool = False
    sentences: int = 1
    standing: tuple[Sentence, ...] = ()

    def initial(self) -> Iterator[State]:
        writing = len(self.wants) - self.committed
        made: Stands = "COMMIT"
        begun: Stands = "open" if self.deciding else ""
        writer = Writer(at="decide") if self.deciding else Writer()
        asleep = self.asleep or Collector()
        collectors = [asleep._replace(publish=self.anew(asleep.publish))]
        yield State(
            frozenset(self.present),
            (made,) * self.committed + (begun,) * writing,
            self.standing + (None,) * (self.sentences - len(self.standing)),
            (writer,) * writing,
            tuple(sorted(collectors + [Collector()] * (self.collectors - 1), key=_order)),
        )

    def steps(self, state: State) -> Iterator[Step]:
        for run, stands in enumerate(state.runs):
            if stands == "open":
                yield f"operation {run} is given up, or fails", decided(state, run, "LOST")
            elif stands == "COMMIT" and run in self.removable:
                yield f"the version of {run} is removed", decided(state, run, "removed")
        for number, writer in enumerate(state.writers):
            run = number + self.committed
            for what, after, then in self._writer(state, run, writer):
                yield f"writer {run} {what}", after._replace(writers=_put(after.writers, number, then))
        for number, collector in enumerate(state.collectors):
            if number and collector in state.collectors[:number]:
                continue  # they are alike
            for what, after, gone_on in self._collector(state, collector):
                collectors = tuple(sorted(_put(after.collectors, number, gone_on), key=_order))
                yield f"collector {what}", after._replace(collectors=collectors)

    # ------------------------------------------------------------------ who writes

    def _beginning(self) -> tuple[str, ...]:
        """How an operation begins: its intent, then which objects are condemned, then which are there."""
        if Bug.LOOK_BEFORE_INTENT in self.bugs:
            return ("look", "begin", "list")
        if Bug.LIST_BEFORE_LOOK in self.bugs:
            return ("begin", "list", "look")
        if Bug.LIST_BEFORE_INTENT in self.bugs:
            return ("list", "begin", "look")
        return ("early", "begin", "look", "list", "check") if self.early else ("begin", "look", "list")

    def _writer(self, state: State, run: int, me: Writer) -> Iterator[tuple[str, State, Writer]]:
        if me.at == "begin":
            yield self._begin(state, run, me)
        elif me.at in ("spare", "sweeping?", "stands?"):
            yield from self._spare(state, run, me)
            if me.at == "sweeping?" and self.helped:
                yield from self._wait(state, me)
        elif me.at in ("help", "end"):
            yield self._help(state, me)
        elif me.at == "publish":
            yield from self._publish(state, run, me)
        elif me.at == "decide":  # operations.decide
            if state.runs[run] == "open":
                yield "commits", decided(state, run, "COMMIT"), Writer(at="ended")
            else:
                yield "learns that it was given up", state, Writer(at="ended")

    def _begin(self, state: State, run: int, me: Writer) -> tuple[str, State, Writer]:
        order = self._beginning()
        step = order[me.step]
        me = me._replace(step=me.step + 1)
        if step == "begin":  # operations.begin
            what, state = "begins", decided(state, run, "open")
        elif step == "look":  # Condemned.look
            what, me = "looks what is condemned", me._replace(seen=self._seen(state))
        elif step == "early":  # snapshot.take
            what, me = "looks before it begins", me._replace(early=self._early(state, run))
        elif step == "check":  # Objects.begun
            if not self._still(state, me):
                return "fails, for what it found is gone", decided(state, run, "LOST"), Writer(at="ended")
            what, me = "sees that what it found is there", me._replace(listed=me.listed | me.early)
        else:  # Index.refresh
            what, me = "lists the packs", me._replace(listed=state.present)
        return what, state, self._found(run, me) if me.step == len(order) else me

    def _early(self, state: State, run: int) -> Keys:
        """Where it finds its directory, if no sentence names that pack."""
        usable = state.present - frozenset(key for _, key in condemned(state))
        return frozenset(sorted(key for key in usable if self.wants[run] in self.vouching(key))[:1])

    def _still(self, state: State, me: Writer) -> bool:
        there = state.present - frozenset(key for _, key in me.seen)
        return me.early <= there or Bug.NOT_CHECKED in self.bugs

    def _seen(self, state: State) -> frozenset[tuple[int, str]]:
        found = condemned(state)
        if Bug.SPARE_ONE not in self.bugs:
            return found
        newest = {key: number for number, key in sorted(found)}
        return frozenset((number, key) for key, number in newest.items())

    def _found(self, run: int, me: Writer) -> Writer:
        """`Objects.holds_directory`, `Objects._use`: from the root down, and not below a directory that is there."""
        barred = frozenset(key for _, key in me.seen - me.spared) - me.early
        there = me.listed - frozenset(key for _, key in me.gone)
        lacking, wanted = "", set[str]()
        waiting = [self.wants[run]]
        while waiting:
            letter = waiting.pop()
            holding = {key for key in there if letter in key}
            if letter in self.below:
                usable = holding if Bug.USE_CONDEMNED_DIRECTORY in self.bugs else holding - barred
                if not any(letter in self.vouching(key) for key in usable):
                    lacking += letter
                    waiting += self.below[letter]
            elif holding:
                wanted.add(min(holding, key=lambda key: (key not in barred, key)))
            else:
                lacking += letter
        files = {letter for letter in me.lacking + lacking if letter not in self.below}
        packs = self._packs(files | {letter for letter in lacking if letter in self.below})
        spare = [one for one in sorted(me.seen - me.spared - me.gone) if one[1] in wanted.union(packs)]
        first: Literal["sweeping?", "spare"] = (
            "sweeping?" if Bug.SPARE_AFTER_LOOKING in self.bugs else "spare"
        )
        if spare:
            return me._replace(at=first, wanted=tuple(spare), lacking="".join(sorted(files)))
        return Writer(at="publish" if packs else "decide", publish=packs)

    def _packs(self, lacking: set[str]) -> tuple[str, ...]:
        """`Objects.flush`: large files when they come, then one pack, or one of files and then one of directories."""
        small = sorted(lacking - {LARGE})
        folders = [letter for letter in small if letter in self.below]
        files = [letter for letter in small if letter not in self.below]
        parts = [files, folders] if self.apart else [small]
        if Bug.DIRECTORIES_FIRST in self.bugs:
            parts = [folders, files]
        packs = ["".join(part) for part in parts if part]
        large = [LARGE] if LARGE in lacking else []
        return tuple(packs + large if Bug.DIRECTORIES_FIRST in self.bugs else large + packs)

    def _spare(self, state: State, run: int, me: Writer) -> Iterator[tuple[str, State, Writer]]:
        """`Condemned.spare`."""
        number, key = me.wanted[0]
        sentence = state.sentences[number]
        if me.at == "spare":
            found = sentence or Sentence(NONE, stands=False)
            after = change(state, number, found._replace(spared=found.spared | {key}))
            late = self.bugs & {Bug.SPARE_UNSEEN, Bug.SPARE_AFTER_LOOKING}
            yield f"spares {key}", after, me._replace(at="stands?" if late else "sweeping?")
        elif me.at == "sweeping?":
            if sentence is None or not sentence.sweeping or (self.helped and not sentence.stands):
                then = me._replace(at="spare" if Bug.SPARE_AFTER_LOOKING in self.bugs else "stands?")
                yield "sees nobody deleting", state, then
        elif sentence is not None and sentence.stands:
            spared = me._replace(spared=me.spared | {me.wanted[0]})
            yield f"may use {key}", state, self._found(run, spared)
        else:
            gone = me._replace(gone=me.gone | {me.wanted[0]}, listed=state.present)  # Index.look_again
            yield f"sees that {key} is gone", state, self._found(run, gone)

    def _wait(self, state: State, me: Writer) -> Iterator[tuple[str, State, Writer]]:
        """`helping.wait`: at any time it may think that nobody is at it any more."""
        number, _ = me.wanted[0]
        sentence = state.sentences[number]
        if sentence is None or not (sentence.sweeping and sentence.stands):
            return
        if sentence.verdict is None or Bug.PARDON_SETTLED in self.bugs:  # sentences.pardon
            pardoned = change(state, number, sentence._replace(verdict=NONE))
            yield "settles that all stays", pardoned, me
        if Bug.HELP_FORGETS_FIRST in self.bugs:
            yield "ends the sentence", self._ended(state, number, sentence), me
        elif sentence.verdict is not None:
            yield "helps to delete", state, self._helping(me, sentence.verdict)
        elif Bug.HELP_UNSETTLED in self.bugs:
            yield "helps to delete", state, self._helping(me, sentence.keys)

    def _helping(self, me: Writer, left: Keys) -> Writer:
        return me._replace(at="help" if left else "end", left=left)

    def _help(self, state: State, me: Writer) -> tuple[str, State, Writer]:
        """`sentences.carry_out`."""
        number, _ = me.wanted[0]
        sentence = state.sentences[number]
        stands = sentence is not None and sentence.stands
        if me.at == "end" and sentence is not None and stands:
            return "ends the sentence", self._ended(state, number, sentence), me._replace(at="sweeping?")
        if me.at == "end" or not (stands or Bug.HELP_NOT_OURS in self.bugs):
            return "sees that another ended it", state, me._replace(at="sweeping?", left=NONE)
        key = min(me.left - {LARGE} or me.left)
        after = state._replace(present=state.present - {key})
        return f"deletes {key}", after, self._helping(me, me.left - {key})

    def _ended(self, state: State, number: int, one: Sentence) -> State:
        ended = Sentence(NONE, stands=False, sweeping=one.sweeping, spared=one.spared)
        return change(state, number, ended)

    def _publish(self, state: State, run: int, me: Writer) -> Iterator[tuple[str, State, Writer]]:
        """`sending.send`, `Objects._publish`."""
        key, rest = me.publish[0], me.publish[1:]
        given_up = state.runs[run] != "open" and bool(self.vouching(key))
        if given_up and Bug.ZOMBIE_PUBLISHES not in self.bugs:
            yield "sees that it was given up", state, Writer(at="ended")
            return
        then = Writer(at="publish" if rest else "decide", publish=rest)
        yield f"publishes {key}", state._replace(present=state.present | {key}), then

    # ------------------------------------------------------------------ who collects

    def _collector(self, state: State, me: Collector) -> Iterator[tuple[str, State, Collector]]:
        """`sweeping.collect`; one that dies is followed by another that knows nothing of it."""
        if me.at == "idle":
            yield from self._choose(state)
            return
        if not self.lasting:
            yield "dies", state, Collector()
        if me.at in ("rewrite", "renew", "condemn", "packs", "open"):
            yield from self._condemn(state, me)
            return
        sentence = state.sentences[me.sentence]
        if me.at == "sweeping":
            sentence = sentence or Sentence(NONE, stands=False)  # another has ended it meanwhile
        if sentence is None:
            yield "finds nothing more to do", state, Collector()
        elif me.at in ("forget", "forget sweeping"):
            yield self._forget(state, me, sentence)
        elif me.at == "delete":
            yield from self._delete(state, me, sentence)
        else:
            yield self._mark(state, me, sentence)

    def _choose(self, state: State) -> Iterator[tuple[str, State, Collector]]:
        for excused in self._excused(state):
            rewritten, doomed = self.not_needed(state, excused)
            if doomed and None in self._free(state):
                step: Literal["rewrite", "condemn"] = "rewrite" if rewritten else "condemn"
                if Bug.CONDEMN_BEFORE_REWRITING in self.bugs:
                    step = "condemn"
                runs = open_runs(state) if Bug.OPEN_FIRST in self.bugs else frozenset[int]()
                named = frozenset(one for one in condemned(state) if one[1] == rewritten)
                then = Collector(step, keys=doomed, publish=rewritten, seen=named, runs=runs)
                yield f"marks, and leaves {_shown(excused)} alone", state, then
        if lacking := lacking_open(state):  # sweeping._write_open
            yield "lists what goes on", state, Collector("open", runs=open_runs(state), lacking=lacking)
        for number, one in enumerate(state.sentences):
            if one is None:
                continue
            if not one.stands:  # sweeping._tidy
                yield "finds a sentence half forgotten", state, Collector("forget sweeping", number)
            elif Bug.NOT_WAITING in self.bugs or not waits_for(state, one):  # collecting.due
                yield "finds a sentence due", state, Collector(self._marking()[0], number)

    def _excused(self, state: State) -> Iterator[Keys]:
        """What may have been written since the oldest of the operations that go on began."""
        yield NONE
        if self.young and open_runs(state):
            free = sorted(state.present - frozenset(key for _, key in condemned(state)))
            for count in range(1, len(free) + 1):
                yield from map(frozenset, combinations(free, count))

    def _condemn(self, state: State, me: Collector) -> Iterator[tuple[str, State, Collector]]:
        if me.at == "rewrite" and me.seen:  # Condemned.renew
            for number, key in me.seen:
                one = state.sentences[number] or Sentence(NONE, stands=False)
                state = change(state, number, one._replace(spared=one.spared | {key}))
            yield f"spares {me.publish}", state, me._replace(at="renew")
        elif me.at in ("rewrite", "renew"):  # sweeping._write_anew
            named = [state.sentences[number] for number, _ in me.seen]
            if any(sentence is not None and sentence.sweeping for sentence in named):
                return  # waits
            after = state._replace(present=state.present | {me.publish})
            first = Bug.CONDEMN_BEFORE_REWRITING in self.bugs
            then = Collector() if first else Collector("condemn", keys=me.keys, runs=me.runs)
            yield f"writes {me.publish}", after, then
        elif me.at in ("condemn", "packs"):  # sweeping._condemn
            yield from self._write_sentence(state, me)
        else:
            for number in me.lacking or lacking_open(state):
                found = state.sentences[number] or Sentence(NONE, stands=False)
                state = change(
                    state, number, found if found.open is not None else found._replace(open=me.runs)
                )
            yield f"writes down {sorted(me.runs)} as going on", state, Collector()

    def _write_sentence(self, state: State, me: Collector) -> Iterator[tuple[str, State, Collector]]:
        free = [number for number, one in enumerate(self._free(state)) if one is None]
        if not free:
            return
        keys, then = me.keys, Collector()
        if Bug.HALVES in self.bugs and me.at == "condemn" and LARGE in keys and len(keys) > 1:
            keys, then = frozenset({LARGE}), Collector("packs", keys=keys - {LARGE}, publish=me.publish)
        if Bug.OPEN_FIRST in self.bugs:
            then = Collector("open", runs=me.runs)
        elif Bug.CONDEMN_BEFORE_REWRITING in self.bugs and me.publish:
            then = Collector("rewrite", publish=me.publish, seen=me.seen)
        yield f"condemns {_shown(keys)}", change(state, free[0], Sentence(keys)), then

    def _marking(self) -> tuple[Marking, ...]:
        """`sweeping._carry_out`, `verdict.kept`: the order in which it is looked what stays."""
        if Bug.LIST_SPARED_FIRST in self.bugs:
            return ("spared", "sweeping", "others", "survey", "roots")
        if Bug.ROOTS_FIRST in self.bugs:
            return ("sweeping", "spared", "roots", "others", "survey")
        if Bug.OTHERS_LAST in self.bugs:
            return ("sweeping", "spared", "survey", "roots", "others")
        return ("sweeping", "spared", "others", "survey", "roots")

    def _mark(self, state: State, me: Collector, sentence: Sentence) -> tuple[str, State, Collector]:
        """Announce, look what is spared and needed, settle it."""
        if me.at == "verdict":
            return self._settle(state, me, sentence)
        order = tuple(step for step in self._marking() if step != "others" or self.sentences > 1)
        following = order.index(me.at) + 1 if me.at in order else 0
        then = me._replace(at=order[following] if following < len(order) else "verdict")
        if me.at == "sweeping":
            what, state = "announces deleting", change(state, me.sentence, sentence._replace(sweeping=True))
        elif me.at == "spared":
            what, then = (
                f"lists what is spared: {_shown(sentence.spared)}",
                then._replace(spared=sentence.spared),
            )
        elif me.at == "others":
            others = frozenset(key for number, key in condemned(state) if number != me.sentence)
            what, then = f"reads the other sentences: {_shown(others)}", then._replace(others=others)
        elif me.at == "survey":
            what, then = "looks what is there", then._replace(present=state.present)
        else:
            roots = "".join(sorted(set(self.roots(state))))
            what, then = f"reads the records: {roots or 'none'}", then._replace(roots=roots)
        if then.at == "verdict":
            doomed = self.doomed(then.present, sentence.keys, then.others, then.roots, then.spared)
            what, then = f"{what}; {_shown(doomed)} can go", Collector("verdict", me.sentence, keys=doomed)
        return what, state, then

    def _settle(self, state: State, me: Collector, sentence: Sentence) -> tuple[str, State, Collector]:
        """`sweeping._settled`: whoever is first; it is there for as long as the sentence."""
        if Bug.NO_VERDICT in self.bugs:
            return "goes on", state, self._deleting(me, me.keys)
        verdict = me.keys if sentence.verdict is None else sentence.verdict
        if not sentence.stands:
            return "sees that another ended it", state, Collector("forget sweeping", me.sentence)
        settled = change(state, me.sentence, sentence._replace(verdict=verdict))
        return f"settles on {_shown(verdict)}", settled, self._deleting(me, verdict)

    def _deleting(self, me: Collector, left: Keys) -> Collector:
        return Collector("delete", me.sentence, keys=left) if left else Collector("forget", me.sentence)

    def _delete(
        self, state: State, me: Collector, sentence: Sentence
    ) -> Iterator[tuple[str, State, Collector]]:
        """`sentences.delete`."""
        left = me.keys
        if not (sentence.stands or Bug.NOT_OURS in self.bugs):  # sentences._while_it_stands
            yield "sees that another ended it", state, Collector("forget sweeping", me.sentence)
            return
        large = left & {LARGE}
        first = (large or left) if Bug.FILES_FIRST in self.bugs else (left - large or left)
        for key in sorted(first):
            after = state._replace(present=state.present - {key})
            yield f"deletes {key}", after, self._deleting(me, left - {key})

    def _forget(self, state: State, me: Collector, one: Sentence) -> tuple[str, State, Collector]:
        """`sentences.forget`, in its order."""
        if me.at == "forget" and Bug.FORGET_SWEEPING_FIRST in self.bugs and one.sweeping:
            return "forgets that it deletes", change(state, me.sentence, one._replace(sweeping=False)), me
        if me.at == "forget":
            return (
                "ends the sentence",
                self._ended(state, me.sentence, one),
                me._replace(at="forget sweeping"),
            )
        return "forgets that it deletes, and what was spared", change(state, me.sentence, None), Collector()

    def _free(self, state: State) -> tuple[Sentence | int | None, ...]:
        """The sentences; a name that somebody still goes by is as good as taken, for in truth none is used twice."""
        known = {number for writer in state.writers for number, _ in writer.seen | writer.spared}
        for one in state.collectors:
            known |= {one.sentence, *one.lacking, *(number for number, _ in one.seen)}
        return tuple(
            number if one is None and number in known else one for number, one in enumerate(state.sentences)
        )

    # ------------------------------------------------------------------ what must be

    def wrong(self, state: State) -> str | None:
        lacking = self.closure(self.roots(state)).difference(*state.present)
        return f"a hole: {', '.join(sorted(lacking))} is needed, and gone" if lacking else None

    def undone(self, before: State, after: State) -> str | None:
        return None

    def settled(self, state: State) -> bool:
        """All operations are decided, no sentence stands, and there is nothing to be collected."""
        return not any(state.sentences) and "open" not in state.runs and not self.not_needed(state)[1]


def _order(one: Collector) -> tuple[object, ...]:
    return tuple(sorted(part) if isinstance(part, frozenset) else part for part in one)


def _put(actors: tuple[A, ...], number: int, actor: A) -> tuple[A, ...]:
    return (*actors[:number], actor, *actors[number + 1 :])


def _shown(keys: Keys) -> str:
    return ", ".join(sorted(keys)) or "nothing"
