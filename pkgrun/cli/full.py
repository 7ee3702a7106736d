"""`pkgrun full`."""

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
    "The dataset, which appears at dataset/, and which process_data splits into training/ and test/ there.",
)
@dataset(
    "--evaluation-data",
    "What to evaluate on, which appears at dataset/test/. With it a package needs no process_data.",
)
@click.option(
    "--baseline/--no-baseline",
    default=True,
    show_default=True,
    help="Evaluate before the training, too; that this fails is no failure of the run.",
)
@click.option(
    "--save-training-data/--no-save-training-data",
    default=None,
    help="Keep snapshots of the dataset and of what was trained on (the default).",
)
@click.option(
    "--save-test-data/--no-save-test-data",
    default=None,
    help="Keep snapshots of the evaluation set and of what was evaluated (the default).",
)
@running
@pass_settings
def full(settings: Settings, /, package: str, **options: Any) -> None:
    """Process the data, evaluate, train, save and evaluate again: a new version, with its score and the one before.

    NAME alone is the package's newest version, NAME@1 the newest of major 1. A FOLDER is imported first, unless the
    package has a version of that content already.
    """
    conduct(settings, package, options, lambda workspace, said: workspace.full(package, **said))
