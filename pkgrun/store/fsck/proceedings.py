"""What collections have written: sentences, and what belongs to one, each by itself."""

from __future__ import annotations

import re
import time

from pkgrun.records.collecting import Sentence, Underway, Verdict
from pkgrun.store import sentences
from pkgrun.store.fsck.findings import REPAIR
from pkgrun.store.fsck.forms import COLLECTING, QUARANTINE, SENTENCE
from pkgrun.store.fsck.ledger import Ledger

_FORMS = (SENTENCE, COLLECTING, re.compile(rf"{QUARANTINE}/.*", re.DOTALL))
_BESIDE = frozenset({"open", "sweeping", "spared", "verdict"})
_KINDS: dict[str, type[Sentence | Underway | Verdict]] = {
    "condemned": Sentence,
    "open": Underway,
    "verdict": Verdict,
}


def read(ledger: Ledger) -> None:
    """Read them all; what belongs to a sentence that is no more is a leftover."""
    keys = ledger.listed("gc", _FORMS)
    standing = {found[2] for key in keys if (found := SENTENCE.fullmatch(key)) and found[1] == "condemned"}
    for key in sorted(keys):
        if key.startswith(f"{QUARANTINE}/"):
            message = f"{key} is what a repair took out of use"
            ledger.find("quarantined", "rubbish", key, message, "delete it when it is of no use")
        elif found := SENTENCE.fullmatch(key):
            _sentence(ledger, key, found[1], found[2])
        if (owner := _sentence_of(key)) and owner not in standing:
            ledger.find("leftover", "rubbish", key, f"{key} belongs to a collection that has ended", REPAIR)


def _sentence_of(key: str) -> str | None:
    """The sentence that a file belongs to, if it is not the sentence."""
    _, folder, *names = key.split("/")
    return names[0].removesuffix(".json") if names and folder in _BESIDE else None


def _sentence(ledger: Ledger, key: str, folder: str, name: str) -> None:
    hint = REPAIR if folder == "open" else _when(sentences.busy_for(ledger.backend, name, time.time()))
    one = ledger.read(key, _KINDS[folder], severity="damage", hint=hint)
    if one is not None and one.record.id != name:
        ledger.misplaced(key, f"the sentence {one.record.id}", "damage", hint)


def _when(busy: float) -> str:
    """When it can be set aside."""
    if not busy:
        return REPAIR
    return (
        f"`pkgrun store repair` can set it aside in {-(-busy // 60):.0f} min: "
        "a collection that has read it before may be deleting until then"
    )
