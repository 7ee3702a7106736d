"""Where boxes stand: none over another, each beyond what leads to it, and lines that do not cross without need."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from pkgrun.lineage.drawing.layout import Layout, layout

Edges = list[tuple[int, int]]

WIDE, HIGH = 100.0, 40.0


def placed(count: int, edges: Edges) -> Layout:
    return layout([(WIDE, HIGH)] * count, edges, weights=[1.0] * len(edges), sides=[0] * count)


def crossings(found: Layout) -> int:
    """Pairs of straight stretches between the same columns that cross."""
    stretches = [pair for way in found.ways for pair in pairwise(way)]
    return sum(
        (a[0][0], a[1][0]) == (b[0][0], b[1][0]) and (a[0][1] - b[0][1]) * (a[1][1] - b[1][1]) < 0
        for place, a in enumerate(stretches)
        for b in stretches[:place]
    )


def test_a_chain_is_a_straight_line() -> None:
    found = placed(4, [(0, 1), (1, 2), (2, 3)])

    assert len({y for _, y in found.places}) == 1
    assert [x for x, _ in found.places] == sorted({x for x, _ in found.places})
    assert found.height == HIGH


def test_what_only_leads_stands_right_before_what_it_leads_to() -> None:
    found = placed(5, [(0, 1), (1, 2), (2, 3), (4, 3)])

    assert found.places[4][0] == found.places[2][0]


def test_branches_that_need_not_cross_do_not() -> None:
    tree = [((child - 1) // 2, child) for child in range(1, 31)]
    shuffled = sorted(tree, key=lambda edge: edge[1] * 7 % 31)

    assert crossings(placed(31, shuffled)) == 0


def test_a_heavy_line_is_straight_and_the_light_ones_come_to_it() -> None:
    edges = [(0, 1), (1, 2), (3, 1), (4, 1), (5, 2), (6, 2)]
    found = layout([(WIDE, HIGH)] * 7, edges, weights=[9, 9, 1, 1, 1, 1], sides=[0, 0, 0, -1, -1, 1, 1])
    heights = [found.places[box][1] for box in (0, 1, 2)]

    assert max(heights) - min(heights) < HIGH / 2


def test_a_line_over_several_columns_goes_round_the_boxes() -> None:
    found = placed(4, [(0, 1), (1, 2), (2, 3), (0, 3)])

    *_, long = found.ways
    for x, y in long[1:-1]:
        inside = [box for box in found.places if box[0] <= x <= box[0] + WIDE and abs(box[1] - y) < HIGH / 2]
        assert not inside or x in (found.places[0][0] + WIDE,)


@st.composite
def graphs(draw: st.DrawFn) -> tuple[int, Edges]:
    count = draw(st.integers(1, 25))
    ends = st.integers(0, count - 1)
    return count, draw(st.lists(st.tuples(ends, ends), max_size=40))


@given(graphs())
def test_no_box_stands_on_another_and_all_lies_inside(graph: tuple[int, Edges]) -> None:
    count, edges = graph
    found = placed(count, edges)

    assert len(found.places) == count
    for place, (x, y) in enumerate(found.places):
        assert 0 <= x <= x + WIDE <= found.width + 0.01
        assert HIGH / 2 - 0.01 <= y <= found.height - HIGH / 2 + 0.01
        assert all(abs(x - x2) >= WIDE or abs(y - y2) >= HIGH for x2, y2 in found.places[:place])


@given(graphs())
def test_every_way_begins_and_ends_at_its_boxes(graph: tuple[int, Edges]) -> None:
    count, edges = graph
    found = placed(count, edges)

    for (start, end), way in zip(edges, found.ways, strict=True):
        first, last = found.places[start], found.places[end]
        assert abs(way[0][1] - first[1]) < 0.01
        assert abs(way[-1][1] - last[1]) < 0.01
        assert way[0][0] in (first[0], first[0] + WIDE)
        assert way[-1][0] in (last[0], last[0] + WIDE)


@given(graphs())
def test_what_leads_to_a_box_stands_before_it_but_in_a_circle(graph: tuple[int, Edges]) -> None:
    count, edges = graph
    ascending = [(min(edge), max(edge)) for edge in edges if edge[0] != edge[1]]
    found = placed(count, ascending)

    assert all(found.places[start][0] < found.places[end][0] for start, end in ascending)
