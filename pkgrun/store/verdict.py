"""Which objects of a sentence stay after all: read once more, when nobody can come to need what nobody has spared.

Packs that another sentence names may be deleted any time, and may come to stay: what is in them counts as gone, and yet
their directories vouch for all below them.
"""

from __future__ import annotations

from collections.abc import Iterator

from pkgrun.records.collecting import Sentence
from pkgrun.store import reach
from pkgrun.store.backend import Backend
from pkgrun.store.collecting import needed, pack_at, read_all, vouched
from pkgrun.store.objects import Objects
from pkgrun.store.reach import Reached
from pkgrun.store.survey import Survey, needs, survey


def kept(backend: Backend, objects: Objects, sentence: Sentence, spared: set[str]) -> Iterator[int]:
    """The numbers of those that are needed or spared.

    Raises:
        Damaged: a record or a directory cannot be read, so that nobody knows what is needed.
    """
    # In this order. What is needed of a pack that goes after it was seen here was needed when the records are read; and who
    # takes it away has counted with this sentence.
    others = {one.key for other in read_all(backend) if other.id != sentence.id for one in other.objects}
    found = survey(backend)
    _, reached = needed(backend, objects)
    own = {pack_at(one.key) for one in sentence.objects} & found.packs.keys()
    stay = (found.packs.keys() - own) | ({pack_at(key) for key in spared} & own)
    unsafe = {pack_at(key) for key in others} & found.packs.keys()
    vouching = set[str]()
    while True:
        reached.add(reach.reach(objects, [vouched(found, stay - vouching, reached)], known=reached))
        vouching |= stay
        stay |= _held(found, reached, own, unsafe)
        if stay <= vouching:
            break
    for number, one in enumerate(sentence.objects):
        if one.key in spared or pack_at(one.key) in stay or _needed_alone(one.key, found, reached):
            yield number


def _held(found: Survey, reached: Reached, own: set[str], unsafe: set[str]) -> set[str]:
    """The packs of a sentence that hold something which is needed and lies in no pack that is safe."""
    lacking = needs(reached, found)
    for name in found.packs.keys() - own - unsafe:
        lacking.difference_update(raw for raw, _, _ in found.packs[name].entries())
    held = set[str]()
    for name in sorted(own, key=lambda name: (name in unsafe, -found.packs[name].size, name)):
        here = lacking.intersection(raw for raw, _, _ in found.packs[name].entries())
        if here:
            held.add(name)
            if name not in unsafe:
                lacking -= here
    return held


def _needed_alone(key: str, found: Survey, reached: Reached) -> bool:
    """Whether an object that lies in no pack is needed; a pack that cannot be read is not judged."""
    if not key.startswith("objects/"):
        return pack_at(key) in found.damaged
    raw = bytes.fromhex(key.rpartition("/")[2])
    return raw in reached
