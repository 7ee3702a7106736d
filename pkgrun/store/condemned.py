"""Which objects a collection has condemned, as a writer sees it: none of them is used, unless it is spared first.

A collection deletes what it condemned only after every operation that may not have seen the sentence has been decided.
So it is enough to look once an operation has begun. Who wants a condemned object after all says so and then looks
whether deleting has begun; who deletes says so first and then looks what is spared: one of the two sees the other.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection

from pkgrun.store import helping, sentences
from pkgrun.store.backend import Backend
from pkgrun.store.helping import Waits


def _nothing() -> None:
    pass


class Condemned:
    """What is condemned, for one operation. For several threads."""

    def __init__(
        self,
        backend: Backend,
        *,
        pause: Callable[[float], None] = time.sleep,
        waits: Waits = Waits(),  # noqa: B008  # it is frozen
        check: Callable[[], object] = _nothing,
    ) -> None:
        """Nothing is known yet.

        Args:
            pause: called between two looks at a collection that is deleting.
            waits: how long such a one is waited for.
            check: called before each; raises if nobody wants to wait any longer.
        """
        self._backend, self._pause, self._waits, self._check = backend, pause, waits, check
        self._lock, self._waiting = threading.Lock(), threading.Lock()
        self._interrupted: BaseException | None = None
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
            for name in sentences.names(self._backend):
                if (
                    name not in self._sentences
                    and name not in but
                    and (sentence := sentences.read(self._backend, name))
                ):
                    self._sentences.add(name)
                    for one in sentence.objects:
                        self._keys.setdefault(one.key, []).append(name)

    def spare(self, key: str) -> bool:
        """Keep a condemned object from being deleted. False: it may have been deleted, and is to be written anew.

        Raises:
            Damaged: what belongs to a sentence that is being carried out cannot be read.
            Temporary: a collection is deleting, and does not come to its end.
        """
        with self._lock:
            unspared = self._unspared(key)
        stand = [self._spare(sentence, key) for sentence in unspared]  # each, whatever became of the others
        return all(stand)

    def _spare(self, sentence: str, key: str) -> bool:
        # What stands there is of no interest, only that it does; another may have spared it, too.
        self._backend.create(sentences.spared_key(sentence, key), b"{}")
        if self._backend.stat(sentences.key(sentence, sentences.SWEEPING)) is not None:
            self._wait(sentence)
        stands = self._backend.stat(sentences.key(sentence)) is not None
        if stands:
            with self._lock:
                self._spared.add((sentence, key))
        return stands

    def _wait(self, sentence: str) -> None:
        """Until nobody deletes; one of our threads waits, or helps, for all. If one is interrupted, so are the others."""
        try:
            with self._waiting:
                helping.wait(
                    self._backend,
                    sentence,
                    waits=self._waits,
                    pause=self._pause,
                    check=self._check_wanted,
                )
        except BaseException as error:
            if not isinstance(error, Exception):
                self._interrupted = error
            raise

    def _check_wanted(self) -> None:
        if self._interrupted is not None:
            raise self._interrupted
        self._check()

    def renew(self, key: str) -> None:
        """Before something is written under a key: it is spared where it is condemned, and ours from then on."""
        if key in self:
            self.spare(key)
            with self._lock:
                self._renewed.add(key)
