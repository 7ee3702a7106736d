"""`pkgrun history`."""

from __future__ import annotations

import click

from pkgrun.cli import text
from pkgrun.cli.options import Command, Settings, pass_settings
from pkgrun.cli.shell import complete_package

_MOST = 50


@click.command(cls=Command)
@click.argument("name", metavar="NAME", shell_complete=complete_package)
@click.option(
    "-n",
    "--limit",
    metavar="N",
    type=click.IntRange(1),
    help=f"The newest so many.  [default: {_MOST}; --json: all]",
)
@click.option("--all", "everything", is_flag=True, help="All that happened.")
@pass_settings
def history(settings: Settings, name: str, limit: int | None, everything: bool) -> None:
    """Tell what happened to a package or a dataset, the newest last.

    Of a package: each version and each run, also those that failed; evaluations, reproductions, removals, erasures. Of a
    dataset: each number with how many files it added (+), removed (-) and changed (~), and the runs that were given it.
    Where both have a name the package is meant; dataset:NAME forces the other.
    """
    from pkgrun.cli import history_pages

    default = None if everything or settings.json else _MOST
    found = settings.workspace().history(name, limit=limit or default)
    if settings.json:
        text.emit(history_pages.document(found))
        return
    if found.namesake:
        text.say(f"{found.name} is a package and also a dataset; the package is meant", settings)
        text.say(f"hint: dataset:{found.name} means the dataset", settings)
    history_pages.page(found)
    if found.earlier:
        text.say(f"{found.earlier:,} before that; --all shows them", settings)
