"""`pkgrun store fsck` and `pkgrun store repair`: whether a store holds what it says, and mending it."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any

import click

from pkgrun.cli import text
from pkgrun.cli.options import Command, Settings, pass_settings

_DAMAGED = 8


def _share(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    if value is None:
        return None
    found = re.fullmatch(r"([0-9]{1,3}(?:\.[0-9]{1,6})?)%?", value)
    if found is None or not 0 < float(found[1]) <= 100:
        raise click.BadParameter(f"{value!r} is no percentage; such as 5% or 0.5%", ctx, param)
    return float(found[1]) / 100


@click.command("fsck", cls=Command)
@click.option("--read-data", is_flag=True, help="Read and hash every byte of every object.")
@click.option(
    "--sample",
    metavar="PERCENT",
    callback=_share,
    help="Read and hash a random share of the bytes, such as 5%.",
)
@click.option("--seed", metavar="N", type=int, help="Read the same share as a call that named this seed.")
@pass_settings
def check(settings: Settings, read_data: bool, sample: float | None, seed: int | None) -> None:
    """Look whether the store holds all that it says; nothing is changed.

    Every record and every directory is read, and all that they refer to is looked for; sizes and indexes are compared. Bytes
    are read with --read-data or --sample. Anybody may work meanwhile. The exit code is 8 if something is missing or
    altered; 0 if there is nothing, or only rubbish and what nobody has carried out yet. With -v everything is named.
    """
    from pkgrun.cli import check_pages, display, signals
    from pkgrun.workspace.stores import fsck

    if read_data and sample is not None:
        raise click.UsageError("--read-data and --sample: give one of them")
    if seed is not None and sample is None:
        raise click.UsageError("--seed goes with --sample")
    with display.of(settings, doing="records") as shown:
        signals.heed()
        report = fsck(settings.store, read_data=read_data, sample=sample, seed=seed, observer=shown)
    settings.done()
    if settings.json:
        text.emit(check_pages.document(report))
    else:
        with suppress(BrokenPipeError):  # nobody reads; the exit code tells the rest
            check_pages.report(report, every=settings.verbose)
    for remark in check_pages.remarks(report):
        text.say(remark, settings)
    _end(report.sound)


@click.command("repair", cls=Command)
@click.option(
    "--from",
    "source",
    metavar="STORE",
    help="A store of the same content, such as a copy, to bring back what is lost here.",
)
@click.option("--yes", is_flag=True, help="Do it; without it the plan is shown.")
@pass_settings
def repair(settings: Settings, source: str | None, yes: bool) -> None:
    """Mend what can be mended of the store; without --yes say what would be done.

    Every byte is read first. Decisions are carried out, what follows from others is written anew, what is good of damaged
    files goes into new ones, and what is lost is brought back with --from. A record is put back only if others prove what it
    was. What is replaced is kept below gc/quarantine/. The exit code is 8 if something stays missing or altered.
    """
    from pkgrun.cli import check_pages, display, signals
    from pkgrun.workspace import stores

    with display.of(settings, doing="records") as shown:
        signals.heed()
        done = stores.repair(settings.store, source=source, execute=yes, observer=shown)
    settings.done()
    if settings.json:
        document: dict[str, Any] = check_pages.repaired_document(done)
        text.emit(document)
    else:
        with suppress(BrokenPipeError):  # nobody reads; the exit code tells the rest
            check_pages.repaired(done, every=settings.verbose)
    for remark in check_pages.repair_remarks(done):
        text.say(remark, settings)
    _end(done.sound if yes else not done.plan.hopeless)


def _end(sound: bool) -> None:
    if not sound:
        raise text.Shown(_DAMAGED)
