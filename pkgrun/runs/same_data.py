"""The data of an earlier run, by its digest: kept in the store, or where it came from if it is still the same there.

It hands out nothing that has not that digest. What was erased stays so: a run that was given it cannot be done again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from pkgrun.datasets import snapshot
from pkgrun.datasets.arrival import here
from pkgrun.datasets.cache import Copies
from pkgrun.datasets.sources import Dataset, Source, Stored
from pkgrun.errors import Damaged, Erased, Mismatch, NotFound, PermissionDenied, PkgrunError, UsageError
from pkgrun.observe import Notice, Observer, Progress
from pkgrun.records import Data, Tree
from pkgrun.runs import lookup
from pkgrun.store import erased, trees
from pkgrun.store.files import shown
from pkgrun.store.objects import SMALL, key_of
from pkgrun.store.parallel import each
from pkgrun.store.root import Store
from pkgrun.store.sinks import Hashing, Made
from pkgrun.store.trees import Entry

_NAMED = 3


@dataclass(frozen=True, slots=True)
class Search:
    """Where data is looked for, and for which run. `what` and `option` are what it is called in words and on the line."""

    store: Store
    run: str
    cache: str
    cache_limit: int
    observer: Observer
    what: str = "the data"
    option: str = "--data"

    @property
    def whose(self) -> str:
        """What is looked for, in words."""
        return f"{self.what} of the run {self.run[:13]}"


def find(search: Search, data: Data, given: str | None) -> Dataset:
    """The data that a run was given, byte for byte.

    Args:
        given: where somebody says that it is; else it is looked for in the store, then where it came from.

    Raises:
        Erased: some of it was erased; the receipt is named.
        Mismatch: what is there has another digest; the files are named, if the store has the list of them.
        NotFound: it is nowhere.
    """
    check_not_erased(search, data.tree)
    if given is not None:
        dataset = _named(search, given)
        return _same(search, data.tree, dataset, dataset.label)
    if _held(search.store, data.tree.digest):
        search.observer(Notice(f"{search.whose} is in the store"))
        return Stored(data.tree.digest, Entry("", "dir", data.tree.digest, data.tree.files, data.tree.bytes))
    try:
        dataset = _named(search, data.source)
    except (NotFound, PermissionDenied, UsageError) as error:
        raise NotFound(
            f"{search.whose} is not there any more: the store keeps no copy of it, and {error.message}",
            hint=f"name where it lies now: {search.option} PATH|URL|NAME; {_keeping(search)}",
        ) from error
    return _same(search, data.tree, dataset, data.source)


def _keeping(search: Search) -> str:
    option = "--save-training-data" if search.option == "--data" else "--save-test-data"
    return f"next time {option} keeps a copy"


def _named(search: Search, text: str) -> Dataset:
    dataset = lookup.dataset(search.store, text, search.observer)
    if isinstance(dataset, Source):
        lookup.apart(search.store, dataset, search.cache)
    return dataset


def check_not_erased(search: Search, tree: Tree) -> None:
    """That nothing of a tree was.

    Raises:
        Erased: a file of it was, as far as the store knows which files it had.
    """
    backend = search.store.backend
    gone = erased.raws(backend)
    if not gone:
        return
    for path, digest in _files(search.store, tree.digest):
        if bytes.fromhex(digest[7:]) in gone:
            found = erased.error(backend, bytes.fromhex(digest[7:]))
            said = found.message if found else "it was erased"
            raise Erased(f"{search.whose} had {shown(path)}: {said}", hint=found.hint if found else None)


def _files(store: Store, digest: str) -> Iterator[tuple[str, str]]:
    """The files of a tree, as far as the store has its directories."""
    waiting = [("", digest)]
    while waiting:
        folder, node = waiting.pop()
        try:
            entries = trees.read_node(store.objects, node)
        except (Damaged, NotFound):
            continue
        for entry in entries:
            path = f"{folder}/{entry.name}" if folder else entry.name
            if entry.kind == "dir":
                waiting.append((path, entry.digest))
            elif entry.kind == "file":
                yield path, entry.digest


def _held(store: Store, digest: str) -> bool:
    """Whether all of a tree is in the store, each file of it: directories alone are only its list."""
    store.objects.look_again()
    try:
        files = [entry for _, entry in trees.walk(store.objects, digest) if entry.kind == "file"]
    except PkgrunError:
        return False
    small = {bytes.fromhex(one.digest[7:]) for one in files if one.bytes < SMALL}
    if len(store.objects.places(list(small))) < len(small):
        return False
    large = {one.digest for one in files if one.bytes >= SMALL}
    return all(each(lambda one: store.backend.stat(key_of(one)) is not None, sorted(large), run=1))


def _same(search: Search, tree: Tree, dataset: Dataset, label: str) -> Dataset:
    """The dataset, which has the digest.

    Raises:
        Mismatch: it has another.
    """
    copies = Copies(os.path.join(search.cache, "datasets"), search.cache_limit, observer=search.observer)
    with here(dataset, copies=copies, objects=search.store.objects) as source:
        found = _hashed(search, source, Hashing())
        if found.digest == tree.digest:
            return dataset
        told = _difference(search, source, tree)
    raise Mismatch(
        f"{label} is not {search.whose} any more: {told}",
        hint=f"name a copy of it as it was: {search.option} PATH|URL|NAME; it has the digest {tree.digest}",
    )


def _hashed(search: Search, source: Source, sink: Hashing) -> Tree:
    """The digest of what is there now; files that look as they did when they were hashed are not read again."""

    def told(done: int, total: int) -> None:
        search.observer(Progress(f"looking whether {search.what} is the same", done, total, "bytes"))

    return snapshot.of(source, sink, search.cache, told).tree


def _difference(search: Search, source: Source, tree: Tree) -> str:
    """How what is there differs from what was, if the store has the list of that."""
    nodes = Made()
    root = _hashed(search, source, nodes)
    sizes = f"{root.files:,} with {root.bytes:,} bytes now, {tree.files:,} with {tree.bytes:,} then"
    try:
        before = {path: one.digest for path, one in trees.walk(search.store.objects, tree.digest)}
    except PkgrunError:
        same = (root.files, root.bytes) == (tree.files, tree.bytes)
        return "its content is another" if same else f"files: {sizes}"
    now = dict(_below(nodes.made, root.digest))
    differing = sorted(path for path in before.keys() | now.keys() if before.get(path) != now.get(path))
    files = [path for path in differing if not any(other.startswith(f"{path}/") for other in differing)]
    return f"{_how(files, before, now)} (files: {sizes})"


def _below(nodes: dict[str, bytes], root: str) -> Iterator[tuple[str, str]]:
    waiting = [("", root)]
    while waiting:
        folder, digest = waiting.pop()
        node = trees.parse(nodes[digest], digest)
        waiting += [(folder, part.digest) for part in node.parts]
        for entry in node.entries:
            path = f"{folder}/{entry.name}" if folder else entry.name
            yield path, entry.digest
            if entry.kind == "dir":
                waiting.append((path, entry.digest))


def _how(paths: list[str], before: dict[str, str], now: dict[str, str]) -> str:
    def word(path: str) -> str:
        what = "removed" if path not in now else "added" if path not in before else "changed"
        return f"{shown(path)} was {what}"

    left = len(paths) - _NAMED
    more = f" and {left:,} more {'file differs' if left == 1 else 'files differ'}" if left > 0 else ""
    return ", ".join(map(word, paths[:_NAMED])) + more or "its content is another"
