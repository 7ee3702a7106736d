"""The protocol of erasure beside writers and collections: the model of `collection`, and one who erases the letter `x` there.

Who erases is operation 0: it may be given up at any time, and goes on without knowing it. One that died, or was given up, is followed by
another that goes on with the receipt. A pack without its `x` is written anew under the letters that are left.

What a collector writes anew while there is a receipt has no `x`: what it cannot read any more it leaves out, and in the end it
sweeps. That a collector, or a writer, dies before it could do so is not modelled; the next one sweeps then.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal, NamedTuple

from tests.protocol.collection import Collection, Step
from tests.protocol.collection_states import (
    NONE,
    REWRITTEN,
    Keys,
    State,
    Writer,
    change,
    condemned,
    decided,
)

X = "x"


class Slip(Enum):
    """What somebody might do instead."""

    NOT_AGAIN = "a writer does not look for receipts once more, right before its decision"
    RECEIPT_LAST = "the receipt is created after the content was taken out"
    DELETE_FIRST = "a pack is deleted before what is left of it is there"
    PLAIN = "directories vouch for nothing in a pack that is written anew"
    NOT_SPARED = "a pack that a sentence names is written anew without being spared"
    ZOMBIE = "who erases does not look whether it was given up"
    NOT_SEEN = "who erases does not look what is condemned"


class Eraser(NamedTuple):
    """Who erases. `seen`: which sentences name which keys; `left`: the packs that are still to be written anew; `old`: those to be
    deleted after that."""

    at: Literal["idle", "look", "receipt", "scan", "spare", "wait", "publish", "renew", "delete", "done"] = (
        "idle"
    )
    seen: frozenset[tuple[int, str]] = frozenset()
    spared: Keys = NONE
    left: tuple[str, ...] = ()
    old: tuple[str, ...] = ()


class Erasing(NamedTuple):
    """All there is. `clear`: of each writer, whether it has looked for receipts before its decision."""

    store: State
    eraser: Eraser
    receipt: bool
    clear: tuple[bool, ...]


@dataclass(frozen=True)
class Erasure:
    """A store, and what goes on in it. `collection`: its operation 0, committed in the beginning, is who erases. `again`: one
    that was given up is followed by another."""

    collection: Collection
    again: bool = False
    slips: frozenset[Slip] = field(default_factory=frozenset)

    def initial(self) -> Iterator[Erasing]:
        for state in self.collection.initial():
            yield Erasing(decided(state, 0, ""), Eraser(), False, (False,) * len(state.writers))

    def steps(self, state: Erasing) -> Iterator[tuple[str, Erasing]]:
        for what, after in self.collection.steps(state.store):
            yield from self._other(state, what, after)
        for what, store, eraser in self._eraser(state):
            receipt = state.receipt or what == "eraser creates the receipt"
            yield what, state._replace(store=store, eraser=eraser, receipt=receipt)

    # ------------------------------------------------------------------ the others

    def _other(self, state: Erasing, what: str, after: State) -> Iterator[tuple[str, Erasing]]:
        who, _, rest = what.partition(" ")
        if who == "collector" and state.receipt:
            new = frozenset(_without(key) if key not in state.store.present else key for key in after.present)
            after = after._replace(present=new - {"", REWRITTEN})
        if who != "writer":
            yield what, state._replace(store=after)
            return
        run = int(rest.split()[0])
        number = run - self.collection.committed
        ends = what.endswith("commits") and not state.clear[number] and Slip.NOT_AGAIN not in self.slips
        if "looks what is condemned" in what and state.receipt and self._leads(run):
            yield f"writer {run} finds the receipt", self._fails(state, number, run)
        elif ends and not state.receipt:
            yield f"writer {run} finds no receipt", state._replace(clear=_set(state.clear, number))
        elif ends and any(X in key for key in state.store.present):
            yield from self._sweeps(state, run)
        elif ends and self._leads(run):
            yield f"writer {run} finds the receipt in the end", self._fails(state, number, run)
        elif ends:
            yield f"writer {run} has swept", state._replace(clear=_set(state.clear, number))
        else:
            yield what, state._replace(store=after)

    def _sweeps(self, state: Erasing, run: int) -> Iterator[tuple[str, Erasing]]:
        """It does what an erasure does, so another one does it here, for which the writer waits."""
        if state.eraser.at == "done" or state.store.runs[0] != "open":
            store = decided(state.store, 0, "open")
            yield f"writer {run} sweeps", state._replace(store=store, eraser=Eraser("look"))

    def _leads(self, run: int) -> bool:
        return X in self.collection.closure(self.collection.wants[run])

    def _fails(self, state: Erasing, number: int, run: int) -> Erasing:
        writers = (*state.store.writers[:number], Writer(at="ended"), *state.store.writers[number + 1 :])
        store = state.store._replace(writers=writers)
        store = decided(store, run, "LOST") if store.runs[run] == "open" else store
        return state._replace(store=store, clear=_set(state.clear, number))

    # ------------------------------------------------------------------ who erases

    def _eraser(self, state: Erasing) -> Iterator[tuple[str, State, Eraser]]:
        """`runs/erasing.py`, `store/erasing.py`."""
        me, store = state.eraser, state.store
        if me.at == "idle":
            yield "eraser begins", decided(store, 0, "open"), Eraser("look")
            return
        if me.at == "done":
            return
        if self.again and store.runs[0] != "open":  # it has died, or does not know it yet
            yield "another eraser begins", decided(store, 0, "open"), Eraser("look")
        yield from self._goes_on(state, me, store)

    def _goes_on(self, state: Erasing, me: Eraser, store: State) -> Iterator[tuple[str, State, Eraser]]:
        if me.at == "look":
            seen = frozenset[tuple[int, str]]() if Slip.NOT_SEEN in self.slips else condemned(store)
            last = Slip.RECEIPT_LAST in self.slips
            yield (
                "eraser looks what is condemned",
                store,
                me._replace(at="scan" if last else "receipt", seen=seen),
            )
        elif me.at == "receipt":
            last = Slip.RECEIPT_LAST in self.slips
            yield "eraser creates the receipt", store, me._replace(at="done" if last else "scan")
            return
        elif me.at == "scan":
            yield from self._scan(state, me, store)
        elif me.at in ("spare", "wait", "publish", "renew"):
            yield from self._write_anew(me, store)
        else:
            yield from self._delete(me, store)

    def _scan(self, state: Erasing, me: Eraser, store: State) -> Iterator[tuple[str, State, Eraser]]:
        found = tuple(sorted(key for key in store.present if X in key))
        if found:
            yield f"eraser finds it in {', '.join(found)}", store, me._replace(at="spare", left=found, old=())
        elif not state.receipt:
            yield "eraser finds it nowhere", store, me._replace(at="receipt")
        elif store.runs[0] == "open":
            yield "eraser decides", decided(store, 0, "removed"), Eraser("done")

    def _write_anew(self, me: Eraser, store: State) -> Iterator[tuple[str, State, Eraser]]:
        """One pack after the other; then the old ones go."""
        if not me.left:
            yield "eraser has written all anew", store, me._replace(at="delete")
            return
        key, new = me.left[0], self._anew(me.left[0])
        rest = me._replace(at="spare", left=me.left[1:])
        if me.at == "spare" and not self._named(me, key):
            me = me._replace(at="renew")
        if me.at == "renew" and not self._named(me, new):
            me = me._replace(at="publish")
        wanted = key if me.at in ("spare", "wait") else new
        named = self._named(me, wanted)
        if me.at in ("spare", "renew"):
            nxt: Literal["wait", "publish"] = "wait" if me.at == "spare" else "publish"
            for number in named if Slip.NOT_SPARED not in self.slips else ():
                if (
                    one := store.sentences[number]
                ) is not None:  # else it is gone, and what is said of it too
                    store = change(store, number, one._replace(spared=one.spared | {wanted}))
            yield f"eraser spares {wanted}", store, me._replace(at=nxt)
        elif Slip.NOT_SPARED not in self.slips and any(self._sweeping(store, number) for number in named):
            return  # waits
        elif me.at == "wait":
            yield f"eraser may use {key}", store, me._replace(at="renew", spared=me.spared | {key})
        else:
            yield from self._publish(key, new, rest, store)

    def _sweeping(self, store: State, number: int) -> bool:
        sentence = store.sentences[number]
        return sentence is not None and sentence.sweeping

    def _named(self, me: Eraser, wanted: str) -> list[int]:
        return [number for number, one in me.seen if one == wanted and wanted not in me.spared]

    def _publish(self, key: str, new: str, rest: Eraser, store: State) -> Iterator[tuple[str, State, Eraser]]:
        if self.collection.vouching(new) and key not in store.present:
            yield f"eraser sees that {key} is gone", store, rest
        elif self.collection.vouching(new) and store.runs[0] != "open" and Slip.ZOMBIE not in self.slips:
            return  # it sees that it was given up
        elif Slip.DELETE_FIRST in self.slips:
            yield (
                f"eraser deletes {key}",
                store._replace(present=store.present - {key}),
                rest._replace(at="renew", left=(key, *rest.left)) if key in store.present else rest,
            )
        else:
            present = store.present | ({new} if new.strip(REWRITTEN) else NONE)
            old = (*rest.old, key)
            yield (
                f"eraser publishes {new or 'nothing'}",
                store._replace(present=present),
                rest._replace(old=old),
            )

    def _anew(self, key: str) -> str:
        new = _without(key)
        if Slip.PLAIN in self.slips and self.collection.vouching(new):
            return REWRITTEN + new
        return new

    def _delete(self, me: Eraser, store: State) -> Iterator[tuple[str, State, Eraser]]:
        if not me.old:
            yield "eraser looks again", store, Eraser("scan", seen=me.seen)
            return
        key, new = me.old[0], self._anew(me.old[0])
        if store.runs[0] != "open" and Slip.ZOMBIE not in self.slips:
            return  # it sees that it was given up
        then = me._replace(old=me.old[1:])
        if new.strip(REWRITTEN) and new not in store.present and Slip.ZOMBIE not in self.slips:
            yield f"eraser sees that {new} is gone", store, then
        else:
            yield f"eraser deletes {key}", store._replace(present=store.present - {key}), then

    # ------------------------------------------------------------------ what must be

    def wrong(self, state: Erasing) -> str | None:
        needed = self.collection.closure(self.collection.roots(state.store))
        lacking = needed.difference(*state.store.present) - ({X} if state.receipt else set())
        if lacking:
            return f"a hole: {', '.join(sorted(lacking))} is needed, and gone"
        ended = "open" not in state.store.runs and all(one.at == "ended" for one in state.store.writers)
        # Who was given up could not look; the next one sweeps what it left.
        stands = zip(state.store.runs[1:], state.clear, strict=True)
        ended = ended and all(clear or one == "COMMIT" for one, clear in stands)
        if state.eraser.at == "done" and ended and any(X in key for key in state.store.present):
            return "it is still there"
        return None

    def undone(self, before: Erasing, after: Erasing) -> str | None:
        return None

    def settled(self, state: Erasing) -> bool:
        return state.eraser.at == "done" and "open" not in state.store.runs and not any(state.store.sentences)


def _without(key: str) -> str:
    return key.replace(X, "")


def _set(clear: tuple[bool, ...], number: int) -> tuple[bool, ...]:
    return (*clear[:number], True, *clear[number + 1 :])


__all__ = ["Eraser", "Erasing", "Erasure", "Slip", "Step"]
