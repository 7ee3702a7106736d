"""`pkgrun reproduce`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pkgrun.cli.options import Command, Settings, pass_settings, secrets
from pkgrun.cli.pipelines import dataset, follow
from pkgrun.cli.shell import complete_package, complete_run

if TYPE_CHECKING:
    from click import Context, Parameter


def _complete(ctx: Context, param: Parameter, incomplete: str) -> list[str]:
    return [*complete_package(ctx, param, incomplete), *complete_run(ctx, param, incomplete)]


@click.command(cls=Command)
@click.argument("name", metavar="RUN|NAME@V", shell_complete=_complete)
@dataset(
    "--data",
    "Where the run's dataset is now, if neither the store nor the place that it came from has it. It must be the same.",
)
@dataset("--evaluation-data", "The same of an evaluation set that was given apart.")
@click.option(
    "--secret",
    metavar="NAME[=@FILE|=-]",
    multiple=True,
    help="A secret that the run had: from the environment, a file or standard input.",
)
@click.option(
    "--timeout",
    metavar="SECONDS",
    type=float,
    help="How long the package's code may take.  [default: as then]",
)
@click.option("--keep-workdir", is_flag=True, help="Leave the work directory, and say where it is.")
@pass_settings
def reproduce(
    settings: Settings,
    /,
    name: str,
    data: str | None,
    evaluation_data: str | None,
    secret: tuple[str, ...],
    timeout: float | None,
    keep_workdir: bool,
) -> None:
    """Run a training again, and compare what comes out byte by byte.

    The same version, data, lock, Python, parameters, hash seed, sandbox and limits, also of an evaluation and a full
    pipeline. The data is the store's own copy if that has one, else what lies where it came from, if that is still the
    same. No number is taken; what comes out is kept and can be written out: `pkgrun run artifacts ID --package --out DIR`.

    The verdict is one of three. identical (exit code 0): the same came out, and both times it was attested what went in.
    differs (8): these files do, and this is known to cause it, or possible. unproven (8): nothing differs, but it is not
    shown that the same went in, or nothing came out that could be compared. What secrets were is not recorded, so with one
    nothing is proven. The installed files are held to the hashes that each package lists of its own.
    """
    follow(
        settings,
        settings.workspace(),
        lambda workspace, shown: workspace.reproduce(
            name,
            data=data,
            evaluation_data=evaluation_data,
            secrets=secrets(secret),
            timeout=timeout,
            keep_workdir=keep_workdir,
            observer=shown,
        ),
    )
