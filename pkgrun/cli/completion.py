"""`pkgrun completion`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from pkgrun.cli.options import Command


@click.command(cls=Command)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of a shell, for example: eval "$(pkgrun completion bash)"."""
    from pkgrun.cli.main import cli

    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"there is no completion for {shell}")
    click.echo(kind(cli, {}, "pkgrun", "_PKGRUN_COMPLETE").source())
