"""Carries a collection out: what is needed of bad packs into good ones, sentences, and what these name deleted.

Whatever is broken off here is right as it stands, and the next collection goes on with it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import itemgetter

from pkgrun.errors import NotFound
from pkgrun.records import Actor
from pkgrun.records.collecting import Doomed, Sentence, Underway, Verdict
from pkgrun.store import clock, condemned, operations, packs, verdict
from pkgrun.store.backend import Backend
from pkgrun.store.collecting import (
    GRACE,
    Rewrite,
    Waiting,
    due,
    leftovers,
    look,
    new,
    read_all,
    rewrites,
)
from pkgrun.store.condemned import OPEN, SPARED, SWEEPING, VERDICT, Condemned
from pkgrun.store.objects import Objects
from pkgrun.store.packs import Filling
from pkgrun.store.sending import send

_MOST = 100_000
"""Objects that are condemned at a time. What is left are files: of packs, which may hold directories, none may be left."""

Told = Callable[[str, int, int], object]
"""Told what is being done, how much of it is, and of how much."""


@dataclass(frozen=True, slots=True)
class Collected:
    """What a collection did: objects and bytes that were condemned, deleted, and packs that were written anew."""

    condemned: int
    condemned_bytes: int
    deleted: int
    deleted_bytes: int
    rewritten: int
    waiting: tuple[Waiting, ...]


def _nothing(what: str, done: int, total: int) -> None:
    pass


def collect(
    backend: Backend,
    objects: Objects,
    *,
    by: Actor,
    new_id: Callable[[], str],
    grace: float = GRACE,
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
    _write_anew(backend, objects, again, told)
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
    return Collected(len(doomed), sum(one.bytes for one in doomed), deleted, size, len(again), waiting)


def _write_anew(backend: Backend, objects: Objects, found: Sequence[Rewrite], told: Told) -> None:
    """What is needed of packs into others.

    Directories are blobs like others there: whoever writes them so late that they are needed no longer must not vouch for
    what is below them.
    """
    renewing, filling = Condemned(backend), Filling()
    renewing.look()
    for number, one in enumerate(found):
        told("rewrite", number, len(found))
        for raw, _, _ in sorted(one.share.live, key=itemgetter(1)):
            filling.add(raw, objects.read("sha256:" + raw.hex()))
            if filling.size >= packs.SIZE:
                send(backend, filling.close(), renewing)
                filling = Filling()
    if filling:
        send(backend, filling.close(), renewing)
    backend.flush()


def _condemn(backend: Backend, doomed: Sequence[Doomed], by: Actor, new_id: Callable[[], str]) -> None:
    """All in one sentence: a writer that saw one half of them could trust a directory for what is in the other."""
    if doomed:
        sentence = Sentence(id=new_id(), created=datetime.now(UTC), by=by, objects=tuple(doomed))
        backend.write(condemned.key(sentence.id), sentence.to_bytes())
        backend.flush([condemned.key(sentence.id)])


def _write_open(backend: Backend) -> None:
    """Write down, of each sentence that lacks it, which operations go on, now that it is there."""
    lacking = set(condemned.names(backend)) - set(condemned.names(backend, OPEN))
    if not lacking:
        return
    runs = tuple(operations.undecided(backend))
    for sentence in sorted(lacking):
        data = Underway(id=sentence, runs=runs).to_bytes()
        backend.create(condemned.key(sentence, OPEN), data)


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
        backend.create(
            condemned.key(sentence.id, SWEEPING), b"{}"
        )  # from here on nobody can spare what it names
        doomed = _settled(backend, objects, sentence)
        for one in _deleted(backend, sentence, doomed):
            count, size = count + 1, size + one.bytes
            told("delete", count, len(doomed))
        _forget(backend, sentence.id)
    return count, size, tuple(waiting)


def _settled(backend: Backend, objects: Objects, sentence: Sentence) -> list[Doomed]:
    """What of a sentence is deleted, whoever does it: the first who finds out settles it.

    Another one may see more that was spared, when part of what that vouches for is gone already.
    """
    key = condemned.key(sentence.id, VERDICT)
    if backend.stat(key) is None:
        kept = tuple(sorted(verdict.kept(backend, objects, sentence, set(_spared(backend, sentence)))))
        backend.create(key, Verdict(id=sentence.id, kept=kept).to_bytes())
    try:
        stay = set(Verdict.from_bytes(backend.read(key), key=key).kept)
    except NotFound:  # another one has come to the end of it
        return []
    return [one for number, one in enumerate(sentence.objects) if number not in stay]


def _deleted(backend: Backend, sentence: Sentence, doomed: Sequence[Doomed]) -> Iterator[Doomed]:
    """Delete them: packs first, durably, for directories in them vouch for the others."""
    for kind in (packs.FOLDER, "objects"):
        some = [one for one in doomed if one.key.startswith(kind)]
        for one in _while_ours(backend, sentence, some):
            backend.delete(one.key)
            yield one
        backend.flush([one.key for one in some])


def _while_ours(backend: Backend, sentence: Sentence, doomed: Iterable[Doomed]) -> Iterator[Doomed]:
    """One after the other, for as long as the sentence stands: another may have ended it, and then it may all be there anew."""
    for one in doomed:
        if backend.stat(condemned.key(sentence.id)) is None:
            return
        yield one


def _spared(backend: Backend, sentence: Sentence) -> Iterator[str]:
    """The keys that somebody has spared."""
    there = set(backend.list(f"{SPARED}/{sentence.id}"))
    for one in sentence.objects:
        if condemned.spared_key(sentence.id, one.key).rpartition("/")[2] in there:
            yield one.key


def _forget(backend: Backend, sentence: str) -> None:
    """It is carried out. In this order: who sees that nobody deletes any more sees too that the sentence is gone."""
    backend.delete(condemned.key(sentence))
    backend.delete(condemned.key(sentence, OPEN))
    backend.delete(condemned.key(sentence, VERDICT))
    backend.delete(condemned.key(sentence, SWEEPING))
    for name in list(backend.list(f"{SPARED}/{sentence}")):
        backend.delete(f"{SPARED}/{sentence}/{name}")


def _tidy(backend: Backend) -> None:
    """Delete what is left of sentences that are no more, because whoever ended them came no further."""
    left = {name for folder in (OPEN, SWEEPING, VERDICT) for name in condemned.names(backend, folder)}
    for name in left.union(backend.list(SPARED)):
        if backend.stat(condemned.key(name)) is None:
            _forget(backend, name)


def _delete_leftovers(backend: Backend) -> int:
    size = 0
    for one in list(leftovers(backend, time.time())):
        backend.delete(one.key)
        size += one.bytes
    return size
