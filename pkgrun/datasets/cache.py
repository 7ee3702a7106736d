"""Local copies of datasets: filled once, checked whenever they are used, removed when the cache grows too large.

It owns the folder `datasets` of the cache and knows nothing of where content comes from. Below a key there are copies
("slots"), usually one; a second is made only while another process uses the first and it can no longer serve::

    <key>.lock          who holds it exclusively fills or removes; its mtime is the last use, its text the progress
    <key>/<n>/lock      who holds it shared uses the copy: it is neither changed nor removed
    <key>/<n>/content   the copy; whole if there is a manifest beside it
    <key>/<n>/notes     the filler's own, for resuming
    <key>/<n>/manifest  what the copy was when it was made
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field

from pkgrun.datasets import manifest
from pkgrun.datasets.manifest import Check, Head
from pkgrun.errors import Killed, Temporary
from pkgrun.observe import Notice, Observer, Progress, silent
from pkgrun.store.files import shown
from pkgrun.store.local import translate

_WAIT = 0.1
_TOLD = 0.1
_NAMED = 3
_GONE = ".gone."
"""What is being removed begins so."""


@dataclass(frozen=True, slots=True)
class Filled:
    """What a filler leaves: which state of the dataset it is, and the SHA-256 (hex) of the files that it knows.

    A state of None is never taken for current: whoever comes next fills again.
    """

    state: str | None
    digests: Mapping[str, str] = field(default_factory=dict)


class Room:
    """Where a filler works. After an interruption, or for a changed dataset, `content` and `notes` are as they were
    left; `checked` says that what lies in `content` was compared with its digests just now.
    """

    def __init__(self, copies: Copies, slot: str, lock: int, label: str, *, checked: bool) -> None:
        self.content = os.path.join(slot, "content")
        self.notes = os.path.join(slot, "notes")
        self.checked = checked
        self._copies, self._lock, self._label, self._told = copies, lock, label, 0.0

    def require(self, size: int) -> None:
        """Make room for so many more bytes.

        Raises:
            Temporary: the disk has not as many.
        """
        self._copies.make_room(size, os.path.dirname(self.content))

    def report(self, done: int, total: int | None) -> None:
        """Tell how many bytes are done, the observer and whoever waits."""
        now = time.monotonic()
        if done != total and now - self._told < _TOLD:
            return
        self._told = now
        self._copies.observer(Progress(self._label, done, total, "bytes"))
        _tell(self._lock, done, total)

    def notice(self, message: str) -> None:
        """Tell the observer something that a person should know."""
        self._copies.observer(Notice(message))

    def stopped(self) -> bool:
        """Whether the filler should give up; what it has done is kept."""
        return self._copies.stop()


Fill = Callable[[Room], Filled]


class Copies:
    """The copies below a folder, which take no more than `limit` bytes apart from those in use."""

    def __init__(
        self,
        folder: str,
        limit: int,
        *,
        observer: Observer = silent,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self.folder, self.limit, self.observer, self.stop = folder, limit, observer, stop

    @contextmanager
    def hold(
        self, key: str, fill: Fill, *, label: str, state: str | None = "", resumable: bool = True
    ) -> Iterator[str]:
        """The folder of a whole copy, which nobody removes or changes until the context ends.

        Args:
            key: a file name that stands for the dataset.
            fill: puts the content into `Room.content`, where there is no whole copy in the wanted state.
            label: what the dataset is called in messages.
            state: what the copy must be filled from; None if that cannot be known.
            resumable: whether `fill` can go on from what it or another left. If not, it gets an empty folder.

        Raises:
            Killed: `stop` turned true.
            PermissionDenied, Temporary: the system refuses, or the disk is full.
            And what `fill` raises.
        """
        task = _Task(self, key, label, state, resumable)
        try:
            os.makedirs(self.folder, mode=0o700, exist_ok=True)
            held, path, filled = self._opened(task, fill)
        except OSError as error:
            raise translate(error, shown(self.folder)) from error
        try:
            if filled:
                self._bound(task, path)
            yield os.path.join(path, "content")
        finally:
            os.close(held)
            self.evict()

    def _opened(self, task: _Task, fill: Fill) -> tuple[int, str, bool]:
        """A shared lock on a whole copy, and its slot; filled if need be."""
        with self._gate(task, fcntl.LOCK_SH):
            if found := task.current():
                return *found, False
        with self._gate(task, fcntl.LOCK_EX) as gate:
            if found := task.current():
                return *found, False
            _tell(gate, 0, None)
            lock, slot = task.free()
            try:
                task.fill(slot, gate, fill)
                task.prune(slot)
                fcntl.flock(lock, fcntl.LOCK_SH)  # not atomic, but whoever would come between needs the gate
            except BaseException:
                os.close(lock)
                raise
            return lock, slot, True

    @contextmanager
    def _gate(self, task: _Task, how: int) -> Iterator[int]:
        path = os.path.join(self.folder, task.key + ".lock")
        told = False
        while True:
            lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                if _locked(lock, how):
                    if _is(lock, path):
                        os.utime(lock)
                        yield lock
                        return
                    continue
                if self.stop():
                    raise Killed(f"stopped while another process was fetching {task.label}")
                told = self._waiting(lock, task.label, told=told)
            finally:
                os.close(lock)
            time.sleep(_WAIT)

    def _waiting(self, lock: int, label: str, *, told: bool) -> bool:
        done, total, process = ([*os.pread(lock, 64, 0).decode("ascii", "replace").split(), "", "", ""])[:3]
        if not told:
            whoever = f"process {process}" if process else "another process"
            self.observer(Notice(f"waiting for {label}, which {whoever} is fetching"))
        elif done.isdigit() and total.isdigit():
            self.observer(Progress(label, int(done), int(total) or None, "bytes"))
        return True

    def make_room(self, size: int, own: str) -> None:
        """Remove the copies that were not used for longest, until `size` bytes more are within the limit."""
        self.evict(size)
        disk = os.statvfs(own)
        free = disk.f_bavail * disk.f_frsize
        if free < size:
            self.evict(size, limit=self.limit - (size - free))
            disk = os.statvfs(own)
            free = disk.f_bavail * disk.f_frsize
        if free < size:
            raise Temporary(
                f"the dataset needs {size:,} bytes, and the disk of {shown(self.folder)} has {free:,} left",
                hint="free some space, or name a folder on another disk with PKGRUN_CACHE",
            )

    def _bound(self, task: _Task, slot: str) -> None:
        found = manifest.head(os.path.join(slot, "manifest"))
        if found is not None and found.size > self.limit:
            self.observer(
                Notice(
                    f"{task.label} takes {found.size:,} bytes, more than the cache's limit of {self.limit:,}: "
                    "it is removed after use",
                    hint="raise cache_size (PKGRUN_CACHE_SIZE) to keep it",
                )
            )
        self.evict()

    def evict(self, more: int = 0, *, limit: int | None = None) -> None:
        """Remove what was not used for longest until the rest, and `more` bytes, are within the limit."""
        limit = self.limit if limit is None else limit
        entries = []
        try:
            for name in os.listdir(self.folder):
                path = os.path.join(self.folder, name)
                if name.startswith(_GONE):
                    shutil.rmtree(path, ignore_errors=True)
                elif name.endswith(".lock"):
                    with suppress(FileNotFoundError):
                        entries.append((os.stat(path).st_mtime_ns, path, _size(path.removesuffix(".lock"))))
        except OSError:
            return
        total = sum(size for _, _, size in entries)
        for _, path, size in sorted(entries):
            if total + more <= limit:
                return
            if size and self._removed(path):
                total -= size

    def drop(self, raws: Collection[bytes]) -> tuple[int, int]:
        """Remove the copies that hold certain contents, whichever their dataset.

        Args:
            raws: the SHA-256 of each.

        Returns:
            How many datasets' copies were removed, and how many are in use, or cannot be removed, and stay for now.

        Raises:
            PermissionDenied, Temporary: the system refuses.
        """
        gone = busy = 0
        wanted = {raw.hex() for raw in raws}
        try:
            names = os.listdir(self.folder)
        except FileNotFoundError:
            return 0, 0
        except OSError as error:
            raise translate(error, shown(self.folder)) from error
        for name in names:
            path = os.path.join(self.folder, name)
            if name.startswith(_GONE):  # a removal that was interrupted; whatever it is of
                shutil.rmtree(path, ignore_errors=True)
                busy += os.path.lexists(path)
            elif name.endswith(".lock") and any(
                manifest.holds(slot, wanted) for slot in _slots(path.removesuffix(".lock"))
            ):
                removed = self._removed(path)
                gone, busy = gone + removed, busy + (not removed)
        return gone, busy

    def _removed(self, path: str) -> bool:
        """Remove a key's copies, unless somebody uses or fills them."""
        entry = path.removesuffix(".lock")
        with ExitStack() as held, suppress(OSError):
            gate = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            held.callback(os.close, gate)
            if not _locked(gate, fcntl.LOCK_EX) or not _is(gate, path):
                return False
            for slot in _slots(entry):
                lock = _open_lock(slot)
                held.callback(os.close, lock)
                if not _locked(lock, fcntl.LOCK_EX):
                    return False
            _discard(entry, self.folder)
            os.unlink(path)
            return True
        return False


