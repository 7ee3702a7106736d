"""What an erasure concerns: which content is meant, where it lies, and which versions are to be trained again. The bytes' side is
`runs/erasing.py`."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass

from pkgrun.errors import Damaged, NotFound, UsageError
from pkgrun.identity import DIGEST_PATTERN
from pkgrun.lineage.relations import Named
from pkgrun.lineage.uses import Uses, used_by
from pkgrun.observe import Observer, silent
from pkgrun.records import Actor, ErasureRequest, Swept
from pkgrun.records.erasing import Receipt
from pkgrun.runs import erasing as operation
from pkgrun.runs import lookup
from pkgrun.runs.caches import Dropped
from pkgrun.store import erasing as places
from pkgrun.store import trees
from pkgrun.store.files import nothing, shown, take
from pkgrun.store.root import Store

_NOTHING = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
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
    `unlisted`: runs of which nobody can say whether they saw it.
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
        unlisted=len(uses.unlisted),
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
