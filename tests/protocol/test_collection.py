"""The protocol of collection, in all orders of its steps; and that whoever changes it carelessly is found out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.protocol.checker import check
from tests.protocol.collection import Collection
from tests.protocol.collection_states import Bug, Collector, Sentence


def sentence(*keys: str, spared: str | None = None) -> Sentence:
    """One that nobody is waited for any more."""
    return Sentence(frozenset(keys), open=frozenset(), spared=frozenset([spared] if spared else []))


FILE_AND_LARGE = {"D": "fL"}

AGAIN = Collection(below=FILE_AND_LARGE, present=("Df", "L"), wants="D")
"""What nobody needs any more is written again while it is collected."""
TWO_COLLECTORS = Collection(below=FILE_AND_LARGE, present=("Df", "L"), wants="D", collectors=2)
TWO_SENTENCES = Collection(below=FILE_AND_LARGE, present=("Df", "L"), wants="D", sentences=2)
TWO_WRITERS = Collection(below=FILE_AND_LARGE, present=("Df", "L"), wants="DD", lasting=True)
FROM_NOTHING = Collection(below={"D": "f"}, present=(), wants="DD", apart=True)
REMOVED = Collection(
    below=FILE_AND_LARGE | {"E": "f"}, present=("Df", "L", "E"), wants="ED", committed=1, removable=(0,)
)
"""A version shares a file with a directory that nobody needs: the pack is rewritten; and the version is removed."""
REWRITTEN_BY_TWO = Collection(
    below={"D": "fg", "E": "f"},
    present=("Dfg", "E"),
    wants="E",
    committed=1,
    collectors=2,
    lasting=True,
    sentences=2,
)
FILE_AND_DIRECTORY = Collection(
    below=FILE_AND_LARGE, present=("Df", "L"), wants="fD", standing=(sentence("Df", "L"),)
)
"""One wants a file of a pack only, the other the directory that is in it."""
REWRITTEN = Collection(below=FILE_AND_LARGE | {"E": "f"}, present=("Df", "L", "E"), wants="E", committed=1)
NESTED = Collection(
    below={"A": "B", "B": "f"},
    present=("Ag", "Bf"),
    wants="gA",
    lasting=True,
    standing=(sentence("Ag", "Bf"),),
)
NAMED_TWICE = Collection(
    below={}, present=("f",), wants="f", standing=(sentence("f"), sentence("f")), sentences=2
)
"""Two collectors that marked at the same time have condemned the same."""
VOUCHED_FOR = Collection(
    below={"D": "fh"},
    present=("f", "Dh"),
    wants="D",
    standing=(sentence("f"), sentence("Dh", spared="Dh")),
    sentences=2,
    lasting=True,
)
"""`f` was condemned while somebody wrote `D` above it, who was given up. So `D` was condemned later, in a pack with `h`,
and of that another has spared it."""
FOUND_BEFORE = Collection(below=FILE_AND_LARGE, present=("Df", "L"), wants="D", early=True)
YOUNG = Collection(below=FILE_AND_LARGE, present=("Df", "L"), wants="D", young=True)
SLEEPING = Collection(
    below={"D": "f", "E": "f"},
    present=("DE", "f"),
    wants="E",
    collectors=2,
    lasting=True,
    asleep=Collector("rewrite", keys=frozenset({"DE"}), publish="E"),
)
"""A collector writes a directory anew that was needed, and sleeps over it; since then its version has been removed."""
JUDGED_MEANWHILE = Collection(
    below={"D": "f", "E": ""},
    present=("f", "DE"),
    wants="D",
    collectors=2,
    sentences=2,
    standing=(sentence("f"),),
    deciding=True,
    lasting=True,
)
"""`f` was condemned while somebody wrote `D` above it, whom another follows. While that is judged, `D` comes to be needed, and
is written anew."""

HELPED = replace(AGAIN, helped=True)
"""A writer that waits brings a sentence to its end, whether the collector is dead or not."""
HELPED_BY_TWO = Collection(
    below={"D": "f"}, present=("Df",), wants="DD", lasting=True, helped=True, standing=(sentence("Df"),)
)

HALF_GONE = Collection(
    below={"D": "f"},
    present=("D", "f"),
    wants="fD",
    helped=True,
    lasting=True,
    standing=(sentence("D", "f"),),
)
"""One waits for a file; the other finds the directory above it, which may have been left when the file went."""


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(AGAIN, id="written again"),
        pytest.param(FOUND_BEFORE, id="found before it begins"),
        pytest.param(YOUNG, id="some of it may be young"),
        pytest.param(TWO_COLLECTORS, id="two collectors"),
        pytest.param(TWO_SENTENCES, id="two sentences"),
        pytest.param(FROM_NOTHING, id="from nothing"),
        pytest.param(REMOVED, id="a version is removed"),
        pytest.param(REWRITTEN_BY_TWO, id="rewritten by two"),
        pytest.param(NAMED_TWICE, id="named by two sentences"),
        pytest.param(VOUCHED_FOR, id="a directory in another sentence"),
        pytest.param(HELPED, id="a writer helps"),
        pytest.param(HELPED_BY_TWO, id="two writers help"),
        pytest.param(HALF_GONE, id="half of it is gone"),
        pytest.param(NESTED, id="a directory in a directory"),
        pytest.param(SLEEPING, id="a collector sleeps", marks=pytest.mark.slow),
        pytest.param(JUDGED_MEANWHILE, id="judged meanwhile", marks=pytest.mark.slow),
        pytest.param(TWO_WRITERS, id="two writers", marks=pytest.mark.slow),
        pytest.param(FILE_AND_DIRECTORY, id="a file and its directory", marks=pytest.mark.slow),
    ],
)
def test_nothing_that_is_needed_is_ever_gone_and_all_else_can_go(model: Collection) -> None:
    found = check(model)
    print(found)
    assert found.wrong is None, str(found)


CAUGHT = {
    Bug.LOOK_BEFORE_INTENT: AGAIN,
    Bug.LIST_BEFORE_LOOK: AGAIN,
    Bug.LIST_BEFORE_INTENT: AGAIN,
    Bug.NOT_CHECKED: FOUND_BEFORE,
    Bug.SPARE_ONE: NAMED_TWICE,
    Bug.SPARE_UNSEEN: AGAIN,
    Bug.SPARE_AFTER_LOOKING: AGAIN,
    Bug.USE_CONDEMNED_DIRECTORY: AGAIN,
    Bug.DIRECTORIES_FIRST: FROM_NOTHING,
    Bug.ZOMBIE_PUBLISHES: TWO_WRITERS,
    Bug.OPEN_FIRST: AGAIN,
    Bug.NOT_WAITING: AGAIN,
    Bug.LIST_SPARED_FIRST: AGAIN,
    Bug.NO_SECOND_MARK: AGAIN,
    Bug.ROOTS_FIRST: JUDGED_MEANWHILE,
    Bug.OTHERS_LAST: REWRITTEN_BY_TWO,
    Bug.REWRITTEN_VOUCH: SLEEPING,
    Bug.NO_VERDICT: REWRITTEN_BY_TWO,
    Bug.OTHERS_DO_NOT_VOUCH: VOUCHED_FOR,
    Bug.OTHERS_HOLD: REWRITTEN_BY_TWO,
    Bug.STALE_DO_NOT_VOUCH: AGAIN,
    Bug.NOT_OURS: TWO_COLLECTORS,
    Bug.FORGET_SWEEPING_FIRST: AGAIN,
    Bug.HELP_UNSETTLED: HELPED_BY_TWO,
    Bug.HELP_NOT_OURS: HELPED_BY_TWO,
    Bug.HELP_FORGETS_FIRST: HALF_GONE,
    Bug.PARDON_SETTLED: HALF_GONE,
}
"""Where each is caught."""


@pytest.mark.parametrize("bug", CAUGHT, ids=lambda bug: bug.name.lower())
def test_a_seeded_bug_makes_a_hole(bug: Bug) -> None:
    found = check(_with(CAUGHT[bug], bug), endings=False)
    print(f"{bug.value}:\n{found}")
    assert "a hole" in (found.wrong or "")


def test_a_pack_that_is_never_rewritten_keeps_rubbish_for_ever() -> None:
    found = check(_with(REWRITTEN, Bug.NOT_REWRITTEN))
    assert found.wrong == "it can never come to a good end"


SECOND_LINES = {
    Bug.FILES_FIRST: (Bug.NO_VERDICT, FILE_AND_DIRECTORY),
    Bug.HALVES: (Bug.OTHERS_DO_NOT_VOUCH, TWO_SENTENCES),
}
"""What does no harm, unless something else is wrong too."""


@pytest.mark.slow
@pytest.mark.parametrize("bug", SECOND_LINES, ids=lambda bug: bug.name.lower())
def test_a_second_line_holds_where_the_first_does_not(bug: Bug) -> None:
    other, model = SECOND_LINES[bug]
    assert check(_with(model, bug), endings=False).wrong is None
    assert "a hole" in (check(_with(model, bug, other), endings=False).wrong or "")


def test_a_pack_may_be_condemned_before_it_is_rewritten_for_it_is_marked_again() -> None:
    assert check(_with(REWRITTEN, Bug.CONDEMN_BEFORE_REWRITING)).wrong is None


def test_each_seeded_bug_is_in_a_test() -> None:
    assert {*CAUGHT, *SECOND_LINES, Bug.NOT_REWRITTEN, Bug.CONDEMN_BEFORE_REWRITING} == set(Bug)


def _with(model: Collection, *bugs: Bug) -> Collection:
    return replace(model, bugs=frozenset(bugs))
