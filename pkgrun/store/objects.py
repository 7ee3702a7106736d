"""Blobs by content: streamed in, verified out. A blob is never whole in memory unless it is small.

Every blob lies at `objects/<aa>/<sha256>`. (Packs, which hold small blobs, are reserved in the format.)
"""

from __future__ import annotations

import hashlib
import os
import stat as mode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from pkgrun.errors import Damaged, DataInvalid, NotFound
from pkgrun.records import Blob
from pkgrun.store.backend import Backend, Upload
from pkgrun.store.local import CHUNK, translate

SMALL = 1 << 20
"""Bytes up to which a blob is read at once."""

Watch = Callable[[], Callable[[bytes], bool]]
"""Makes a watcher for one file: it is fed the bytes in order and says True once they hold what must not be kept."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A file as it was read. `stable`: nothing changed it meanwhile. `flagged`: it was not kept, a watcher said so."""

    digest: str
    size: int
    stable: bool
    flagged: bool = False


class Sink(Protocol):
    """Where a tree goes: into a store, or only through the hash."""

    def take(self, path: str, watch: Watch | None = None, *, known: bool = False) -> Taken:
        """Read one regular file; `known`: it is probably there already."""

    def put(self, data: bytes) -> Blob:
        """Keep bytes that are at hand."""


def digest_of(data: bytes) -> str:
    """`sha256:…` of bytes."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def key_of(digest: str) -> str:
    """The key of a blob."""
    value = digest.removeprefix("sha256:")
    return f"objects/{value[:2]}/{value}"


def open_regular(path: str) -> int:
    """A descriptor for reading a regular file, never a link, and never waiting for a pipe's other end.

    Raises:
        DataInvalid: it is none (any more).
        NotFound, PermissionDenied, Temporary: as the system says.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise vanished(path) from error
    except OSError as error:
        raise translate(error, shown(path)) from error
    if not mode.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise DataInvalid(f"{shown(path)} is not a regular file")
    return descriptor


def vanished(path: str) -> NotFound:
    """What is said of something that was there a moment ago."""
    return NotFound(f"{shown(path)} vanished while it was read", hint="run again when nobody writes there")


def _size(path: str) -> int:
    try:
        return os.lstat(path).st_size
    except FileNotFoundError as error:
        raise vanished(path) from error
    except OSError as error:
        raise translate(error, shown(path)) from error


def shown(path: str) -> str:
    """A path that can be printed, whatever bytes it is made of."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def take(path: str, consume: Callable[[bytes], object], watch: Watch | None = None) -> Taken:
    """Read a file once, in pieces: hash each, hand each to `consume`."""
    descriptor = open_regular(path)
    try:
        before = os.fstat(descriptor)
        watcher = watch() if watch else None
        hasher, size, flagged = hashlib.sha256(), 0, False
        while chunk := os.read(descriptor, CHUNK):
            hasher.update(chunk)
            size += len(chunk)
            flagged = flagged or (watcher is not None and watcher(chunk))
            if not flagged:
                consume(chunk)
        after = os.fstat(descriptor)
    except OSError as error:
        raise translate(error, shown(path)) from error
    finally:
        os.close(descriptor)
    stable = (before.st_mtime_ns, before.st_size) == (after.st_mtime_ns, size)
    return Taken("sha256:" + hasher.hexdigest(), size, stable, flagged)


def _nothing(chunk: bytes) -> None:
    pass


class Hashing:
    """A sink that keeps nothing."""

    def take(self, path: str, watch: Watch | None = None, *, known: bool = False) -> Taken:
        return take(path, _nothing, watch)

    def put(self, data: bytes) -> Blob:
        return Blob(digest=digest_of(data), bytes=len(data))


class Objects:
    """The blobs of one store."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._known: set[str] = set()
        self._reused: set[str] = set()

    def flush(self) -> None:
        """Make all that was put durable, also what was found there: its writer may not have come so far yet."""
        reused = self._reused.copy()
        self._backend.flush({key_of(digest) for digest in reused})
        self._reused -= reused

    def _holds(self, digest: str) -> bool:
        if digest not in self._known:
            if self._backend.stat(key_of(digest)) is None:
                return False
            self._known.add(digest)
            self._reused.add(digest)
        return True

    def put(self, data: bytes) -> Blob:
        """Keep bytes."""
        blob = Blob(digest=digest_of(data), bytes=len(data))
        self._keep(blob.digest, data)
        return blob

    def _keep(self, digest: str, data: bytes) -> None:
        if not self._holds(digest):
            upload = self._backend.upload()
            try:
                upload.write(data)
            except BaseException:
                upload.discard()
                raise
            self._publish(upload, digest)

    def _publish(self, upload: Upload, digest: str) -> None:
        upload.publish(key_of(digest))
        self._known.add(digest)

    def take(self, path: str, watch: Watch | None = None, *, known: bool = False) -> Taken:
        """Keep a file: a small one by way of memory, a large one hashed while it is written.

        `known` says that the store probably has it, so that a large one is read before anything is written.
        """
        if known and (taken := take(path, _nothing, watch)) and self._holds(taken.digest):
            return taken
        if _size(path) < SMALL:
            pieces: list[bytes] = []
            taken = take(path, pieces.append, watch)
            if not taken.flagged:
                self._keep(taken.digest, b"".join(pieces))
            return taken
        upload = self._backend.upload()
        try:
            taken = take(path, upload.write, watch)
        except BaseException:
            upload.discard()
            raise
        if taken.flagged or self._holds(taken.digest):
            upload.discard()
        else:
            self._publish(upload, taken.digest)
        return taken

    def read(self, digest: str) -> bytes:
        """A small blob, verified.

        Raises:
            Damaged: it is missing or its bytes are others.
        """
        data = b"".join(self._chunks(digest))
        if digest_of(data) != digest:
            raise _damaged(digest)
        return data

    def stream(self, digest: str) -> Iterator[bytes]:
        """A blob in pieces. It is verified when the last has been taken: what was written until then is not yet true.

        Raises:
            Damaged: it is missing or its bytes are others.
        """
        hasher = hashlib.sha256()
        for chunk in self._chunks(digest):
            hasher.update(chunk)
            yield chunk
        if "sha256:" + hasher.hexdigest() != digest:
            raise _damaged(digest)

    def _chunks(self, digest: str) -> Iterator[bytes]:
        try:
            yield from self._backend.stream(key_of(digest))
        except NotFound as error:
            raise Damaged(
                f"the store lacks the object {digest}", hint="restore it from a copy of the store"
            ) from error


def _damaged(digest: str) -> Damaged:
    return Damaged(
        f"{key_of(digest)} is damaged: its bytes do not have the digest {digest}",
        hint="restore the file from a copy of the store",
    )
