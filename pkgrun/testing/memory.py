"""A backend in memory: honest, thread-safe, gone with the process. It never shares a byte with its callers."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from pkgrun.errors import Bug, NotFound
from pkgrun.store.backend import RECORD_LIMIT, Capabilities, Stat, Upload

PIECE = 1 << 20


@dataclass(slots=True)
class _Place:
    """What all backends of one place share."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    kept: dict[str, tuple[bytes, float]] = field(default_factory=dict)


class MemoryUpload:
    """A blob being collected."""

    def __init__(self, backend: MemoryBackend, key: str | None) -> None:
        self._backend = backend
        self._key = key
        self._data = bytearray()

    def write(self, chunk: bytes | bytearray | memoryview) -> None:
        self._data += chunk

    def publish(self, key: str) -> None:
        if self._key not in (None, key):
            raise Bug(f"a blob that was begun as {self._key} is published as {key}")
        self._backend.pend(key, bytes(self._data))

    def discard(self) -> None:
        self._data.clear()


class MemoryBackend:
    """Keys are those of a dict. With `rename=False` it insists on a blob's key, as object stores do."""

    def __init__(self, *, rename: bool = True) -> None:
        self.url = f"memory://{uuid.uuid4().hex}"
        self.capabilities = Capabilities(rename=rename, paths=False)
        self._place = _Place()
        self._pending: dict[str, bytes] = {}

    def apart(self) -> MemoryBackend:
        other = MemoryBackend(rename=self.capabilities.rename)
        other.url, other._place = self.url, self._place
        return other

    def read(self, key: str, start: int = 0, length: int | None = None) -> bytes:
        data = self._found(key)
        return data[start:] if length is None else data[start : start + length]

    def stream(self, key: str) -> Iterator[bytes]:
        data = self._found(key)
        yield from (data[start : start + PIECE] for start in range(0, len(data), PIECE))

    def _found(self, key: str) -> bytes:
        with self._place.lock:
            if key not in self._place.kept:
                raise NotFound(f"{self.url}/{key} does not exist")
            return self._place.kept[key][0]

    def stat(self, key: str) -> Stat | None:
        with self._place.lock:
            found = self._place.kept.get(key)
        return None if found is None else Stat(len(found[0]), found[1])

    def create(self, key: str, data: bytes) -> bool:
        if len(data) > RECORD_LIMIT:
            raise Bug(f"the record {key} has {len(data)} bytes; {RECORD_LIMIT} is the limit")
        mine = (bytes(data), time.time())
        with self._place.lock:
            return self._place.kept.setdefault(key, mine) is mine

    def write(self, key: str, data: bytes) -> None:
        with self._place.lock:
            self._place.kept[key] = (bytes(data), time.time())

    def upload(self, key: str | None = None, size: int | None = None) -> Upload:
        if key is None and not self.capabilities.rename:
            raise Bug(f"{self.url} cannot rename: a blob's key has to be known when it is begun")
        return MemoryUpload(self, key)

    def pend(self, key: str, data: bytes) -> None:
        """Take over a blob; it is seen after the next flush."""
        with self._place.lock:
            self._pending[key] = data

    def flush(self, reused: Collection[str] = ()) -> None:
        with self._place.lock:
            now = time.time()
            self._place.kept.update({key: (data, now) for key, data in self._pending.items()})
            self._pending.clear()

    def list(self, prefix: str) -> Iterator[str]:
        return iter({key[len(_below(prefix)) :].partition("/")[0] for key, _ in self.walk(prefix)})

    def walk(self, prefix: str) -> Iterator[tuple[str, Stat]]:
        with self._place.lock:
            kept = self._place.kept.items()
            return iter(
                [(key, Stat(len(data), at)) for key, (data, at) in kept if key.startswith(_below(prefix))]
            )

    def leftovers(self) -> Iterator[tuple[str, Stat]]:
        return iter(())

    def delete(self, key: str) -> bool:
        with self._place.lock:
            self._place.kept.pop(key, None)
        return True


def _below(prefix: str) -> str:
    """What all keys of a folder begin with; the folder of all has no name."""
    return f"{prefix}/" if prefix else ""
