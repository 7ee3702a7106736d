"""A dataset's digest, and its snapshot if one is kept: only what is not known yet is read.

A folder that looks as it did is taken from the stat cache with all its files at once, so an unchanged dataset costs
a walk. What the cache says of a file is used only where the sink holds its bytes; else the file is read.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pkgrun.datasets import sources
from pkgrun.datasets.sources import Source
from pkgrun.datasets.stat_cache import MARGIN, Row, StatCache, for_dataset
from pkgrun.records import Tree
from pkgrun.store import bulk, trees
from pkgrun.store.files import shown
from pkgrun.store.intake import Ingested, Portion, Progress, portions
from pkgrun.store.scan import Folder, Listing
from pkgrun.store.sinks import Sink
from pkgrun.store.trees import Entry

_UNKNOWN = bytes(32)


def take(
    listing: Listing,
    sink: Sink,
    cache: StatCache,
    *,
    begin: Callable[[], object] = lambda: None,
    progress: Progress = lambda size: None,
) -> Ingested:
    """Hash what was found, and keep it in the sink.

    Args:
        listing: the dataset, as it was just now.
        sink: where files and directories go.
        cache: what earlier times have taught; it learns.
        begin: called once before anything is kept; not at all if there is nothing new.
        progress: told the bytes that have been read, or need not be.

    Raises:
        NotFound, PermissionDenied, Temporary, DataInvalid: a file cannot be read or kept; it is named.
        Erased: one holds what was erased.
    """
    known = cache.below(listing.root)
    states = [_recall(listing, folder, cache, known) for folder in listing.content]
    _refuse_erased(states, sink)
    if (tree := _unchanged(states, sink)) is not None:
        progress(tree.bytes)
        return Ingested(tree)
    there = _there(states, sink)
    wanted = {state.folder.path: some for state in states if (some := list(_wanted(state, sink, there)))}
    if wanted or any(state.row is None for state in states):
        begin()
    progress(sum(sum(state.folder.sizes()) for state in states if state.folder.path not in wanted))
    _read(listing, {state.folder.path: state for state in states}, wanted, sink, progress)
    tree = _seal(listing, states, sink, cache)
    return Ingested(tree, tuple(path for state in states for path in state.unstable()))


def of(
    source: Source,
    sink: Sink,
    cache: str | None,
    told: Callable[[int, int], object],
    *,
    begin: Callable[[], object] = lambda: None,
) -> Ingested:
    """Hash what is at a source now; files that look as they did when they were hashed are not read again.

    Args:
        cache: the folder of the stat cache.
        told: told the bytes that are done, and all there are.
        begin: as of `take`.

    Raises:
        NotFound, PermissionDenied, Temporary, DataInvalid: as of `take`.
    """
    listing = sources.listing(source)
    total, done = sum(sum(folder.sizes()) for folder in listing.content), 0

    def read(size: int) -> None:
        nonlocal done
        done += size
        told(done, total)

    looks = for_dataset(cache, source.path)
    try:
        return take(listing, sink, looks, begin=begin, progress=read)
    finally:
        looks.close()


@dataclass(slots=True)
class _State:
    """What is known of a folder. `digests` has 32 bytes for each file, zeros while not known.

    `row` is what the cache says of a folder that looks just so; `sizes` is of files that changed while they were read.
    `was` is the directory that all digests known so far come from.
    """

    folder: Folder
    place: str
    digests: bytearray
    row: Row | None
    sizes: dict[int, int]
    was: bytes = b""

    @property
    def split(self) -> bool:
        """Whether the directory consists of parts."""
        folder = self.folder
        return len(folder.names) + len(folder.links) + len(folder.folders) > trees.PART_LIMIT

    def digest(self, index: int) -> bytes:
        """Of one file."""
        return bytes(self.digests[index * 32 : index * 32 + 32])

    def note(self, index: int, digest: bytes) -> None:
        """Of one file."""
        self.digests[index * 32 : index * 32 + 32] = digest

    def learn(self, portion: Portion, digests: bytes, changed: dict[int, int]) -> None:
        """What was read."""
        first, last = portion.files[0][0], portion.files[-1][0]
        if last - first + 1 == len(portion.files):
            self.digests[first * 32 : last * 32 + 32] = digests
        else:
            for at, (index, _) in enumerate(portion.files):
                self.note(index, digests[at * 32 : at * 32 + 32])
        self.sizes |= changed

    def unstable(self) -> Iterator[str]:
        """The files that changed while they were read."""
        return (self.folder.below(self.folder.names[index]) for index in self.sizes)


def _recall(listing: Listing, folder: Folder, cache: StatCache, known: Mapping[str, Row]) -> _State:
    """`known`: what the cache says of all folders below the root."""
    place = listing.place(folder) if folder.places is None else folder.places[0]
    row = known.get(place) if folder.path and folder.places is None else cache.get(place)
    if row is None:
        return _State(folder, place, bytearray(32 * len(folder.names)), None, {})
    if row.looks == folder.looks() and max(folder.changed(), default=0) + MARGIN < row.read_at:
        return _State(folder, place, bytearray(row.digests), row, {})
    state = _State(folder, place, bytearray(32 * len(folder.names)), None, {}, row.node)
    before = {file: index for index, file in enumerate(Folder.files_of(row.looks))}
    for index, file in enumerate(zip(folder.names, folder.every_stamp(), strict=True)):
        was, changed = before.get(file), file[1][2]
        if was is not None and changed + MARGIN < row.read_at:
            state.note(index, row.digests[was * 32 : was * 32 + 32])
    return state


def _refuse_erased(states: Iterable[_State], sink: Sink) -> None:
    """Of what is known already: what is read is refused by whoever reads it."""
    for state in states if sink.erased else ():
        if (number := sink.erased.first(state.digests)) is not None:
            path = state.folder.below(state.folder.names[number])
            raise sink.erased.error(state.digest(number), shown(path))


def _unchanged(states: Sequence[_State], sink: Sink) -> Tree | None:
    """The tree, if all of it looks as it did and is in the sink."""
    rows = {state.folder.path: state.row for state in states if state.row is not None and state.row.node}
    if len(rows) != len(states):
        return None
    for state in states:
        below = b"".join([rows[state.folder.below(name)].node for name in state.folder.folders])
        if below != rows[state.folder.path].below:
            return None
    root = rows[""]
    asked = [state for state in states if not state.folder.path] if sink.vouches else states
    if not _there(asked, sink).issuperset(rows[state.folder.path].node for state in asked):
        return None
    return Tree(digest=_digest(root.node), files=root.files, bytes=root.bytes)


def _there(states: Iterable[_State], sink: Sink) -> set[bytes]:
    """Which of the directories that are known of folders the sink holds: of one that has changed, as it was."""
    known = {node: state.split for state in states if (node := state.row.node if state.row else state.was)}
    return sink.holds_directories(known, {node for node, split in known.items() if split})


def _wanted(state: _State, sink: Sink, there: Collection[bytes]) -> Iterator[int]:
    """Which files have to be read: a directory that is there need not be made, and the sink holds its files."""
    if state.row is not None and state.row.node in there:
        return
    if state.row is None and state.digests == bytes(len(state.digests)):  # nothing is known of any
        yield from range(len(state.folder.names))
        return
    held = (state.row.node if state.row else state.was) in there
    state.row = None
    for index, size in enumerate(state.folder.sizes()):
        digest = state.digest(index)
        if digest == _UNKNOWN or not (held or sink.holds(_digest(digest), size)):
            yield index


def _read(
    listing: Listing,
    states: dict[str, _State],
    wanted: dict[str, list[int]],
    sink: Sink,
    progress: Progress,
) -> None:
    def got(portion: Portion, digests: bytes, changed: dict[int, int]) -> None:
        states[portion.folder.path].learn(portion, digests, changed)

    some = portions(listing, lambda folder: wanted.get(folder.path, ()))
    bulk.take(some, sink, got, progress=progress)


def _seal(listing: Listing, states: list[_State], sink: Sink, cache: StatCache) -> Tree:
    """Make the directories, children before parents, and remember what is new."""
    made: dict[str, Tree] = {}
    rows = []
    for state in reversed(states):
        folder, row = state.folder, state.row
        below = [made.pop(folder.below(name)) for name in folder.folders]
        nodes = b"".join(bytes.fromhex(tree.digest[7:]) for tree in below)
        if row is not None and row.below == nodes:
            made[folder.path] = Tree(digest=_digest(row.node), files=row.files, bytes=row.bytes)
            continue
        tree = trees.write_node(_entries(state, below), sink)
        made[folder.path] = tree
        node = b"" if state.sizes else bytes.fromhex(tree.digest[7:])
        for index in state.sizes:
            state.note(index, _UNKNOWN)
        digests = bytes(state.digests)
        rows.append(
            (state.place, Row(folder.looks(), digests, nodes, node, tree.files, tree.bytes, listing.at))
        )
    cache.put(rows)
    return made[""]


def _entries(state: _State, below: Sequence[Tree]) -> Iterator[Entry]:
    folder = state.folder
    sizes, digests = folder.sizes(), state.digests.hex()
    for index, size in state.sizes.items():
        sizes[index] = size
    files = zip(folder.names, sizes, folder.modes(), range(0, len(digests), 64), strict=True)
    for name, size, mode, at in files:
        yield Entry(name, "file", "sha256:" + digests[at : at + 64], 1, size, bool(mode & 0o100))
    for name, target in folder.links:
        yield Entry(name, "symlink", target=target)
    for name, tree in zip(folder.folders, below, strict=True):
        yield Entry(name, "dir", tree.digest, tree.files, tree.bytes)


def _digest(raw: bytes) -> str:
    return "sha256:" + raw.hex()
