"""Carries a collection out: what is needed of bad packs into good ones, sentences, and what these name deleted.

Whatever is broken off here is right as it stands, and the next collection goes on with it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import itemgetter

from pkgrun.errors import Erased
from pkgrun.records import Actor
from pkgrun.records.collecting import Doomed, Sentence, Underway
from pkgrun.settings import DEFAULT_GRACE
from pkgrun.store import alive, clock, operations, packs, sentences, verdict
from pkgrun.store.backend import Backend
from pkgrun.store.collecting import (
    Rewrite,
    Waiting,
    due,
    leftovers,
    look,
    new,
    read_all,
    rewrites,
)
from pkgrun.store.condemned import Condemned
from pkgrun.store.objects import Objects
from pkgrun.store.packs import Filling
from pkgrun.store.sending import send
from pkgrun.store.sentences import OPEN, SPARED, SWEEPING, VERDICT

_MOST = 100_000
"""Objects that are condemned at a time. What is left are files: of packs, which may hold directories, none may be left."""

Told = Callable[[str, int, int], object]
"""Told what is being done, how much of it is, and of how much."""


@dataclass(frozen=True, slots=True)
class Collected:
    """What a collection did: objects and bytes that were condemned, deleted, and packs that were written anew, into how many bytes."""

    condemned: int
    condemned_bytes: int
    deleted: int
    deleted_bytes: int
    rewritten: int
    written_bytes: int
    waiting: tuple[Waiting, ...]

    @property
    def freed_bytes(self) -> int:
        """How much smaller the store is. Below zero where packs were written anew, and those before are not deleted yet."""
        return self.deleted_bytes - self.written_bytes


def _nothing(what: str, done: int, total: int) -> None:
    pass


def collect(
    backend: Backend,
    objects: Objects,
    *,
    by: Actor,
    new_id: Callable[[], str],
    grace: float = DEFAULT_GRACE,
    told: Told = _nothing,
) -> Collected:
    """Condemn what is not needed, and delete what was condemned long enough ago.

    Args:
        by: who does this.
        new_id: makes ids.
        grace: seconds between condemning and deleting; 0 deletes at once what no operation can be using.
        told: told how far it is.

    Raises:
        Damaged: a record or a directory cannot be read; nothing was deleted.
        PermissionDenied, Temporary: the store refuses. What was done is right; the next collection goes on with it.
    """
    seen = look(backend, objects)
    again = list(rewrites(seen))
    written = _write_anew(backend, objects, again, told)
    doomed = [
        Doomed(
            key=packs.key_of(one.pack),
            bytes=one.size,
            reason=f"{one.reason}; the rest of it is in another pack",
        )
        for one in again
    ]
    doomed += new(objects, seen)
    doomed = doomed[: max(_MOST, sum(not one.key.startswith("objects/") for one in doomed))]
    _condemn(backend, doomed, by, new_id)
    _write_open(backend)
    deleted, size, waiting = _carry_out(backend, objects, grace, told)
    size += _delete_leftovers(backend)
    condemned = sum(one.bytes for one in doomed)
    return Collected(len(doomed), condemned, deleted, size, len(again), written, waiting)


def _write_anew(backend: Backend, objects: Objects, found: Sequence[Rewrite], told: Told) -> int:
    """What is needed of packs into others; how many bytes that takes.

    Directories are blobs like others there: whoever writes them so late that they are needed no longer must not vouch for
    what is below them.
    """
    renewing, filling, written = Condemned(backend), Filling(), 0
    renewing.look()
    for number, one in enumerate(found):
        told("rewrite", number, len(found))
        for raw, _, _ in sorted(one.share.live, key=itemgetter(1)):
            try:
                filling.add(raw, objects.read("sha256:" + raw.hex()))
            except Erased:  # meanwhile; the pack that it was in is written anew by somebody else
                continue
            if filling.size >= packs.SIZE:
                written += _write(backend, filling, renewing)
                filling = Filling()
    if filling:
        written += _write(backend, filling, renewing)
    backend.flush()
    return written


def _write(backend: Backend, filling: Filling, renewing: Condemned) -> int:
    pack = filling.close()
    there = backend.stat(packs.key_of(pack.name)) is not None
    send(backend, pack, renewing)
    return 0 if there else len(pack.data)


def _condemn(backend: Backend, doomed: Sequence[Doomed], by: Actor, new_id: Callable[[], str]) -> None:
    """All in one sentence: a writer that saw one half of them could trust a directory for what is in the other."""
    if doomed:
        sentence = Sentence(id=new_id(), created=datetime.now(UTC), by=by, objects=tuple(doomed))
        backend.write(sentences.key(sentence.id), sentence.to_bytes())
        backend.flush([sentences.key(sentence.id)])


def _write_open(backend: Backend) -> None:
    """Write down, of each sentence that lacks it, which operations go on, now that it is there."""
    lacking = set(sentences.names(backend)) - set(sentences.names(backend, OPEN))
    if not lacking:
        return
    runs = tuple(operations.undecided(backend))
    for sentence in sorted(lacking):
        data = Underway(id=sentence, runs=runs).to_bytes()
        backend.create(sentences.key(sentence, OPEN), data)


def _carry_out(
    backend: Backend, objects: Objects, grace: float, told: Told
) -> tuple[int, int, tuple[Waiting, ...]]:
    """Delete what the sentences that are due name and nobody needs; how many, their bytes, and the other sentences."""
    standing = read_all(backend)
    _tidy(backend)
    if not standing:
        return 0, 0, ()
    ripe, waiting = due(backend, standing, set(operations.undecided(backend)), grace, clock.now(backend))
    count, size = 0, 0
    for sentence in ripe:
        sweeping = sentences.key(sentence.id, SWEEPING)
        backend.create(sweeping, b"{}")  # from here on nobody can spare what it names
        with alive.at_work(backend, sweeping):
            doomed = _settled(backend, objects, sentence)
            settled = True
            for one, over in sentences.delete(backend, sentence, doomed):
                count, size, settled = count + 1, size + one.bytes, settled and over
                told("delete", count, len(doomed))
            if settled:
                sentences.forget(backend, sentence.id)
            else:
                waiting.append(Waiting(sentence, sentences.LATE, ()))
    return count, size, tuple(waiting)


def _settled(backend: Backend, objects: Objects, sentence: Sentence) -> list[Doomed]:
    """What of a sentence is deleted, whoever does it: the first who finds out settles it.

    Another one may see more that was spared, when part of what that vouches for is gone already.
    """
    if backend.stat(sentences.key(sentence.id, VERDICT)) is None:
        kept = verdict.kept(backend, objects, sentence, set(_spared(backend, sentence)))
        sentences.settle(backend, sentence, kept)
    return sentences.doomed(backend, sentence) or []  # none if another one has come to the end of it


def _spared(backend: Backend, sentence: Sentence) -> Iterator[str]:
    """The keys that somebody has spared."""
    there = set(backend.list(f"{SPARED}/{sentence.id}"))
    for one in sentence.objects:
        if sentences.spared_key(sentence.id, one.key).rpartition("/")[2] in there:
            yield one.key


def _tidy(backend: Backend) -> None:
    """Delete what is left of sentences that are no more, because whoever ended them came no further."""
    left = {name for folder in (OPEN, SWEEPING, VERDICT) for name in sentences.names(backend, folder)}
    for name in left.union(backend.list(SPARED)):
        if backend.stat(sentences.key(name)) is None:
            sentences.forget(backend, name)


def _delete_leftovers(backend: Backend) -> int:
    size = 0
    for one in list(leftovers(backend, time.time())):
        backend.delete(one.key)
        size += one.bytes
    return size
