"""Garbage collection: what nothing refers to is condemned first, and deleted when nobody can want it any more.

Nobody is excluded meanwhile; `condemned` says why nothing is lost. Here is the plan; `sweeping` carries it out.

1. Packs that are mostly rubbish, or small, are written anew with what is needed of them.
2. What is not needed is condemned: a sentence names it. From then on no operation that begins uses it.
3. The operations that go on then are written down. Until they are decided, nothing is deleted.
4. Later, when the grace is over: deleting is announced, all records are read once more, and what they still do not refer
   to, and nobody has spared, is deleted; packs of directories first, for one that is there vouches for all below it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from pkgrun.errors import Damaged, NotFound
from pkgrun.records import Tree
from pkgrun.records.collecting import Doomed, Sentence, Underway
from pkgrun.settings import DEFAULT_GRACE
from pkgrun.store import operations, packs, reach, roots, sentences
from pkgrun.store.backend import Backend, Stat
from pkgrun.store.objects import Objects, key_of
from pkgrun.store.packs import Contents
from pkgrun.store.reach import Reached
from pkgrun.store.roots import Root, Roots
from pkgrun.store.sentences import OPEN, SWEEPING
from pkgrun.store.survey import Share, Survey, shares, survey

_WRITING = 3600.0
"""Seconds after which nobody can be writing to a temporary file any more that did not change."""
_SLACK = 60.0
"""Seconds by which the store's clock may have gone back."""
_SMALL = 8 << 20
_FEW = 16
"""Packs below this size are merged where there are so many of them."""


@dataclass(frozen=True, slots=True)
class Rewrite:
    """A pack of which a part is needed, and is to be written into another."""

    pack: str
    size: int
    share: Share
    reason: str


class Leftover(NamedTuple):
    """A temporary file that a crash left."""

    key: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """A sentence that is not carried out yet: in how many seconds it may be, and which operations it waits for."""

    sentence: Sentence
    seconds: float
    runs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a collection would do. `needed` and `total` in bytes; `open` are the operations that go on."""

    condemn: tuple[Doomed, ...]
    rewrite: tuple[Rewrite, ...]
    due: tuple[Sentence, ...]
    waiting: tuple[Waiting, ...]
    leftovers: tuple[Leftover, ...]
    open: tuple[str, ...]
    needed: int
    total: int


# ---------------------------------------------------------------------- the plan


@dataclass(frozen=True, slots=True)
class Seen:
    """What was found: what is there, what is needed of it and where.

    `excused`: packs that stay as they are. `since`: when the oldest of the operations that go on began; what was
    written since is most likely theirs.
    """

    roots: Roots
    reached: Reached
    found: Survey
    shares: dict[str, Share]
    sentences: list[Sentence]
    excused: set[str]
    since: float

    def needs(self, key: str) -> bool:
        """Whether an object must stay."""
        if key.startswith("objects/"):
            return bytes.fromhex(key.rpartition("/")[2]) in self.reached
        name = pack_at(key)
        if name in self.excused or name in self.found.damaged:
            return True
        return name in self.shares and bool(self.shares[name].live)


def pack_at(key: str) -> str:
    """The pack that lies under a key; none has an empty name."""
    return packs.name_in(key.rpartition("/")[2]) or ""


def directories_in(contents: Contents) -> Iterator[bytes]:
    """The directories that a pack vouches for."""
    return (raw for raw, _, length in contents.entries() if length & packs.DIRECTORY)


def look(backend: Backend, objects: Objects) -> Seen:
    """Read every record and every directory. What was written since the oldest open operation began is left alone: its
    packs stay, and so does all that directories in them vouch for.

    Raises:
        Damaged: one cannot be read, so that nobody knows what is needed.
    """
    known, reached = needed(backend, objects)
    standing = read_all(backend)
    barred = {pack_at(one.key) for sentence in standing for one in sentence.objects}
    since = oldest(backend, known.open)
    found = survey(backend)
    excused = {name for name in found.packs.keys() - barred if found.written[name] >= since - _SLACK}
    reached.add(reach.reach(objects, [vouched(found, excused, reached)], known=reached))
    return Seen(known, reached, found, shares(found, reached, barred), standing, excused, since)


def needed(backend: Backend, objects: Objects) -> tuple[Roots, Reached]:
    """What all records refer to, and all that this leads to.

    Raises:
        Damaged: something of it cannot be read, so that nobody knows.
    """
    known = roots.load(backend)
    objects.look_again()
    reached = reach.reach(objects, known.kept)
    for raw, error in reached.unread.items():
        if _given_up(objects, reached, raw):
            continue
        root = reached.roots[(reached.directories if raw in reached.directories else reached.listings)[raw]]
        raise Damaged(
            f"nothing was deleted, because the store is damaged, so that it is not known what is needed: "
            f"{error.message}, of {root.label}",
            hint="`pkgrun store fsck` says what is wrong; `pkgrun store repair` mends what can be mended",
        )
    return known, reached


def _given_up(objects: Objects, reached: Reached, raw: bytes) -> bool:
    """Whether a listing is gone, and not hidden in a file that is damaged. Nobody can remove it, as a version that is lost; so
    it must not keep everything else from being collected for ever. What it leads to may come back from where it comes from."""
    return raw in reached.listings and objects.gone("sha256:" + raw.hex())


def read_all(backend: Backend) -> list[Sentence]:
    """Every sentence that stands, the oldest first."""
    return [one for name in sentences.names(backend) if (one := sentences.read(backend, name))]


def vouched(found: Survey, excused: set[str], reached: Reached) -> Root:
    """The directories that no record needs, in packs that stay."""
    stale = (raw for name in excused for raw in directories_in(found.packs[name]))
    trees = (
        Tree(digest="sha256:" + raw.hex(), files=0, bytes=0)
        for raw in stale
        if raw not in reached.directories
    )
    return Root("", "", tuple(trees))


def oldest(backend: Backend, runs: Iterable[str]) -> float:
    """When the first of some operations began, by the store's clock."""
    begun = (backend.stat(operations.key(run, "intent.json")) for run in runs)
    return min((stat.modified for stat in begun if stat), default=float("inf"))


