"""The lines in which small texts of a reproduction differ from those of its original, for whoever looks at it now.

They are read from the store each time and written down nowhere: a record stays when a content is erased.
"""

from __future__ import annotations

import difflib
from itertools import islice

from pkgrun.errors import PkgrunError
from pkgrun.records import FileList, RunRecord, Tree
from pkgrun.runs import recover
from pkgrun.store import trees
from pkgrun.store.files import shown
from pkgrun.store.root import Store
from pkgrun.store.trees import Entry

_LARGEST = 1 << 16
_FILES = 3
_LINES = 6
_WIDTH = 160


def excerpts(store: Store, record: RunRecord) -> dict[str, list[str]]:
    """By path, artifacts below `artifacts/`, a few lines of a diff; nothing of what is not there any more."""
    found = record.reproduced
    if found is None:
        return {}
    try:
        original = recover.settle(store, found.run)
        facts, now = original.facts, record.facts
        told = _of(store, original.output, found.tree, found.files.changed, "")
        if facts and now:
            told |= _of(store, facts.artifacts, now.artifacts, found.artifacts.changed, "artifacts/")
    except PkgrunError:
        return {}
    return told


def _of(
    store: Store, old: Tree | None, new: Tree | None, changed: FileList, below: str
) -> dict[str, list[str]]:
    if old is None or new is None or not changed.count:
        return {}
    before, after = (_small(store, tree, changed) for tree in (old, new))
    found: dict[str, list[str]] = {}
    for name in changed.names:
        if len(found) < _FILES and name in before and name in after:
            lines = _diff(store, before[name], after[name])
            if lines:
                found[below + name] = lines
    return found


def _small(store: Store, tree: Tree, changed: FileList) -> dict[str, Entry]:
    """The small files among those that changed, by the name that the record has."""
    names = set(changed.names)
    found = ((shown(path), entry) for path, entry in trees.walk(store.objects, tree.digest))
    return {name: one for name, one in found if name in names and one.kind == "file" and one.bytes < _LARGEST}


def _diff(store: Store, old: Entry, new: Entry) -> list[str]:
    try:
        one, other = (store.objects.read(entry.digest).decode() for entry in (old, new))
    except UnicodeDecodeError:
        return []
    if "\0" in one or "\0" in other:
        return []
    lines = difflib.unified_diff(one.splitlines(), other.splitlines(), lineterm="", n=0)
    told = [line for line in islice(lines, 3, 3 + 4 * _LINES) if not line.startswith("@@")]
    more = ["…"] if len(told) > _LINES else []
    return [line if len(line) <= _WIDTH else f"{line[:_WIDTH]}…" for line in told[:_LINES]] + more
