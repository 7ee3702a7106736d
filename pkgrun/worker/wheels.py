"""For which Pythons there are wheels: asked of uv, which knows the indexes, their credentials and what fits this platform.

It builds and installs nothing, and no Python but the one at hand need be on this machine.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

from pkgrun.errors import Killed
from pkgrun.worker.pins import Requirement

PYTHONS = tuple(f"3.{minor}" for minor in range(8, 15))  # that run a package's code, and have been released
PATIENCE = 30.0  # seconds for all questions about one failure

_AT_ONCE = 4
_UNREACHABLE = ("error sending request", "Failed to fetch", "operation timed out", "network was disabled")

Uv = Callable[[Sequence[str | Path], Callable[[], bool]], tuple[int, str, str]]


class Unknown(Exception):
    """It cannot be told; the text says why."""


class Wheels:
    """Answers for one failure, remembered.

    Args:
        uv: runs uv with some arguments in `folder`, until it is told to stop; code, output, errors.
        options: lines that say where packages are, as a requirements file has them.
        arguments: of uv, that say the same, and the interpreter that it asks what this platform is.
        stop: whether the run is to end.
    """

    def __init__(
        self, uv: Uv, folder: Path, *, options: str, arguments: Sequence[str], stop: Callable[[], bool]
    ) -> None:
        self._uv, self._folder, self._options, self._arguments = uv, folder, options, tuple(arguments)
        self._stop = stop
        self._until = time.monotonic() + PATIENCE
        self._numbers = count()
        self._known: dict[tuple[tuple[str, ...], str], bool] = {}

    def fit(self, asked: Sequence[Requirement], python: str) -> bool:
        """Whether each of the requirements has a wheel for that Python and this platform.

        Raises:
            Unknown: no index answers, or not in time.
            Killed: the run is to end.
        """
        key = tuple(one.line for one in asked), python
        if asked and key not in self._known:
            self._known[key] = self._asked(asked, python)
        return self._known.get(key, True)

    def lacking(self, asked: Sequence[Requirement], python: str) -> list[Requirement]:
        """Those that have none, found by halves, as most have one."""
        if self.fit(asked, python):
            return []
        if len(asked) == 1:
            return list(asked)
        middle = len(asked) // 2
        return [*self.lacking(asked[:middle], python), *self.lacking(asked[middle:], python)]

    def pythons(self, asked: Sequence[Requirement], pythons: Sequence[str]) -> dict[Requirement, list[str]]:
        """For which of the Pythons each has a wheel."""
        pairs = [(one, python) for one in asked for python in pythons]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            answers = list(pool.map(lambda pair: self.fit([pair[0]], pair[1]), pairs))
        fitting = {pair for pair, fits in zip(pairs, answers, strict=True) if fits}
        return {one: [python for python in pythons if (one, python) in fitting] for one in asked}

    def _asked(self, asked: Sequence[Requirement], python: str) -> bool:
        file = self._folder / f"pkgrun-wheels-{next(self._numbers)}.txt"
        file.write_text(self._options + "".join(f"{one.line}\n" for one in asked), "utf-8")
        series = python if python.count(".") > 1 else f"{python}.99"  # its newest patch, whichever that is
        try:
            code, _, errors = self._uv(
                [
                    *("pip", "compile", file.name, "--quiet", "--no-deps", "--only-binary", ":all:"),
                    *("--no-header", "--no-annotate", "--python-version", series, *self._arguments),
                ],
                lambda: self._stop() or time.monotonic() > self._until,
            )
        except Killed as killed:
            if self._stop():
                raise
            raise Unknown(f"the index took longer than {PATIENCE:.0f} s") from killed
        if code != 0 and any(phrase in errors for phrase in _UNREACHABLE):
            raise Unknown("the index does not answer")
        return code == 0
