"""What of a store is needed, as a collector finds out: `store.reach`, `survey`, `collecting` and `verdict` on letters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from tests.protocol.collection_states import LARGE, NONE, REWRITTEN, Bug, Keys, State, condemned


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What refers to what.

    Args:
        below: what each directory holds.
        wants: the directory that each operation is to keep.
        bugs: what is done otherwise.
    """

    below: Mapping[str, str]
    wants: str
    bugs: frozenset[Bug] = frozenset()

    def vouching(self, key: str) -> str:
        """The directories of a pack that vouch for all below them."""
        return "" if key.startswith(REWRITTEN) else "".join(letter for letter in key if letter in self.below)

    def closure(self, letters: Iterable[str]) -> frozenset[str]:
        """All that directories lead to, and these."""
        return _closure(tuple(self.below.items()), "".join(letters))

    def roots(self, state: State) -> str:
        """`roots.load`."""
        return "".join(self.wants[run] for run, stands in enumerate(state.runs) if stands == "COMMIT")

    def not_needed(self, state: State, excused: Keys = NONE) -> tuple[str, Keys]:
        """`collecting.look`, `rewrites` and `new`: a pack to be written, and keys to be condemned."""
        free = state.present - frozenset(key for _, key in condemned(state))
        reached = self.closure(self.roots(state) + "".join(map(self.vouching, excused)))
        lacking, again, doomed = set(reached), set[str](), set[str]()
        for key in sorted(free, key=_largest_first):  # survey.shares
            live = lacking & set(key)
            lacking -= live
            stale = not reached.issuperset(self.vouching(key)) and Bug.NOT_REWRITTEN not in self.bugs
            if key not in excused and (stale or not live):
                doomed.add(key)
                again |= live
        return self.anew(again), frozenset(doomed)

    def anew(self, letters: Iterable[str]) -> str:
        """The pack that a collector writes them into."""
        marked = self.below.keys() & letters and Bug.REWRITTEN_VOUCH not in self.bugs
        return (REWRITTEN if marked else "") + "".join(sorted(letters))

    def doomed(self, present: Keys, own: Keys, others: Keys, roots: str, spared: Keys) -> Keys:
        """`collecting.look` before deleting: which keys of a sentence are needed by nobody.

        Packs of another sentence may come to stay, and may be deleted any time. So their directories vouch, but what is
        in them counts as gone.
        """
        if Bug.NO_SECOND_MARK in self.bugs:
            return own - spared
        stay = (present - own) | (spared & present)
        if Bug.OTHERS_DO_NOT_VOUCH in self.bugs:
            stay -= others - spared
        unsafe = NONE if Bug.OTHERS_HOLD in self.bugs else others
        safe = present - own - unsafe
        reached = self.closure(roots)
        while True:
            if Bug.STALE_DO_NOT_VOUCH not in self.bugs:
                reached |= self.closure("".join(map(self.vouching, stay)))
            lacking = set(reached.difference(*safe))
            kept = set[str]()
            for key in sorted(own & present, key=lambda key: (key in unsafe, _largest_first(key))):
                if lacking & set(key):
                    kept.add(key)
                    lacking -= NONE if key in unsafe else set(key)
            if kept <= stay:
                return own - stay - spared - ({LARGE} & reached)  # also what is gone already
            stay |= kept


@cache
def _closure(below: tuple[tuple[str, str], ...], letters: str) -> frozenset[str]:
    known, found, waiting = dict(below), set[str](), list(letters)
    while waiting:
        letter = waiting.pop()
        if letter not in found:
            found.add(letter)
            waiting += known.get(letter, "")
    return frozenset(found)


def _largest_first(key: str) -> tuple[int, str]:
    return -len(key), key
