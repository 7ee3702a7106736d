"""Sentences: objects that a collection has condemned. Where each lies, with what belongs to it; and how one that is settled is
brought to its end, which needs nothing but the backend, so that whoever comes along can do it.

It never judges what stays: that is `verdict`, or, where nobody waits for that any longer, everything (`pardon`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from pkgrun.errors import Damaged, NotFound
from pkgrun.identity import RUN_ID_PATTERN
from pkgrun.records import Record
from pkgrun.records.collecting import Doomed, Sentence, Verdict
from pkgrun.store import packs
from pkgrun.store.backend import Backend

R = TypeVar("R", bound=Record)

FOLDER = "gc/condemned"
SWEEPING = "gc/sweeping"
SPARED = "gc/spared"
OPEN = "gc/open"
VERDICT = "gc/verdict"

_BUSY = 3600.0
"""Seconds after which nobody can be carrying a sentence out any more who has read what cannot be read now."""


def key(sentence: str, folder: str = FOLDER) -> str:
    """Where a sentence lies, or what belongs to it in another folder."""
    return f"{folder}/{sentence}.json"


def spared_key(sentence: str, condemned: str) -> str:
    """Where it says that an object of a sentence is wanted."""
    return f"{SPARED}/{sentence}/{condemned.rpartition('/')[2].removesuffix('.pack')}.json"


def names(backend: Backend, folder: str = FOLDER) -> list[str]:
    """The sentences that there are, or about which there is something in another folder; the oldest first. Anything else there is nothing
    of the format (`fsck` calls it strange), and in nobody's way."""
    found = (name.removesuffix(".json") for name in backend.list(folder) if name.endswith(".json"))
    return sorted(name for name in found if re.fullmatch(RUN_ID_PATTERN, name))


def read(backend: Backend, sentence: str) -> Sentence | None:
    """A sentence; None if it has been carried out.

    Raises:
        Damaged: it is not what it should be.
    """
    found = _read(backend, key(sentence), Sentence)
    if found is not None and found.id != sentence:
        raise Damaged(f"{key(sentence)} is the sentence {found.id}", hint=_WAY_OUT)
    return found


def _read(backend: Backend, where: str, kind: type[R]) -> R | None:
    try:
        return kind.from_bytes(backend.read(where), key=where)
    except NotFound:
        return None
    except Damaged as error:
        raise Damaged(error.message, hint=_WAY_OUT) from error


_WAY_OUT = (
    "`pkgrun store repair` says when it can be set aside, and with --yes does it; what it condemned stays"
)


def busy_for(backend: Backend, sentence: str, now: float) -> float:
    """For how many seconds more somebody may be carrying a sentence out, from what was legible once; 0 if nobody can be."""
    begun = (backend.stat(key(sentence, folder)) for folder in (SWEEPING, VERDICT))
    return max([0.0, *(stat.modified + _BUSY - now for stat in begun if stat is not None)])


# ---------------------------------------------------------------------- to its end


def doomed(backend: Backend, sentence: Sentence) -> list[Doomed] | None:
    """What of a sentence is deleted, whoever does it; None if that is not settled, or no longer known, for it has ended.

    Raises:
        Damaged: what says so is not what it should be.
    """
    settled = _read(backend, key(sentence.id, VERDICT), Verdict)
    if settled is None:
        return None
    stay = set(settled.kept)
    return [one for number, one in enumerate(sentence.objects) if number not in stay]


def settle(backend: Backend, sentence: Sentence, kept: Iterable[int]) -> None:
    """What stays, by number; whoever is first settles it."""
    data = Verdict(id=sentence.id, kept=tuple(sorted(kept))).to_bytes()
    backend.create(key(sentence.id, VERDICT), data)


def pardon(backend: Backend, sentence: str) -> None:
    """Settle that all of a sentence stays, unless it is settled otherwise: nothing of it was deleted before. What nobody needs of
    it the next collection condemns anew."""
    if (found := read(backend, sentence)) is not None:
        settle(backend, found, range(len(found.objects)))


def carry_out(backend: Backend, sentence: str) -> None:
    """Delete what a sentence that is settled leaves to be deleted, and forget it; one that has ended is forgotten."""
    found = read(backend, sentence)
    if found is not None:
        some = doomed(backend, found)
        if some is None and backend.stat(key(sentence)) is not None:
            return
        overs = [over for _, over in delete(backend, found, some or ())]
        if not all(overs):
            return
    forget(backend, sentence)


def _unsettle(backend: Backend, sentence: str) -> None:
    """A deletion may be on its way whose answer never came: the sentence stands until it cannot be any more, also if we die, so
    that nobody writes anew what it would take away."""
    backend.write(key(sentence, SWEEPING), _LATE)


def late_for(backend: Backend, sentence: str, now: float) -> float:
    """For how many seconds more a deletion may be on its way."""
    place = key(sentence, SWEEPING)
    found = backend.stat(place)
    if found is None or found.size != len(_LATE):
        return 0.0
    return max(0.0, found.modified + LATE - now)


_LATE = b'{"late":true}'
LATE = 330.0
"""Seconds after which what was sent to a server has taken effect, or never will."""


def delete(backend: Backend, sentence: Sentence, some: Sequence[Doomed]) -> Iterator[tuple[Doomed, bool]]:
    """Delete them, each as it is asked for, with whether that is over, else the sentence must not be forgotten: packs first,
    durably, for directories in them vouch for the others."""
    for kind in (packs.FOLDER, "objects"):
        these = [one for one in some if one.key.startswith(kind)]
        for one in _while_it_stands(backend, sentence, these):
            if not (over := backend.delete(one.key)):
                _unsettle(backend, sentence.id)
            yield one, over
        backend.flush([one.key for one in these])


def _while_it_stands(backend: Backend, sentence: Sentence, some: Iterable[Doomed]) -> Iterator[Doomed]:
    """One after the other, for as long as the sentence stands: another may have ended it, and then it may all be there anew."""
    for one in some:
        if backend.stat(key(sentence.id)) is None:
            return
        yield one


def forget(backend: Backend, sentence: str) -> None:
    """It is carried out. In this order: who sees that nobody deletes any more sees too that the sentence is gone."""
    for folder in (FOLDER, OPEN, VERDICT, SWEEPING):
        backend.delete(key(sentence, folder))
    for name in list(backend.list(f"{SPARED}/{sentence}")):
        backend.delete(f"{SPARED}/{sentence}/{name}")
    backend.delete(f"{SPARED}/{sentence}")  # where folders stay
