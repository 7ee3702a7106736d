"""Carries full packs to the backend in the background, so that reading, hashing and the disk go on at once.

It owns the packs that are on their way, which can still be read here. It keeps no order: whoever needs one waits.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from pkgrun.store.backend import Backend, Upload
from pkgrun.store.condemned import Condemned
from pkgrun.store.index import Index
from pkgrun.store.packs import Filling, Pack, key_of

AT_ONCE = 3
"""Packs on their way; whoever brings one more waits, so this bounds the memory."""


class Sender:
    """Packs on their way into one store, for one operation."""

    def __init__(
        self, backend: Backend, index: Index, condemned: Condemned, check: Callable[[], object]
    ) -> None:
        """Args:
        check: raises if the operation was given up.
        """
        self._backend, self._index, self._condemned, self._check_open = backend, index, condemned, check
        self._room = threading.BoundedSemaphore(AT_ONCE)
        self._lock = threading.Lock()
        self._threads: set[threading.Thread] = set()
        self._filled: tuple[Filling, ...] = ()
        self._failures: list[BaseException] = []

    def send(self, filled: Filling) -> None:
        """Take a pack over; it may be written to no more.

        Raises:
            PkgrunError: one before it has failed.
        """
        with self._lock:
            self._filled += (filled,)
        self._room.acquire()
        thread = threading.Thread(target=self._carry, args=(filled,), daemon=True)
        with self._lock:
            self._threads.add(thread)
        try:
            thread.start()
        except RuntimeError:  # there are as many as the system allows
            with self._lock:
                self._threads.discard(thread)
            self._carry(filled)
        self._check()

    def underway(self) -> tuple[Filling, ...]:
        """What has not arrived yet."""
        return self._filled

    def wait(self) -> None:
        """All have arrived.

        Raises:
            PkgrunError: one has not.
        """
        with self._lock:
            threads = list(self._threads)
        for thread in threads:
            thread.join()
        self._check()

    def _check(self) -> None:
        if self._failures:
            raise self._failures[0]

    def _carry(self, filled: Filling) -> None:
        try:
            pack = filled.close()
            send(self._backend, pack, self._condemned, check=self._check_open)
            self._index.add(pack.name, pack.parts)
        except BaseException as error:
            self._failures.append(error)
        finally:
            with self._lock:
                self._threads.discard(threading.current_thread())
                self._filled = tuple(one for one in self._filled if one is not filled)
            self._room.release()


def send(
    backend: Backend,
    pack: Pack,
    condemned: Condemned | None = None,
    *,
    check: Callable[[], object] = lambda: None,
) -> None:
    """Write one pack; visible and durable after the backend's next flush.

    Args:
        condemned: what is, as far as the operation knows.
        check: raises if the operation was given up. A directory vouches for all below it, and what that was meant to be
            may have been collected since.
    """
    key = key_of(pack.name)
    if condemned is not None:
        condemned.renew(key)
    upload = backend.upload(key)
    write(upload, pack.data)
    try:
        if any(part.directory for part in pack.parts):
            check()
    except BaseException:
        upload.discard()
        raise
    upload.publish(key)


def write(upload: Upload, data: bytes | bytearray | memoryview) -> None:
    """All of a blob, or nothing."""
    try:
        upload.write(data)
    except BaseException:
        upload.discard()
        raise
