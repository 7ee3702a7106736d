"""How directories are entered into the index: as chains, each the evolution of one directory.

`node` says which directory is which link of which chain. `file` and `folder` say from which link to which something is an
entry. A directory that is like the head of a chain that came before it becomes that chain's next link, and then only what
differs is written; so the index grows with what changes, and not with what there is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from pkgrun.lineage.directories import Changes, Child, changes, entries
from pkgrun.lineage.tables import Tables, Unsound, marked, sound

UNKNOWN = b""
"""Stands, as if it were the digest of a file, for all that lies in a directory which is not in the store."""

FEW = 32
"""Entries that may be others, in a directory of any size, and it is still the next link of the same chain."""

_REMEMBERED = 48 << 20
"""Bytes of directories that are held to be compared with."""

_SPOTS = 200_000

Read = Callable[[bytes], bytes | None]
"""A directory's bytes by its SHA-256; None if they are not in the store."""


class Spot(NamedTuple):
    """A directory's place in the index."""

    chain: int
    seq: int


class _Compared(NamedTuple):
    """A directory beside the head of a chain; `seq` is the head's, and -1 if a new chain begins."""

    chain: int
    seq: int
    changes: Changes


class Evolution:
    """Enters directories; within a transaction of `Tables.changing`."""

    def __init__(self, tables: Tables, read: Read) -> None:
        self._tables = tables
        self._read = read
        self._spots: dict[bytes, Spot] = {}
        self._heads: dict[int, tuple[int, bytes]] = {}
        self._nodes: dict[bytes, bytes] = {}
        self._held = 0

    def spot(self, digest: bytes) -> Spot | None:
        """Where a directory is, if it was entered."""
        known = self._spots.get(digest)
        if known is None:
            row = self._tables.one("select digest, chain, seq, mark from node where digest = ?", digest)
            if row is None:
                return None
            _, chain, seq = sound(row)
            known = self._know(digest, Spot(chain, seq))
        return known

    def _know(self, digest: bytes, spot: Spot) -> Spot:
        if len(self._spots) > _SPOTS:
            self._spots.clear()
        self._spots[digest] = spot
        return spot

    def enter(self, digest: bytes, near: Sequence[int] = ()) -> Spot:
        """Enter a directory with all below it.

        Args:
            near: the chains that it may go on with, the likeliest first.

        Raises:
            Damaged: a directory is none.
        """
        self._enter([(digest, tuple(near))])
        found = self.spot(digest)
        if found is None:
            raise Unsound
        return found

    def _enter(self, wanted: Iterable[tuple[bytes, tuple[int, ...]]]) -> None:
        """What is below comes before what holds it; without recursion, for directories may lie deep."""
        waiting: list[tuple[bytes, tuple[int, ...], bytes | None, _Compared | None]]
        waiting = [(digest, near, None, None) for digest, near in wanted]
        while waiting:
            digest, near, found, compared = waiting.pop()
            if self.spot(digest) is not None:
                continue
            if found is not None and compared is not None:
                self._write(digest, self._still(digest, near, found, compared))
                self._remember(digest, found)
                continue
            data = self._read(digest)
            if data is None:
                spot = self._begin(digest)
                self._tables.put("file", [marked(UNKNOWN, spot.chain, "", 0, None)])
                continue
            compared, below = self._compare(digest, near, data)
            waiting.append((digest, near, data, compared))
            waiting.extend((one, chains, None, None) for one, chains in below)

    def fill(self, digest: bytes) -> None:
        """A directory that was not in the store is there now: what it holds becomes known."""
        spot, data = self.spot(digest), self._read(digest)
        if spot is None or data is None:
            return
        come = changes(b"", data, (digest, digest)).come
        self._enter((one.digest, ()) for one in come if one.folder)
        self._tables.ask("delete from file where digest = ? and chain = ?", UNKNOWN, spot.chain)
        self._open(spot, come)

    # ------------------------------------------------------------------ what it is compared with

    def _compare(
        self, digest: bytes, near: Sequence[int], found: bytes
    ) -> tuple[_Compared, Iterator[tuple[bytes, tuple[int, ...]]]]:
        """What a directory goes on with, and the folders in it that are to be entered first, with what they may go on with."""
        best = None
        for chain in near:
            head, before = self._head(chain)
            old = self._data_of(before)
            if old is None:
                continue
            differ = changes(old, found, (before, digest))
            if best is None:
                best = differ
            if len(differ.gone) <= FEW or 2 * differ.replaced <= max(entries(old), entries(found)):
                return _Compared(chain, head, differ), self._below(differ, differ)
        whole = changes(b"", found, (digest, digest))
        return _Compared(0, -1, whole), self._below(whole, best or whole)

    def _below(self, differ: Changes, like: Changes) -> Iterator[tuple[bytes, tuple[int, ...]]]:
        for one in differ.come:
            if one.folder and self.spot(one.digest) is None:
                spots = (self.spot(before.digest) for before in like.before(one))
                yield one.digest, tuple(spot.chain for spot in spots if spot is not None)

    def _still(self, digest: bytes, near: Sequence[int], found: bytes, compared: _Compared) -> _Compared:
        """The same, if the chain's head is still what it was compared with: something below may have gone on with it, too."""
        if compared.seq < 0 or self._head(compared.chain)[0] == compared.seq:
            return compared
        return self._compare(digest, near, found)[0]

    def _head(self, chain: int) -> tuple[int, bytes]:
        if chain not in self._heads:
            row = self._tables.one("select number, head, digest, mark from chain where number = ?", chain)
            _, head, digest = sound(row)
            self._heads[chain] = head, digest
        return self._heads[chain]

    def _lead(self, spot: Spot, digest: bytes) -> Spot:
        """A directory is its chain's newest link."""
        self._tables.put("chain", [marked(spot.chain, spot.seq, digest)])
        self._tables.put("node", [marked(digest, *spot)])
        if len(self._heads) > _SPOTS:
            self._heads.clear()
        self._heads[spot.chain] = spot.seq, digest
        return self._know(digest, spot)

    def _data_of(self, digest: bytes) -> bytes | None:
        found = self._nodes.get(digest)
        if found is None:
            data = self._read(digest)
            if data is None:
                return None
            self._remember(digest, data)
            return data
        return found

    def _remember(self, digest: bytes, found: bytes) -> None:
        if self._held + len(found) > _REMEMBERED:
            self._nodes.clear()
            self._held = 0
        if digest not in self._nodes:
            self._nodes[digest] = found
            self._held += len(found)

    # ------------------------------------------------------------------ what is written

    def _write(self, digest: bytes, compared: _Compared) -> None:
        if compared.seq < 0:
            self._open(self._begin(digest), compared.changes.come)
            return
        spot = Spot(compared.chain, compared.seq + 1)
        self._close(compared, compared.changes.gone)
        self._open(spot, compared.changes.come)
        self._lead(spot, digest)

    def _begin(self, digest: bytes) -> Spot:
        """A new chain, whose first link a directory is."""
        row = self._tables.one("select coalesce(max(number), 0) + 1 from chain")
        spot = Spot(int(row[0]) if row else 1, 0)
        return self._lead(spot, digest)

    def _open(self, spot: Spot, come: Sequence[Child]) -> None:
        """From this link on the chain has these."""
        files = (marked(one.digest, spot.chain, one.name, spot.seq, None) for one in come if not one.folder)
        self._tables.put("file", files)
        folders = [one for one in come if one.folder]
        self._tables.put(
            "folder", (marked(*self._known(one), spot.chain, one.name, spot.seq, None) for one in folders)
        )

    def _known(self, one: Child) -> Spot:
        spot = self.spot(one.digest)
        if spot is None:
            raise Unsound
        return spot

    def _close(self, compared: _Compared, gone: Sequence[Child]) -> None:
        """The head is the last link that has these."""
        for one in gone:
            if one.folder:
                self._end("folder", ("child", "at"), self._known(one), one.name, compared)
            else:
                self._end("file", ("digest",), (one.digest,), one.name, compared)

    def _end(
        self, table: str, columns: tuple[str, ...], values: tuple[object, ...], name: str, at: _Compared
    ) -> None:
        where = " and ".join(f"{column} = ?" for column in (*columns, "chain", "name"))
        row = self._tables.one(
            f"select {', '.join(columns)}, chain, name, first, last, mark from {table} where {where} and last is null",  # noqa: S608
            *values,
            at.chain,
            name,
        )
        if row is None:
            raise Unsound
        *key, _ = sound(row)
        self._tables.put(table, [marked(*key, at.seq)])
