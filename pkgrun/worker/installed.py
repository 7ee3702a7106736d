"""Whether what is installed is what was: the files of an environment against the hashes that each package's `RECORD` lists.

It changes nothing. Who alters a file and its `RECORD` is not seen, nor is a file that no package lists.
"""

from __future__ import annotations

import base64
import csv
import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

_AT_ONCE = 4


def altered(python: Path) -> list[str]:
    """The files that are gone or not as they were installed, by their path below `site-packages`.

    Args:
        python: the interpreter of a virtual environment.
    """
    found: list[str] = []
    places = python.parent.parent.glob("lib*/python*/site-packages")
    for folder in sorted({place.resolve() for place in places}):  # lib64 may be a link to lib
        listed = sorted({*_listed(folder)})
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            same = pool.map(partial(_same, folder), listed)
            found += [name for (name, _), good in zip(listed, same, strict=True) if not good]
    return found


def _listed(folder: Path) -> Iterator[tuple[str, str]]:
    """Each file that a package lists with its hash; what is written later, as compiled code is, has none. A list that
    cannot be read has none that is right."""
    for info in folder.glob("*.dist-info"):
        try:
            with (info / "RECORD").open(newline="", encoding="utf-8") as lines:
                rows = list(csv.reader(lines))
        except (OSError, UnicodeDecodeError, csv.Error):
            yield f"{info.name}/RECORD", ""
            continue
        for row in rows:
            if len(row) > 1 and row[1].startswith("sha256="):
                yield row[0], row[1].removeprefix("sha256=")


def _same(folder: Path, listed: tuple[str, str]) -> bool:
    name, told = listed
    try:
        with (folder / name).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").digest()
    except (OSError, ValueError):  # no such file, or no name of one
        return False
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == told
