"""Configuration, read in this one place: an argument wins over `PKGRUN_*`, that over `pkgrun.toml` or the table
`[tool.pkgrun]` of `pyproject.toml` (in this folder or the nearest above; owned by
the user or by root), that over the default.
"""

from __future__ import annotations

import os
from typing import Any

from pkgrun.errors import UsageError

DEFAULT_STORE = ".pkgrun"
_KEYS = {"store", "cache"}


def store_location(given: str | None = None) -> str:
    """Where the store is: `--store`, `PKGRUN_STORE`, `store` in the file, `./.pkgrun`.

    Raises:
        UsageError: the file is not what it should be.
    """
    return given or os.environ.get("PKGRUN_STORE") or _configured("store") or DEFAULT_STORE


def cache_folder(given: str | None = None) -> str:
    """Where environments and work directories are: `PKGRUN_CACHE`, `cache` in the file, the platform's cache folder.

    Raises:
        UsageError: the file is not what it should be.
    """
    found = given or os.environ.get("PKGRUN_CACHE") or _configured("cache")
    if found:
        return os.path.abspath(os.path.expanduser(found))
    from platformdirs import user_cache_dir

    return user_cache_dir("pkgrun", appauthor=False)


def _configured(key: str) -> str | None:
    try:
        folder = os.getcwd()
    except FileNotFoundError:  # somebody removed it
        return None
    while True:
        for name, path in (("pkgrun.toml", ()), ("pyproject.toml", ("tool", "pkgrun"))):
            table = _table(os.path.join(folder, name), path)
            if table is not None:
                value = table.get(key)
                return (
                    os.path.join(folder, os.path.expanduser(value)) if value and "://" not in value else value
                )
        above = os.path.dirname(folder)
        if above == folder:
            return None
        folder = above


def _table(file: str, path: tuple[str, ...]) -> dict[str, str] | None:
    """The table of a file, checked; None if the file has none."""
    try:
        # A stranger's file above this folder must not say where our environments come from.
        if not os.path.isfile(file) or os.stat(file).st_uid not in {os.getuid(), 0}:
            return None
        with open(file, "rb") as opened:
            data = opened.read()
    except OSError:
        return None
    if path and b"tool.pkgrun" not in data:
        return None
    import tomllib

    try:
        table: Any = tomllib.loads(data.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} is not TOML: {error}") from error
    for part in path:
        table = table.get(part)
        if table is None:
            return None
        if not isinstance(table, dict):
            raise UsageError(f"{file}: {part} is no table")
    for name, value in table.items():
        if name not in _KEYS or not isinstance(value, str):
            raise UsageError(
                f"{file}: {name} is no setting", hint=f"the settings are {', '.join(sorted(_KEYS))}"
            )
    return dict(table)
