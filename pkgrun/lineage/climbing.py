"""From a content up to all that held it: which links of which chains, at how many paths, and at which first one.

It goes up level by level. What reaches the same links on one level is added up before it goes on, so that a content at a
thousand places, or a directory that holds another one twice at every depth, costs what it has of levels and chains.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from pkgrun.lineage.evolution import UNKNOWN
from pkgrun.lineage.tables import Row, Tables, sound

END = (1 << 62) - 1
"""The last link of a chain, whichever that is."""

_MANY = 6
"""Stretches from which on they are asked for together."""


class Stretch(NamedTuple):
    """Links of a chain, from `first` to `last`, that hold a content at so many paths, the first of which is `path`."""

    first: int
    last: int
    paths: int
    path: str


Holders = dict[int, list[Stretch]]
"""By chain; its stretches ascend and do not overlap."""


def climb(tables: Tables, content: bytes) -> Holders:
    """What holds a content: a file's, a directory's, or `UNKNOWN`."""
    level = _begin(tables, content)
    found: dict[int, list[Stretch]] = defaultdict(list)
    while level:
        for chain, some in level.items():
            found[chain] += some
        above: dict[int, list[Stretch]] = defaultdict(list)
        for below, chain, name, first, last in _above(tables, level):
            path = name if not below.path else f"{name}/{below.path}" if name else below.path
            above[chain].append(Stretch(first, END if last is None else last, below.paths, path))
        level = {chain: joined(some) for chain, some in above.items()}
    return {chain: joined(some) for chain, some in found.items()}


def _begin(tables: Tables, content: bytes) -> Holders:
    found: dict[int, list[Stretch]] = defaultdict(list)
    rows = tables.ask("select digest, chain, name, first, last, mark from file where digest = ?", content)
    for _, chain, name, first, last in map(sound, rows):
        found[chain].append(Stretch(first, END if last is None else last, 1, name))
    row = tables.one("select digest, chain, seq, mark from node where digest = ?", content)
    if row is not None and content != UNKNOWN:
        _, chain, seq = sound(row)
        found[chain].append(Stretch(seq, seq, 1, ""))
    return {chain: joined(some) for chain, some in found.items()}


def _above(tables: Tables, level: Holders) -> Iterator[tuple[Stretch, int, str, int, int | None]]:
    """What holds the links of these chains as folders."""
    columns = "t.child, t.at, t.chain, t.name, t.first, t.last, t.mark"
    for stretch, row in matching(tables, columns, "folder t", ("t.child", "t.at"), level):
        _, _, chain, name, first, last = sound(row)
        yield stretch, chain, name, first, last


def matching(
    tables: Tables, columns: str, source: str, by: tuple[str, str], holders: Holders, where: str = "true"
) -> Iterator[tuple[Stretch, Row]]:
    """The rows that are about links of these chains, each with the stretch that it is of.

    Args:
        source: what is asked, in SQL.
        by: which columns are the chain, and the number of the link.
        where: what else holds of them.
    """
    chain, at = by
    wanted = [(chain, stretch) for chain, some in holders.items() for stretch in some]
    if len(wanted) < _MANY:
        question = f"select {columns} from {source} where {chain} = ? and {at} between ? and ? and {where}"  # noqa: S608 - ours
        for number, stretch in wanted:
            for row in tables.ask(question, number, stretch.first, stretch.last):
                yield stretch, row
        return
    tables.ask("create temp table if not exists wanted (n integer primary key, chain, first, last)")
    tables.ask("delete from temp.wanted")
    numbered = ((n, number, one.first, one.last) for n, (number, one) in enumerate(wanted))
    tables.database.executemany("insert into temp.wanted values (?, ?, ?, ?)", numbered)
    within = f"{chain} = w.chain and {at} between w.first and w.last"
    question = f"select w.n, {columns} from temp.wanted w cross join {source} where {within} and {where}"  # noqa: S608 - ours
    for row in list(tables.ask(question)):  # whoever takes a row may ask for others
        yield wanted[row[0]][1], row[1:]


def joined(some: Sequence[Stretch]) -> list[Stretch]:
    """Stretches that do not overlap: where several did, their paths are added up."""
    if len(some) == 1:
        return list(some)
    return list(_neighbours(_swept(some)))


def _swept(some: Iterable[Stretch]) -> Iterator[Stretch]:
    waiting = sorted(some)
    open_: list[tuple[str, int, int]] = []  # by path, to know the first: path, last, paths
    ends: list[tuple[int, int]] = []
    paths, at, index = 0, 0, 0
    while index < len(waiting) or ends:
        following = waiting[index].first if index < len(waiting) else END + 1
        stop = min(following, ends[0][0] + 1) if ends else following
        if ends and stop > at:
            while open_[0][1] < at:
                heapq.heappop(open_)
            yield Stretch(at, stop - 1, paths, open_[0][0])
        at = stop
        while ends and ends[0][0] < at:
            paths -= heapq.heappop(ends)[1]
        while index < len(waiting) and waiting[index].first == at:
            one = waiting[index]
            heapq.heappush(open_, (one.path, one.last, one.paths))
            heapq.heappush(ends, (one.last, one.paths))
            paths += one.paths
            index += 1


def _neighbours(some: Iterable[Stretch]) -> Iterator[Stretch]:
    """Those that say the same and follow each other are one."""
    current: Stretch | None = None
    for one in some:
        if current is not None and one.first == current.last + 1 and one[2:] == current[2:]:
            current = current._replace(last=one.last)
            continue
        if current is not None:
            yield current
        current = one
    if current is not None:
        yield current
