"""Where the boxes of a drawing stand: columns by generation, few crossings, straight lines. Pure geometry, no words.

Each box gets a column beyond all that lead to it, an edge over several columns a place in each of them. The order in a
column is that which crosses least of some that barycentres propose; then each box moves as near to its neighbours as the
others in its column let it, by isotonic regression, which finds the best such places exactly.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple, TypeAlias

Point: TypeAlias = tuple[float, float]

_GAP = 14.0
"""Between boxes of a column."""
_LANE = 9.0
"""The height of an edge that passes a column."""
_BETWEEN = 78.0
"""Between columns."""
_SWEEPS = 8
_PULLS = 12


@dataclass(frozen=True, slots=True)
class Layout:
    """The middle of each box's left edge, the way of each edge, and the size of it all."""

    places: tuple[Point, ...]
    ways: tuple[tuple[Point, ...], ...]
    width: float
    height: float


def layout(
    sizes: Sequence[tuple[float, float]],
    edges: Sequence[tuple[int, int]],
    *,
    weights: Sequence[float],
    sides: Sequence[int],
) -> Layout:
    """Place boxes of the given widths and heights, and the edges between them, by the places of their boxes.

    The heavier an edge, the straighter it is. Of boxes that might as well change places those of the lesser side stand above.
    Edges that close a circle, which no honest lineage has, are led backwards.
    """
    forward = _without_circles(len(sizes), edges)
    ranks = _ranks(len(sizes), forward)
    grid = _grid(sizes, forward, weights, ranks)
    _order(grid, [*sides, *(0 for _ in grid.heights[len(sizes) :])])
    _pull(grid)
    return _placed(sizes, edges, forward, grid)


def columns(count: int, edges: Sequence[tuple[int, int]]) -> list[int]:
    """The column of each box."""
    return _ranks(count, _without_circles(count, edges))


class _Tie(NamedTuple):
    """What a box is tied to in the next column, and how strongly."""

    to: int
    weight: float


@dataclass(slots=True)
class _Grid:
    """Boxes, and behind them the passages of long edges, in columns."""

    columns: list[list[int]]
    heights: list[float]
    chains: list[list[int]]
    """Of each edge, what it leads through, its ends included."""
    before: dict[int, list[_Tie]] = field(default_factory=lambda: defaultdict(list))
    after: dict[int, list[_Tie]] = field(default_factory=lambda: defaultdict(list))
    middles: list[float] = field(default_factory=list)
    boxes: int = 0


