"""`pkgrun dataset`: datasets are kept by name and number, looked at, compared and taken out again."""

from __future__ import annotations

import os

import click

from pkgrun.cli import text
from pkgrun.cli.options import Command, Settings, common, pairs, pass_settings
from pkgrun.cli.shell import complete_dataset


@click.group()
@common
def dataset() -> None:
    """Keep datasets by name and number, look at them, compare them, take them out again."""


@dataset.command(cls=Command)
@click.argument("name", shell_complete=complete_dataset)
@click.argument("source", metavar="PATH|URL", type=click.Path())
@click.option("--description", metavar="TEXT", help="Kept with the number.")
@click.option("--tag", metavar="K=V", multiple=True, help="Kept with the number; again for more.")
@pass_settings
def add(settings: Settings, name: str, source: str, description: str | None, tag: tuple[str, ...]) -> None:
    """Keep what is there now as the next number of NAME.

    If the newest number of NAME has exactly that content, nothing is added.
    """
    from pkgrun.cli import display, pages, signals

    tags = pairs(tag, "--tag")
    exists = "://" in source or os.path.exists(os.path.expanduser(source))
    with display.of(settings, doing="add") as shown:
        signals.heed()
        added = settings.workspace(create=exists).datasets.add(
            name, source, description=description, tags=tags, observer=shown
        )
    settings.done()
    record = added.record
    if settings.json:
        text.emit(pages.dump(record) | {"new": added.new})
        return
    click.echo(f"{record.dataset} {record.number}")
    said = "added" if added.new else "unchanged: that number has exactly this content"
    text.say(f"{said} ({pages.extent(record.tree)})", settings)


@dataset.command("list", cls=Command)
@pass_settings
def list_(settings: Settings) -> None:
    """All datasets, each with its newest number."""
    from pkgrun.cli import dataset_pages, pages

    found = settings.workspace().datasets.all()
    if settings.json:
        text.emit({"datasets": [pages.dump(newest) for newest in found]})
    elif found:
        dataset_pages.listing(found)
    else:
        text.say("no datasets yet; `pkgrun dataset add NAME PATH` adds one", settings)


@dataset.command(cls=Command)
@click.argument("name", metavar="NAME[@N]", shell_complete=complete_dataset)
@pass_settings
def show(settings: Settings, name: str) -> None:
    """A dataset's numbers; with @N everything about one."""
    from pkgrun.cli import dataset_pages, pages

    datasets = settings.workspace().datasets
    if "@" in name:
        record = datasets.get(name)
        text.emit(pages.dump(record)) if settings.json else dataset_pages.number(record)
        return
    records = datasets.numbers(name)
    if settings.json:
        text.emit({"dataset": name, "numbers": [pages.dump(record) for record in records]})
    else:
        dataset_pages.numbers(records)


@dataset.command(cls=Command)
@click.argument("name", metavar="NAME[@N]", shell_complete=complete_dataset)
@pass_settings
def files(settings: Settings, name: str) -> None:
    """The files of a dataset: digest, size, path."""
    from pkgrun.cli import pages

    found = settings.workspace().datasets.files(name)
    text.emit({"files": pages.entries(found)}) if settings.json else pages.files(found)


@dataset.command(cls=Command)
@click.argument("old", metavar="NAME[@N]", shell_complete=complete_dataset)
@click.argument("new", metavar="NAME[@N]", shell_complete=complete_dataset)
@pass_settings
def diff(settings: Settings, old: str, new: str) -> None:
    """Compare two datasets, or two numbers of one.

    A line a file: + is only in the second, - only in the first, ~ is different.
    """
    from pkgrun.cli import dataset_pages

    found = settings.workspace().datasets.diff(old, new)
    if settings.json:
        text.emit({"old": old, "new": new} | dataset_pages.diff_document(found))
    else:
        dataset_pages.diff(found)
        text.say(dataset_pages.diff_summary(found), settings)


@dataset.command(cls=Command)
@click.argument("name", metavar="NAME[@N]", shell_complete=complete_dataset)
@click.argument("out", metavar="DIR", type=click.Path())
@click.option("--skip-erased", is_flag=True, help="Leave out files that were erased.")
@pass_settings
def export(settings: Settings, name: str, out: str, skip_erased: bool) -> None:
    """Write the files of a dataset into a folder.

    The folder must be new or empty. Every byte is verified on its way.
    """
    from pkgrun.cli import display, pages, signals

    with display.of(settings, doing="export") as shown:
        signals.heed()
        record = settings.workspace().datasets.export(name, out, skip_erased=skip_erased, observer=shown)
    settings.done()
    if settings.json:
        text.emit(
            {
                "dataset": record.dataset,
                "number": record.number,
                "files": record.tree.files,
                "bytes": record.tree.bytes,
                "out": out,
            }
        )
    else:
        text.say(f"{record.label} written to {out} ({pages.extent(record.tree)})", settings)
