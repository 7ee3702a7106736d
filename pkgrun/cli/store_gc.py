"""`pkgrun store gc`: what a collection would do, or does."""

from __future__ import annotations

import click

from pkgrun.cli import keeping, text
from pkgrun.cli.durations import seconds
from pkgrun.cli.options import Command, Settings, pass_settings
from pkgrun.settings import DEFAULT_GRACE


@click.command("gc", cls=Command)
@click.option(
    "--grace",
    metavar="DURATION",
    callback=seconds,
    default=f"{DEFAULT_GRACE / 3600:g}h",
    show_default=True,
    help="Time between condemning and deleting; 0 deletes at once what nobody can be using.",
)
@keeping.rule
@click.option("--yes", is_flag=True, help="Do it; without it the plan is shown.")
@pass_settings
def collect(
    settings: Settings,
    grace: float,
    keep_last: int | None,
    keep_within: float | None,
    force: bool,
    yes: bool,
) -> None:
    """Free what nothing refers to: condemn it, and delete what was condemned before; without --yes say what.

    What was condemned is deleted by a later call, when the grace is over and every operation that went on then has ended.
    Anybody may work meanwhile; nothing that is needed is lost, whatever breaks it off. With --keep-last or --keep-within
    versions are removed first, as `package prune` does. With -v every object is named, with the reason.
    """
    from pkgrun.cli import display, gc_pages, signals
    from pkgrun.workspace.stores import gc, gc_plan

    with display.of(settings, doing="look") as shown:
        signals.heed()
        # Of what is done, each object is told only where somebody wants to know.
        outlook = None
        if not yes or settings.verbose:
            outlook = gc_plan(
                settings.store, grace=grace, keep_last=keep_last, keep_within=keep_within, force=force
            )
        done = None
        if yes:
            done = gc(
                settings.store,
                grace=grace,
                keep_last=keep_last,
                keep_within=keep_within,
                force=force,
                observer=shown,
            )
    settings.done()
    if settings.json:
        plan = {"plan": gc_pages.plan_document(outlook)} if outlook else {}
        text.emit(plan | (gc_pages.done_document(done) if done else {}))
        return
    if outlook:
        gc_pages.plan(outlook, every=settings.verbose)
    remarks = gc_pages.done(done) if done else gc_pages.remarks(outlook, grace) if outlook else []
    for remark in remarks:
        text.say(remark, settings)