@dataclass(frozen=True, slots=True)
class _Task:
    """One call of `hold`. Each method needs the key's gate."""

    copies: Copies
    key: str
    label: str
    state: str | None
    resumable: bool

    @property
    def entry(self) -> str:
        return os.path.join(self.copies.folder, self.key)

    def current(self) -> tuple[int, str] | None:
        """A shared lock on a copy that is whole and in the wanted state."""
        for slot in _slots(self.entry) if self.state is not None else []:
            found = manifest.head(os.path.join(slot, "manifest"))
            if found is None or found.state != self.state:
                continue
            lock = _open_lock(slot)
            if _locked(lock, fcntl.LOCK_SH) and self._whole(slot, found, _now(lock)):
                return lock, slot
            os.close(lock)
        return None

    def _whole(self, slot: str, found: Head, at: int) -> bool:
        path, content = os.path.join(slot, "manifest"), os.path.join(slot, "content")
        result = _checked(path, content, found)
        if result.differs or result.extra:
            return False
        if result.read:
            # The stats are to be trusted next time; what was just read needs no reading again.
            manifest.write(path, content, found.state, manifest.digests(path), at=at)
        return True

    def free(self) -> tuple[int, str]:
        """An exclusive lock on a slot that nobody uses; a new one starts as a copy of what there is."""
        os.makedirs(self.entry, mode=0o700, exist_ok=True)
        slots = _slots(self.entry)
        for slot in slots:
            lock = _open_lock(slot)
            if _locked(lock, fcntl.LOCK_EX):
                return lock, slot
            os.close(lock)
        number = 1 + max((int(os.path.basename(slot)) for slot in slots), default=-1)
        new = os.path.join(self.entry, str(number))
        os.mkdir(new, 0o700)
        if slots and self.resumable:
            self._copy(slots[-1], new)
        lock = _open_lock(new)
        fcntl.flock(lock, fcntl.LOCK_EX)
        return lock, new

    def _copy(self, slot: str, new: str) -> None:
        for name, copy in (("content", shutil.copytree), ("notes", shutil.copyfile)):
            with suppress(FileNotFoundError):
                copy(os.path.join(slot, name), os.path.join(new, name))
        path = os.path.join(slot, "manifest")
        found = manifest.head(path)
        if found is not None:
            result = _checked(path, os.path.join(slot, "content"), found)
            self._mend(new, result, damaged=found.state == self.state)

    def fill(self, slot: str, gate: int, fill: Fill) -> None:
        """Make the slot's copy whole."""
        content, path = os.path.join(slot, "content"), os.path.join(slot, "manifest")
        found = manifest.head(path)
        if found is not None:
            self._mend(slot, _checked(path, content, found), damaged=found.state == self.state)
        with suppress(FileNotFoundError):
            os.unlink(path)
        if not self.resumable:
            _discard(content, self.copies.folder)
            with suppress(FileNotFoundError):
                os.unlink(os.path.join(slot, "notes"))
        os.makedirs(content, mode=0o700, exist_ok=True)
        room = Room(self.copies, slot, gate, self.label, checked=found is not None)
        filled = fill(room)
        manifest.write(path, content, filled.state, filled.digests)

    def _mend(self, slot: str, result: Check, *, damaged: bool) -> None:
        """Take out what is not what was fetched, and say so."""
        wrong = result.differs + result.extra
        if not wrong:
            return
        named = ", ".join("all of it" if path == "." else shown(path) for path in wrong[:_NAMED])
        more = f" and {len(wrong) - _NAMED:,} more" if len(wrong) > _NAMED else ""
        again = "are fetched again" if damaged else "are not used"
        self.copies.observer(
            Notice(f"the cached copy of {self.label} was changed or damaged: {named}{more} {again}")
        )
        for path in wrong:
            _remove(os.path.normpath(os.path.join(slot, "content", path)), self.copies.folder)

    def prune(self, slot: str) -> None:
        """Remove the key's other copies that nobody uses any more."""
        for other in _slots(self.entry):
            if other == slot:
                continue
            lock = _open_lock(other)
            try:
                if _locked(lock, fcntl.LOCK_EX):
                    _discard(other, self.copies.folder)
            finally:
                os.close(lock)


