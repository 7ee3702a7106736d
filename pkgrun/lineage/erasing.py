"""What an erasure concerns: which content is meant, where it lies, and which versions are to be trained again. The bytes' side is
`runs/erasing.py`."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pkgrun.errors import Damaged, NotFound, UsageError
from pkgrun.identity import DIGEST_PATTERN, Version
from pkgrun.lineage.relations import Named
from pkgrun.observe import Observer, silent
from pkgrun.records import Actor, ErasureRequest, Swept, VersionRecord
from pkgrun.records.erasing import Receipt
from pkgrun.runs import erasing as operation
from pkgrun.runs import lookup
from pkgrun.runs.caches import Dropped
from pkgrun.store import erased, numbers, operations, trees
from pkgrun.store import erasing as places
from pkgrun.store.files import nothing, shown, take
from pkgrun.store.fsck.needs import Ways, raw_of
from pkgrun.store.objects import digest_of
from pkgrun.store.root import Store

_NOTHING = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
_NAMED = 1000
_REASON = 10_000


@dataclass(frozen=True, slots=True)
class Affected:
    """A version that is to be trained again. `why`: it saw the content itself (`input`, `trained`, `evaluated`, `package`,
    `artifacts`), or came from one that did (`inherited`)."""

    version: Named
    why: tuple[str, ...]

    def __str__(self) -> str:
        return str(self.version)


@dataclass(frozen=True, slots=True)
class ErasurePlan:
    """What an erasure would do.

    `file`: what was hashed to know which content is meant, which is the user's and stays. `bytes`: None if nobody knows. `held`: whether the
    store holds it. `packs` are written anew, `objects` deleted, `aside` are files in quarantine. `unread`: packs that nobody can read.
    `receipt`: of the erasure before, if there was one.
    """

    digest: str
    bytes: int | None
    file: str | None
    packs: int
    objects: int
    aside: int
    unread: tuple[str, ...]
    affected: tuple[Affected, ...]
    receipt: Receipt | None

    @property
    def held(self) -> bool:
        """Whether the store holds it."""
        return bool(self.packs or self.objects or self.aside)


@dataclass(frozen=True, slots=True)
class Erasure:
    """What an erasure did.

    `new`: there was no receipt before; else it only took out what had come back. `run`: its operation, None if there was nothing
    to do. `swept` and `dropped`: what went from the store, and from this machine's caches. `open`: operations that go on; one
    that brings the content in takes it out again, and fails.
    """

    plan: ErasurePlan
    receipt: Receipt
    new: bool
    run: str | None
    swept: Swept
    dropped: Dropped
    unread: tuple[str, ...]
    open: tuple[str, ...]

    @property
    def affected(self) -> tuple[Affected, ...]:
        """The versions to train again."""
        return self.plan.affected

    @property
    def certain(self) -> bool:
        """Whether it is gone: not if packs cannot be read, or a cached copy is in use."""
        return not self.unread and not self.dropped.busy


def plan(store: Store, content: str) -> ErasurePlan:
    """Say what an erasure would do; nothing is changed.

    Raises:
        UsageError: it is a directory, or empty, or no digest.
        NotFound, PermissionDenied, Temporary: the file, or the store, cannot be read.
    """
    digest, size, file = meant(store, content)
    raw = bytes.fromhex(digest[7:])
    found = places.find(store.backend, {raw})
    size = found.size(raw) if size is None else size
    _check_file(store, digest, size, found)
    return ErasurePlan(
        digest=digest,
        bytes=size,
        file=file,
        packs=len(found.packs),
        objects=len(found.objects),
        aside=len(found.aside),
        unread=found.unread,
        affected=tuple(affected(store, raw)),
        receipt=erased.receipt(store.backend, raw),
    )


def erase(store: Store, content: str, *, reason: str, by: Actor, observer: Observer = silent) -> Erasure:
    """Erase a content everywhere.

    Raises:
        UsageError: it cannot be erased, or there is no reason.
        NotFound, PermissionDenied, Temporary, Damaged: as their names say. If there is a receipt by then, the same call goes on.
    """
    if not reason.strip() or len(reason) > _REASON:
        raise UsageError(
            "an erasure needs a reason", hint="say why, in 10,000 characters at most: it stays for ever"
        )
    planned = plan(store, content)
    request = ErasureRequest(
        digest=planned.digest,
        bytes=planned.bytes,
        reason=reason.strip(),
        affected=len(planned.affected),
        versions=tuple(map(str, planned.affected[:_NAMED])),
    )
    done = operation.erase(store, request, by=by, observer=observer)
    return Erasure(
        plan=planned,
        receipt=done.receipt,
        new=done.new,
        run=done.run,
        swept=done.swept,
        dropped=done.dropped,
        unread=done.unread,
        open=done.open,
    )


# ---------------------------------------------------------------------- which content


def meant(store: Store, text: str) -> tuple[str, int | None, str | None]:
    """Which content `text` means: its digest, its size if that is known, and the file that was hashed for it.

    A path, `sha256:…`, or a file in a registered dataset, `name@n/path`.

    Raises:
        UsageError, NotFound, PermissionDenied, Temporary: it means no file.
    """
    if text.startswith("sha256:"):
        if not re.fullmatch(DIGEST_PATTERN, text):
            raise UsageError(
                f"{text!r} is no digest",
                hint="sha256: and 64 lower-case hexadecimal digits, as sha256sum prints",
            )
        return text, None, None
    name, _, below = text.partition("/")
    if "@" in name and below and not os.path.lexists(text):
        from pkgrun.datasets.sources import Stored

        found = lookup.dataset(store, text)
        if isinstance(found, Stored):
            if found.entry.kind != "file":
                raise _directory(text)
            return found.entry.digest, found.entry.bytes, None
    if os.path.isdir(text):
        raise _directory(text)
    if not os.path.lexists(text):
        raise NotFound(f"there is no file {shown(text)}", hint="name a file, or its digest: sha256:…")
    taken = take(text, nothing)
    return taken.digest, taken.size, os.path.abspath(text)


def _directory(text: str) -> UsageError:
    return UsageError(
        f"{shown(text)} is a folder: only files can be erased",
        hint="name each file; what a version is known by are the digests of its folders",
    )


def _check_file(store: Store, digest: str, size: int | None, found: places.Found) -> None:
    """Raises:
    UsageError: it is empty, or a directory.
    """
    if digest == _NOTHING or size == 0:
        raise UsageError("an empty file holds nothing that could be erased")
    raw = bytes.fromhex(digest[7:])
    if not found.packs:
        return
    if found.directory(raw) or _is_node(store, digest):
        raise UsageError(
            f"{digest} is a directory: only files can be erased", hint="name each file by its own digest"
        )


def _is_node(store: Store, digest: str) -> bool:
    try:
        trees.parse(store.objects.read(digest), digest)
    except Damaged:
        return False
    return True


# ---------------------------------------------------------------------- which versions


def affected(store: Store, raw: bytes) -> list[Affected]:
    """The versions that saw a content, and all that came from them; ascending by when they were made. Every record is read."""
    records = sorted(_versions(store), key=lambda record: record.created)
    ways = Ways(store.objects, {raw})
    why: dict[Named, tuple[str, ...]] = {}
    by_record: dict[str, Named] = {}
    for record in records:
        named = Named(record.package, record.version)
        by_record[digest_of(record.to_bytes())] = named
        if roles := tuple(dict.fromkeys(_roles(store, record, ways))):
            why[named] = roles
        elif any(above in why for above in _above(record, by_record)):
            why[named] = ("inherited",)
    return [Affected(named, roles) for named, roles in why.items()]


def _versions(store: Store) -> Iterator[VersionRecord]:
    """Those that were not removed."""
    for package in numbers.packages(store.backend):
        removed = numbers.removals(store.backend, package)
        for major in numbers.majors(store.backend, package):
            newest = numbers.newest_minor(store.backend, package, major)
            for minor in range(-1 if newest is None else newest + 1):
                if Version(major, minor) not in removed:
                    yield numbers.read(store.backend, package, Version(major, minor))


def _above(record: VersionRecord, by_record: Mapping[str, Named]) -> Iterator[Named]:
    """The version that one came from, here or, of an import, in the store that it was exported from."""
    if record.parent is not None:
        yield Named(record.package, record.parent)
    if record.origin is not None:
        known = (record.origin.record, *record.origin.ancestors)
        yield from (by_record[digest] for digest in known if digest in by_record)


def _roles(store: Store, record: VersionRecord, ways: Ways) -> Iterator[str]:
    """In which roles a version itself saw the content."""
    given = [("package", record.tree)]
    outcome = operations.decided(store.backend, record.run)
    if outcome is not None and (facts := outcome.facts) is not None:
        given += [
            (one.role, one.tree)
            for one in (facts.data, facts.evaluation_data, *facts.passed)
            if one is not None
        ]
        given += [("artifacts", facts.artifacts)] if facts.artifacts is not None else []
    yield from (role for role, tree in given if ways.leads(raw_of(tree.digest)))
