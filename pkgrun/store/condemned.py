"""Which objects a collection has condemned, as a writer sees it: none of them is used, unless it is spared first.

A collection deletes what it condemned only after every operation that may not have seen the sentence has been decided.
So it is enough to look once an operation has begun. Who wants a condemned object after all says so and then looks
whether deleting has begun; who deletes says so first and then looks what is spared: one of the two sees the other.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Collection

from pkgrun.errors import Damaged, NotFound, Temporary
from pkgrun.identity import RUN_ID_PATTERN
from pkgrun.records.collecting import Sentence
from pkgrun.store.backend import Backend

FOLDER = "gc/condemned"
SWEEPING = "gc/sweeping"
SPARED = "gc/spared"
OPEN = "gc/open"
VERDICT = "gc/verdict"

PATIENCE = 300.0
"""Seconds that a collection which is deleting is waited for."""
_POLL = 0.2


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
    try:
        found = Sentence.from_bytes(backend.read(key(sentence)), key=key(sentence))
    except NotFound:
        return None
    if found.id != sentence:
        raise Damaged(f"{key(sentence)} is the sentence {found.id}")
    return found


class Condemned:
    """What is condemned, for one operation. For several threads."""

    def __init__(
        self,
        backend: Backend,
        *,
        pause: Callable[[float], None] = time.sleep,
        patience: float = PATIENCE,
    ) -> None:
        self._backend, self._pause, self._patience = backend, pause, patience
        self._lock = threading.Lock()
        self._sentences: set[str] = set()
        self._keys: dict[str, list[str]] = {}
        self._spared: set[tuple[str, str]] = set()
        self._renewed: set[str] = set()

    def __contains__(self, key: str) -> bool:
        """Whether an object is condemned, and neither spared nor written anew by us."""
        with self._lock:
            return key not in self._renewed and bool(self._unspared(key))

    def _unspared(self, key: str) -> list[str]:
        return [one for one in self._keys.get(key, ()) if (one, key) not in self._spared]

    def look(self, *, but: Collection[str] = ()) -> None:
        """See what is condemned now. What is there is to be looked at after this, not before.

        Args:
            but: sentences that cannot be read, which a repair is about to set aside.
        """
        with self._lock:
            for name in names(self._backend):
                if (
                    name not in self._sentences
                    and name not in but
                    and (sentence := read(self._backend, name))
                ):
                    self._sentences.add(name)
                    for one in sentence.objects:
                        self._keys.setdefault(one.key, []).append(name)

    def spare(self, key: str) -> bool:
        """Keep a condemned object from being deleted. False: it may have been deleted, and is to be written anew.

        Raises:
            Temporary: a collection is deleting, and does not come to its end.
        """
        with self._lock:
            stand = [self._spare(sentence, key) for sentence in self._unspared(key)]
            return all(stand)

    def _spare(self, sentence: str, key: str) -> bool:
        # What stands there is of no interest, only that it does; another may have spared it, too.
        self._backend.create(spared_key(sentence, key), b"{}")
        begun = time.monotonic()
        while self._backend.stat(_key(sentence, SWEEPING)) is not None:
            if time.monotonic() - begun > self._patience:
                raise Temporary(
                    f"a collection is deleting from {self._backend.url}, and has not come to its end",
                    hint="`pkgrun store gc --yes` ends one that was broken off; then run this again",
                )
            self._pause(_POLL)
        stands = self._backend.stat(_key(sentence)) is not None
        if stands:
            self._spared.add((sentence, key))
        return stands

    def renew(self, key: str) -> None:
        """Before something is written under a key: it is spared where it is condemned, and ours from then on."""
        if key in self:
            self.spare(key)
            with self._lock:
                self._renewed.add(key)


_key = key
