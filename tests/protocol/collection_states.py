"""What a store holds of a collection, and where those stand who write and collect: the states of `collection`."""

from __future__ import annotations

from enum import Enum
from typing import Literal, NamedTuple

Keys = frozenset[str]
Stands = Literal["", "open", "COMMIT", "LOST", "removed"]
"""How an operation stands: not begun yet, going on, or how it was decided; `removed` is a COMMIT with a tombstone."""
Marking = Literal["sweeping", "spared", "roots", "others", "survey"]
NONE: Keys = frozenset()
LARGE = "L"
REWRITTEN = "-"
"""What the key of a pack begins with whose directories are blobs like others: they vouch for nothing."""


class Bug(Enum):
    """What somebody might do instead."""

    LOOK_BEFORE_INTENT = "a writer looks what is condemned before its intent is there"
    LIST_BEFORE_LOOK = "a writer lists the packs before it looks what is condemned"
    LIST_BEFORE_INTENT = "a writer lists the packs before its intent is there, and does not look again"
    SPARE_ONE = "a writer spares an object in the newest of the sentences that name it"
    NOT_CHECKED = (
        "a writer uses what it found before its intent was there, without looking whether it is gone"
    )
    SPARE_UNSEEN = "a writer spares without looking whether deleting has begun"
    SPARE_AFTER_LOOKING = "a writer looks whether deleting has begun before it says what it spares"
    USE_CONDEMNED_DIRECTORY = "a writer uses a directory that is condemned, for it is still there"
    DIRECTORIES_FIRST = "a writer publishes directories before what is in them"
    ZOMBIE_PUBLISHES = "a writer publishes directories without looking whether it was given up"
    OPEN_FIRST = "which operations go on is listed before the sentence is there"
    NOT_WAITING = "a sentence is carried out without waiting for the operations that go on"
    LIST_SPARED_FIRST = "what is spared is listed before deleting is announced"
    NO_SECOND_MARK = "what was condemned is deleted, without reading the records again"
    ROOTS_FIRST = "records are read before it is looked what is there"
    OTHERS_LAST = "which other sentences there are is read after it was looked what is there"
    REWRITTEN_VOUCH = "directories that are written anew vouch for all below them, as before"
    NO_VERDICT = "each collector deletes what it finds itself, instead of what was found first"
    OTHERS_DO_NOT_VOUCH = "directories that another sentence names vouch for nothing"
    OTHERS_HOLD = "what lies in a pack that another sentence names is taken to be safe there"
    STALE_DO_NOT_VOUCH = "directories that nobody needs, in packs that stay, vouch for nothing"
    NOT_REWRITTEN = "a pack of which something is needed stays, and with it the directories that nobody needs"
    CONDEMN_BEFORE_REWRITING = "a pack is condemned, and deleted, before what is needed of it is elsewhere"
    HALVES = "large objects are condemned by a sentence of their own, before that of the packs"
    NOT_OURS = "deleting goes on although the sentence was ended by another"
    HELP_UNSETTLED = "a writer that waits deletes all that a sentence names, before it is settled what stays"
    HELP_NOT_OURS = "a writer that helps deletes on although the sentence was ended by another"
    HELP_FORGETS_FIRST = (
        "a writer that waits forgets the sentence, and writes anew what it names, while others still delete"
    )
    PARDON_SETTLED = "a writer that waits settles that all stays, although it was settled already"
    FILES_FIRST = "large files are deleted before the packs with the directories that vouch for them"
    FORGET_SWEEPING_FIRST = "that deleting goes on is forgotten before the sentence"


class Sentence(NamedTuple):
    """What the store says of one: `gc/condemned`, `gc/open`, `gc/sweeping`, `gc/spared` and `gc/verdict`."""

    keys: Keys
    stands: bool = True
    open: frozenset[int] | None = None
    sweeping: bool = False
    spared: Keys = NONE
    verdict: Keys | None = None


class Writer(NamedTuple):
    """An operation's process. `seen`: which keys which sentences name; `listed`: the packs that there were; `gone`: those
    that it came too late to spare; `early`: those in which it found a directory before it began; `left`: what it deletes,
    while it helps."""

    step: int = 0
    at: Literal[
        "begin", "spare", "sweeping?", "help", "end", "stands?", "publish", "decide", "ended"
    ] = "begin"  # fmt: skip
    seen: frozenset[tuple[int, str]] = frozenset()
    listed: Keys = NONE
    spared: frozenset[tuple[int, str]] = frozenset()
    wanted: tuple[tuple[int, str], ...] = ()
    gone: frozenset[tuple[int, str]] = frozenset()
    early: Keys = NONE
    lacking: str = ""
    publish: tuple[str, ...] = ()
    left: Keys = NONE


class Collector(NamedTuple):
    """A collector's process. `sentence`: which it carries out; `keys`: those that its step is about; `present`: what was
    there when it looked; `runs`, `lacking`: the operations it saw going on, and the sentences it writes them down for."""

    at: Literal[
        "idle", "rewrite", "renew", "condemn", "packs", "open", "sweeping", "spared", "roots", "others", "survey",
        "verdict", "delete", "forget", "forget sweeping",
    ] = "idle"  # fmt: skip
    sentence: int = -1
    keys: Keys = NONE
    publish: str = ""
    spared: Keys = NONE
    seen: frozenset[tuple[int, str]] = frozenset()
    present: Keys = NONE
    others: Keys = NONE
    roots: str = ""
    runs: frozenset[int] = frozenset()
    lacking: frozenset[int] = frozenset()


class State(NamedTuple):
    """All there is. `runs`: of each operation, how it stands."""

    present: Keys
    runs: tuple[Stands, ...]
    sentences: tuple[Sentence | None, ...]
    writers: tuple[Writer, ...]
    collectors: tuple[Collector, ...]


def condemned(state: State) -> frozenset[tuple[int, str]]:
    """`condemned.Condemned`: which sentences name which keys."""
    return frozenset(
        (number, key) for number, one in enumerate(state.sentences) if one and one.stands for key in one.keys
    )


def open_runs(state: State) -> frozenset[int]:
    """`operations.undecided`."""
    return frozenset(run for run, stands in enumerate(state.runs) if stands == "open")


def lacking_open(state: State) -> frozenset[int]:
    """The sentences of which nobody has written down yet whom they wait for."""
    return frozenset(
        number for number, one in enumerate(state.sentences) if one and one.stands and one.open is None
    )


def waits_for(state: State, sentence: Sentence) -> frozenset[int]:
    """`collecting._underway`: where nobody has written it down, all that go on."""
    return open_runs(state) if sentence.open is None else sentence.open & open_runs(state)


def decided(state: State, run: int, stands: Stands) -> State:
    return state._replace(runs=(*state.runs[:run], stands, *state.runs[run + 1 :]))


def change(state: State, number: int, sentence: Sentence | None) -> State:
    sentences = (*state.sentences[:number], sentence, *state.sentences[number + 1 :])
    return state._replace(sentences=sentences)