def _without_circles(count: int, edges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The edges, those turned round that lead back to where a walk came from."""
    after: dict[int, list[int]] = defaultdict(list)
    for place, (start, _) in enumerate(edges):
        after[start].append(place)
    forward = list(edges)
    state = [0] * count
    for root in range(count):
        way = [(root, iter(after[root]))] if not state[root] else []
        state[root] = state[root] or 1
        while way:
            box, left = way[-1]
            place = next(left, -1)
            if place < 0:
                state[box] = 2
                way.pop()
                continue
            end = edges[place][1]
            if state[end] == 1:
                forward[place] = (end, box)
            elif not state[end]:
                state[end] = 1
                way.append((end, iter(after[end])))
    return forward


def _ranks(count: int, edges: Sequence[tuple[int, int]]) -> list[int]:
    """Each box beyond all before it; what nothing leads to stands right before the first that it leads to."""
    after: dict[int, list[int]] = defaultdict(list)
    waiting = [0] * count
    for start, end in edges:
        if start != end:
            after[start].append(end)
            waiting[end] += 1
    roots = {box for box in range(count) if not waiting[box]}
    ranks = [0] * count
    ready = sorted(roots)
    for box in ready:
        for end in after[box]:
            ranks[end] = max(ranks[end], ranks[box] + 1)
            waiting[end] -= 1
            if not waiting[end]:
                ready.append(end)
    for box in roots:
        if after[box]:
            ranks[box] = min(ranks[end] for end in after[box]) - 1
    return ranks


def _grid(
    sizes: Sequence[tuple[float, float]],
    edges: Sequence[tuple[int, int]],
    weights: Sequence[float],
    ranks: Sequence[int],
) -> _Grid:
    columns: list[list[int]] = [[] for _ in range(max(ranks, default=0) + 1)]
    grid = _Grid(columns, [height for _, height in sizes], [], boxes=len(sizes))
    for box, rank in enumerate(ranks):
        columns[rank].append(box)
    for (start, end), weight in zip(edges, weights, strict=True):
        chain = [start]
        for rank in range(ranks[start] + 1, ranks[end]):
            chain.append(len(grid.heights))
            columns[rank].append(chain[-1])
            grid.heights.append(_LANE)
        chain.append(end)
        grid.chains.append(chain)
        for one, other in pairwise(chain) if start != end else ():
            grid.after[one].append(_Tie(other, weight))
            grid.before[other].append(_Tie(one, weight))
    return grid


def _order(grid: _Grid, sides: Sequence[int]) -> None:
    """Sort each column by the barycentres of what its boxes are tied to, there and back, and keep the best."""
    best = [list(column) for column in grid.columns]
    least = _crossings(grid)
    for sweep in range(_SWEEPS):
        forth = sweep % 2 == 0
        columns = grid.columns if forth else grid.columns[::-1]
        for fixed, moved in pairwise(columns):
            at = {box: place for place, box in enumerate(fixed)}
            ties = grid.before if forth else grid.after
            keys = {
                box: (_mean([(at[tie.to], tie.weight) for tie in ties[box]], place), sides[box])
                for place, box in enumerate(moved)
            }
            moved.sort(key=lambda box: keys[box])
        if (count := _crossings(grid)) <= least:
            best, least = [list(column) for column in grid.columns], count
    grid.columns = best


def _mean(values: Sequence[tuple[float, float]], otherwise: float) -> float:
    """Of values with their weights."""
    weight = sum(weight for _, weight in values)
    return sum(value * weight for value, weight in values) / weight if weight else otherwise


def _crossings(grid: _Grid) -> int:
    count = 0
    for left, right in pairwise(grid.columns):
        at = {box: place for place, box in enumerate(right)}
        ends: list[int] = []
        for box in left:
            mine = sorted(at[tie.to] for tie in grid.after[box])
            count += sum(len(ends) - bisect_right(ends, end) for end in mine)
            for end in mine:
                insort(ends, end)
    return count


def _pull(grid: _Grid) -> None:
    """Move each box towards its neighbours, column by column, there and back."""
    grid.middles = [0.0] * len(grid.heights)
    for column in grid.columns:
        _settle(grid, column, [(0.0, 1.0)] * len(column))
    for pull in range(_PULLS):
        columns = grid.columns if pull % 2 == 0 else grid.columns[::-1]
        for column in columns:
            _settle(grid, column, [_wanted(grid, box) for box in column])


def _wanted(grid: _Grid, box: int) -> tuple[float, float]:
    """Where a box wants to be, and how much."""
    ties = [(grid.middles[tie.to], tie.weight) for tie in grid.before[box] + grid.after[box]]
    return _mean(ties, grid.middles[box]), sum(weight for _, weight in ties) or 0.1


def _settle(grid: _Grid, column: Sequence[int], wanted: Sequence[tuple[float, float]]) -> None:
    """The places nearest to the wanted ones in which no two overlap: pool neighbours that would, at their mean."""
    offsets, offset = [], 0.0
    for place, box in enumerate(column):
        if place:
            offset += (grid.heights[column[place - 1]] + grid.heights[box]) / 2 + _GAP
        offsets.append(offset)
    pools: list[tuple[float, float, int]] = []
    for (want, pull), away in zip(wanted, offsets, strict=True):
        mean, weight, count = want - away, pull, 1
        while pools and pools[-1][0] >= mean:
            other, more, members = pools.pop()
            mean = (mean * weight + other * more) / (weight + more)
            weight, count = weight + more, count + members
        pools.append((mean, weight, count))
    place = 0
    for mean, _, count in pools:
        for box in column[place : place + count]:
            grid.middles[box] = mean + offsets[place]
            place += 1


def _placed(
    sizes: Sequence[tuple[float, float]],
    edges: Sequence[tuple[int, int]],
    forward: Sequence[tuple[int, int]],
    grid: _Grid,
) -> Layout:
    lefts, wides = [], []
    width = 0.0
    for column in grid.columns:
        wide = max((sizes[box][0] for box in column if box < grid.boxes), default=0.0)
        lefts.append(width)
        wides.append(wide)
        width += wide + _BETWEEN
    top = min((grid.middles[box] - grid.heights[box] / 2 for box in range(len(grid.heights))), default=0.0)
    bottom = max((grid.middles[box] + grid.heights[box] / 2 for box in range(len(grid.heights))), default=0.0)
    at = {
        box: (lefts[rank], grid.middles[box] - top)
        for rank, column in enumerate(grid.columns)
        for box in column
    }
    wide_of = {box: wides[rank] for rank, column in enumerate(grid.columns) for box in column}
    ways = []
    for edge, turned, chain in zip(edges, forward, grid.chains, strict=True):
        x, y = at[chain[0]]
        way = [(x + sizes[chain[0]][0], y)]
        if sizes[chain[0]][0] < wide_of[chain[0]]:
            way.append((x + wide_of[chain[0]], y))
        for passage in chain[1:-1]:
            x, y = at[passage]
            way += [(x, y), (x + wide_of[passage], y)]
        way.append(at[chain[-1]])
        ways.append(tuple(way if edge == turned else way[::-1]))
    places = tuple(at[box] for box in range(grid.boxes))
    return Layout(places, tuple(ways), max(0.0, width - _BETWEEN), bottom - top)