def _checked(path: str, content: str, found: Head) -> Check:
    try:
        return manifest.check(path, content, found)
    except Temporary:
        if os.path.isdir(content):
            raise
        return Check(differs=["."])


def _slots(entry: str) -> list[str]:
    try:
        numbers = sorted(int(name) for name in os.listdir(entry) if name.isdecimal())
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [os.path.join(entry, str(number)) for number in numbers]


def _open_lock(slot: str) -> int:
    return os.open(os.path.join(slot, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _locked(lock: int, how: int) -> bool:
    try:
        fcntl.flock(lock, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _tell(gate: int, done: int, total: int | None) -> None:
    """Tell whoever waits for the gate."""
    with suppress(OSError):
        os.pwrite(gate, f"{done} {total or 0} {os.getpid()}".ljust(64).encode(), 0)


def _now(lock: int) -> int:
    """The file system's time, in nanoseconds."""
    os.utime(lock)
    return os.fstat(lock).st_mtime_ns


def _is(lock: int, path: str) -> bool:
    """Whether the lock file is still the one of that name: a remover takes it away with the copies."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(lock))
    except FileNotFoundError:
        return False


def _size(entry: str) -> int:
    total = 0
    for slot in _slots(entry):
        found = manifest.head(os.path.join(slot, "manifest"))
        total += found.size if found else manifest.taken(os.path.join(slot, "content"))
    return total


def _remove(path: str, folder: str) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        _discard(path, folder)
    else:
        with suppress(FileNotFoundError, NotADirectoryError):
            os.unlink(path)


def _discard(path: str, folder: str) -> None:
    """Take a folder away at once, and remove it then: a crash between leaves rubbish that the next one sweeps."""
    gone = os.path.join(folder, _GONE + os.urandom(8).hex())
    with suppress(FileNotFoundError):
        os.rename(path, gone)
    shutil.rmtree(gone, ignore_errors=True)
