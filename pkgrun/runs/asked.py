"""What is asked of the process that runs a package's code, checked before anything is begun, for each kind of call."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from pkgrun.errors import UsageError
from pkgrun.runs import labels
from pkgrun.worker import accelerators
from pkgrun.worker.secrets import LARGEST
from pkgrun.worker.variables import child_environment

_PARAMETERS_LIMIT = 1 << 18


def check(
    *,
    env: Mapping[str, str],
    secrets: Mapping[str, str],
    timeout: float | None,
    python: str | None,
    environment: str,
    upgrade: bool,
    gpu: bool,
    replaces: bool = False,
) -> None:
    """That it can mean something, and can be done on this machine.

    Args:
        replaces: requirements are to be overridden or relaxed.

    Raises:
        UsageError: it cannot.
        PermissionDenied: there is a GPU, which this user may not use.
    """
    check_parameters(env, secrets)
    if timeout is not None and not 0 < timeout < 1e9:
        raise UsageError(f"a timeout of {timeout:g} s is none", hint="give a number of seconds above 0")
    if python and not re.fullmatch(r"\d+(\.\d+){0,2}|.*/.*", python):
        raise UsageError(f"{python!r} is no version of Python", hint="such as 3.12, or an interpreter's path")
    if python and (2, 0) <= _series(python) < (3, 8):
        raise UsageError(f"Python {python} is too old", hint="the package's code needs 3.8 or newer")
    if environment == "current" and (python or upgrade or replaces):
        raise UsageError(
            "environment 'current' is the Python at hand: it takes no other Python and no other requirements",
            hint="leave one of them out",
        )
    if gpu:
        accelerators.require({**os.environ, **env})
    else:
        accelerators.check_hidden(env)


def check_parameters(env: Mapping[str, str], secrets: Mapping[str, str]) -> None:
    """That they can be variables, are not too large, and hold no secret.

    Raises:
        UsageError: they cannot.
    """
    for name, value in env.items():
        labels.text(name, "a parameter's name")
        if len(labels.text(value, f"parameter {name}")) > LARGEST:
            raise UsageError(
                f"parameter {name} is larger than {LARGEST >> 10} KiB", hint="put it into the dataset"
            )
    child_environment(host={}, parameters=env, defaults={}, secrets=secrets, gpu=True)
    if sum(labels.written(word.encode()) for pair in env.items() for word in pair) > _PARAMETERS_LIMIT:
        raise UsageError(
            f"the parameters are larger than {_PARAMETERS_LIMIT >> 10} KiB",
            hint="put large values into the dataset",
        )


def _series(python: str) -> tuple[int, ...]:
    """The numbers of a version of Python; none of a path."""
    found = re.fullmatch(r"(\d+)(?:\.(\d+))?(?:\.\d+)?", python)
    return (int(found[1]), int(found[2] or 99)) if found else ()