def plan(
    backend: Backend, objects: Objects, *, grace: float = DEFAULT_GRACE, now: float | None = None
) -> Plan:
    """Say what a collection would do; nothing is written.

    Args:
        grace: seconds between condemning and deleting.
        now: seconds since the epoch, by the store's clock.

    Raises:
        Damaged: a record or a directory cannot be read, so that nobody knows what is needed.
    """
    now = time.time() if now is None else now
    seen = look(backend, objects)
    now_due, waiting = due(backend, seen.sentences, set(seen.roots.open), grace, now)
    rewrite = tuple(rewrites(seen))
    doomed = tuple(new(objects, seen))
    needed = sum(share.live_bytes for share in seen.shares.values())
    needed += sum(stat.size for raw, stat in seen.found.objects.items() if seen.needs(key_of(raw.hex())))
    return Plan(
        doomed,
        rewrite,
        tuple(now_due),
        tuple(waiting),
        tuple(leftovers(backend, now)),
        tuple(seen.roots.open),
        needed,
        seen.found.bytes,
    )


def rewrites(seen: Seen) -> Iterator[Rewrite]:
    """Packs of which so little is needed, or which are so small, that it is better to write that into others."""
    barred = {one.key for sentence in seen.sentences for one in sentence.objects}
    small = []
    for name, share in seen.shares.items():
        contents = seen.found.packs[name]
        if not share.live or name in seen.excused or packs.key_of(name) in barred:
            continue
        if share.stale:
            yield Rewrite(name, contents.size, share, "it holds directories that nothing refers to")
        elif share.live_bytes * 2 < contents.end - packs.HEAD:
            yield Rewrite(name, contents.size, share, "most of it is not needed")
        elif contents.size < _SMALL:
            small.append(Rewrite(name, contents.size, share, "it is small"))
    if len(small) >= _FEW:
        yield from small


def new(objects: Objects, seen: Seen) -> list[Doomed]:
    """What nothing refers to and no sentence names yet."""
    known = {one.key for sentence in seen.sentences for one in sentence.objects}
    return [one for one in _doomed(objects, seen) if one.key not in known]


def _doomed(objects: Objects, seen: Seen) -> Iterator[Doomed]:
    """What nothing refers to, each with the reason; packs first."""
    gone = reach.reach(objects, seen.roots.removed, known=seen.reached)
    for name, share in seen.shares.items():
        if not share.live and name not in seen.excused:
            contents = seen.found.packs[name]
            reason = _reason([raw for raw, _, _ in islice(contents.entries(), 1000)], gone)
            yield Doomed(key=packs.key_of(name), bytes=contents.size, reason=reason)
    for raw, stat in seen.found.objects.items():
        key = key_of(raw.hex())
        if not seen.needs(key) and stat.modified < seen.since - _SLACK:
            yield Doomed(key=key, bytes=stat.size, reason=_reason([raw], gone))


def _reason(raws: Sequence[bytes], gone: Reached) -> str:
    for known in (gone.large, gone.files, gone.directories):
        for raw in raws:
            if raw in known:
                return f"only {gone.roots[known[raw]].label} referred to it, which was removed"
    return "nothing refers to it"


def due(
    backend: Backend, standing: Iterable[Sentence], open_now: set[str], grace: float, now: float
) -> tuple[list[Sentence], list[Waiting]]:
    """The sentences that can be carried out, and the others. One that was begun to be carried out has no grace left, unless a
    deletion may be on its way."""
    ripe, waiting = [], []
    begun = set(sentences.names(backend, SWEEPING))
    for sentence in standing:
        if sentence.id in begun:
            left = sentences.late_for(backend, sentence.id, now)
        else:
            left = max(0.0, grace - (now - _written_at(backend, sentence.id)))
        runs = tuple(sorted(_underway(backend, sentence.id, open_now)))
        if left or runs:
            waiting.append(Waiting(sentence, left, runs))
        else:
            ripe.append(sentence)
    return ripe, waiting


def _underway(backend: Backend, sentence: str, open_now: set[str]) -> set[str]:
    """The operations that may not have seen a sentence, and are not decided."""
    key = sentences.key(sentence, OPEN)
    try:
        runs = Underway.from_bytes(backend.read(key), key=key).runs
    except NotFound:  # whoever wrote the sentence came no further
        return open_now
    return open_now.intersection(runs)


def _written_at(backend: Backend, sentence: str) -> float:
    found = backend.stat(sentences.key(sentence))
    return found.modified if found is not None else 0.0


def leftovers(backend: Backend, now: float) -> Iterator[Leftover]:
    """What dead writers left."""
    for key, stat in backend.leftovers():
        if is_left(stat, now):
            yield Leftover(key, stat.size)


def is_left(stat: Stat, now: float) -> bool:
    """Whether nobody can be writing to a temporary file any more."""
    return now - stat.modified >= _WRITING
