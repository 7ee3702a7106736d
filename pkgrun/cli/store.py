"""`pkgrun store`: what concerns a store as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pkgrun.cli import store_check, store_gc, text
from pkgrun.cli.options import Command, Settings, common, pass_settings

if TYPE_CHECKING:
    from pkgrun.records import Copied


@click.group()
@common
def store() -> None:
    """Copy a store, or one package of it, into another; free what it does not need; check and repair it."""


store.add_command(store_gc.collect)
store.add_command(store_check.check)
store.add_command(store_check.repair)


@store.command(cls=Command)
@click.argument("source", metavar="SRC")
@click.argument("target", metavar="DST")
@click.option(
    "--package", metavar="NAME", help="Only this package, its runs, and the datasets these were given."
)
@pass_settings
def copy(settings: Settings, source: str, target: str, package: str | None) -> None:
    """Copy the store SRC into DST, which is made if it is not there yet.

    Numbers are kept, and every byte is verified. What DST has already is not sent again; if it has something else
    under a number, nothing is copied. Runs that go on are left out. Broken off, the same call goes on with it.
    """
    from pkgrun.cli import display, signals
    from pkgrun.workspace.stores import copy_store

    with display.of(settings, doing="compare") as shown:
        signals.heed()
        copy = copy_store(source, target, package=package, observer=shown)
    settings.done()
    copied = copy.copied
    if settings.json:
        text.emit(copied.model_dump(mode="json", exclude={"records"}) | {"run_id": copy.run})
    elif not settings.quiet:
        _table(copied)
    for remark in _remarks(copied):
        text.say(remark, settings)


def _table(copied: Copied) -> None:
    """What was brought, and what was there."""
    from pkgrun.cli import pages

    rows = [
        (what, f"{share.copied:,}", f"{share.there:,}")
        for what, share in (
            ("versions", copied.versions),
            ("datasets", copied.datasets),
            ("runs", copied.runs),
        )
    ]
    heads = ("", "copied", "there already")
    pages.columns(pages.console(), heads, rows, right=heads[1:])


def _remarks(copied: Copied) -> list[str]:
    if copied.records is None:
        said = ["nothing to copy: all of it is there"]
    else:
        said = [f"{text.plural(copied.files, 'file')} sent, {text.size(copied.bytes)}, all verified"]
    if copied.removals:
        said.append(f"{text.plural(copied.removals, 'version')} marked as removed, as in the source")
    if copied.receipts:
        said.append(
            f"{text.plural(copied.receipts, 'receipt')} of erasure brought: what they name is in neither store"
        )
    if copied.open:
        said.append(f"{text.plural(copied.open, 'run')} left out, still going on; copy again when done")
    return said
