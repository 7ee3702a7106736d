"""Configuration, read in this one place: an argument wins over `PKGRUN_*`, that over `pkgrun.toml` or the table
`[tool.pkgrun]` of `pyproject.toml` (in this folder or the nearest above; owned by
the user or by root), that over the default.
"""

from __future__ import annotations

import os
import re
from typing import Any

from pkgrun.errors import UsageError

DEFAULT_STORE = ".pkgrun"
DEFAULT_CACHE_LIMIT = 20 * 10**9
DEFAULT_GRACE = 48 * 3600.0
"""Seconds between condemning and deleting: for who reads now, and for second thoughts. Safety does not rest on it."""
_PATHS = {"store", "cache"}
_KEYS = _PATHS | {"cache_size"}
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,6})?) ?(?:([kmgt])(i?)b?|b)?", re.IGNORECASE | re.ASCII)


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


def cache_limit(given: str | None = None) -> int:
    """How many bytes of datasets the cache keeps: `PKGRUN_CACHE_SIZE`, `cache_size` in the file, 20 GB.

    Raises:
        UsageError: it is no size, or the file is not what it should be.
    """
    found = given or os.environ.get("PKGRUN_CACHE_SIZE") or _configured("cache_size")
    if not found:
        return DEFAULT_CACHE_LIMIT
    size = size_of(found)
    if size is None:
        raise UsageError(
            f"{found!r} is no size for cache_size (PKGRUN_CACHE_SIZE)",
            hint="write 20GB, 1.5TB, 500MB, 64MiB or bytes",
        )
    return size


def size_of(text: str) -> int | None:
    """Bytes of `20GB`, `1.5TB`, `64MiB`, `500`; None of what is no size."""
    size = _SIZE.fullmatch(text.strip())
    if size is None:
        return None
    number, unit, binary = size.groups()
    return int(float(number) * (1024 if binary else 1000) ** " kmgt".index((unit or " ").lower()))


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
                if not value or key not in _PATHS or "://" in value:
                    return value
                return os.path.join(folder, os.path.expanduser(value))
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
    except RecursionError:
        raise UsageError(f"{file} is not read: its arrays or tables are too deep") from None
    for part in path:
        table = table.get(part)
        if table is None:
            return None
        if not isinstance(table, dict):
            raise UsageError(f"{file}: {part} is no table")
    if set(table) == {"parameters"}:  # it is about the package that it lies in
        return None
    return {name: _value(file, name, value) for name, value in table.items() if name != "parameters"}


def _value(file: str, name: str, value: object) -> str:
    if name == "cache_size" and type(value) is int:
        return str(value)
    if name not in _KEYS or not isinstance(value, str):
        raise UsageError(f"{file}: {name} is no setting", hint=f"the settings are {', '.join(sorted(_KEYS))}")
    return value
