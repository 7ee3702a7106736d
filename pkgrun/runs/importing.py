"""Brings a folder into the store as the next major of a package; the same content only once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pkgrun.errors import DataInvalid, PackageInvalid, Temporary
from pkgrun.observe import Notice, Observer
from pkgrun.packages import git, inspection, sources
from pkgrun.records import (
    Actor,
    Contract,
    Git,
    ImportRequest,
    Intent,
    Outcome,
    VersionEntry,
    VersionRecord,
)
from pkgrun.runs import labels, recover
from pkgrun.runs.heart import working
from pkgrun.runs.here import sign_of_life
from pkgrun.store import intake, numbers, operations
from pkgrun.store.files import shown
from pkgrun.store.objects import Hashing, Sink
from pkgrun.store.root import Store
from pkgrun.store.scan import Keep


@dataclass(frozen=True, slots=True)
class Imported:
    """The version that holds a folder's content; `new` if it was made just now."""

    record: VersionRecord
    new: bool


def bring_in(
    store: Store,
    folder: str,
    *,
    name: str | None,
    description: str | None,
    tags: Mapping[str, str],
    by: Actor,
    observer: Observer,
) -> Imported:
    """Import a folder, unless a version of the package has its content already.

    Raises:
        PackageInvalid: it can neither be trained nor serve; every reason is named.
        InvalidName: its name cannot be a package's.
        NotFound, PermissionDenied, Temporary: something in it cannot be read.
    """
    labels.check(description, tags)
    hasty, store = store.backend, store.apart().waiting(observer)
    root = sources.locate(folder)
    package = sources.name_of(root, name)
    report = inspection.check(Path(root), package)
    if not report.usable:
        raise PackageInvalid(
            f"{shown(folder)} is no package that can run:\n  " + "\n  ".join(map(str, report.problems)),
            hint="`pkgrun package check` shows this without importing",
        )
    keep = sources.kept(root)
    seen = _ingest(root, Hashing(), keep).tree
    # Before the look for the same content: an import that commits in between would be seen by neither.
    head = numbers.head(store.backend, package, None)
    if known := numbers.same_content(store.backend, package, seen.digest):
        return Imported(known, new=False)
    for problem in report.problems:
        observer(Notice(str(problem)))
    run = operations.new_run_id()
    intent = Intent(
        run=run,
        kind="import",
        package=package,
        created=datetime.now(UTC),
        by=by,
        head=head,
        alive=sign_of_life(run, "running", "import"),
        import_=ImportRequest(source=shown(root), tree=seen),
    )
    with recover.never_open(store, intent), working(hasty, intent) as check:
        operations.begin(store.backend, intent)
        store.objects.begun(run)
        entry = VersionEntry(
            package=package,
            kind="import",
            run=intent.run,
            parent=None,
            tree=_ingest(root, store.objects, keep, check).tree,
            source=shown(root),
            description=description,
            tags=dict(tags),
            contract=Contract(methods=report.methods, pipelines=report.pipelines, servable=report.servable),
            git=_git(root, observer),
            created=datetime.now(UTC),
        )
        store.objects.flush()
        check()
        return _commit(store, intent, entry)


def _ingest(root: str, sink: Sink, keep: Keep, check: Callable[[], None] = lambda: None) -> intake.Ingested:
    try:
        taken = intake.ingest(root, sink, keep=keep, progress=lambda size: check())
    except DataInvalid as error:
        raise PackageInvalid(error.message, hint=f"remove it, or name it in {sources.IGNORE_FILE}") from error
    if taken.unstable:
        raise Temporary(
            f"{shown(taken.unstable[0])} changed while it was read",
            hint="import again when nobody writes there",
        )
    return taken


def _commit(store: Store, intent: Intent, entry: VersionEntry) -> Imported:
    outcome = Outcome(run=intent.run, decision="COMMIT", created=entry.created, entry=entry)
    made = recover.carry_out(store, intent, operations.decide(store.backend, outcome))
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


def _git(root: str, observer: Observer) -> Git | None:
    found = git.provenance(Path(root))
    if isinstance(found, git.Unknown):
        observer(Notice(f"the git repository of {shown(root)} was not recorded: {found.reason}"))
        return None
    if found is None:
        return None
    return Git(
        commit=found.commit, branch=found.branch, remote=found.remote, path=found.path, dirty=found.dirty
    )
