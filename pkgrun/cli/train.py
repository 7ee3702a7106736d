"""`pkgrun train`."""

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
    "The dataset, which appears at data/: a file or folder, a URL, or a registered dataset or a folder of it.",
)
@click.option("--save-training-data", is_flag=True, help="Keep a snapshot of the dataset.")
@running
@pass_settings
def train(
    settings: Settings, /, package: str, data: str | None, save_training_data: bool, **options: Any
) -> None:
    """Train a package version into the next one.

    NAME alone is the package's newest version, NAME@1 the newest of major 1. A FOLDER is imported first, unless the
    package has a version of that content already.
    """
    conduct(
        settings,
        package,
        options,
        lambda workspace, said: workspace.train(
            package, data=data, save_training_data=save_training_data, **said
        ),
    )
