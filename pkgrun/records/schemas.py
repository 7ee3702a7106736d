"""Every kind of record on disk, and its JSON Schema."""

from typing import Any

from pkgrun.records.collecting import Removal, Sentence, Underway, Verdict
from pkgrun.records.erasing import Receipt
from pkgrun.records.intents import Heartbeat, Intent, KeyRecord
from pkgrun.records.nodes import TreeNode
from pkgrun.records.numbered import DatasetRecord, VersionRecord
from pkgrun.records.outcomes import Outcome
from pkgrun.records.passport import Passport
from pkgrun.records.record import FORMAT, Record, StoreRecord
from pkgrun.records.runs import Results, RunRecord

STORED: dict[str, type[Record]] = {
    "store": StoreRecord,
    "tree": TreeNode,
    "version": VersionRecord,
    "dataset": DatasetRecord,
    "intent": Intent,
    "outcome": Outcome,
    "heartbeat": Heartbeat,
    "key": KeyRecord,
    "run": RunRecord,
    "results": Results,
    "removal": Removal,
    "receipt": Receipt,
    "sentence": Sentence,
    "underway": Underway,
    "verdict": Verdict,
    "passport": Passport,
}
"""Every kind of record on disk, by the name of its schema; a passport lies beside an exported version, in no store."""


def schema(name: str) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of one kind of record."""
    record = STORED[name]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"pkgrun:{name}:{FORMAT}",
        **record.model_json_schema(mode="serialization"),
    }
