"""Blobs by content: streamed in, verified out. A blob is never whole in memory unless it is small.

A blob of a mebibyte or more lies at `objects/<aa>/<sha256>`, smaller ones in packs.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress

from pkgrun.errors import Damaged, Erased, NotFound, PkgrunError, RunLost, Temporary
from pkgrun.records import Blob
from pkgrun.store import erased, operations, packs
from pkgrun.store.backend import Backend, Upload
from pkgrun.store.blocks import Blocks
from pkgrun.store.condemned import Condemned
from pkgrun.store.erased import Erasures
from pkgrun.store.files import Look, Taken, nothing, shown, take
from pkgrun.store.index import Index, Place
from pkgrun.store.packs import SIZE, Filling
from pkgrun.store.packs import key_of as key_of_pack
from pkgrun.store.sending import Sender, send, write

SMALL = 1 << 20
"""Bytes from which on a blob is an object of its own; smaller ones are read at once, and go into packs."""


def digest_of(data: bytes) -> str:
    """`sha256:…` of bytes."""
    return digest_and_raw(data)[0]


def digest_and_raw(data: bytes) -> tuple[str, bytes]:
    """The same, and its 32 bytes."""
    hasher = hashlib.sha256(data)
    return "sha256:" + hasher.hexdigest(), hasher.digest()


def key_of(digest: str) -> str:
    """The key of a blob."""
    value = digest.removeprefix("sha256:")
    return f"objects/{value[:2]}/{value}"


class Objects:
    """The blobs of one store, for one operation; `apart` gives another its own.

    Directories are published after all else, so that one that is in the store is there with all below it.
    """

    room = SIZE
    vouches = True

    def __init__(self, backend: Backend, cache: str | None = None, *, index: Index | None = None) -> None:
        self._backend = backend
        self._index = index or Index(backend, cache)
        self._condemned = Condemned(backend, check=self._check_open)
        self._erased = Erasures(backend, self._directories)
        self._sender = Sender(backend, self._index, self._condemned, self._check_open)
        self._blocks = Blocks(backend)
        self._lock = threading.Lock()
        self._blobs, self._nodes = Filling(), Filling()
        self._ahead = False
        self._run: str | None = None
        self._looked = False
        self._known: set[str] = set()
        self._packing: set[bytes] = set()
        self._reused: set[str] = set()

    def apart(self, backend: Backend) -> Objects:
        """The same blobs, for another operation."""
        return Objects(backend, index=self._index)

    def look_again(self) -> None:
        """Forget which packs were there."""
        self._index.look_again()

    def begun(self, run: str) -> None:
        """The operation has begun: its intent is there. From now on no collection deletes what it finds here, but what was
        condemned before; and when it is given up, no directory is published any more.

        Raises:
            Temporary: something that it has found before is gone, or condemned.
        """
        self._run = run
        if self._erased.looked:
            self._erased.look()
        if not self._looked:
            return
        self._looked = False
        self._ready()
        for key in self._reused:
            if key in self._condemned or self._backend.stat(key) is None:
                raise Temporary(
                    f"a collection has taken {key} away, which was to be used", hint="run this again"
                )

    @property
    def erased(self) -> Erasures:
        """What was erased when the operation had begun; none of it is taken in."""
        if not self._erased.looked:
            self._erased.look()
        return self._erased

    def _refuse(self, raws: Iterable[bytes], upload: Upload | None = None, path: str = "") -> None:
        """What was erased is not taken in, nor used."""
        if self.erased and (raw := next((raw for raw in raws if raw in self._erased), None)):
            if upload is not None:
                upload.discard()
            raise self._erased.error(raw, path)

    def _directories(self, raws: Collection[bytes]) -> set[bytes]:
        """Which of some blobs are directories here, also such as vouch for nothing."""
        self._index.look_again()
        return {raw for raw in self._index.find_all(raws) if self._is_directory(raw)}

    def _is_directory(self, raw: bytes) -> bool:
        if self._index.find(raw, directory=True) is not None:
            return True
        try:
            return erased.spared(self.read("sha256:" + raw.hex()))
        except (Damaged, Erased):  # gone by now, or nobody can tell
            return False

    def at_rest(self) -> None:
        """Nothing is on its way any more, whatever became of it."""
        with suppress(PkgrunError):
            self._sender.wait()

    def _ready(self) -> None:
        """Before it is asked what is here, it must be known what is condemned: in this order nothing is missed."""
        if not self._looked:
            self._condemned.look()
            self._index.look_again()
            self._looked = True

    def _check_open(self) -> None:
        if self._run and operations.decided_already(self._backend, self._run):
            raise RunLost("somebody has given the operation up", hint="run it again", run_id=self._run)

    def _use(self, key: str) -> bool:
        """Make something that is here part of this operation; False if it is here no longer."""
        if key in self._condemned and not self._condemned.spare(key):
            self._index.look_again()
            return False
        self._reused.add(key)
        return True

    def flush(self) -> None:
        """Make all that was put durable, also what was found there: its writer may not have come so far yet."""
        with self._lock:
            nodes, self._nodes = self._nodes, Filling()
            if not self._ahead and nodes.size + self._blobs.size <= SIZE:
                # In one pack, which is there or not.
                nodes.join(self._blobs)
                self._blobs = Filling()
        self._send_blobs()
        self._send(nodes)
        self._settle()

    def _send(self, filled: Filling) -> None:
        if filled:
            self._ahead = True
            self._sender.send(filled)

    def _settle(self) -> None:
        """All that was sent has arrived and is durable."""
        self._sender.wait()
        reused = self._reused.copy()
        self._backend.flush(reused)
        self._reused -= reused
        self._ahead = False

    def holds(self, digest: str, size: int) -> bool:
        """Whether a blob is here already; it is then part of this operation."""
        self._refuse((bytes.fromhex(digest[7:]),))
        return self._holds(digest, size)

    def _holds(self, digest: str, size: int) -> bool:
        if size < SMALL:
            return self._holds_small(bytes.fromhex(digest[7:]))
        return self._holds_object(digest)

    def holds_directory(self, digest: str) -> bool:
        """Whether a directory is here already, with all below it; it is then part of this operation.

        A file of the same bytes is none: nobody has seen to what it would refer to.
        """
        raw = bytes.fromhex(digest[7:])
        if any(filling.directory(raw) for filling in (self._nodes, *self._sender.underway())):
            return True
        self._ready()
        place = self._index.find(raw, directory=True)
        if place is None or key_of_pack(place.pack) in self._condemned:  # then what is below it may be, too
            return False
        self._reused.add(key_of_pack(place.pack))
        return True

    def holds_directories(self, directories: Collection[bytes], split: Collection[bytes] = ()) -> set[bytes]:
        """Which of some directories `holds_directory` says are here; with all below each, its parts are."""
        return {raw for raw in directories if self.holds_directory("sha256:" + raw.hex())}

    def there(self, digests: Collection[bytes]) -> set[bytes]:
        """Which of some small blobs are here already; they are then part of this operation."""
        with self._lock:
            pending = self._blobs.common(digests)
        return pending | self._there(digests)

    def _pending(self, raw: bytes) -> bytes | None:
        for filling in (self._blobs, self._nodes, *self._sender.underway()):
            if (data := filling.get(raw)) is not None:
                return data
        return None

    def _holds_small(self, raw: bytes) -> bool:
        if self._pending(raw) is not None:
            return True
        self._ready()
        place = self._index.find(raw)
        return place is not None and self._use(key_of_pack(place.pack))

    def _holds_object(self, digest: str) -> bool:
        if digest not in self._known:
            self._ready()
            if self._backend.stat(key_of(digest)) is None or not self._use(key_of(digest)):
                return False
            self._known.add(digest)
        return True

    def put(self, data: bytes) -> Blob:
        """Keep bytes that pkgrun has written itself: a record, a lock, a log. No receipt is of these, whatever it names."""
        digest, raw = digest_and_raw(data)
        blob = Blob(digest=digest, bytes=len(data))
        if len(data) < SMALL:
            self._keep([(raw, data)])
        elif not self._holds_object(blob.digest):
            upload = self._backend.upload(key_of(blob.digest))
            write(upload, data)
            self._publish(upload, blob.digest, own=True)
        return blob

    def receive(self, digest: str, size: int, pieces: Iterable[bytes]) -> None:
        """Keep a large blob whose digest is known. Whoever makes the pieces verifies them, and raises before the end."""
        upload = self._backend.upload(key_of(digest), size)
        try:
            for piece in pieces:
                upload.write(piece)
        except BaseException:
            upload.discard()
            raise
        self._publish(upload, digest)

    def keep(self, blobs: Sequence[tuple[bytes, bytes]]) -> None:
        """Keep small blobs, each with its SHA-256."""
        self._refuse(raw for raw, data in blobs if raw in self._erased and not erased.spared(data))
        self._keep(blobs)

    def _keep(self, blobs: Sequence[tuple[bytes, bytes]]) -> None:
        there = self._there([raw for raw, _ in blobs])
        full = None
        with self._lock:
            for raw, data in blobs:
                if raw not in there:
                    self._blobs.add(raw, data)
            if self._blobs.size >= SIZE:
                full, self._blobs = self._blobs, Filling()
        if full is not None:
            self._send(full)

    def pack(self, place: memoryview, laid: Sequence[tuple[bytes, int, int]]) -> None:
        digests = [raw for raw, _, _ in laid]
        self._refuse(digests)
        there = self._there(digests)
        with self._lock:
            there |= self._packing.intersection(digests) | self._blobs.common(digests)
            new = [blob for blob in laid if blob[0] not in there] if there else laid
            whole = sum([length for _, _, length in new]) >= SIZE // 2
            if whole:
                self._packing.update([raw for raw, _, _ in new])
        if not whole:  # others come into the same pack
            self.keep([(raw, bytes(place[start : start + length])) for raw, start, length in new])
            return
        self._ahead = True
        pack = packs.laid(place, new)
        send(self._backend, pack, self._condemned)  # it has no directories
        self._index.add(pack.name, pack.parts)

    def _there(self, digests: Collection[bytes]) -> set[bytes]:
        """The same, but for those that wait to be sent with what is kept next."""
        self._ready()
        places = self._index.find_all(digests)
        used = {pack: self._use(key_of_pack(pack)) for pack in {place.pack for place in places.values()}}
        found = {digest for digest, place in places.items() if used[place.pack]}
        return found.union(*(one.common(digests) for one in (self._nodes, *self._sender.underway())))

    def node(self, data: bytes) -> Blob:
        """Keep a directory, all of whose content has been put or taken before; of any size, in a pack."""
        digest, raw = digest_and_raw(data)
        full = None
        if not self.holds_directory(digest):
            with self._lock:
                self._nodes.add(raw, data, directory=True)
                if self._nodes.size >= SIZE:
                    full, self._nodes = self._nodes, Filling()
        if full is not None:
            self._send_blobs()
            self._send(full)
        return Blob(digest=digest, bytes=len(data))

    def _send_blobs(self) -> None:
        with self._lock:
            blobs, self._blobs = self._blobs, Filling()
        self._send(blobs)
        self._settle()

    def _publish(self, upload: Upload, digest: str, *, own: bool = False) -> None:
        self._ahead = True
        if not own:
            self._refuse((bytes.fromhex(digest[7:]),), upload)
        self._condemned.renew(key_of(digest))
        upload.publish(key_of(digest))
        self._known.add(digest)

    def take(self, path: str, watch: Look | None = None, *, known: bool = False, own: bool = False) -> Taken:
        """Keep a file that is an object of its own, hashed while it is written.

        `known` says that the store probably has it, so that it is read before anything is written; `own`, that pkgrun has
        written it itself, as with `put`.

        Raises:
            Temporary: it changed while it was read a second time.
        """
        if known or not self._backend.capabilities.rename:
            taken = take(path, nothing, watch)
            self._refuse_taken(taken, path, own=own)
            if taken.flagged or self._holds(taken.digest, taken.size):
                return taken
            if not self._backend.capabilities.rename:
                return self._send_known(path, taken, own=own)
        return self._take_large(path, watch, own=own)

    def _refuse_taken(self, taken: Taken, path: str, upload: Upload | None = None, *, own: bool) -> None:
        if not own:
            self._refuse((bytes.fromhex(taken.digest[7:]),), upload, shown(path))

    def _take_large(self, path: str, watch: Look | None, *, own: bool) -> Taken:
        upload = self._backend.upload()
        try:
            taken = take(path, upload.write, watch)
        except BaseException:
            upload.discard()
            raise
        self._refuse_taken(taken, path, upload, own=own)
        if taken.flagged or self._holds_object(taken.digest):
            upload.discard()
        else:
            self._publish(upload, taken.digest, own=own)
        return taken

    def _send_known(self, path: str, taken: Taken, *, own: bool) -> Taken:
        """Where a blob's name must be known before it is sent, it is read twice, and must be the same."""
        upload = self._backend.upload(key_of(taken.digest), taken.size)
        try:
            again = take(path, upload.write)
            _check_same(path, taken, again)
        except BaseException:
            upload.discard()
            raise
        self._publish(upload, taken.digest, own=own)
        return taken._replace(stable=taken.stable and again.stable)

    def read(self, digest: str) -> bytes:
        """A small blob, verified.

        Raises:
            Damaged: it is missing or its bytes are others.
        """
        data = self._pending(bytes.fromhex(digest[7:]))
        return b"".join(self.stream(digest)) if data is None else data

    def stream(self, digest: str) -> Iterator[bytes]:
        """A blob in pieces. It is verified when the last has been taken: what was written until then is not yet true.

        Raises:
            Erased: it was erased.
            Damaged: it is missing or its bytes are others.
        """
        place = self.place(digest)
        if place is not None:
            yield self._packed(digest, place)
            return
        hasher = hashlib.sha256()
        for chunk in self._object(digest):
            hasher.update(chunk)
            yield chunk
        if "sha256:" + hasher.hexdigest() != digest:
            raise _damaged(digest, None)

    def _packed(self, digest: str, place: Place) -> bytes:
        """A blob out of a pack, verified; if it is not there, the local index may be at fault and is made anew."""
        try:
            data = self.part(place)
            self.verify(digest, data, place.pack)
        except Damaged:
            again = self._elsewhere(digest, place)
            if again is None:
                self._check_not_erased(digest)
                raise
            data = self.part(again)
            self.verify(digest, data, again.pack)
        return data

    def _elsewhere(self, digest: str, place: Place) -> Place | None:
        """Where a blob lies that was not where the index said: a collection may have put it into another pack."""
        self._index.look_again()
        again = self.place(digest)
        if (again is None or again == place) and self._index.distrust():
            again = self.place(digest)
        return None if again == place else again

    def gone(self, digest: str) -> bool:
        """Whether a blob is nowhere here, nor could be in a pack that cannot be read."""
        there = self.place(digest) is not None or self._backend.stat(key_of(digest)) is not None
        return not there and self._index.damaged is None

    def place(self, digest: str) -> Place | None:
        """Which pack a blob lies in; None of one that is an object of its own, or missing."""
        return self._index.find(bytes.fromhex(digest[7:]))

    def places(self, digests: Sequence[bytes]) -> dict[bytes, Place]:
        """Where those of some blobs lie that a pack holds."""
        return self._index.find_all(digests)

    def path(self, pack: str) -> str | None:
        """Where a pack lies, if it is a file of this machine."""
        if not self._backend.capabilities.paths:
            return None
        return f"{self._backend.url}/{key_of_pack(pack)}"

    def part(self, place: Place) -> bytes:
        """Bytes of a pack, not verified.

        Raises:
            Damaged: there are none.
        """
        try:
            return self._blocks.read(place)
        except NotFound as error:
            raise _missing(key_of_pack(place.pack)) from error

    def verify(self, digest: str, data: bytes | memoryview, pack: str) -> None:
        """Raises:
        Damaged: the bytes do not have the digest.
        """
        if hashlib.sha256(data).hexdigest() != digest[7:]:
            raise _damaged(digest, Place(pack, 0, len(data)))

    def _object(self, digest: str) -> Iterator[bytes]:
        try:
            yield from self._backend.stream(key_of(digest))
        except NotFound as error:
            # Whoever published it may have done so after we looked which packs there are; or the local index lacks it.
            self._index.refresh()
            place = self.place(digest)
            if place is None and self._index.distrust():
                place = self.place(digest)
            if place is None:
                self._check_not_erased(digest)
                raise _missing(digest, self._index.damaged) from error
            yield self.part(place)

    def _check_not_erased(self, digest: str) -> None:
        if (found := erased.error(self._backend, bytes.fromhex(digest[7:]))) is not None:
            raise found


def _check_same(path: str, taken: Taken, again: Taken) -> None:
    if again.digest != taken.digest:
        raise Temporary(
            f"{shown(path)} changed while it was stored", hint="run again when nobody writes there"
        )


def _missing(what: str, damaged: Damaged | None = None) -> Damaged:
    also = f", and {damaged.message}" if damaged is not None else ""
    return Damaged(f"the store lacks the object {what}{also}", hint="restore it from a copy of the store")


def _damaged(digest: str, place: Place | None) -> Damaged:
    where = key_of(digest) if place is None else key_of_pack(place.pack)
    return Damaged(
        f"{where} is damaged: its bytes do not have the digest {digest}",
        hint="restore the file from a copy of the store",
    )
