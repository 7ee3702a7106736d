"""Which versions a rule keeps, and why; and that no rule takes what another version or a run stands on."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pkgrun.errors import UsageError
from pkgrun.identity import Version
from pkgrun.records import VersionRecord
from pkgrun.runs.removing import Family
from pkgrun.runs.retention import Rule, Verdict, judge
from tests.store import entries

DAY = 86400.0


def version(text: str, parent: str | None = None, *, days_old: float = 0) -> VersionRecord:
    """A version of the package `p`."""
    entry = entries.entry(
        text,
        kind="training" if parent else "import",
        parent=Version.parse(parent) if parent else None,
        created=entries.NOW - timedelta(days=days_old),
    )
    return VersionRecord(**entry.model_dump(), version=Version.parse(text), previous=None)


def verdicts(
    versions: Sequence[VersionRecord],
    rule: Rule,
    *,
    underway: dict[Version, list[str]] | None = None,
    removed: Collection[Version] = (),
    force: bool = False,
) -> dict[str, str | None]:
    """Why each is kept."""
    family = Family(versions, removed)
    found = judge(family, rule, now=entries.NOW, underway=underway or {}, force=force)
    assert [one.record for one in found] == family.there
    return {str(one.record.version): one.kept for one in found}


STAR = [version("1.0", days_old=9), *(version(f"1.{n}", "1.0", days_old=9 - n) for n in range(1, 6))]
CHAIN = [version("1.0", days_old=9), *(version(f"1.{n}", f"1.{n - 1}", days_old=9 - n) for n in range(1, 6))]


def test_the_last_are_kept_and_what_they_came_from() -> None:
    assert verdicts(STAR, Rule(last=2)) == {
        "1.0": "1.5 came from it",
        "1.1": None,
        "1.2": None,
        "1.3": None,
        "1.4": "one of the last 2",
        "1.5": "the newest of major 1",
    }


def test_last_is_by_the_time_and_not_by_the_number() -> None:
    """An older major that is trained on still is in use."""
    both = [
        version("1.0", days_old=30),
        version("1.1", "1.0", days_old=2),
        version("1.2", "1.0", days_old=1),
        version("2.0", days_old=20),
        version("2.1", "2.0", days_old=19),
    ]
    found = verdicts(both, Rule(last=2))
    assert found["1.1"] == "one of the last 2"
    assert found["2.1"] == "the newest of major 2"
    assert found["2.0"] == "2.1 came from it"


def test_what_is_young_is_kept() -> None:
    found = verdicts(STAR, Rule(within=6 * DAY))
    assert [name for name, kept in found.items() if kept is None] == ["1.1", "1.2"]
    assert found["1.3"] == "made within 6 d"


def test_what_either_rule_keeps_is_kept() -> None:
    last, within, both = (
        {name for name, kept in verdicts(STAR, rule).items() if kept}
        for rule in (Rule(last=1), Rule(within=6 * DAY), Rule(1, 6 * DAY))
    )
    assert both == last | within


def test_of_a_line_of_descent_nothing_goes_unless_told() -> None:
    assert None not in verdicts(CHAIN, Rule(last=1)).values()
    forced = verdicts(CHAIN, Rule(last=1), force=True)
    assert [name for name, kept in forced.items() if kept] == ["1.5"]


def test_a_line_of_descent_goes_on_over_what_was_removed() -> None:
    gap = [Version(1, 2), Version(1, 3)]
    assert verdicts(CHAIN, Rule(last=1), removed=gap) == {
        "1.0": "1.1 came from it",
        "1.1": "1.4 came from it",
        "1.4": "1.5 came from it",
        "1.5": "the newest of major 1",
    }


def test_what_is_kept_only_for_its_descendants_is_told() -> None:
    found = judge(Family(CHAIN), Rule(last=2), now=entries.NOW, underway={}, force=False)
    assert [str(one.record.version) for one in found if one.descent] == ["1.0", "1.1", "1.2", "1.3"]


@pytest.mark.parametrize("force", [False, True])
def test_what_a_run_starts_from_is_never_taken(force: bool) -> None:
    found = verdicts(STAR, Rule(last=1), underway={Version(1, 2): ["01a1feab-d38a-7d8f"]}, force=force)
    assert found["1.2"] == "the run 01a1feab-d38a starts from it"


@pytest.mark.parametrize(
    "given", [(None, None), (0, None), (-1, None), (None, -1.0), (None, float("nan")), (None, 1e12)]
)
def test_a_rule_that_is_none_is_refused(given: tuple[int | None, float | None]) -> None:
    with pytest.raises(UsageError):
        Rule(*given)


def test_a_rule_can_be_read() -> None:
    assert str(Rule(3, 30 * DAY)) == "keep the last 3 and what was made within 30 d"
    assert str(Rule(within=5400)) == "keep what was made within 90 min"
    assert str(Rule(within=0.5)) == "keep what was made within 0.5 s"


@st.composite
def families(draw: st.DrawFn) -> list[VersionRecord]:
    """Majors with trainings on whatever came before in them."""
    found = []
    for major in range(1, draw(st.integers(1, 3)) + 1):
        for minor in range(draw(st.integers(1, 6))):
            parent = f"{major}.{draw(st.integers(0, minor - 1))}" if minor else None
            found.append(version(f"{major}.{minor}", parent, days_old=draw(st.integers(0, 10))))
    return found


@given(families(), st.integers(1, 4), st.none() | st.integers(0, 10), st.booleans())
def test_whatever_the_history_what_must_stay_stays(
    family: list[VersionRecord], last: int, days: int | None, force: bool
) -> None:
    rule = Rule(last, None if days is None else days * DAY)
    found: list[Verdict] = judge(Family(family), rule, now=entries.NOW, underway={}, force=force)
    kept = {one.record.version for one in found if one.kept}
    newest = {record.version.major: record.version for record in family}
    assert set(newest.values()) <= kept
    assert len(kept) >= min(last, len(family))
    if days is not None:
        young = {one.version for one in family if (entries.NOW - one.created).days <= days}
        assert young <= kept
    if not force:
        assert {one.record.parent for one in found if one.kept and one.record.parent} <= kept
    assert not (force and any(one.descent for one in found))
