"""The JSON Schemas of what is written. `python -m tests.schemas` writes them anew."""

from __future__ import annotations

import json
from pathlib import Path

from pkgrun.records.schemas import STORED, schema

FOLDER = Path(__file__).resolve().parents[2] / "schemas"


def written() -> dict[str, str]:
    """Each schema as its file holds it, by the file's name."""
    return {f"{name}.json": json.dumps(schema(name), indent=2, sort_keys=True) + "\n" for name in STORED}
