"""`pkgrun run`: runs, their logs, results and artifacts."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

import click

from pkgrun.cli import text
from pkgrun.cli.durations import seconds
from pkgrun.cli.options import Command, Settings, common, pass_settings
from pkgrun.cli.shell import complete_run

if TYPE_CHECKING:
    from pkgrun.records import RunRecord
    from pkgrun.runs.handle import Run
    from pkgrun.workspace import Workspace

PATIENCE = 30.0
"""Seconds that the end of a killed run is waited for: its code has ten of them to tidy up."""


@click.group()
@common
def run() -> None:
    """Look at runs, their logs, results and artifacts, and end them. An ID may be cut to what tells it from others."""


@run.command("list", cls=Command)
@click.option("-n", "--limit", type=click.IntRange(1), help="So many at most.  [default: 30; with --all all]")
@click.option(
    "--all", "everything", is_flag=True, help="Also what ran no pipeline: imports, registered datasets."
)
@pass_settings
def list_(settings: Settings, limit: int | None, everything: bool) -> None:
    """Runs, the newest first."""
    from pkgrun.cli import run_pages

    workspace = settings.workspace()
    records = list(workspace.runs(limit=limit or (None if everything else 30), everything=everything))
    if settings.json:
        text.emit({"runs": [run_pages.document(record, workspace.url) for record in records]})
    elif records:
        run_pages.listing(records)
    else:
        text.say(_none(workspace, everything=everything), settings)


def _none(workspace: Workspace, *, everything: bool) -> str:
    """That there are no runs, and how to come to the first one with what is in the store."""
    package = _named(workspace.packages(), one="PACKAGE", none="FOLDER")
    data = _named((newest.dataset for newest in workspace.datasets.all()), one="DATASET", none="PATH")
    said = f"no runs yet; `pkgrun train {package} --data {data}` makes one"
    if not everything and any(workspace.runs(limit=1, everything=True)):
        said += "; `pkgrun run list --all` shows what else was done here"
    return said


def _named(known: Iterable[str], *, one: str, none: str) -> str:
    """The only name that is known; else a word for one of them, or for what there is without any."""
    names = list(known)
    return names[0] if len(names) == 1 else one if names else none


@run.command(cls=Command)
@click.argument("run_id", metavar="ID", shell_complete=complete_run)
@pass_settings
def show(settings: Settings, run_id: str) -> None:
    """Everything about a run on one page."""
    from pkgrun.cli import pages, run_pages

    workspace = settings.workspace()
    found = workspace.run(run_id)
    record, removal = found.record(), found.removal()
    if settings.json:
        text.emit(run_pages.document(record, workspace.url) | {"removed": pages.removal(removal)})
    else:
        run_pages.run(record, found.log(), workspace.url, removal)


@run.command(cls=Command)
@click.argument("run_id", metavar="ID", shell_complete=complete_run)
@click.option("-f", "--follow", is_flag=True, help="Go on until the run has ended.")
@pass_settings
def logs(settings: Settings, run_id: str, follow: bool) -> None:
    """What the package's code wrote; with -v phases and times too, with --json the events as JSON lines."""
    from pkgrun.observe import Log, Notice, Phase
    from pkgrun.runs.journal import encode

    found = settings.workspace().run(run_id)
    for event in found.events() if follow else found.log():
        if settings.json:
            sys.stdout.buffer.write(encode(event) or b"")
        elif isinstance(event, Log):
            click.echo(_stamp(event.at, settings) + text.line(event.text))
        elif settings.verbose and isinstance(event, Phase):
            click.echo(f"{_stamp(event.at, settings)}-- {event.name}")
        elif settings.verbose and isinstance(event, Notice):
            click.echo(f"-- {text.line(event.message)}")
        if follow:
            sys.stdout.flush()


def _stamp(at: float, settings: Settings) -> str:
    from datetime import UTC, datetime

    if not settings.verbose:
        return ""
    return datetime.fromtimestamp(at, UTC).astimezone().strftime("%H:%M:%S.%f")[:-3] + " "


@run.command(cls=Command)
@click.argument("run_id", metavar="ID", shell_complete=complete_run)
@pass_settings
def results(settings: Settings, run_id: str) -> None:
    """The run's _results.json, as the vendor's readers expect it."""
    from pkgrun.cli import pages
    from pkgrun.errors import NotFound
    from pkgrun.runs.results import results as results_of

    workspace = settings.workspace()
    record = workspace.run(run_id).record()
    found = results_of(record, workspace.url)
    if found is None:
        why = f"it is {record.status}" if record.request else "it ran no pipeline"
        raise NotFound(f"the run {record.run} has no results: {why}", run_id=record.run)
    text.emit(pages.dump(found))


