"""`pkgrun doctor`: whether this machine and the store are fit for training."""

from __future__ import annotations

import sys
from itertools import groupby
from typing import TYPE_CHECKING

import click

from pkgrun.cli import text
from pkgrun.cli.options import Command, Settings, pass_settings

if TYPE_CHECKING:
    from pkgrun.workspace.doctor import Diagnosis

_SIGNS = {"ok": ("✓", "green"), "note": ("·", "yellow"), "problem": ("✗", "red")}


@click.command(cls=Command)
@click.option(
    "--clean", is_flag=True, help="Remove what runs and builds that died have left on this machine."
)
@pass_settings
def doctor(settings: Settings, clean: bool) -> None:
    """Look at this machine and the store: what works, what is left over, what stands in the way.

    ✓ is well; · works, and should be known; ✗ makes training impossible, and the exit code is what a training would
    end with. Nothing is changed without --clean.
    """
    from pkgrun.workspace.doctor import examine

    found = examine(settings.store, clean=clean)
    settings.done()
    if settings.json:
        text.emit(_document(found))
    else:
        _page(found, quiet=settings.quiet)
    if found.exit_code:
        raise text.Shown(found.exit_code)


def _document(found: Diagnosis) -> dict[str, object]:
    checks = [
        {
            "topic": check.topic,
            "name": check.name,
            "state": check.state,
            "message": check.message,
            "hint": check.hint,
            "numbers": dict(check.numbers),
        }
        for check in found.checks
    ]
    counts = {state: sum(check.state == state for check in found.checks) for state in _SIGNS}
    return {"fit": found.exit_code == 0, "counts": counts, "checks": checks}


def _page(found: Diagnosis, *, quiet: bool) -> None:
    """Topics with their rows; only what is not well if `quiet`. Without rich, which would take a third of the time."""
    shown = [check for check in found.checks if not quiet or check.state != "ok"]
    width = max((len(check.name) for check in shown), default=0)
    for topic, rows in groupby(shown, key=lambda check: check.topic):
        click.secho(topic, bold=True, color=text.colours(sys.stdout))
        for check in rows:
            sign, colour = _SIGNS[check.state]
            click.secho(f"  {sign} ", fg=colour, nl=False, color=text.colours(sys.stdout))
            click.echo(f"{check.name:<{width}}  {text.line(check.message)}")
            if check.hint and check.state != "ok":
                click.secho(
                    f"    {'':<{width}}  {text.line(check.hint)}", dim=True, color=text.colours(sys.stdout)
                )
