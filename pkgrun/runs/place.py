"""The work directory of a run: fresh, private, and gone afterwards, also when the supervisor was killed.

Its owner holds a lock beside it. A directory whose lock nobody holds is left over, and the next run removes it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from pkgrun.errors import PkgrunError
from pkgrun.store.local import translate

_SCRATCH = ".scratch"


@dataclass(slots=True)
class Place:
    """Where a run works. `package` is the child's current directory; `journal` is where its events are spooled.

    `scratch` is a folder for what a mount needs; `privates` are folders of a sandbox's. What `stays` is not removed
    in the end.
    """

    package: str
    journal: str
    scratch: str
    stays: bool = False
    privates: tuple[str, ...] = ()

    def private(self, name: str) -> str:
        """A folder of the run's own beside the package, new and empty.

        Raises:
            Temporary: it cannot be made.
        """
        path = os.path.join(os.path.dirname(self.package), f".{name}")
        try:
            os.mkdir(path, 0o700)
        except OSError as error:
            raise translate(error, path) from error
        self.privates = (*self.privates, path)
        return path

    def stay(self, folders: Iterable[str]) -> None:
        """Do not remove it; the run's own folders are put beside the package, which they are no part of."""
        self.stays = True
        for folder in folders:
            with suppress(OSError):
                os.rename(
                    os.path.join(self.package, folder),
                    os.path.join(os.path.dirname(self.package), os.path.basename(folder)),
                )


@contextmanager
def place(
    cache: str, run: str, name: str, *, keep: bool, erased: Callable[[], Collection[bytes]] = tuple
) -> Iterator[Place]:
    """Make the work directory of a run below `cache`, and remove it in the end unless it is to be kept.

    Args:
        erased: says in the end what must not stay, by SHA-256. Who erased it meanwhile has left this folder alone.
    """
    above = os.path.join(cache, "work")
    root = os.path.join(above, run)
    try:
        os.makedirs(above, mode=0o700, exist_ok=True)
        sweep(above)
        lock = _lock(root + ".lock")
        os.mkdir(root, 0o700)
        os.mkdir(os.path.join(root, name), 0o777)
        os.mkdir(os.path.join(root, _SCRATCH), 0o700)
    except OSError as error:
        raise translate(error, root) from error
    made = Place(
        os.path.join(root, name), os.path.join(root, ".events.jsonl"), os.path.join(root, _SCRATCH), keep
    )
    try:
        yield made
    finally:
        if made.stays:
            _purged(root, erased)
        else:
            remove(root)
        with suppress(OSError):
            os.unlink(root + ".lock")
        os.close(lock)


def _purged(root: str, erased: Callable[[], Collection[bytes]]) -> None:
    """What was erased does not stay. If that cannot be asked now, the next erasure, or whoever asks for it again, looks here."""
    with suppress(PkgrunError):
        if raws := erased():
            from pkgrun.runs.purging import purge  # which few runs need

            purge(root, raws)


def sweep(above: str) -> None:
    """Remove the directories of runs whose supervisors are gone."""
    for name in os.listdir(above):
        if not name.endswith(".lock"):
            continue
        path = os.path.join(above, name)
        with suppress(OSError):
            lock = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                remove(path.removesuffix(".lock"))
                os.unlink(path)
            finally:
                os.close(lock)


def _lock(path: str) -> int:
    """Hold a new lock file; a sweeper may have taken it for left over and removed it, so look again."""
    while True:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        with suppress(FileNotFoundError):
            if os.stat(path).st_ino == os.fstat(lock).st_ino:
                return lock
        os.close(lock)


def remove(path: str) -> None:
    """Remove a folder, also where the code that wrote it took the right to away."""
    if os.path.islink(path):
        os.unlink(path)
        return
    with suppress(FileNotFoundError):
        try:
            shutil.rmtree(path)
        except (OSError, RecursionError):
            with suppress(OSError):
                _level(path)


def _level(path: str) -> None:
    """Remove a folder by moving every folder in it up to its top: no depth and no mode stands in the way."""
    os.chmod(path, 0o700)
    count = 0
    while entries := list(os.scandir(path)):
        for entry in entries:
            if not entry.is_dir(follow_symlinks=False):
                os.unlink(entry.path)
                continue
            os.chmod(entry.path, 0o700)
            for inner in list(os.scandir(entry.path)):
                if inner.is_dir(follow_symlinks=False):
                    os.chmod(inner.path, 0o700)
                    count += 1
                    os.rename(inner.path, os.path.join(path, f".{os.getpid()}.{count}"))
                else:
                    os.unlink(inner.path)
            os.rmdir(entry.path)
    os.rmdir(path)
