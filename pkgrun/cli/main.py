"""`pkgrun`: the commands, loaded when they are used, and the one place where errors become exit codes."""

from __future__ import annotations

import errno
import gc
import os
import sys
from importlib import import_module

import click

from pkgrun.cli import signals, text
from pkgrun.cli.options import EXIT_CODES, Settings, common

_COMMANDS = {
    "train": ("pkgrun.cli.train", "Train a package version into the next one."),
    "evaluate": ("pkgrun.cli.evaluate", "Find out how good a package version is."),
    "full": ("pkgrun.cli.full", "Process data, train a version into the next one, and evaluate it."),
    "predict": ("pkgrun.cli.predict", "Have a version's own code answer, to try what was trained."),
    "compare": ("pkgrun.cli.compare", "Show versions and runs side by side: scores, metrics, data, files."),
    "lineage": ("pkgrun.cli.lineage", "Show what a version came from, and what came from it."),
    "history": ("pkgrun.cli.history", "Tell what happened to a package or a dataset, in order."),
    "diff": ("pkgrun.cli.diff", "Show what differs between two versions, runs or datasets."),
    "data": ("pkgrun.cli.data", "Ask which versions saw a file, and whether training and test data overlap."),
    "reproduce": ("pkgrun.cli.reproduce", "Run a training again, and compare what comes out byte by byte."),
    "audit": ("pkgrun.cli.audit", "Prove a version, from its bytes up to all that it came from."),
    "erase": ("pkgrun.cli.erase", "Remove a content everywhere, and keep the history valid."),
    "package": ("pkgrun.cli.package", "Import packages, look at them and their versions, remove versions."),
    "dataset": ("pkgrun.cli.dataset", "Keep datasets by name, compare them, take them out again."),
    "run": ("pkgrun.cli.run", "Look at runs, their logs, results and artifacts."),
    "store": ("pkgrun.cli.store", "Copy a store, check and repair it, free what it does not need."),
    "doctor": ("pkgrun.cli.doctor", "Look whether this machine and the store are fit for training."),
    "completion": ("pkgrun.cli.completion", "Print the completion script of a shell."),
}

_UNWRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EIO}


class Lazy(click.Group):
    """A group whose commands are imported when they are called for; their one-line helps are at hand."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = getattr(import_module(_COMMANDS[cmd_name][0]), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, help) for name, (_, help) in _COMMANDS.items()])


@click.group(cls=Lazy, epilog=EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=lambda c, p, v: _version(c, v)
)
@common
def cli() -> None:
    """Run the training pipelines of ML packages and give each result a version."""


def _version(ctx: click.Context, wanted: bool) -> None:
    if wanted:
        from pkgrun import __version__

        click.echo(f"pkgrun {__version__}")
        ctx.exit()


def main() -> None:
    """The console script."""
    signals.disregard()
    # What starting up makes stays: looking through it for rubbish takes 10 ms. `Settings.workspace` turns it on.
    gc.disable()
    # Plugins of pydantic would be looked for in every installed distribution: 20 ms, for none that matters here.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    if sys.platform == "win32":
        sys.exit("error: pkgrun does not run on Windows\nhint: use it under WSL 2")
    settings = Settings(unheard=sys.stdout is None)
    _repair_streams()
    code = _flush(_run(settings), settings)
    # The end is near: without this the interpreter looks through everything once more, for 30 ms.
    gc.freeze()
    sys.exit(code)


def _run(settings: Settings) -> int:
    try:
        code = cli.main(standalone_mode=False, obj=settings)
    except (BrokenPipeError, SystemExit):
        return 0  # whoever read us has seen enough; click's word for it is SystemExit
    except BaseException as error:
        return _code(error, settings)
    return code if isinstance(code, int) else 0


def _repair_streams() -> None:
    """A standard stream that was closed goes nowhere; what one cannot encode is escaped instead of failing.

    Standard output takes nothing then, as it would have: a page that cannot be shown is no page.
    """
    for name, how, access in (
        ("stdin", "r", os.O_RDONLY),
        ("stdout", "w", os.O_RDONLY),
        ("stderr", "w", os.O_WRONLY),
    ):
        stream = getattr(sys, name)
        if stream is None:
            # In this order each gets its own number: a store's file must never be descriptor 1 or 2.
            setattr(sys, name, open(os.open(os.devnull, access), how, encoding="utf-8"))  # noqa: SIM115
        elif how == "w":
            stream.reconfigure(errors="backslashreplace")


def _flush(code: int, settings: Settings) -> int:
    """Write what is still held back; the exit code, which says if that is lost."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError as error:
            # Else the interpreter tries again at its end, and complains.
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
            if not isinstance(error, BrokenPipeError) and code == 0:
                code = _code(error, settings)
    return code


def _code(error: BaseException, settings: Settings) -> int:
    """Say what went wrong; the exit code."""
    from pkgrun.errors import PkgrunError

    if isinstance(error, text.Shown):
        return error.exit_code
    if isinstance(error, PkgrunError):
        text.show_error(error, settings)
        return error.exit_code
    if isinstance(error, click.exceptions.Exit):
        return error.exit_code
    if isinstance(error, click.ClickException):
        text.show_usage(error, settings)
        return 2
    if isinstance(error, KeyboardInterrupt | click.Abort):
        return 130
    if isinstance(error, text.Terminated):
        return error.exit_code
    if isinstance(error, OSError) and error.filename is None:
        if error.errno in _UNWRITABLE:
            text.tell(f"error: the output cannot be written: {error.strerror}")
            return 75
        if error.errno == errno.EBADF and settings.unheard:
            text.tell("error: the output cannot be written: standard output is closed")
            return 75
    return text.show_bug(error, settings)