@run.command(cls=Command)
@click.argument("run_id", metavar="ID", shell_complete=complete_run)
@click.option(
    "--out", metavar="DIR", type=click.Path(), help="Write them into this folder, which must be new or empty."
)
@click.option("--snapshot", is_flag=True, help="With --out: the snapshot of its data instead.")
@click.option(
    "--role",
    type=click.Choice(["input", "trained", "evaluated"]),
    help="With --snapshot: of the dataset (the default), or of what a full pipeline trained or evaluated on.",
)
@click.option("--package", is_flag=True, help="With --out: the package that a reproduction made instead.")
@click.option("--skip-erased", is_flag=True, help="With --out: leave out files that were erased.")
@pass_settings
def artifacts(
    settings: Settings,
    run_id: str,
    out: str | None,
    snapshot: bool,
    role: Literal["input", "trained", "evaluated"] | None,
    package: bool,
    skip_erased: bool,
) -> None:
    """What the run left in its artifacts folder: a list, or with --out the files."""
    from pkgrun.cli import pages, signals

    if snapshot and out is None:
        raise click.UsageError("--snapshot needs --out DIR")
    if role and not snapshot:
        raise click.UsageError("--role needs --snapshot")
    if package and (snapshot or out is None):
        raise click.UsageError("--package needs --out DIR, and no --snapshot")
    one = settings.workspace().run(run_id)
    if out is not None:
        signals.heed()
        if package:
            count = one.export_reproduction(out)
        elif snapshot:
            count = one.export_snapshot(out, role=role or "input", skip_erased=skip_erased)
        else:
            count = one.export_artifacts(out, skip_erased=skip_erased)
        pages.exported(count, out, settings)
        return
    found = one.artifacts()
    if settings.json:
        text.emit({"artifacts": pages.entries(found)})
        return
    if not found:
        text.say("it left no artifacts", settings)
    for path, entry in found:
        click.echo(
            f"{text.size(entry.bytes):>9}  {text.line(text.shown(path))}{'/' if entry.kind == 'dir' else ''}"
        )


@run.command(cls=Command)
@click.argument("run_ids", metavar="ID...", nargs=-1, required=True, shell_complete=complete_run)
@click.option("--no-wait", is_flag=True, help="Only ask for it; do not wait for the end.")
@pass_settings
def kill(settings: Settings, run_ids: tuple[str, ...], no_wait: bool) -> None:
    """Stop runs, on whatever machine they are, and say how they ended.

    The package's code is asked to end, and ended after ten seconds. The end is waited for, up to 30 s each; 75 is the exit
    code if it has not come by then. A run that has ended already stays as it is, which is no error. One that gives no
    sign of life is only asked to; `pkgrun run recover` gives it up.
    """
    from pkgrun.cli import run_pages

    workspace = settings.workspace()
    # Before any is stopped: one may be a typo.
    found = [workspace.run(run_id) for run_id in dict.fromkeys(run_ids)]
    before = [one.record() for one in found]
    for one, record in zip(found, before, strict=True):
        if not record.final:
            one.kill()
    ends = [
        record if no_wait or record.status == "silent" else _end(one)
        for one, record in zip(found, before, strict=True)
    ]
    settings.done()
    if settings.json:
        text.emit({"runs": [run_pages.document(record, workspace.url) for record in ends]})
    for was, record in zip(before, ends, strict=True):
        if not settings.json:
            click.echo(f"{record.run} {record.status}")
        text.say(run_pages.killed(was, record, waited=not no_wait), settings)
    if not no_wait and not all(record.final for record in ends):
        raise text.Shown(75)


def _end(one: Run) -> RunRecord:
    """How it ended; or how it stands, if it does not end."""
    from pkgrun.errors import Temporary

    try:
        return one.ended(PATIENCE)
    except Temporary:
        return one.record()


@run.command(cls=Command)
@click.option(
    "--silent-for",
    metavar="DURATION",
    callback=seconds,
    default="15m",
    show_default=True,
    help="How long without a sign of life is for ever, 30s at least; one comes every 10 s. Such as 90s, 15m, 2h.",
)
@pass_settings
def recover(settings: Settings, silent_for: float) -> None:
    """Bring to its end what nobody carries on any more, and say what was done.

    What was decided is carried out: the version gets its number, the run its results. A run whose supervisor has died on
    this machine, or has given no sign of life for so long by the store's clock, is lost; it can make no version after that,
    also if it comes back. Runs that go on are left alone. Anybody may do this at any time.
    """
    from pkgrun.cli import run_pages

    workspace = settings.workspace()
    found = workspace.recover(silent_for=silent_for)
    settings.done()
    if settings.json:
        text.emit(run_pages.recovery_document(found, workspace.url))
    elif found.done:
        run_pages.recovered(found.done)
    else:
        text.say("nothing to recover", settings)
    if found.open:
        text.say(f"{text.plural(len(found.open), 'operation')} still going on, left alone", settings)
    for one in found.failed:
        text.tell(f"error: {text.plain(one.error.message)}, of the run {one.run}")
    if found.failed:
        raise text.Shown(found.failed[0].error.exit_code)
