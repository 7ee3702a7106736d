"""Puts contents right: what is good of damaged files, and what another store can bring, is written anew; then the damaged
file is taken out of use. At every moment all that was there is there, so whatever is broken off here is begun again.

What cannot be brought back is lost, and no directory that leads there may say any more that all below it is in the store:
it stays readable, but adding the same content again looks into it and writes what is missing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from pkgrun.errors import Damaged, NotFound
from pkgrun.store import packs
from pkgrun.store.backend import Backend
from pkgrun.store.condemned import Condemned
from pkgrun.store.fsck import salvage
from pkgrun.store.fsck.contents import Contents, good
from pkgrun.store.fsck.needs import name_of
from pkgrun.store.fsck.salvage import Blob, Progress, Source
from pkgrun.store.objects import Objects, key_of
from pkgrun.store.packs import Filling
from pkgrun.store.sending import send


@dataclass(frozen=True, slots=True)
class Mended:
    """What became of contents: how many were brought back, what is lost, which files were taken out of use."""

    restored: int
    lost: frozenset[bytes]
    retired: tuple[str, ...]


def damaged(found: Contents) -> list[str]:
    """The packs and objects that cannot stay as they are."""
    return sorted({*found.bad, *found.altered.bruised, *found.broken})


def mend(
    backend: Backend,
    objects: Objects,
    found: Contents,
    source: Source,
    told: Progress,
    aside: str,
    unread: Collection[str] = (),
) -> Mended:
    """Bring back what can be, and take out of use what is damaged.

    Args:
        aside: the folder in which damaged files are kept.
        unread: sentences that cannot be read. While they lie there nobody begins to write; what they named may be gone
            in part, so directories are looked into before they are set aside.

    Raises:
        PermissionDenied, Temporary: a store refuses; what was done is right as it stands.
    """
    work = _Mending(backend, objects, found, source, told, aside, unread)
    work.fetch()
    work.rewrite()
    work.retire()
    objects.look_again()
    return Mended(work.restored, frozenset(work.lost), tuple(work.retired))


@dataclass(slots=True)
class _Packing:
    """New packs. What is in them is durable after `settle`."""

    backend: Backend
    condemned: Condemned
    filling: Filling = field(default_factory=Filling)
    written: set[str] = field(default_factory=set)

    def add(self, raw: bytes, data: bytes) -> None:
        self.filling.add(raw, data)
        if self.filling.size >= packs.SIZE:
            self._send()

    def _send(self) -> None:
        if self.filling:
            pack = self.filling.close()
            send(self.backend, pack, self.condemned)
            self.written.add(packs.key_of(pack.name))
            self.filling = Filling()

    def settle(self) -> None:
        self._send()
        self.backend.flush()


@dataclass(slots=True)
class _Mending:
    backend: Backend
    objects: Objects
    found: Contents
    source: Source
    told: Progress
    aside: str
    unread: Collection[str] = ()
    lost: set[bytes] = field(default_factory=set)
    restored: int = 0
    retired: list[str] = field(default_factory=list)
    _folders: dict[bytes, bytes] = field(default_factory=dict)
    """Directories that were brought back: another copy, altered, may be what the store gives."""
    _packing: _Packing = field(init=False)
    _there: set[bytes] = field(init=False)
    _forgiven: set[bytes] = field(init=False)
    """What is there for no other reason than that it was erased."""
    _aside: list[str] = field(default_factory=list)
    """Packs that are whole, and are written anew because of such directories."""

    def __post_init__(self) -> None:
        condemned = Condemned(self.backend)
        condemned.look(but=self.unread)
        self._packing = _Packing(self.backend, condemned)
        whole = good(self.found)
        self._there = whole | self.found.excused  # nobody misses that
        self._forgiven = set(self.found.excused - whole)

    # ------------------------------------------------------------------ from elsewhere

    def fetch(self) -> None:
        """What is missing or altered, and below directories that are missing whatever is missing too."""
        self._secure()
        self._from_guesses()
        waiting = [raw for raws in self.found.bad.values() for raw in raws]
        waiting += self.found.missing
        seen: set[tuple[bytes, bool]] = set()
        while waiting:
            raw = waiting.pop()
            once = raw, raw in self.found.reached.directories  # and once more if it was a listing until now
            if once in seen:
                continue
            seen.add(once)
            self.told("fetch", len(seen), len(seen) + len(waiting))
            if raw in self._forgiven and self._is_directory(raw):  # as is known only now: none is erased
                self._forgiven.discard(raw)
                self._there.discard(raw)
            if raw not in self._there:
                waiting += self._fetch(raw)
            elif raw in self.found.missing or self._was_hidden(raw):
                data = self._directory(raw)  # what lies below it was not known when we looked
                waiting += self._below(raw, data) if data is not None else ()
        self._packing.settle()
        self.objects.look_again()

    def _secure(self) -> None:
        """What is altered here and good there: not if a collection, which does not read, may delete it there."""
        wanted = {raw for raws in self.found.bad.values() for raw in raws} & self._there - self.found.excused
        homes: dict[bytes, list[str]] = defaultdict(list)
        for name, contents in self.found.found.packs.items():
            key = packs.key_of(name)
            altered = self.found.bad.get(key, set())
            for raw in wanted.intersection(raw for raw, _, _ in contents.entries()) - altered:
                homes[raw].append(key)
        condemned = self._packing.condemned
        for raw in wanted:
            homes[raw] += [
                key
                for key in [key_of(name_of(raw))]
                if raw in self.found.found.objects and key not in self.found.bad
            ]
            if all(key in condemned for key in homes[raw]) and not any(map(condemned.spare, homes[raw])):
                self._there.discard(raw)

    def _from_guesses(self) -> None:
        """What is good in packs whose indexes are damaged."""
        for name in self.found.found.damaged:
            for blob in self._good_in(packs.key_of(name)):
                if blob.raw not in self._there:
                    self._keep(blob)

    def _keep(self, blob: Blob) -> None:
        self._there.add(blob.raw)
        self.restored += 1
        if blob.directory or self._is_directory(blob.raw):
            self._folders[blob.raw] = blob.data
        self._packing.add(blob.raw, blob.data)

    def _fetch(self, raw: bytes) -> Iterable[bytes]:
        """Bring one back; what may be missing besides."""
        if not self.source.has(raw):
            self.lost.add(raw)
        elif self.source.is_large(raw):
            self._fetch_large(raw)
        elif (data := self.source.read(raw)) is None:
            self.lost.add(raw)
        else:
            self._keep(Blob(raw, data, directory=False))
            if raw in self._folders:
                return self._below(raw, data)
        return ()

    def _is_directory(self, raw: bytes) -> bool:
        """Whether records lead there as to a directory, for its files or for what it says."""
        return raw in self.found.reached.directories or raw in self.found.reached.listings

    def _was_hidden(self, raw: bytes) -> bool:
        """Whether a directory was known of only when the one that it is in had been brought back."""
        reached = self.found.reached
        return reached.directories.get(raw, reached.listings.get(raw)) == -1

    def _below(self, raw: bytes, data: bytes) -> list[bytes]:
        """What a directory holds is needed, too; of a listing, the directories."""
        reached = self.found.reached
        folders, files = salvage.below(raw, data)
        if raw not in reached.directories:
            folders = folders if raw in reached.listings else []
            reached.listings.update({one: -1 for one in folders if one not in reached})
            return folders
        for one in folders:
            reached.directories.setdefault(one, -1)
        for one in files:
            reached.files.setdefault(one, -1)
        return [*folders, *files]

    def _fetch_large(self, raw: bytes) -> None:
        key = key_of(name_of(raw))
        self._set_aside(key)
        self._packing.condemned.renew(key)
        upload = self.backend.upload(key, self.source.size(raw))
        try:
            for piece in self.source.stream(raw):
                upload.write(piece)
        except Damaged:
            upload.discard()
            self.lost.add(raw)
            return
        except BaseException:
            upload.discard()
            raise
        upload.publish(key)
        self._packing.written.add(key)
        self._there.add(raw)
        self.restored += 1

    # ------------------------------------------------------------------ packs anew

    def rewrite(self) -> None:
        """What is good of damaged packs into new ones; and packs with directories that lead to what is lost.

        Directories are blobs like others there, and vouch for nothing: what was below them when we looked may have been
        collected since.
        """
        self._find_loose()
        read = map(packs.key_of, self.found.found.packs)
        again = sorted(set(damaged(self.found)).intersection(read)) + self._aside
        for number, key in enumerate(again):
            self.told("rewrite", number, len(again))
            for blob in self._good_in(key):
                self._packing.add(blob.raw, blob.data)
        self._packing.settle()

    def _good_in(self, key: str) -> Iterator[Blob]:
        name = packs.name_in(key.rpartition("/")[2]) or ""
        contents = self.found.found.packs.get(name)
        try:
            yield from salvage.good_in(self.backend, key, contents, self.found.missing)
        except NotFound:  # collected meanwhile
            return

    def _find_loose(self) -> None:
        """Every directory that says of itself that all below it is here, and is wrong."""
        above: dict[bytes, list[bytes]] = defaultdict(list)
        homes: dict[bytes, list[str]] = defaultdict(list)
        for name, contents in self.found.found.packs.items():
            for raw, _, length in contents.entries():
                if length & packs.DIRECTORY:
                    homes[raw].append(packs.key_of(name))
        waiting, unseen, seen = [], [*homes, *self._folders], set[bytes]()
        while unseen:
            raw = unseen.pop()
            if raw in seen:
                continue
            seen.add(raw)
            data = self._directory(raw)
            folders, files = salvage.below(raw, data) if data is not None else ([], [])
            unseen += folders  # also one that is here, and was not put here as a directory
            for one in folders:
                above[one].append(raw)
            if data is None or not self._there.issuperset([*folders, *files]):
                waiting.append(raw)
        loose = set[bytes]()
        while waiting:
            raw = waiting.pop()
            if raw not in loose:
                loose.add(raw)
                waiting += above[raw]
        stays = set(damaged(self.found))
        self._aside = sorted({key for raw in loose for key in homes[raw]} - stays)

    def _directory(self, raw: bytes) -> bytes | None:
        if raw in self._folders:
            return self._folders[raw]
        try:
            return self.objects.read(name_of(raw))
        except Damaged:
            return None

    # ------------------------------------------------------------------ the damaged files

    def retire(self) -> None:
        """Take them out of use, now that what was good in them is elsewhere."""
        files = damaged(self.found)
        for number, key in enumerate(files):
            self.told("retire", number, len(files))
            if key not in self._packing.written:
                self._set_aside(key)
                self.backend.delete(key)
            self.retired.append(key)
        for key in self._aside:  # all of it was written anew
            self.told("retire", len(files), len(files))
            if key not in self._packing.written:
                self.backend.delete(key)
        self.backend.flush()

    def _set_aside(self, key: str) -> None:
        quarantine(self.backend, [key], self.aside)


def quarantine(backend: Backend, keys: Sequence[str], aside: str) -> None:
    """Keep copies of files that are to be replaced or removed in the folder `aside`, for whoever knows more."""
    for key in keys:
        stat = backend.stat(key)
        if stat is None:
            continue
        place = f"{aside}/{key}"
        upload = backend.upload(place, stat.size)
        try:
            for piece in backend.stream(key):
                upload.write(piece)
        except BaseException:
            upload.discard()
            raise
        upload.publish(place)
    backend.flush()
