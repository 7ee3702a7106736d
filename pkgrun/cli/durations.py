"""Stretches of time as options: `90`, `90s`, `15m`, `12h`, `7d`, `2w`."""

from __future__ import annotations

import re

import click

_SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}


def seconds(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
    """The callback of an option that takes such a text: how many seconds it is."""
    if value is None:
        return None
    found = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,3})?)([smhdw]?)", value)
    if found is None:
        raise click.BadParameter(f"{value!r} is no duration; such as 90s, 15m, 12h or 7d", ctx, param)
    return float(found[1]) * _SECONDS[found[2]]
