"""`pkgrun package`: packages go in, and are looked at."""

from __future__ import annotations

from pathlib import Path

import click

from pkgrun.cli import text
from pkgrun.cli.options import Command, Settings, common, pairs, pass_settings
from pkgrun.cli.shell import complete_package


@click.group()
@common
def package() -> None:
    """Import packages, look at them and their versions."""


@package.command(cls=Command)
@click.argument("folder", type=click.Path())
@click.option("--name", help="The package's name; else the folder's.")
@click.option("--description", metavar="TEXT", help="Kept with the version.")
@click.option("--tag", metavar="K=V", multiple=True, help="Kept with the version; again for more.")
@pass_settings
def add(
    settings: Settings, folder: str, name: str | None, description: str | None, tag: tuple[str, ...]
) -> None:
    """Import a folder as the next major version, unless a version has its content already."""
    from pkgrun.cli import display, pages

    imported = settings.workspace(create=Path(folder).expanduser().is_dir()).add(
        folder, name=name, description=description, tags=pairs(tag, "--tag"), observer=display.of(settings)
    )
    settings.done()
    record = imported.record
    if settings.json:
        text.emit(pages.dump(record) | {"new": imported.new})
        return
    click.echo(f"{record.package} {record.version}")
    said = "imported" if imported.new else "unchanged: that version has exactly this content"
    text.say(f"{said} ({pages.extent(record.tree)})", settings)


@package.command("list", cls=Command)
@pass_settings
def list_(settings: Settings) -> None:
    """All packages, each with its newest version."""
    from pkgrun.cli import package_pages

    workspace = settings.workspace()
    found = [(workspace.version(name), count) for name, count in workspace.packages().items()]
    if settings.json:
        listed = [
            {"package": newest.package, "newest": str(newest.version), "versions": count}
            for newest, count in found
        ]
        text.emit({"packages": listed})
    elif found:
        package_pages.listing(found)
    else:
        text.say("no packages yet; `pkgrun package add FOLDER` imports one", settings)


@package.command(cls=Command)
@click.argument("name", metavar="NAME[@V]", shell_complete=complete_package)
@pass_settings
def show(settings: Settings, name: str) -> None:
    """A package's versions and who came from whom; with @V everything about one version."""
    from pkgrun.cli import package_pages, pages

    workspace = settings.workspace()
    if "@" in name:
        record = workspace.version(name)
        text.emit(pages.dump(record)) if settings.json else package_pages.version(record)
        return
    records = workspace.versions(name)
    if settings.json:
        text.emit({"package": name, "versions": [pages.dump(record) for record in records]})
    else:
        package_pages.family(records)


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
        pages.exported(workspace.export(name, out), out, settings)
        return
    found = workspace.files(name)
    text.emit({"files": pages.entries(found)}) if settings.json else pages.files(found)


@package.command(cls=Command)
@click.argument("path", type=click.Path())
@click.option("--name", help="The name it would have; else the folder's.")
@pass_settings
def check(settings: Settings, path: str, name: str | None) -> None:
    """Say what a package folder can do and what is wrong with it, without importing or running it."""
    from pkgrun.packages.inspection import check as check_package
    from pkgrun.packages.sources import locate

    folder = Path(locate(path))
    report = check_package(folder, name or folder.name)
    if settings.json:
        from dataclasses import asdict

        text.emit(asdict(report) | {"usable": report.usable})
    else:
        for problem in report.problems:
            click.echo(f"{problem.severity}: {text.plain(str(problem))}")
        click.echo(f"pipelines: {', '.join(report.pipelines) or 'none'}")
        click.echo(f"serving: {'yes' if report.servable else 'no'}")
    if not report.usable:
        raise text.Shown(4)
