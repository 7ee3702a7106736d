"""The protocol of erasure, in all orders of its steps; and that whoever changes it carelessly is found out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.protocol.checker import check
from tests.protocol.collection import Collection
from tests.protocol.erasure import Erasure, Slip
from tests.protocol.test_collection import sentence


def collection(**given: object) -> Collection:
    """A store whose operation 0 erases; `wants` begins with a letter for it, which needs nothing."""
    return Collection(committed=1, lasting=True, **given)  # type: ignore[arg-type]


SHARES = Erasure(collection(below={"D": "f"}, present=("Dfx",), wants="eD"))
"""A writer relies on what lies beside it in a pack."""
WRITES = Erasure(collection(below={"D": "fx"}, present=(), wants="eD"))
"""A writer brings it in."""
FINDS = Erasure(collection(below={"D": "fx"}, present=("Dfx",), wants="eD"))
"""A writer finds it."""
CONDEMNED = Erasure(collection(below={"D": "f"}, present=("Dx", "f"), wants="eD", standing=(sentence("f"),)))
"""`f` is condemned, and stays because the pack that is written anew vouches for it."""
BOTH = Erasure(collection(below={"D": "f"}, present=("Dx", "f"), wants="eD", standing=(sentence("Dx", "f"),)))
"""Both are condemned."""
DEAD = replace(WRITES, again=True)
"""Who erases may be given up, and be followed by another."""


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(WRITES, id="a writer brings it in"),
        pytest.param(DEAD, id="another erases"),
        pytest.param(FINDS, id="a writer finds it"),
        pytest.param(SHARES, id="a writer shares the pack", marks=pytest.mark.slow),
        pytest.param(CONDEMNED, id="it vouches for what is condemned", marks=pytest.mark.slow),
        pytest.param(BOTH, id="its pack is condemned", marks=pytest.mark.slow),
    ],
)
def test_it_is_nowhere_in_the_end_and_nothing_else_is_ever_gone(model: Erasure) -> None:
    found = check(model, endings=model.again)  # who is given up, and followed by nobody, comes to none
    print(found)
    assert found.wrong is None, str(found)


CAUGHT = {
    Slip.NOT_AGAIN: WRITES,
    Slip.RECEIPT_LAST: WRITES,
    Slip.DELETE_FIRST: SHARES,
    Slip.PLAIN: CONDEMNED,
    Slip.NOT_SPARED: BOTH,
    Slip.ZOMBIE: SHARES,
    Slip.NOT_SEEN: BOTH,
}


@pytest.mark.parametrize("slip", CAUGHT, ids=lambda slip: slip.name.lower())
def test_a_seeded_bug_is_found(slip: Slip) -> None:
    model = CAUGHT[slip]
    found = check(replace(model, slips=frozenset({slip})), endings=False)
    print(f"{slip.value}:\n{found}")
    assert found.wrong is not None
