"""`pkgrun package`: packages go in, are looked at, and versions of them are given up."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from pkgrun.cli import keeping, listing, text
from pkgrun.cli.options import Command, Settings, common, pairs, pass_settings
from pkgrun.cli.shell import complete_package

if TYPE_CHECKING:
    from pkgrun.cli.package_pages import Line
    from pkgrun.workspace import Workspace


@click.group()
@common
def package() -> None:
    """Import packages, look at them and their versions, remove versions."""


@package.command(cls=Command)
@click.argument("package", metavar="FOLDER|ZIP|git+URL", type=click.Path())
@click.option("--name", help="The package's name; else the folder's, which is also that in a zip.")
@click.option("--description", metavar="TEXT", help="Kept with the version.")
@click.option("--tag", metavar="K=V", multiple=True, help="Kept with the version; again for more.")
@listing.options
@click.option(
    "--metadata",
    metavar="FILE",
    type=click.Path(),
    help="Of an exported zip, the file beside it that ends in _metadata.json: its name, its texts and its major, where "
    "it becomes the next minor.",
)
@click.option(
    "--major",
    metavar="N",
    type=int,
    help="Another major than the metadata's; one that is not there begins with 0.",
)
@pass_settings
def add(
    settings: Settings, /, package: str, name: str | None, description: str | None, **options: Any
) -> None:
    """Import a folder, a zip or a folder of a git repository, unless a version has its content already.

    It becomes the next major version.
    """
    from pkgrun.cli import display, pages, signals

    signals.heed()
    there = package.startswith("git+") or Path(package).expanduser().exists()
    imported = settings.workspace(create=there).add(
        package,
        name=name,
        description=description,
        tags=pairs(options["tag"], "--tag"),
        listing=listing.taken(options),
        metadata=options["metadata"],
        major=options["major"],
        observer=display.of(settings),
    )
    settings.done()
    record = imported.record
    if settings.json:
        text.emit(pages.dump(record) | {"new": imported.new})
        return
    click.echo(f"{record.package} {record.version}")
    said = "imported" if imported.new else "unchanged: that version has exactly this content"
    text.say(f"{said} ({pages.extent(record.tree)})", settings)


@package.command(cls=Command)
@click.argument("name", metavar="NAME@V", shell_complete=complete_package)
@click.argument("out", type=click.Path())
@click.option(
    "--format",
    "form",
    type=click.Choice(["folder", "zip", "aicenter"]),
    default="folder",
    show_default=True,
    help="folder: its files. zip: one file, with a folder of its name in it. aicenter: into the folder OUT, the zip with "
    "AI Center's metadata and with where it is from beside it; `package add ZIP --metadata FILE` reads all three.",
)
@click.option("--skip-erased", is_flag=True, help="Leave out files that were erased; not with aicenter.")
@pass_settings
def export(
    settings: Settings, name: str, out: str, form: Literal["folder", "zip", "aicenter"], skip_erased: bool
) -> None:
    """Write a version to OUT, whole or not at all, and never over what is there."""
    from pkgrun.cli import display, pages, signals

    signals.heed()
    with display.of(settings, doing="export") as shown:
        done = settings.workspace().export(name, out, form=form, skip_erased=skip_erased, observer=shown)
    if done.left_out:
        text.say(f"{text.plural(len(done.left_out), 'file')} left out, which were erased", settings)
    if form == "folder":
        pages.exported(done.files, out, settings)
        return
    settings.done()
    if settings.json:
        text.emit({"files": done.files, "out": out, "paths": list(done.paths)})
        return
    for path in done.paths:
        click.echo(path)
    text.say(f"{text.plural(done.files, 'file')} packed", settings)


@package.command("list", cls=Command)
@pass_settings
def list_(settings: Settings) -> None:
    """All packages, each with its newest version."""
    from pkgrun.cli import package_pages

    workspace = settings.workspace()
    found = [_line(workspace, name, count) for name, count in workspace.packages().items()]
    if settings.json:
        text.emit({"packages": [line.document() for line in found]})
    elif found:
        package_pages.listing(found)
    else:
        text.say("no packages yet; `pkgrun package add FOLDER` imports one", settings)


def _line(workspace: Workspace, name: str, count: int) -> Line:
    from pkgrun.cli.package_pages import Line

    removed = len(workspace.removals(name))
    return Line(name, workspace.version(name) if removed < count else None, count, removed)


@package.command(cls=Command)
@click.argument("name", metavar="NAME[@V]", shell_complete=complete_package)
@pass_settings
def show(settings: Settings, name: str) -> None:
    """A package's versions and who came from whom; with @V everything about one version."""
    from pkgrun.cli import package_pages, pages

    workspace = settings.workspace()
    if "@" in name:
        record = workspace.version(name, removed=True)
        removal = workspace.removals(record.package).get(record.version)
        if settings.json:
            text.emit(pages.dump(record) | {"removed": pages.removal(removal)})
        else:
            package_pages.version(record, removal)
        return
    records, removals = workspace.versions(name), workspace.removals(name)
    if settings.json:
        listed = [
            pages.dump(record) | {"removed": pages.removal(removals.get(record.version))}
            for record in records
        ]
        text.emit({"package": name, "versions": listed})
    else:
        package_pages.family(records, removals)


