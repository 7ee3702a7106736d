"""Brings a package into the store, as the next major or into the one that it had: the same content only once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from pkgrun.errors import DataInvalid, PackageInvalid, Temporary
from pkgrun.observe import Notice, Observer
from pkgrun.packages import git, inspection, sources
from pkgrun.packages.inspection import Report
from pkgrun.packages.sources import Fetched
from pkgrun.records import (
    Actor,
    Contract,
    Git,
    Head,
    ImportRequest,
    Intent,
    Listing,
    Outcome,
    VersionEntry,
    VersionRecord,
)
from pkgrun.runs import decision, declared, recover
from pkgrun.runs.accompanying import Said, gather, remark
from pkgrun.runs.heart import working
from pkgrun.runs.here import sign_of_life
from pkgrun.runs.place import place
from pkgrun.store import intake, numbers, operations
from pkgrun.store.files import shown
from pkgrun.store.root import Store
from pkgrun.store.sinks import Hashing, Sink

_NAMED = 5
_LEFT_OUT = f"{sources.IGNORE_FILE} names it, or it is a virtual environment or a store; a zip of the folder is taken as it is"


@dataclass(frozen=True, slots=True)
class Imported:
    """The version that holds the content; `new` if it was made just now."""

    record: VersionRecord
    new: bool


def bring_in(
    store: Store,
    text: str,
    *,
    name: str | None,
    description: str | None,
    tags: Mapping[str, str],
    by: Actor,
    observer: Observer,
    listing: Listing | None = None,
    metadata: str | None = None,
    major: int | None = None,
    accept: Callable[[Report], object] = lambda report: None,
) -> Imported:
    """Import what `text` means, unless a version of the package has its content already.

    Args:
        text: a folder, a zip, or a git repository.
        listing: what else is said of the version.
        metadata: of an exported zip, the file that was written beside it: its name, its texts, and its major, which it
            gets here too; what is said otherwise counts more.
        accept: is called with what was found, before anything is written; it may raise.
        major: another one; its next minor, or its first if there is no such major yet.

    Raises:
        PackageInvalid: it can neither be trained nor serve; every reason is named. Or it is no sound zip or metadata.
        InvalidName: its name cannot be a package's.
        UsageError: what is said of it cannot be kept, or does not fit what it is.
        NotFound, PermissionDenied, Temporary: something in it cannot be read.
    """
    said = Said(name, description, tags, listing, metadata, major)
    said.check()
    with sources.fetched(text, room=lambda: _room(store), observer=observer) as fetched:
        said = gather(said, fetched, observer)
        imported = _bring_in(store, fetched, said, by, observer, accept)
    _tell_number(imported.record, said, observer)
    return imported


def _bring_in(
    store: Store,
    fetched: Fetched,
    said: Said,
    by: Actor,
    observer: Observer,
    accept: Callable[[Report], object],
) -> Imported:
    hasty, store = store.backend, store.apart().waiting(observer)
    package = sources.name_of(fetched, said.name)
    report = _checked(fetched, package)
    accept(report)
    left: list[str] = []
    seen = _ingest(
        replace(fetched, keep=sources.watched(fetched.keep, left)), Hashing(store.objects.erased)
    ).tree
    origin = said.origin(seen)
    # Before the look for the same content: an import that commits in between would be seen by neither.
    head = _head(store, package, said.major)
    if known := numbers.same_content(store.backend, package, seen.digest, said.major):
        _say_what_stays(known, said, observer)
        return Imported(known, new=False)
    for problem in report.problems:
        observer(Notice(str(problem)))
    if left:
        more = f" and {len(left) - _NAMED} more" if len(left) > _NAMED else ""
        observer(Notice(f"left out: {', '.join(map(shown, sorted(left)[:_NAMED]))}{more}", hint=_LEFT_OUT))
    remark(said, report, observer)
    run = operations.new_run_id()
    intent = Intent(
        run=run,
        kind="import",
        package=package,
        created=datetime.now(UTC),
        by=by,
        head=head,
        alive=sign_of_life(run, "running", "import"),
        import_=ImportRequest(source=fetched.source, tree=seen),
    )
    with recover.never_open(store, intent), working(hasty, intent) as check:
        operations.begin(store.backend, intent)
        store.objects.begun(run)
        entry = VersionEntry(
            package=package,
            kind="import",
            run=intent.run,
            parent=None,
            tree=_ingest(fetched, store.objects, check).tree,
            source=fetched.source,
            description=said.description,
            tags=dict(said.tags),
            contract=Contract(
                methods=report.methods,
                pipelines=report.pipelines,
                servable=report.servable,
                parameters=declared.recorded(report.parameters),
            ),
            git=_git(fetched, observer),
            origin=origin,
            listing=said.listing,
            created=datetime.now(UTC),
        )
        store.objects.flush()
        check()
        return _commit(store, intent, entry)


def _checked(fetched: Fetched, package: str) -> Report:
    report = inspection.check(Path(fetched.folder), package)
    if not report.usable:
        raise PackageInvalid(
            f"{fetched.label} is no package that can run:\n  " + "\n  ".join(map(str, report.problems)),
            hint="`pkgrun package check` shows this without importing",
        )
    return report


def _head(store: Store, package: str, major: int | None) -> Head:
    """Where the search for its number begins."""
    if major is None:
        return numbers.head(store.backend, package, None)
    return numbers.head_within(store.backend, package, major)


def _tell_number(record: VersionRecord, said: Said, observer: Observer) -> None:
    if said.exported is not None and said.exported != record.version:
        observer(Notice(f"exported as {said.exported}, it is {record.package}@{record.version} here"))


@contextmanager
def _room(store: Store) -> Iterator[str]:
    """Where a package that is no folder is unpacked: on the disk of the cache, and swept by others if we die."""
    if store.cache is None:
        with sources.temporary() as folder:
            yield folder
        return
    with place(store.cache, operations.new_run_id(), "package", keep=False) as made:
        yield made.scratch


def _say_what_stays(known: VersionRecord, said: Said, observer: Observer) -> None:
    """A version is what it is: what is said of the same content later is not kept."""
    told = (said.description, said.listing, said.tags or None)
    was = (known.description, known.listing, known.tags)
    if any(new is not None and new != old for new, old in zip(told, was, strict=True)):
        observer(
            Notice(
                f"{known.package}@{known.version} has exactly this content, and keeps what was said of it before",
                hint="a change in a file makes it another version",
            )
        )


def _ingest(fetched: Fetched, sink: Sink, check: Callable[[], None] = lambda: None) -> intake.Ingested:
    try:
        taken = intake.ingest(fetched.folder, sink, keep=fetched.keep, progress=lambda size: check())
    except DataInvalid as error:
        raise PackageInvalid(error.message, hint=fetched.way_out) from error
    if taken.unstable:
        raise Temporary(
            f"{shown(taken.unstable[0])} changed while it was read",
            hint="import again when nobody writes there",
        )
    return taken


def _commit(store: Store, intent: Intent, entry: VersionEntry) -> Imported:
    outcome = Outcome(run=intent.run, decision="COMMIT", created=entry.created, entry=entry)
    made = recover.carry_out(store, intent, operations.decide(store.backend, decision.check(store, outcome)))
    if made.version is None:
        raise Temporary(
            "somebody gave the import up while it was going on", hint="import again", run_id=intent.run
        )
    record = numbers.read(store.backend, entry.package, made.version)
    if (new := record.run == intent.run) or numbers.removed(
        store.backend, record.package, record.version
    ) is None:
        return Imported(record, new)
    raise Temporary(
        f"somebody else imported the same content as {record.package}@{record.version}, and it was removed meanwhile",
        hint="import again",
        run_id=intent.run,
    )


def _git(fetched: Fetched, observer: Observer) -> Git | None:
    found = fetched.provenance()
    if isinstance(found, git.Unknown):
        observer(Notice(f"the git repository of {fetched.label} was not recorded: {found.reason}"))
        return None
    if found is None:
        return None
    return Git(
        commit=found.commit, branch=found.branch, remote=found.remote, path=found.path, dirty=found.dirty
    )
