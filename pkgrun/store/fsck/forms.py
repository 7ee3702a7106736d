"""The forms of a store's keys and records: which keys there can be, and the one way in which a record is written."""

from __future__ import annotations

import re
from typing import Any, TypeVar

import orjson

from pkgrun.errors import Damaged
from pkgrun.identity import RUN_ID_PATTERN, Version
from pkgrun.records import Record
from pkgrun.store import numbers, registry
from pkgrun.store.backend import RECORD_LIMIT
from pkgrun.store.fsck.findings import Need

R = TypeVar("R", bound=Record)

_RUN = RUN_ID_PATTERN.strip("^$")
VERSION, TOMBSTONE, DATASET = numbers.RECORD, numbers.TOMBSTONE, registry.RECORD
CLAIM = re.compile(r"keys/([0-9a-f]{64})/([0-9]{8})\.json")
IN_RUN = re.compile(
    rf"runs/({_RUN})/((?:intent|outcome|heartbeat|kill|run|_results)\.json|events/[0-9]{{8}}\.jsonl)"
)
SENTENCE = re.compile(rf"gc/(condemned|open|verdict)/({_RUN})\.json")
COLLECTING = re.compile(rf"gc/(clock\.json|sweeping/{_RUN}\.json|spared/{_RUN}/[0-9a-f]{{64}}\.json)")
"""What collections write besides; of these only the existence counts."""
QUARANTINE = "gc/quarantine"


def needs_of(key: str) -> tuple[Need, ...]:
    """Whose record it is."""
    if found := VERSION.fullmatch(key) or TOMBSTONE.fullmatch(key):
        return (Need(f"{found[1]}@{Version(int(found[2]), int(found[3]))}"),)
    if found := DATASET.fullmatch(key):
        return (Need(f"{found[1]}@{int(found[2])}"),)
    if found := IN_RUN.fullmatch(key):
        return (Need(f"run {found[1]}"),)
    return ()


def parse(kind: type[R], data: bytes, key: str) -> R:
    """A record in its one form.

    Raises:
        Damaged: it is none.
    """
    if len(data) > RECORD_LIMIT:
        raise Damaged(f"{key} is larger than any record")
    record = kind.from_bytes(data, key=key)
    fields = orjson.loads(data)
    if orjson.dumps(fields, option=orjson.OPT_SORT_KEYS) != data:
        raise Damaged(f"{key} is not in canonical form")
    _check_names(record, fields, key)
    return record


def _check_names(record: Record, fields: dict[str, Any], key: str) -> None:
    """A later release writes fields that we do not know, an earlier one lacks some; both at once is none of them. Those that any
    may leave out tell nothing."""
    known = {field.alias or name: name for name, field in type(record).model_fields.items()}
    unknown, lacking = fields.keys() - known, known.keys() - fields - record.LATER
    if unknown and lacking:
        raise Damaged(f"{key} is altered: it has {min(unknown)!r}, and lacks {min(lacking)!r}")
    for alias, name in known.items():
        value = getattr(record, name)
        if isinstance(value, Record) and isinstance(fields.get(alias), dict):
            _check_names(value, fields[alias], key)