@package.command(cls=Command)
@click.argument("name", metavar="NAME@V", shell_complete=complete_package)
@click.option(
    "--out", metavar="DIR", type=click.Path(), help="Write them into this folder, which must be new or empty."
)
@pass_settings
def files(settings: Settings, name: str, out: str | None) -> None:
    """The files of a version: digest, size, path; or with --out the files themselves, the trained model among them."""
    from pkgrun.cli import pages, signals

    workspace = settings.workspace()
    if out is not None:
        signals.heed()
        pages.exported(workspace.export(name, out).files, out, settings)
        return
    found = workspace.files(name)
    text.emit({"files": pages.entries(found)}) if settings.json else pages.files(found)


@package.command(cls=Command)
@click.argument("path", type=click.Path())
@click.option("--name", help="The name it would have; else the folder's.")
@pass_settings
def check(settings: Settings, path: str, name: str | None) -> None:
    """Say what a package, a folder or a zip, can do and what is wrong with it, without importing or running it."""
    from pkgrun.cli import display
    from pkgrun.packages.inspection import check as check_package
    from pkgrun.packages.parameters import meaning
    from pkgrun.packages.sources import fetched

    with fetched(path, observer=display.of(settings)) as package:
        report = check_package(Path(package.folder), name or package.name)
    if settings.json:
        from dataclasses import asdict

        text.emit(asdict(report) | {"usable": report.usable})
    else:
        for problem in report.problems:
            click.echo(f"{problem.severity}: {text.plain(str(problem))}")
        click.echo(f"pipelines: {', '.join(report.pipelines) or 'none'}")
        click.echo(f"serving: {'yes' if report.servable else 'no'}")
        for declared, parameter in report.parameters.items():
            click.echo(f"parameter {declared}: {text.line(meaning(parameter))}")
    if not report.usable:
        raise text.Shown(4)


@package.command(cls=Command)
@click.argument("name", metavar="NAME@V", shell_complete=complete_package)
@click.option("--reason", metavar="TEXT", help="Kept with the record.")
@click.option("--force", is_flag=True, help="Also if other versions came from it.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_settings
def remove(settings: Settings, name: str, reason: str | None, force: bool, yes: bool) -> None:
    """Give up the content of a version, with the artifacts and the snapshot of the run that made it.

    Its record, its log and its number stay; the number is never given again. `pkgrun store gc` frees the space. A version
    that others came from is kept unless told, one that a run is starting from always.
    """
    workspace = settings.workspace()
    if not yes and not _agreed(workspace, name, force=force):
        text.say("nothing was removed", settings)
        raise click.Abort
    done = workspace.remove(name, reason=reason, force=force)
    settings.done()
    if settings.json:
        text.emit(keeping.removed(done))
    else:
        click.echo(f"{done.record.package} {done.record.version}")
    if not done.new:
        from pkgrun.cli import pages

        text.say(f"removed already, {pages.removal_line(done.removal)}", settings)
        return
    text.say("removed; `pkgrun store gc` frees the space", settings)
    for remark in keeping.late(done):
        text.say(remark, settings)


def _agreed(workspace: Workspace, name: str, *, force: bool) -> bool:
    """Show what would be lost, and ask; one that was removed already needs no asking."""
    from pkgrun.cli import package_pages

    record = workspace.version(name, removed=True)
    if record.version in workspace.removals(record.package):
        return True
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise click.UsageError(f"removing {name} needs --yes where nobody can be asked")
    package_pages.loss(workspace.retention.loss(name, force=force))
    return click.confirm("Remove it?", err=True)


@package.command(cls=Command)
@click.argument("name", required=False, shell_complete=complete_package)
@keeping.rule
@click.option("--yes", is_flag=True, help="Remove them; without it the plan is shown.")
@pass_settings
def prune(
    settings: Settings,
    name: str | None,
    keep_last: int | None,
    keep_within: float | None,
    force: bool,
    yes: bool,
) -> None:
    """Remove the versions of a package, or of all, that a rule does not keep; without --yes say which.

    What either option keeps is kept. So are, always, the newest of each major and what a run is starting from; and, but for
    --force, what kept versions came from.
    """
    retention = settings.workspace().retention
    if yes:
        done = retention.prune(name, keep_last=keep_last, keep_within=keep_within, force=force)
        verdicts, removed = list(done.verdicts), done.removed
    else:
        verdicts = retention.plan(name, keep_last=keep_last, keep_within=keep_within, force=force)
        removed = ()
    settings.done()
    if settings.json:
        text.emit({"plan": keeping.documents(verdicts), "removed": [keeping.removed(one) for one in removed]})
    elif verdicts:
        keeping.table(verdicts)
    remarks = keeping.done(removed) if yes else keeping.remarks(verdicts)
    if any(verdict.kept is None for verdict in verdicts) and not yes:
        remarks.append("nothing was done; --yes does it")
    for remark in remarks:
        text.say(remark, settings)
