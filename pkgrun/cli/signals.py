"""Signals that ask a command to end become exceptions, so that what it has begun comes to a proper end.

Never while a module is loaded: an exception that strikes there may leave the interpreter's lock of imports held, and then
every thread waits for it for ever; and orjson crashes the process. The exception comes when it is loaded.
"""

from __future__ import annotations

import signal
from types import FrameType

from pkgrun.cli import text

_AGAIN = 0.02
"""Seconds between looks whether a module is still being loaded."""


def disregard() -> None:
    """Until `heed`, Ctrl-C ends the process at once, as SIGTERM does: nothing has begun."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else a shell has it ignored
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def heed() -> None:
    """From now on SIGTERM, and SIGHUP unless nohup has been asked for, raise `text.Terminated`; Ctrl-C as Python does."""
    signal.signal(signal.SIGTERM, _asked)
    for number in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _asked)


def _asked(number: int, frame: FrameType | None) -> None:
    if _loading(frame):
        signal.signal(signal.SIGALRM, lambda _, now: _asked(number, now))
        signal.setitimer(signal.ITIMER_REAL, _AGAIN)
        return
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise text.Terminated(number)


def _loading(frame: FrameType | None) -> bool:
    """Whether a module is being loaded, of which a frame is part."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False
