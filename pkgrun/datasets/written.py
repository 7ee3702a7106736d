"""What the user's code did to its data folder, whichever way the data was put there."""

from __future__ import annotations

import os
from dataclasses import dataclass

from pkgrun.store.scan import Folder, Listing


@dataclass(frozen=True, slots=True)
class Written:
    """Paths relative to the data folder, `/` between, each list in the order of their bytes.

    A file or link is `changed` when it was touched, equal or not, or is now the other of the two. A folder has `/`
    behind its path, and is named only where no file tells of it: `added` when it is new and nothing is in it,
    `removed` with all that was in it, which is not named again. What happened to a folder itself, its mode and
    times, is not told.
    """

    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()

    @classmethod
    def of(cls, added: list[str], changed: list[str], removed: list[str]) -> Written:
        """The same, put in order."""
        return cls(*(tuple(sorted(paths, key=os.fsencode)) for paths in (added, changed, removed)))

    def __bool__(self) -> bool:
        return bool(self.added or self.changed or self.removed)


def between(before: Listing, after: Listing) -> Written:
    """What became of one folder, looked at twice: new, gone, or no longer with the stamp that it had."""
    old, new = _folders(before), _folders(after)
    added: list[str] = []
    changed: list[str] = []
    removed: list[str] = []
    for path in old.keys() & new.keys():
        if old[path].looks() != new[path].looks():
            was, now = _entries(old[path]), _entries(new[path])
            added += now.keys() - was.keys()
            changed += (name for name in was.keys() & now.keys() if was[name] != now[name])
            removed += was.keys() - now.keys()
    gone = {path + "/" for path in old.keys() - new.keys()}
    removed += (path for path in gone if _above(path) not in gone)
    for path in new.keys() - old.keys():
        entries = _entries(new[path])
        added += entries or ([] if new[path].folders else [path + "/"])
    return Written.of(added, changed, removed)


def _folders(listing: Listing) -> dict[str, Folder]:
    return {folder.path: folder for folder in listing.content}


def _above(path: str) -> str:
    return path.rstrip("/").rpartition("/")[0] + "/"


def _entries(folder: Folder) -> dict[str, object]:
    stamps = zip(folder.names, folder.every_stamp(), strict=True)
    files: dict[str, object] = {folder.below(name): stamp for name, stamp in stamps}
    return files | {folder.below(name): target for name, target in folder.links}
