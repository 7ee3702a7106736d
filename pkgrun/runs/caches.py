"""What was erased leaves this machine's caches, too: copies of datasets, and work folders that were kept.

A machine finds out when it next uses the store; what it has done for which receipts it notes beside what is derived from the store.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass

from pkgrun.datasets.cache import Copies
from pkgrun.errors import PkgrunError
from pkgrun.store.files import nothing, take
from pkgrun.store.parallel import each


@dataclass(frozen=True, slots=True)
class Dropped:
    """What went: copies of datasets, and files in work folders. `busy`: copies in use, which go when they are used no longer."""

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
    copies, busy = Copies(os.path.join(cache, "datasets"), 0).drop(raws)
    return Dropped(copies, _in_work_folders(os.path.join(cache, "work"), raws), busy)


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


def _in_work_folders(above: str, raws: Collection[bytes]) -> int:
    """Remove the files from folders that were kept; those of runs that go on are removed with them."""
    try:
        names = set(os.listdir(above))
    except OSError:
        return 0
    kept = [name for name in names if f"{name}.lock" not in names and not name.endswith(".lock")]
    files = [path for name in kept for path in _files(os.path.join(above, name))]
    return sum(each(lambda path: _removed(path, raws), files, run=1))


def _files(folder: str) -> list[str]:
    walked = os.walk(folder)
    return [os.path.join(at, name) for at, _, names in walked for name in names]


def _removed(path: str, raws: Collection[bytes]) -> bool:
    if os.path.islink(path) or not os.path.isfile(path):
        return False
    try:
        if bytes.fromhex(take(path, nothing).digest[7:]) not in raws:
            return False
        os.unlink(path)
    except (OSError, PkgrunError):
        return False
    return True
