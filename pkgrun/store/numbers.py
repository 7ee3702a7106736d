"""Which number is whose. A version's record is created only, so each number is given once and there are no gaps.

Minors have no gaps by construction: n is tried only when n-1 was seen. So the newest is found by galloping, in a
few reads, however many there are. Majors are listed: an imported history may begin at any of them.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator

from pkgrun.errors import Damaged, NotFound
from pkgrun.identity import NAME_PATTERN, Version, check_name
from pkgrun.records import Head, VersionEntry, VersionRecord
from pkgrun.records.collecting import Removal
from pkgrun.store.backend import Backend
from pkgrun.store.objects import digest_of
from pkgrun.store.parallel import each

_NAME = re.compile(NAME_PATTERN)
RECORD = re.compile(rf"packages/({NAME_PATTERN.strip('^$')})/([0-9]{{8}})/([0-9]{{8}})\.json")
"""The keys of versions' records: package, major and minor."""

_REMOVED = ".removed.json"
TOMBSTONE = re.compile(
    rf"packages/({NAME_PATTERN.strip('^$')})/([0-9]{{8}})/([0-9]{{8}}){re.escape(_REMOVED)}"
)
"""The keys of tombstones: package, major and minor."""


def key(package: str, version: Version) -> str:
    """The key of a version's record."""
    return f"packages/{package}/{version.major:08}/{version.minor:08}.json"


def read(backend: Backend, package: str, version: Version) -> VersionRecord:
    """The record of a version.

    Raises:
        NotFound: there is no such version.
        Damaged: its record is not what it should be.
    """
    return _read(backend, package, version)[0]


def _read(backend: Backend, package: str, version: Version) -> tuple[VersionRecord, bytes]:
    name = key(check_name(package), version)
    try:
        data = backend.read(name)
    except NotFound as error:
        raise NotFound(
            f"there is no {package}@{version}", hint=f"`pkgrun package show {package}` shows its versions"
        ) from error
    record = VersionRecord.from_bytes(data, key=name)
    if (record.package, record.version) != (package, version):
        raise Damaged(f"{name} is the record of {record.package}@{record.version}")
    return record, data


def exists(backend: Backend, package: str, version: Version) -> bool:
    """Whether the number is given."""
    return backend.stat(key(package, version)) is not None


def removed(backend: Backend, package: str, version: Version) -> Removal | None:
    """That a version was removed, and by whom; None if it was not.

    Raises:
        Damaged: what says so is not what it should be.
    """
    name = tombstone(package, version)
    try:
        removal = Removal.from_bytes(backend.read(name), key=name)
    except NotFound:
        return None
    if (removal.package, removal.version) != (package, version):
        raise Damaged(f"{name} is about {removal.package}@{removal.version}")
    return removal


def tombstone(package: str, version: Version) -> str:
    """Where it says that a version was removed."""
    return tombstone_of(key(package, version))


def tombstone_of(record: str) -> str:
    """The same, by the key of the version's record."""
    return record.removesuffix(".json") + _REMOVED


def buried(tombstone: str) -> str:
    """The key of the record of the version that a tombstone is about."""
    return tombstone.removesuffix(_REMOVED) + ".json"


def removals(backend: Backend, package: str) -> dict[Version, Removal]:
    """The versions of a package that were removed, ascending.

    Raises:
        Damaged: what says so of one is not what it should be.
    """
    gone = [
        Version(major, minor)
        for major in majors(backend, package)
        for minor in sorted(_removed_minors(backend, package, major))
    ]
    found = zip(gone, each(lambda version: removed(backend, package, version), gone, run=1), strict=True)
    return {version: removal for version, removal in found if removal is not None}


def _removed_minors(backend: Backend, package: str, major: int) -> set[int]:
    """What has a tombstone: in one listing, for most have none."""
    folder = f"packages/{package}/{major:08}"
    found = (TOMBSTONE.fullmatch(f"{folder}/{name}") for name in backend.list(folder))
    return {int(one[3]) for one in found if one}


def packages(backend: Backend) -> list[str]:
    """The names of all packages that have a version, be it one that was removed."""
    return sorted(
        name for name in backend.list("packages") if _NAME.fullmatch(name) and majors(backend, name)
    )


def majors(backend: Backend, package: str) -> list[int]:
    """The majors that exist, ascending."""
    found = (
        int(name)
        for name in backend.list(f"packages/{check_name(package)}")
        if re.fullmatch("[0-9]{8}", name)
    )
    return sorted(major for major in found if exists(backend, package, Version(major, 0)))


def newest_minor(backend: Backend, package: str, major: int) -> int | None:
    """The newest minor of a major, or None if the major does not exist."""
    return gallop(lambda minor: exists(backend, package, Version(major, minor)))


def gallop(exists: Callable[[int], bool]) -> int | None:
    """The last number for which `exists` holds, given that it holds up to there; None if not even for 0."""
    if not exists(0):
        return None
    low, step = 0, 1
    while exists(low + step):
        low, step = low + step, step * 2
    high = low + step
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if exists(middle) else (low, middle)
    return low


