"""`pkgrun diff`."""

from __future__ import annotations

from contextlib import suppress

import click

from pkgrun.cli import text
from pkgrun.cli.options import Command, Settings, pass_settings
from pkgrun.cli.shell import complete_package


@click.command(cls=Command)
@click.argument("one", metavar="A", shell_complete=complete_package)
@click.argument("other", metavar="B", shell_complete=complete_package)
@click.option("--patch", "-p", is_flag=True, help="Also the lines that differ, of small text files.")
@click.option("--all", "everything", is_flag=True, help="Name every file and every fact.")
@pass_settings
def diff(settings: Settings, one: str, other: str, patch: bool, everything: bool) -> None:
    """Show what leads from A to B: files, parameters, data, requirements, environment, results.

    Each is a version (NAME@V, or NAME for its newest), a run's id or the beginning of one, a registered dataset
    (NAME@N[/FOLDER]), or a path or URL as --data takes it. A package's version goes before a dataset of that name;
    dataset:NAME@N means the dataset, ./FOLDER the path. A line a file: + is only in B, - only in A, ~ is different. Of data
    that two runs were given the files are told by the names and digests that the store keeps, wherever the files are now.
    """
    from pkgrun.cli import diff_pages, display, signals

    with display.of(settings, doing="diff") as shown:
        signals.heed()
        found = settings.workspace().diff(one, other, patch=patch, observer=shown)
    settings.done()
    if settings.json:
        text.emit(diff_pages.document(found))
    else:
        with suppress(BrokenPipeError):  # nobody reads
            diff_pages.page(found, everything=everything)
        if found.same:
            text.say("nothing differs", settings)
