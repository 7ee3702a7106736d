"""The drawing of who came from whom."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pkgrun.cli.graph import padded, rails

Family = list[tuple[int, int | None]]


def drawn(*family: tuple[int, int | None]) -> list[str]:
    return list(rails(family))


def test_a_straight_line_stays_on_one_rail() -> None:
    assert drawn((0, None), (1, 0), (2, 1)) == ["●", "●", "●"]


def test_branches_get_rails_and_give_them_back() -> None:
    family = drawn((0, None), (1, 0), (2, 1), (3, 0), (4, 1), (5, 0), (6, 4))
    assert family == ["●", "├─●", "│ ├─●", "├─┼─●", "│ ●", "● │", "  ●"]


def test_a_new_root_stands_beside_what_is_open() -> None:
    assert drawn((0, None), (1, None), (2, 0)) == ["●", "│ ●", "●"]


def test_a_thousand_leaves_of_one_parent_need_two_rails() -> None:
    family: Family = [(0, None), *((number, 0) for number in range(1, 1000))]
    assert max(map(len, rails(family))) == 3


def test_padded_is_one_width() -> None:
    assert padded(["●", "├─●"]) == ["●  ", "├─●"]


@st.composite
def families(draw: st.DrawFn) -> Family:
    count = draw(st.integers(1, 60))
    return [
        (number, draw(st.none() | st.integers(0, number - 1)) if number else None) for number in range(count)
    ]


@given(families())
def test_every_thing_has_its_line_with_one_mark(family: Family) -> None:
    lines = list(rails(family))
    assert len(lines) == len(family)
    assert all(line.count("●") == 1 or line.endswith("…") for line in lines)
    assert all(set(line) <= set("●│├┤┼─ …") for line in lines)


@given(families())
def test_a_child_stands_below_its_parent_or_on_a_rail_that_branches_off(family: Family) -> None:
    """Follow the drawing with a finger: from each thing upwards one comes to its parent."""
    lines = list(rails(family))
    if any(line.endswith("…") for line in lines):
        return
    place = {thing: (row, lines[row].index("●")) for row, (thing, _) in enumerate(family)}
    for thing, parent in family:
        if parent is None:
            continue
        row, column = place[thing]
        branch = next((lines[row].index(sign) for sign in "├┤" if sign in lines[row]), column)
        above = [
            lines[upper][branch] if branch < len(lines[upper]) else " " for upper in range(row - 1, -1, -1)
        ]
        first_mark = next(index for index, sign in enumerate(above) if sign == "●")
        assert row - 1 - first_mark == place[parent][0]
        assert branch == place[parent][1]
