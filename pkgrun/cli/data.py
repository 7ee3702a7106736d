"""`pkgrun data`: who saw a content, and whether test data was seen in training."""

from __future__ import annotations

import click

from pkgrun.cli import text
from pkgrun.cli.options import Command, Settings, common, pass_settings
from pkgrun.cli.shell import complete_package

_SHARED = 3
_UNPROVEN = 8


@click.group()
@common
def data() -> None:
    """Ask by content: which versions saw a file, and whether test data was seen in training."""


@data.command("used-by", cls=Command)
@click.argument("content", metavar="FILE|sha256:…|DATASET[/SUB]", type=click.Path())
@click.option(
    "--verify",
    is_flag=True,
    help="Believe no index: read and verify every record and every directory for it.",
)
@click.option("--all", "everything", is_flag=True, help="Leave no row out, however many there are.")
@pass_settings
def used_by(settings: Settings, content: str, verify: bool, everything: bool) -> None:
    """Tell every version that was trained or evaluated on a content, under whatever name, and all that inherits it.

    The content is that of a file, or exactly of a folder; of something registered, or below it; or is named by its digest. A
    registered dataset goes before a path of its name; ./PATH means the path. What a version was made with, all that
    was trained from it inherits, also across an export and an import.
    """
    from pkgrun.cli import data_pages, display, signals

    with display.of(settings, doing="look") as shown:
        signals.heed()
        found = settings.workspace().used_by(content, verify=verify, observer=shown)
    if settings.json:
        data_pages.uses_document(found)
        return
    left_out = data_pages.uses(found, everything=everything, quiet=settings.quiet)
    if left_out:
        text.say(
            f"{text.plural(left_out, 'row')} left out; --all shows them, and --json has all of them", settings
        )


@data.command(cls=Command)
@click.option(
    "--train",
    metavar="NAME@V",
    required=True,
    shell_complete=complete_package,
    help="The version that is tested.",
)
@click.option(
    "--test",
    metavar="PATH|DATASET|sha256:…",
    required=True,
    help="The test data: a file, a folder, a registered dataset.",
)
@click.option("--all", "everything", is_flag=True, help="Leave no row out, however many there are.")
@pass_settings
def overlap(settings: Settings, train: str, test: str, everything: bool) -> None:
    """Tell which files of test data a version, or one that it comes from, was made with: contamination.

    Whole files are compared, by whatever names: rows that were taken out of one are not found. Files without content are left
    out. The exit code is 3 if there is such a
    file, and 8 if there is none but not all is known, because what an ancestor was trained on is not in the store or was not
    attested; 0 means that there is none.
    """
    from pkgrun.cli import data_pages, display, signals

    with display.of(settings, doing="look") as shown:
        signals.heed()
        found = settings.workspace().overlap(train, test, observer=shown)
    if settings.json:
        text.emit(data_pages.overlap_document(found))
    else:
        left_out = data_pages.overlap(found, everything=everything, quiet=settings.quiet)
        if left_out:
            text.say(f"{text.plural(left_out, 'row')} left out; --all shows them", settings)
    if not found.clean:
        raise text.Shown(_SHARED if found.shared else _UNPROVEN)
