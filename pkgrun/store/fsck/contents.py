"""Looks at the bytes of a store: what records need and is not there, what is altered, and what nobody needs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from contextlib import suppress
from dataclasses import dataclass, field

from pkgrun.errors import Damaged, Erased, NotFound
from pkgrun.records.collecting import Doomed
from pkgrun.store import erased, packs, reach, sentences, survey, trees
from pkgrun.store.backend import Backend
from pkgrun.store.fsck import counts, needs, receipts
from pkgrun.store.fsck.counts import Counts
from pkgrun.store.fsck.findings import FROM, GC, REPAIR, Finding, Kind, Need, strange
from pkgrun.store.fsck.needs import name_of, raw_of
from pkgrun.store.fsck.reading import Altered, Choice, Told, altered_in, is_laid_out, read, read_some
from pkgrun.store.objects import Objects, key_of
from pkgrun.store.reach import Reached
from pkgrun.store.roots import Roots
from pkgrun.store.survey import Survey

_SLACK = 60.0


@dataclass(slots=True)
class Contents:
    """What there is, what is needed of it, and what of that is not good.

    `missing`: needed and nowhere, or nowhere unaltered; with the file in which it is altered, if there is one. `bad`: by the
    file, the blobs in it that are altered, needed or not. `malformed`: directories that are no directories.
    """

    roots: Roots
    reached: Reached
    found: Survey
    counts: Counts
    altered: Altered
    missing: dict[bytes, str] = field(default_factory=dict)
    malformed: dict[bytes, str] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)
    """Packs that are not as packs are, and what is wrong."""
    erased: frozenset[bytes] = frozenset()
    """All that has a receipt."""
    gone: set[bytes] = field(default_factory=set)
    """What is needed, and was erased."""

    @property
    def bad(self) -> Mapping[str, set[bytes]]:
        """By the file, the blobs in it that are altered, needed or not."""
        return self.altered.blobs

    @property
    def wanted(self) -> Set[bytes]:
        """All that records lead to."""
        known = self.reached
        return {*known.files, *known.large, *known.directories, *known.listings}

    @property
    def excused(self) -> Set[bytes]:
        """What nobody misses, because it was erased; a receipt of a directory excuses nothing."""
        return self.erased - self.folders

    @property
    def folders(self) -> Set[bytes]:
        """The directories among it."""
        return self.reached.directories.keys() | self.reached.listings.keys()

    def needs(self, raw: bytes) -> bool:
        """Whether records lead there."""
        return raw in self.reached


def look(backend: Backend, objects: Objects, roots: Roots, choice: Choice | None, told: Told) -> Contents:
    """Look at all of it. If something seems to be missing, once more: a collection may have moved it meanwhile.

    Raises:
        PermissionDenied, Temporary: the store cannot be read.
    """
    found = _survey(backend, objects, roots)
    if choice is not None:
        found.altered = read(backend, found.found, choice, told)
    _compare(backend, found, objects)
    if found.missing:
        again = _survey(backend, objects, roots)
        again.altered = found.altered
        _compare(backend, again, objects)
        return again
    return found


def look_at(backend: Backend, objects: Objects, roots: Roots, told: Told) -> Contents:
    """The same of what some records lead to, and of nothing else: every byte of it is hashed. Only if something is wrong with it
    all packs are looked into, for there may be another copy, or one that cannot be read is where it was.

    Raises:
        PermissionDenied, Temporary: the store cannot be read.
    """
    found = _reached(objects, roots)
    found.found = survey.survey_of(backend, objects, found.reached)
    found.altered = read_some(backend, found.found, found.wanted, told)
    _compare(backend, found, objects)
    if not found.missing:
        return found
    again = _survey(backend, objects, roots)
    again.altered = read_some(backend, again.found, again.wanted, lambda done, total: None)
    _compare(backend, again, objects)
    return again


def _survey(backend: Backend, objects: Objects, roots: Roots) -> Contents:
    found = _reached(objects, roots)
    found.found = survey.survey(backend)
    return found


def _reached(objects: Objects, roots: Roots) -> Contents:
    objects.look_again()
    tally = Counts()
    for root in roots.kept:
        tally.sizes.update((raw_of(blob.digest), blob.bytes) for blob in root.blobs)
    reached = reach.reach(objects, roots.kept, told=tally)
    return Contents(roots, reached, Survey({}, {}, {}, {}, {}), tally, Altered())


def _compare(backend: Backend, found: Contents, objects: Objects) -> None:
    """What is needed with what is there."""
    for name, contents in found.found.packs.items():
        if not is_laid_out(contents):
            found.broken[packs.key_of(name)] = "its blobs do not fill it"
            with suppress(NotFound):
                wrong = {part.digest for part in altered_in(backend, contents, lambda size: None)}
                found.altered.blobs.setdefault(packs.key_of(name), set()).update(wrong)
    for name, error in found.found.damaged.items():
        found.broken[packs.key_of(name)] = error.message.partition(": ")[2] or error.message
    for raw, stat in found.found.objects.items():
        if found.counts.sizes.get(raw, stat.size) != stat.size:
            found.altered.blobs.setdefault(key_of(name_of(raw)), set()).add(raw)
    for raw in _unreadable(found, objects):
        found.altered.blobs.setdefault(_file_of(found, raw), set()).add(raw)
    there, found.erased = good(found), erased.raws(backend)
    wanted, folders = found.wanted, found.folders
    found.gone = {raw for raw in found.erased if raw in wanted and raw not in there and raw not in folders}
    for raw in wanted:
        if raw not in there and raw not in found.gone:
            found.missing[raw] = _file_of(found, raw)


def _unreadable(found: Contents, objects: Objects) -> Iterator[bytes]:
    """Directories whose bytes are others; what is wrong with one whose bytes are right is noted."""
    for raw, error in found.reached.unread.items():
        try:
            data = objects.read(name_of(raw))
        except (Damaged, Erased):
            if _file_of(found, raw):
                yield raw
            continue
        try:
            trees.parse(data, name_of(raw))
        except Damaged:
            found.malformed[raw] = error.message
    for raw in found.counts.split:
        try:
            trees.read_node(objects, name_of(raw))
        except (Damaged, Erased) as error:
            if not found.reached.unread:  # else that is what is the matter
                found.malformed[raw] = error.message


def _file_of(found: Contents, raw: bytes) -> str:
    """A file that holds something, as its name or its index says; nothing if there is none."""
    if raw in found.found.objects:
        return key_of(name_of(raw))
    for name, contents in found.found.packs.items():
        try:
            if contents.find(raw) is not None:
                return packs.key_of(name)
        except Damaged:
            continue
    return ""


def good(found: Contents) -> set[bytes]:
    """All that is there, and not known to be altered."""
    nothing: set[bytes] = set()
    good = {raw for raw in found.found.objects if key_of(name_of(raw)) not in found.bad}
    for name, contents in found.found.packs.items():
        altered = found.bad.get(packs.key_of(name), nothing)
        good.update(raw for raw, _, _ in contents.entries() if raw not in altered)
    return good


# ---------------------------------------------------------------------- in words


def findings(backend: Backend, objects: Objects, found: Contents, since: float) -> Iterator[Finding]:
    """What is wrong with contents, and what nobody needs.

    Args:
        since: when the oldest of the operations that go on began: what was written since is most likely theirs.
    """
    yield from faults(objects, found)
    yield from receipts.back(backend)
    yield from _rubbish(backend, found, since)


def faults(objects: Objects, found: Contents) -> Iterator[Finding]:
    """What is wrong with contents."""
    wrong = dict(found.counts.wrong())
    missized = dict(_missized(found))
    concerned = (*found.missing, *found.gone, *found.malformed, *wrong, *missized)
    whose = needs.whose(objects, found.roots.kept, concerned, found.reached.listings)
    yield from _missing(found, whose)
    yield from _files(found, whose)
    yield from (receipts.gone(objects, raw, whose.get(raw, ())) for raw in found.gone)
    yield from (
        receipts.of_directory(raw, missing=raw in found.missing) for raw in found.erased & found.folders
    )
    for raw, message in found.malformed.items():
        yield _about("directory-malformed", raw, message, FROM, whose)
    for raw, what in wrong.items():
        yield counts.finding(raw, what, whose.get(raw, ()))
    for raw, (said, length) in missized.items():
        message = f"the content {name_of(raw)} has {length} bytes, and a directory says that it has {said}"
        yield _about("counts-wrong", raw, message, FROM, whose)
    for root in found.roots.kept:
        yield from found.counts.of_root(root)


def _missized(found: Contents) -> Iterator[tuple[bytes, tuple[int, int]]]:
    """Small contents that are longer or shorter than a directory says; packs are named by the lengths in them."""
    for contents in found.found.packs.values():
        for raw, _, length in contents.entries():
            said = found.counts.sizes.get(raw)
            if said is not None and said != length & packs.LENGTH:
                yield raw, (said, length & packs.LENGTH)


Whose = Mapping[bytes, tuple[Need, ...]]


def _about(kind: Kind, raw: bytes, message: str, hint: str, whose: Whose) -> Finding:
    key = key_of(name_of(raw))
    return Finding(kind, "hole", key, message, hint, whose.get(raw, ()), digests=frozenset({raw}))


def _missing(found: Contents, whose: Whose) -> Iterator[Finding]:
    """What is nowhere; what is altered is told with its file."""
    unread = f"; it may have been in {next(iter(found.broken))}" if found.broken else ""
    for raw, file in found.missing.items():
        if not file:
            kind, what = _sort(found, raw)
            message = f"the {what} {name_of(raw)} is missing{unread}"
            hint = REPAIR if found.broken else FROM
            yield _about(kind, raw, message, hint, whose)


def _sort(found: Contents, raw: bytes) -> tuple[Kind, str]:
    """What kind of thing is missing, and in words."""
    if raw in found.reached.directories:
        return "directory-missing", "directory"
    if raw in found.reached.listings:
        return "listing-missing", "listing, by which is known which files a run was given,"
    return "object-missing", "content"


def _files(found: Contents, whose: Whose) -> Iterator[Finding]:
    """Packs and objects that are altered."""
    lost = bool(found.missing) and not all(found.missing.values())
    for key, what in found.broken.items():
        if found.bad.get(key):
            continue
        message = f"{key} is damaged: {what}"
        size = _size(found, key)
        yield Finding("pack-damaged", "hole" if lost else "damage", key, message, REPAIR, size=size)
    for key in found.altered.bruised - found.broken.keys() - found.bad.keys():
        message = f"{key} is damaged at its head or foot; all that it holds is right"
        yield Finding("pack-damaged", "damage", key, message, REPAIR, size=_size(found, key))
    for key, raws in found.bad.items():
        if not raws:
            continue
        holes = [raw for raw in raws if raw in found.missing]
        needed = tuple(dict.fromkeys(need for raw in holes for need in whose.get(raw, ())))
        kind: Kind = "object-altered" if key.startswith("objects/") else "pack-damaged"
        yield Finding(
            kind,
            "hole" if holes else "damage",
            key,
            _altered(key, raws, bool(holes)),
            REPAIR,
            needed,
            _size(found, key),
            frozenset(raws),
        )


def _altered(key: str, raws: set[bytes], hole: bool) -> str:
    where = "" if key.startswith("objects/") else f", in {len(raws)} of its blobs"
    return f"{key} is damaged: its bytes are altered{where}" + (
        "" if hole else "; nobody needs these, or they are elsewhere, too"
    )


def _size(found: Contents, key: str) -> int:
    name = packs.name_in(key.rpartition("/")[2])
    if name is None:
        stat = found.found.objects.get(bytes.fromhex(key.rpartition("/")[2]))
        return stat.size if stat else 0
    contents = found.found.packs.get(name)
    return contents.size if contents else 0


def _rubbish(backend: Backend, found: Contents, since: float) -> Iterator[Finding]:
    """What nobody needs. Of packs those of which nothing is needed; what is written just now is none."""
    doomed = {one.key for one in _condemned(backend)}
    for name, share in survey.shares(found.found, found.reached).items():
        if not share.live and found.found.written.get(name, 0.0) < since - _SLACK:
            yield _unreferenced(packs.key_of(name), found.found.packs[name].size, doomed)
    for raw, stat in found.found.objects.items():
        if not found.needs(raw) and stat.modified < since - _SLACK:
            yield _unreferenced(key_of(name_of(raw)), stat.size, doomed)
    for key, stat in found.found.strange.items():
        yield strange(key, stat.size)
    for key, stat in backend.leftovers():
        message = f"{key} is what a writer that died has left, or what one writes just now"
        yield Finding("leftover", "rubbish", key, message, GC, size=stat.size)


def _condemned(backend: Backend) -> Iterable[Doomed]:
    for name in sentences.names(backend):
        try:
            sentence = sentences.read(backend, name)
        except Damaged:  # which was told with the records
            continue
        yield from sentence.objects if sentence else ()


def _unreferenced(key: str, size: int, doomed: set[str]) -> Finding:
    also = ", and a collection has condemned it" if key in doomed else ""
    return Finding("unreferenced", "rubbish", key, f"nothing refers to {key}{also}", GC, size=size)