def newest(backend: Backend, package: str, major: int | None = None) -> VersionRecord:
    """The newest version of a package, or of one of its majors, that was not removed.

    Raises:
        NotFound: there is none.
    """
    known = majors(backend, package) if major is None else [major]
    last: int | None = None
    for one in reversed(known):
        last = newest_minor(backend, package, one)
        left = last if last is None else _last_there(backend, package, one, last)
        if left is not None:
            return read(backend, package, Version(one, left))
    what = package if major is None else f"{package}@{major}"
    if last is None:
        raise NotFound(f"there is no package {what}", hint="`pkgrun package list` shows what there is")
    raise NotFound(
        f"every version of {what} was removed", hint=f"`pkgrun package show {package}` shows which and why"
    )


def _last_there(backend: Backend, package: str, major: int, last: int) -> int | None:
    """The last minor up to `last` that was not removed; None if all were."""
    if backend.stat(tombstone(package, Version(major, last))) is None:
        return last
    gone = _removed_minors(backend, package, major)
    return max(set(range(last + 1)) - gone, default=None)


def versions(backend: Backend, package: str) -> Iterator[VersionRecord]:
    """Every version of a package, ascending, also those that were removed."""
    for major in majors(backend, package):
        last = newest_minor(backend, package, major)
        known = [] if last is None else [Version(major, minor) for minor in range(last + 1)]
        yield from each(lambda version: read(backend, package, version), known, run=1)


def count(backend: Backend, package: str) -> int:
    """How many numbers a package has given, without reading the records; of those that were removed, too."""
    newest = (newest_minor(backend, package, major) for major in majors(backend, package))
    return sum(minor + 1 for minor in newest if minor is not None)


def head(backend: Backend, package: str, major: int | None) -> Head:
    """Where the search for a free number will start: within `major`, or among the majors."""
    if major is not None:
        return Head(major=major, minor=newest_minor(backend, package, major))
    return Head(major=max(majors(backend, package), default=0))


def head_within(backend: Backend, package: str, major: int) -> Head:
    """The same for an import into a major that was asked for: its next minor, or its first if there is no such major."""
    minor = newest_minor(backend, check_name(package), major)
    return Head(major=major - 1, chosen=True) if minor is None else Head(major=major, minor=minor)


def places(head: Head) -> Iterator[Version]:
    """The numbers that an operation tries, one after the other, from the head that it saw."""
    if head.minor is not None:
        yield from (Version(head.major, minor) for minor in itertools.count(head.minor + 1))
    elif head.chosen:
        yield from (Version(head.major + 1, minor) for minor in itertools.count())
    else:
        yield from (Version(major, 0) for major in itertools.count(head.major + 1))


def take(backend: Backend, entry: VersionEntry, head: Head) -> VersionRecord:
    """Give a decided entry its number, or find the one it has; the same for whoever carries it out.

    From the head seen at the intent: ours, done; another's, go on; free, create; refused, read the SAME again,
    for a refused write may be our own whose answer was lost. An import whose content another import brought in
    meanwhile is that version, also if that was removed since: whoever carries it out later must come to the same.
    """
    for version in places(head):
        while not exists(backend, entry.package, version):
            previous = _previous(backend, entry.package, version, head)
            record = VersionRecord(**entry.model_dump(), version=version, previous=previous)
            backend.create(key(entry.package, version), record.to_bytes())
        record = read(backend, entry.package, version)
        if record.run == entry.run or same_import(record, entry):
            return record
    raise AssertionError  # there is always another number


def same_import(record: VersionRecord, entry: VersionEntry) -> bool:
    """Whether an import that looks for its number finds that this version is it already."""
    return record.kind == entry.kind == "import" and record.tree == entry.tree


def begins_history(head: Head, version: Version) -> bool:
    """Whether a version is the first of a major that was asked for. It names no record before it: what lies before
    may come after it, for majors that were asked for leave gaps, and others fill them."""
    return head.chosen and version == (head.major + 1, 0)


def _previous(backend: Backend, package: str, version: Version, head: Head) -> str | None:
    """The digest of the record before: of the minor before, or of the major before's first."""
    if begins_history(head, version):
        return None
    if version.minor:
        before = Version(version.major, version.minor - 1)
    else:
        earlier = [major for major in majors(backend, package) if major < version.major]
        if not earlier:
            return None
        before = Version(earlier[-1], 0)
    return digest(backend, package, before)


def digest(backend: Backend, package: str, version: Version) -> str:
    """The digest of a version's record."""
    return digest_of(_read(backend, package, version)[1])


def same_content(
    backend: Backend, package: str, digest: str, major: int | None = None
) -> VersionRecord | None:
    """The newest import of exactly this content that was not removed, or None.

    Args:
        major: among all versions of this one, instead of the first of every major.
    """
    if major is None:
        known = [Version(one, 0) for one in majors(backend, package)]
    else:
        last = newest_minor(backend, check_name(package), major)
        known = [] if last is None else [Version(major, minor) for minor in range(last + 1)]
    wanted = digest.encode()
    for version in reversed(known):
        if wanted in backend.read(key(package, version)):
            record = read(backend, package, version)
            imported = major is None or record.kind == "import"
            there = backend.stat(tombstone(package, version)) is None
            if imported and record.tree.digest == digest and there:
                return record
    return None
