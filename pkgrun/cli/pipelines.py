"""What the commands that run a pipeline have in common: their options, the waiting, and how the end is shown."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

import click

from pkgrun.cli import text
from pkgrun.cli.options import Settings, pairs, parameters, secrets
from pkgrun.cli.shell import complete_data

if TYPE_CHECKING:
    from pkgrun.cli.display import Display
    from pkgrun.runs.handle import Run
    from pkgrun.workspace import Workspace

C = TypeVar("C", bound=Callable[..., Any])

DATA = "PATH|URL|NAME[@N][/SUB]"
_VARIABLES = [
    click.option("--env", "-e", metavar="K=V", multiple=True, help="A parameter; again for more."),
    click.option(
        "--env-file", metavar="FILE", type=click.Path(), multiple=True, help="Parameters, K=V a line."
    ),
    click.option(
        "--secret",
        metavar="NAME[=@FILE|=-]",
        multiple=True,
        help="A variable whose value is never recorded: from the environment, a file or standard input.",
    ),
]
_DATA = [
    click.option(
        "--mount",
        type=click.Choice(["auto", "overlay", "reflink", "copy"]),
        default="auto",
        show_default=True,
        help="How the dataset is put there; auto takes the first way that works. Writing there never reaches the source.",
    ),
    click.option(
        "--require-stable-data", is_flag=True, help="Fail if the dataset changed while the code ran on it."
    ),
]
_HELD = [
    click.option("--gpu", is_flag=True, help="Let the code see this machine's accelerators."),
    click.option("--timeout", metavar="SECONDS", type=float, help="How long the package's code may take."),
    click.option(
        "--sandbox",
        type=click.Choice(["none", "process", "no-network"]),
        default="none",
        show_default=True,
        help="process: a home and temporary folder of its own, no core dumps, the first to go when memory runs out. "
        "no-network: that, and no network but a loopback of its own. No wall: it still reads and writes what you may.",
    ),
    click.option(
        "--memory",
        metavar="SIZE",
        help="What the package's code may take, such as 2GB or 2GiB: all its processes together by a control group, else "
        "each by its address space, which is more than it uses. The record says by which.",
    ),
    click.option(
        "--cpus",
        metavar="N",
        type=float,
        help="Processors that it may use, such as 0.5: by a control group, else it runs on so many, rounded up.",
    ),
    click.option(
        "--storage",
        metavar="SIZE",
        help="What it may add to its work directory: looked at again and again, and no single file may be larger.",
    ),
    click.option(
        "--python", metavar="VERSION", help="The Python of its environment, such as 3.12, or a path."
    ),
    click.option(
        "--environment",
        type=click.Choice(["isolated", "current"]),
        default="isolated",
        show_default=True,
        help="An environment made from its requirements, or the Python at hand.",
    ),
    click.option("--upgrade", is_flag=True, help="Resolve the requirements anew."),
    click.option(
        "--override-requirements",
        metavar="FILE",
        type=click.Path(),
        help="Requirements that replace those of the same names, whoever asks for them. Kept by retrainings.",
    ),
    click.option(
        "--relax-pins",
        is_flag=True,
        help="Let == pins that do not install as they are go up to below their next major version (0.x: below 1, "
        "else below 2). The record says which became what.",
    ),
]
_LABELS = [
    click.option("--description", metavar="TEXT", help="Kept with the new version, if one is made."),
    click.option(
        "--tag",
        metavar="K=V",
        multiple=True,
        help="Kept with the new version, if one is made; again for more.",
    ),
    click.option(
        "--idempotency-key",
        metavar="KEY",
        help="The same key and arguments, the same run: found while it goes on or if it succeeded, else begun anew.",
    ),
]

_KEPT = click.option("--keep-workdir", is_flag=True, help="Leave the work directory, and say where it is.")


def running(command: C) -> C:
    """The options of a pipeline, in their order."""
    return _with(command, [*_VARIABLES, *_DATA, *_HELD, *_LABELS, _KEPT])


def calling(command: C) -> C:
    """Of these the options of whatever runs the package's code."""
    return _with(command, [*_VARIABLES, *_HELD, _KEPT])


def _with(command: C, options: list[Callable[[C], C]]) -> C:
    for option in reversed(options):
        command = option(command)
    return command


def dataset(name: str, help: str) -> Callable[[C], C]:
    """An option that names a dataset."""
    return click.option(name, metavar=DATA, type=click.Path(), shell_complete=complete_data, help=help)


def conduct(
    settings: Settings,
    package: str,
    options: dict[str, Any],
    begin: Callable[[Workspace, dict[str, Any]], Run],
) -> None:
    """Start a run, show it, wait for its end and show that.

    Args:
        begin: starts it, with what the options of `running` said.
    """
    create = package.startswith("git+") or os.path.exists(os.path.expanduser(package))
    follow(
        settings,
        settings.workspace(create=create),
        lambda workspace, shown: begin(workspace, said(options) | {"observer": shown}),
    )


def follow(settings: Settings, workspace: Workspace, begin: Callable[[Workspace, Display], Run]) -> None:
    """The same of a run that `begin` starts, which is to tell the display what happens."""
    from pkgrun.cli import display, signals

    with display.of(settings) as shown:
        signals.heed()
        run = begin(workspace, shown)
        ended = _wait(run, shown)
    _finish(settings, run, ended)


def said(options: dict[str, Any]) -> dict[str, Any]:
    """What the options of `running` or `calling` said, as the API takes it."""
    taken = dict(options)
    taken["env"] = parameters(options["env"], taken.pop("env_file"))
    taken["secrets"] = secrets(taken.pop("secret"))
    if "tag" in taken:
        taken["tags"] = pairs(taken.pop("tag"), "--tag")
    return taken


def _wait(run: Any, shown: Display) -> BaseException | None:
    """Wait for the end; what interrupted or failed it."""
    from pkgrun.errors import PkgrunError
    from pkgrun.observe import Notice

    try:
        shown.run(run.id)
        if not run.live and not run.record().final:
            for event in run.events():
                shown(event)
        run.wait()
    except PkgrunError as failed:
        return failed
    except (KeyboardInterrupt, text.Terminated) as stopped:
        if not run.live:
            shown(Notice("the run goes on", hint=f"`pkgrun run kill {run.id}` stops it"))
            raise
        run.kill()  # the waiting need not have begun
        with suppress(PkgrunError):
            run.wait()
        return stopped
    return None


def _finish(settings: Settings, run: Any, ended: BaseException | None) -> None:
    from pkgrun.cli import pages, reproduction_pages, run_pages
    from pkgrun.errors import PkgrunError

    try:
        record = run.record()
        removal = None if run.live else run.removal()
    except PkgrunError as error:
        raise ended or error from None  # what cannot be read now says less
    if not record.final and ended is not None:
        raise ended
    settings.done()
    if settings.json:
        document = run_pages.document(record, settings.workspace().url)
        text.emit(document | {"removed": pages.removal(removal)})
    elif record.reproduced:
        reproduction_pages.done(record, run.excerpts())
    elif record.status == "successful":
        run_pages.done(record, removal)
    if record.status != "successful":
        run_pages.failure(record, run.log())
    if isinstance(ended, PkgrunError):
        raise text.Shown(ended.exit_code)
    if ended is not None:
        raise ended
    if record.reproduced and record.reproduced.verdict != "identical":
        raise text.Shown(8)
