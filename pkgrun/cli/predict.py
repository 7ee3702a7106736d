"""`pkgrun predict`: what a version answers, and nothing else, on standard output."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from pkgrun.cli import text
from pkgrun.cli.options import Command, Settings, pass_settings
from pkgrun.cli.pipelines import calling, said
from pkgrun.cli.shell import complete_package

if TYPE_CHECKING:
    from pkgrun.runs.predicting import Prediction

_FILES = "--files"


class _Predict(Command):
    """A command whose `--files` takes all words up to the next option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, list(_spread(args)))


def _spread(words: list[str]) -> Iterator[str]:
    """`--files A B` as `--files A --files B`, which click understands."""
    among = first = False
    for number, word in enumerate(words):
        if word == "--":
            yield from words[number:]
            return
        if among and not first and not word.startswith("-"):
            yield _FILES
        first = word == _FILES
        among = first or (among and not word.startswith("-"))
        yield word


@click.command(cls=_Predict)
@click.argument("name", metavar="NAME[@V]", shell_complete=complete_package)
@click.option(
    "--text", "words", metavar="TEXT", help="predict() is given this str, such as JSON; - reads it."
)
@click.option("--file", metavar="FILE", type=click.Path(), help="It is given the file's bytes; - reads them.")
@click.option(
    _FILES,
    metavar="FILE...",
    type=click.Path(),
    multiple=True,
    help="It is given a list of bytes, in this order: all words up to the next option are files.",
)
@calling
@pass_settings
def predict(
    settings: Settings,
    /,
    name: str,
    words: str | None,
    file: str | None,
    files: tuple[str, ...],
    **options: Any,
) -> None:
    """Try what was trained: have a version's own main.py answer, in an environment of its requirements.txt.

    The string that predict() returns goes to standard output as it is; a line end follows on a terminal only. What the code
    prints goes to standard error.

    Nothing is kept: it works on a copy of the version, there is no run, and the store is only read.
    """
    from pkgrun.cli import display, signals

    given = _given(options["secret"], words, file, files)
    workspace = settings.workspace()
    with display.of(settings, log_first=True) as shown:
        signals.heed()
        found = workspace.predict(
            name,
            **given,
            **said(options),
            observer=shown,
        )
    if settings.json:
        text.emit(document(found))
    else:
        _write(found.prediction)


def _given(
    secrets: tuple[str, ...], words: str | None, file: str | None, files: tuple[str, ...]
) -> dict[str, Any]:
    """What the code is given, by the argument of `Workspace.predict`; standard input is read once."""
    if sum(map(bool, (words is not None, file is not None, files))) != 1:
        raise click.UsageError("give one of --text TEXT, --file FILE and --files FILE...")
    if "-" in (words, file) and any(secret.endswith("=-") for secret in secrets):
        raise click.UsageError(
            "standard input can be read once: for a secret, or for what predict() is given"
        )
    if words is not None:
        return {"text": _text() if words == "-" else words}
    if file is not None:
        return {"file": sys.stdin.buffer.read() if file == "-" else file}
    return {"files": list(files)}


def _text() -> str:
    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError:
        raise click.UsageError("standard input is not UTF-8 text; --file - gives its bytes") from None


def _write(answer: str) -> None:
    """To a terminal only what a terminal shows; to anything else the very bytes."""
    if sys.stdout.isatty():
        click.echo(text.plain(answer))
        return
    sys.stdout.flush()
    sys.stdout.buffer.write(answer.encode())


def document(found: Prediction) -> dict[str, Any]:
    """A prediction as JSON."""
    return {
        "package": found.package,
        "version": str(found.version),
        "run_id": found.run,
        "prediction": found.prediction,
        "python": found.python,
        "seconds": found.seconds,
        "phases": [{"name": name, "seconds": seconds} for name, seconds in found.phases.items()],
        "peak_memory_bytes": found.peak_memory_bytes,
    }
