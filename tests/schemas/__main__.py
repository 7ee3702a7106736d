"""Writes the schemas; those that are no kind of record any more go."""

from __future__ import annotations

from tests.schemas import FOLDER, written

files = written()
for path in FOLDER.glob("*.json"):
    if path.name not in files:
        path.unlink()
for name, text in files.items():
    (FOLDER / name).write_text(text, encoding="utf-8")
print(f"{len(files)} schemas in {FOLDER}")
