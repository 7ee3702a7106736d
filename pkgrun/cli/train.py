"""`pkgrun train`."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pkgrun.cli import text
from pkgrun.cli.options import Command, Settings, pairs, pass_settings
from pkgrun.cli.shell import complete_data, complete_package

if TYPE_CHECKING:
    from pkgrun.cli.display import Display


@click.command(cls=Command)
@click.argument("package", metavar="NAME[@V]|FOLDER", shell_complete=complete_package)
@click.option(
    "--data",
    metavar="PATH|URL|NAME[@N][/SUB]",
    type=click.Path(),
    shell_complete=complete_data,
    help="The dataset, which appears at data/: a file or folder, a URL, or a registered dataset or a folder of it.",
)
@click.option("--env", "-e", metavar="K=V", multiple=True, help="A parameter; again for more.")
@click.option("--env-file", metavar="FILE", type=click.Path(), multiple=True, help="Parameters, K=V a line.")
@click.option(
    "--secret",
    metavar="NAME[=@FILE|=-]",
    multiple=True,
    help="A variable whose value is never recorded: from the environment, a file or standard input.",
)
@click.option("--save-training-data", is_flag=True, help="Keep a snapshot of the dataset.")
@click.option(
    "--mount",
    type=click.Choice(["auto", "overlay", "reflink", "copy"]),
    default="auto",
    show_default=True,
    help="How the dataset is put there; auto takes the first way that works. Writing there never reaches the source.",
)
@click.option(
    "--require-stable-data", is_flag=True, help="Fail if the dataset changed while the code ran on it."
)
@click.option("--gpu", is_flag=True, help="Let the code see this machine's accelerators.")
@click.option("--timeout", metavar="SECONDS", type=float, help="How long the package's code may take.")
@click.option(
    "--sandbox",
    type=click.Choice(["none", "process", "no-network"]),
    default="none",
    show_default=True,
    help="process: a home and temporary folder of its own, no core dumps, the first to go when memory runs out. "
    "no-network: that, and no network but a loopback of its own. No wall: it still reads and writes what you may.",
)
@click.option(
    "--memory",
    metavar="SIZE",
    help="What the package's code may take, such as 2GB or 2GiB: all its processes together by a control group, else "
    "each by its address space, which is more than it uses. The record says by which.",
)
@click.option(
    "--cpus",
    metavar="N",
    type=float,
    help="Processors that it may use, such as 0.5: by a control group, else it runs on so many, rounded up.",
)
@click.option(
    "--storage",
    metavar="SIZE",
    help="What it may add to its work directory: looked at again and again, and no single file may be larger.",
)
@click.option("--python", metavar="VERSION", help="The Python of its environment, such as 3.12, or a path.")
@click.option(
    "--environment",
    type=click.Choice(["isolated", "current"]),
    default="isolated",
    show_default=True,
    help="An environment made from its requirements, or the Python at hand.",
)
@click.option("--upgrade", is_flag=True, help="Resolve the requirements anew.")
@click.option("--description", metavar="TEXT", help="Kept with the new version.")
@click.option("--tag", metavar="K=V", multiple=True, help="Kept with the new version; again for more.")
@click.option(
    "--idempotency-key",
    metavar="KEY",
    help="The same key and arguments, the same run: found while it goes on or if it succeeded, else begun anew.",
)
@click.option("--keep-workdir", is_flag=True, help="Leave the work directory, and say where it is.")
@pass_settings
def train(settings: Settings, /, package: str, **options: Any) -> None:
    """Train a package version into the next one.

    NAME alone is the package's newest version, NAME@1 the newest of major 1. A FOLDER is imported first, unless the
    package has a version of that content already.
    """
    from pkgrun.cli import display, signals

    workspace = settings.workspace(create=os.path.isdir(os.path.expanduser(package)))
    with display.of(settings) as shown:
        signals.heed()
        run = workspace.train(
            package,
            data=options["data"],
            env=_parameters(options["env"], options["env_file"]),
            secrets=_secrets(options["secret"]),
            save_training_data=options["save_training_data"],
            gpu=options["gpu"],
            timeout=options["timeout"],
            python=options["python"],
            environment=options["environment"],
            upgrade=options["upgrade"],
            mount=options["mount"],
            require_stable_data=options["require_stable_data"],
            sandbox=options["sandbox"],
            memory=options["memory"],
            cpus=options["cpus"],
            storage=options["storage"],
            description=options["description"],
            tags=pairs(options["tag"], "--tag"),
            idempotency_key=options["idempotency_key"],
            keep_workdir=options["keep_workdir"],
            observer=shown,
        )
        ended = _wait(run, shown)
    _finish(settings, run, ended)


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
    from pkgrun.cli import pages, run_pages
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
    elif record.status == "successful":
        run_pages.trained(record, removal)
    if record.status != "successful":
        run_pages.failure(record, run.log())
    if isinstance(ended, PkgrunError):
        raise text.Shown(ended.exit_code)
    if ended is not None:
        raise ended


def _parameters(given: tuple[str, ...], files: tuple[str, ...]) -> dict[str, str]:
    from pkgrun.worker.variables import read_env_file

    found: dict[str, str] = {}
    for file in files:
        found |= read_env_file(Path(file))
    return found | pairs(given, "--env")


def _secrets(given: tuple[str, ...]) -> dict[str, str]:
    from pkgrun.worker.secrets import resolve

    return resolve(given, os.environ, sys.stdin.buffer) if given else {}
