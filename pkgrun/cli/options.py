"""The options that every command has, wherever they stand on the line."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

C = TypeVar("C", bound=Callable[..., Any])

if TYPE_CHECKING:
    from pkgrun.workspace import Workspace


EXIT_CODES = """\b
Exit codes:
   0  done                              7  conflict with what is there
   1  the package's code failed         8  damage, or a verification that fails
   2  the call is wrong                 9  permission denied
   3  test data was seen in training   70  a bug in pkgrun
   4  the package cannot do that       75  temporary: try again
   5  out of time                 130/143  stopped by Ctrl-C / SIGTERM
   6  not found
"""


@dataclass
class Settings:
    """What the common options said, and whether there is a standard output: `unheard` if it was closed."""

    store: str | None = None
    json: bool = False
    quiet: bool = False
    verbose: bool = False
    progress: bool = True
    unheard: bool = False

    def workspace(self, *, create: bool = False) -> Workspace:
        """The store that is meant."""
        from pkgrun.workspace import open

        gc.freeze()
        gc.enable()
        return open(self.store, create=create)

    def done(self) -> None:
        """What was asked for is done: that nobody can be told of it is no failure any more."""
        if self.unheard:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _keep(name: str, given: Any = None) -> Callable[[click.Context, click.Parameter, Any], None]:
    def keep(ctx: click.Context, param: click.Parameter, value: Any) -> None:
        if value is not None and value is not False:
            setattr(ctx.find_root().ensure_object(Settings), name, value if given is None else given[0])

    return keep


def _options() -> list[click.Option]:
    def option(*names: str, help: str, keep: str, given: Any = None, **more: Any) -> click.Option:
        return click.Option(names, help=help, expose_value=False, callback=_keep(keep, given), **more)

    return [
        option(
            "--store",
            help="The store: a directory or s3://bucket/prefix; else PKGRUN_STORE, else ./.pkgrun.",
            keep="store",
            metavar="STORE",
        ),
        option("--json", "as_json", help="One JSON document on standard output.", keep="json", is_flag=True),
        option("-q", "--quiet", help="Only errors and data.", keep="quiet", is_flag=True),
        option("-v", "--verbose", help="Say more.", keep="verbose", is_flag=True),
        option("--no-progress", help="No live display.", keep="progress", given=[False], is_flag=True),
    ]


def common(function: C) -> C:
    """Give a group the common options."""
    params: list[click.Parameter] = getattr(function, "__click_params__", [])
    params.extend(reversed(_options()))
    function.__click_params__ = params  # type: ignore[attr-defined]
    return function


class Command(click.Command):
    """A command that takes the common options too, and tells the exit codes."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **{"epilog": EXIT_CODES, **more})
        self.params.extend(_options())


pass_settings = click.make_pass_decorator(Settings)


def pairs(given: tuple[str, ...], option: str) -> dict[str, str]:
    """`K=V` words as a mapping."""
    found = {}
    for word in given:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise click.UsageError(f"{option} {word!r} is not of the form K=V")
        found[key] = value
    return found


def parameters(given: tuple[str, ...], files: tuple[str, ...]) -> dict[str, str]:
    """What `--env` and `--env-file` say; the former counts."""
    from pathlib import Path

    from pkgrun.worker.variables import read_env_file

    found: dict[str, str] = {}
    for file in files:
        found |= read_env_file(Path(file))
    return found | pairs(given, "--env")


def secrets(given: tuple[str, ...]) -> dict[str, str]:
    """What `--secret` says."""
    from pkgrun.worker.secrets import resolve

    return resolve(given, os.environ, sys.stdin.buffer) if given else {}
