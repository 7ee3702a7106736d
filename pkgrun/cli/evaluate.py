"""`pkgrun evaluate`."""

from __future__ import annotations

from typing import Any

import click

from pkgrun.cli.options import Command, Settings, pass_settings
from pkgrun.cli.pipelines import conduct, dataset, running
from pkgrun.cli.shell import complete_package


@click.command(cls=Command)
@click.argument("package", metavar="NAME[@V]|FOLDER", shell_complete=complete_package)
@dataset(
    "--data",
    "What to evaluate on, which appears at evaluation_data/: a file or folder, a URL, or a registered dataset.",
)
@click.option("--save-test-data", is_flag=True, default=None, help="Keep a snapshot of it.")
@running
@pass_settings
def evaluate(
    settings: Settings, /, package: str, data: str | None, save_test_data: bool | None, **options: Any
) -> None:
    """Find out how good a package version is: a score and artifacts, and no new version.

    NAME alone is the package's newest version, NAME@1 the newest of major 1. A FOLDER is imported first, unless the
    package has a version of that content already.
    """
    conduct(
        settings,
        package,
        options,
        lambda workspace, said: workspace.evaluate(package, data=data, save_test_data=save_test_data, **said),
    )
