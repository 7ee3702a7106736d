"""Hypothesis strategies for what a store is given: names, keys, records. Needs Hypothesis."""

from __future__ import annotations

import string

from hypothesis import strategies as st

ODD_NAMES = (
    "0",
    "a..b",
    "a.",
    "a-",
    "a_",
    "x" * 128,
    "00000001.removed.json",
    "1.tmp",
    "con",
    "f" * 64,
    "a.json.json",
)
"""Names that are legal, and that somebody has got wrong before."""

_FIRST = string.ascii_letters + string.digits
_MORE = _FIRST + "._-"

names = st.one_of(
    st.sampled_from(ODD_NAMES),
    st.text("ab1", min_size=1, max_size=2),
    st.builds(str.__add__, st.sampled_from(_FIRST), st.text(_MORE, max_size=20)),
)
"""What a key may be made of."""

records = st.one_of(st.binary(max_size=200), st.builds(b"x".__mul__, st.sampled_from((0, 1, 70_000))))
"""What a record may hold."""


def keys(*, depth: int = 3) -> st.SearchStrategy[str]:
    """Keys of exactly `depth` names, so that none is a folder of another."""
    return st.lists(names, min_size=depth, max_size=depth).map("/".join)
