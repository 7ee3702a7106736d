"""What an erasure concerns: which content is meant, where it lies, and which versions are to be trained again. The bytes' side is
`runs/erasing.py`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from pkgrun.errors import UsageError
from pkgrun.lineage import contents
from pkgrun.lineage.relations import Named
from pkgrun.lineage.uses import Uses, used_by
from pkgrun.observe import Observer, silent
from pkgrun.records import Actor, ErasureRequest, Swept
from pkgrun.records.erasing import Receipt
from pkgrun.runs import erasing as operation
from pkgrun.runs import lookup
from pkgrun.runs.caches import Dropped
from pkgrun.store import erasing as places
from pkgrun.store import owned, trees
from pkgrun.store.files import shown
from pkgrun.store.objects import digest_of
from pkgrun.store.root import Store

_NOTHING = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
_NO_FILES = digest_of(b'{"entries":[]}')
_NODE = 64 << 20
"""Bytes of a file from which on it is no directory's."""
_NAMED = 1000
_REASON = 10_000


@dataclass(frozen=True, slots=True)
class Affected:
    """A version that is to be trained again. `why`: it was made with the content itself (`input`, `trained`, `package`), or came
    from one that was (`inherited`)."""

    version: Named
    why: tuple[str, ...]

    def __str__(self) -> str:
        return str(self.version)


@dataclass(frozen=True, slots=True)
class ErasurePlan:
    """What an erasure would do.

    `file`: what was hashed to know which content is meant, which is the user's and stays. `bytes`: None if nobody knows. `held`: whether the
    store holds it. `packs` are written anew, `objects` deleted, `aside` are files in quarantine. `unread`: packs that nobody can read.
    `unlisted`: runs, and imports from other stores, of which nobody can say whether they saw it.
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
    unlisted: int
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
    that brings the content in takes it out again, and fails. `affected`, `unlisted`: as of the plan, looked up again when there was a
    receipt: from then on nobody commits what has seen it. The receipt tells what was known before.
    """

    plan: ErasurePlan
    receipt: Receipt
    new: bool
    run: str | None
    swept: Swept
    dropped: Dropped
    unread: tuple[str, ...]
    open: tuple[str, ...]
    affected: tuple[Affected, ...]
    unlisted: int

    @property
    def certain(self) -> bool:
        """Whether it is gone: not if packs cannot be read, or a cached copy is in use."""
        return not self.unread and not self.dropped.busy


def plan(store: Store, content: str, *, observer: Observer = silent) -> ErasurePlan:
    """Say what an erasure would do; nothing is changed.

    Raises:
        UsageError: it is a directory, or empty, or no digest, or a record, a log or a lock of this store; or it may mean two things.
        NotFound, PermissionDenied, Temporary: the file, or the store, cannot be read.
    """
    digest, size, file = meant(store, content, observer)
    raw = bytes.fromhex(digest[7:])
    found = places.find(store.backend, {raw})
    size = found.size(raw) if size is None else size
    _check_file(digest, size, file, found)
    _check_not_own(store, digest, size, found)
    uses = used_by(store, digest)
    return ErasurePlan(
        digest=digest,
        bytes=size,
        file=file,
        packs=len(found.packs),
        objects=len(found.objects),
        aside=len(found.aside),
        unread=found.unread,
        affected=tuple(_affected(uses)),
        unlisted=len(uses.unlisted) + len(uses.foreign),
        receipt=uses.erased,
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
    planned = plan(store, content, observer=observer)
    request = ErasureRequest(
        digest=planned.digest,
        bytes=planned.bytes,
        reason=reason.strip(),
        affected=len(planned.affected),
        versions=tuple(map(str, planned.affected[:_NAMED])),
    )
    done = operation.erase(store, request, by=by, observer=observer)
    uses = used_by(store, planned.digest)
    return Erasure(
        plan=planned,
        receipt=done.receipt,
        new=done.new,
        run=done.run,
        swept=done.swept,
        dropped=done.dropped,
        unread=done.unread,
        open=done.open,
        affected=tuple(_affected(uses)),
        unlisted=len(uses.unlisted),
    )


# ---------------------------------------------------------------------- which content


def meant(store: Store, text: str, observer: Observer = silent) -> tuple[str, int | None, str | None]:
    """Which content `text` means, read as `contents.find` reads it: its digest, its size if that is known, and the file that was hashed
    for it.

    Raises:
        UsageError: it means a directory, or both a file and something registered: what cannot be undone is not guessed.
        NotFound, PermissionDenied, Temporary: it means no file, or one that changed while it was read.
    """
    if text.startswith("sha256:"):
        return contents.check_digest(text), None, None
    from pkgrun.datasets.sources import Source, Stored

    dataset = lookup.dataset(store, text, observer)
    file = None
    if isinstance(dataset, Stored):
        if os.path.lexists(text):
            raise UsageError(
                f"{shown(text)} is a file here, and also names something registered",
                hint=f"./{shown(text)} means the file; the digest, sha256:…, means either",
            )
        if dataset.entry.kind != "file":
            raise _directory(text)
    elif isinstance(dataset, Source):
        if dataset.folder:
            raise _directory(text)
        file = dataset.path if "://" in text else os.path.abspath(os.path.expanduser(text))
    found = contents.find(store, text, machine=contents.this_machine(), observer=observer)
    if found.kind != "file":
        raise _directory(text)
    return found.digest, found.bytes, file


def _directory(text: str) -> UsageError:
    return UsageError(
        f"{shown(text)} is a folder: only files can be erased",
        hint="name each file; what a version is known by are the digests of its folders",
    )


def _check_file(digest: str, size: int | None, file: str | None, found: places.Found) -> None:
    """Raises:
    UsageError: it is empty, or a directory, or a file of the very bytes that a directory has.
    """
    if digest == _NOTHING or size == 0:
        raise UsageError("an empty file holds nothing that could be erased")
    if digest == _NO_FILES or found.directories or (file is not None and _is_node(file)):
        raise UsageError(
            f"{digest} is a directory, or could be: only files can be erased",
            hint="name each file by its own digest",
        )


def _is_node(path: str) -> bool:
    """Whether a file has bytes that could be a directory's."""
    try:
        with open(path, "rb") as file:
            first = file.read(len(max(trees.BEGINS, key=len)))
            return first.startswith(trees.BEGINS) and trees.is_node(first + file.read(_NODE))
    except OSError:  # it was hashed just now: what it is then is seen when the store is swept
        return False


def _check_not_own(store: Store, digest: str, size: int | None, found: places.Found) -> None:
    """Raises:
    UsageError: it is a record, a log or a lock, without which nothing could be proven, nor the store be copied.
    """
    own = owned.whose(store.backend, digest, size=size, held=bool(found or found.unread))
    if own is not None:
        raise UsageError(
            f"{digest} is {own}, in this store: what pkgrun has written itself cannot be erased",
            hint="only files of data and packages can; a version as a whole is removed by `pkgrun package remove`",
        )


# ---------------------------------------------------------------------- which versions


def _affected(uses: Uses) -> Iterator[Affected]:
    """The versions that were made with a content, and then those that come from them; none that was removed."""
    why: dict[Named, list[str]] = {}
    for use in uses.uses:
        if use.learnt and not use.removed and use.package is not None and use.version is not None:
            why.setdefault(Named(use.package, use.version), []).append(use.role)
    yield from (Affected(version, tuple(dict.fromkeys(roles))) for version, roles in why.items())
    for heir in uses.heirs:
        if not heir.removed:
            yield Affected(Named(heir.package, heir.version), ("inherited",))
