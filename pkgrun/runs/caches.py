"""What was erased leaves this machine's caches, too: copies of datasets, and work folders that were kept.

A machine finds out when it next uses the store; what it has done for which receipts it notes beside what is derived from the store.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass

from pkgrun.datasets.cache import Copies
from pkgrun.runs.place import sweep
from pkgrun.runs.purging import find, purge
from pkgrun.store.local import translate


@dataclass(frozen=True, slots=True)
class Dropped:
    """What went: copies of datasets, and files in work folders. `busy`: copies and work folders that hold it, or may, and that are
    in use, or that the system does not let go; they are looked at again the next time."""

    copies: int = 0
    files: int = 0
    busy: int = 0


def honour(cache: str, store: str, raws: Collection[bytes]) -> Dropped:
    """Drop what was erased since the last time.

    Args:
        cache: the machine's cache folder.
        store: the store's id.
        raws: all that has a receipt, by SHA-256.

    Raises:
        PermissionDenied, Temporary: the system refuses.
    """
    path = os.path.join(cache, "stores", store, "erased")
    new = set(raws) - _noted(path) if raws else set()
    if not new:
        return Dropped()
    done = drop(cache, new)
    if not done.busy:
        _note(path, raws)
    return done


def drop(cache: str, raws: Collection[bytes]) -> Dropped:
    """Drop these, whatever was noted."""
    copies, work = drop_copies(cache, raws), _in_work_folders(os.path.join(cache, "work"), raws)
    return Dropped(copies.copies, work.files, copies.busy + work.busy)


def drop_copies(cache: str, raws: Collection[bytes]) -> Dropped:
    """Drop copies of datasets alone: for who has just fetched one that is refused."""
    copies, busy = Copies(os.path.join(cache, "datasets"), 0).drop(raws)
    return Dropped(copies, 0, busy)


def _noted(path: str) -> set[bytes]:
    try:
        with open(path, encoding="ascii") as file:
            return {bytes.fromhex(line) for line in file}
    except (OSError, ValueError):
        return set()


def _note(path: str, raws: Collection[bytes]) -> None:
    """All or nothing; what is lost of it is only work done again."""
    beside = f"{path}.{os.urandom(8).hex()}"
    with suppress(OSError):
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        with open(beside, "w", encoding="ascii") as file:
            file.writelines(f"{raw.hex()}\n" for raw in sorted(raws))
        os.rename(beside, path)


def _in_work_folders(above: str, raws: Collection[bytes]) -> Dropped:
    """Remove the files from folders that were kept, and the folders of runs that are no more. In that of a run that goes on
    nothing is touched: the run removes it, or looks itself, when it ends.
    """
    try:
        sweep(above)
        names = set(os.listdir(above))
    except FileNotFoundError:
        return Dropped()
    except OSError as error:
        raise translate(error, above) from error
    files = busy = 0
    for name in names:
        if name.endswith(".lock"):
            continue
        path, going = os.path.join(above, name), f"{name}.lock" in names
        found = find(path, raws) if going else purge(path, raws)
        files += 0 if going else found.files
        busy += bool(found.failed or (going and found.files))
    return Dropped(0, files, busy)
