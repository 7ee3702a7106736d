"""Signals that ask a command to end become exceptions, so that what it has begun comes to a proper end."""

from __future__ import annotations

import signal
from typing import NoReturn

from pkgrun.cli import text


def heed() -> None:
    """From now on SIGTERM, and SIGHUP unless nohup has been asked for, raise `text.Terminated`."""
    signal.signal(signal.SIGTERM, _terminated)
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        signal.signal(signal.SIGHUP, _terminated)


def _terminated(number: int, frame: object) -> NoReturn:
    raise text.Terminated(number)
