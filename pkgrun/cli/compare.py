"""`pkgrun compare`."""

from __future__ import annotations

import click

from pkgrun.cli import text
from pkgrun.cli.options import Command, Settings, pass_settings
from pkgrun.cli.shell import complete_package


@click.command(cls=Command)
@click.argument("names", metavar="NAME@V|RUN...", nargs=-1, required=True, shell_complete=complete_package)
@click.option("--all", "everything", is_flag=True, help="Also what is the same everywhere.")
@pass_settings
def compare(settings: Settings, names: tuple[str, ...], everything: bool) -> None:
    """Show versions and runs side by side: what was asked, what came out, on what data, in what environment.

    Versions of any packages, and runs by their ids; a run that made no version stands for the content that it started
    from. Shown is what is not the same everywhere. A metric is marked as the best where its name tells which way is better.
    """
    from pkgrun.cli import compare_pages

    found = settings.workspace().compare(*names)
    if settings.json:
        text.emit(compare_pages.document(found))
    else:
        compare_pages.page(found, everything=everything, quiet=settings.quiet)
