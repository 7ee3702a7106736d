"""What runs say of registered data, held against what was registered: was it there, was it that, was it what was asked for."""

from __future__ import annotations

from collections.abc import Iterator

from pkgrun.errors import Damaged, Erased, NotFound
from pkgrun.lineage.pedigree import REGISTERED, Member, Pedigree
from pkgrun.records import Data, DatasetRecord, Tree
from pkgrun.store import registry, trees
from pkgrun.store.fsck.findings import FROM, Finding
from pkgrun.store.fsck.forms import needs_of, parse
from pkgrun.store.root import Store


def given_otherwise(store: Store, found: Pedigree) -> Iterator[Finding]:
    """Runs that say to have been given registered data, and contradict that, or themselves."""
    for member in (*found.versions, *found.evaluations):
        facts = member.outcome.facts if member.outcome else None
        request = member.intent.training if member.intent else None
        if facts is None or request is None:
            continue
        for label, data in ((request.data, facts.data), (request.evaluation_data, facts.evaluation_data)):
            if data is not None and (wrong := _wrong(store, label or "", data)):
                yield _altered(member, wrong)


def _altered(member: Member, why: str) -> Finding:
    key = f"runs/{member.run}/outcome.json"
    return Finding("record-altered", "hole", key, f"{key} says {why}", FROM, needs_of(key))


def _wrong(store: Store, label: str, data: Data) -> str | None:
    """What is wrong with what is said of data that was asked for as `label`."""
    asked, told = REGISTERED.fullmatch(label), REGISTERED.fullmatch(data.source)
    if not (asked or told):
        return None
    if label != data.source:
        return f"that the data was {data.source}, and what was asked for is {label}"
    if asked is None:
        return None
    name, number, path = asked[1], int(asked[2]), (asked[3] or "").strip("/")
    standing = _registered(store, name, number)
    if standing is None:
        return f"that the data was {label}, and {registry.key(name, number)} is missing"
    try:
        there = _below(store, standing, path) if isinstance(standing, DatasetRecord) else None
    except NotFound:
        return f"that the data was {label}, and there is no {path!r} in {name}@{number}"
    if data.attested and there is not None and not _is(there, data.tree):
        return f"that {label} was {data.tree.digest}, and {registry.key(name, number)} says otherwise"
    return None


def _registered(store: Store, name: str, number: int) -> DatasetRecord | Damaged | None:
    """The record of a number; why it cannot be read, which is told elsewhere; None of one that is not there."""
    key = registry.key(name, number)
    try:
        return parse(DatasetRecord, store.backend.read(key), key)
    except NotFound:
        return None
    except Damaged as error:
        return error


def _below(store: Store, standing: DatasetRecord, path: str) -> trees.Entry | None:
    """What lies there in it; None of what cannot be read, which is told elsewhere.

    Raises:
        NotFound: there is nothing.
    """
    if not path:
        return trees.Entry("", "dir", standing.tree.digest)
    try:
        return trees.find(store.objects, standing.tree.digest, path)
    except (Damaged, Erased):
        return None


def _is(there: trees.Entry, given: Tree) -> bool:
    """Whether a run was given that; of a file, which it is given in a folder, only whether it can have been."""
    if there.kind == "dir":
        return there.digest == given.digest
    return (1, there.bytes) == (given.files, given.bytes)
