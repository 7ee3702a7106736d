"""Everything that is written down, as frozen values, and the one way they become bytes.

A record is canonical JSON: UTF-8, keys sorted, no white space. What is parsed here has been checked; the rest of
the code trusts the type. Records are never rewritten, so readers ignore fields that they do not know.
`schemas/README.md` says where each record lies and why. `nodes` and `schemas`, which no run needs, are not imported
here: each model's class takes a quarter of a millisecond to make.
"""

from pkgrun.records.intents import (
    Actor,
    CopyRequest,
    DatasetRequest,
    Heartbeat,
    ImportRequest,
    Intent,
    KeyRecord,
    RunKind,
    Status,
    TrainingRequest,
    WantedMount,
)
from pkgrun.records.numbered import (
    Contract,
    DatasetEntry,
    DatasetRecord,
    Environment,
    Git,
    Head,
    Origin,
    VersionEntry,
    VersionRecord,
)
from pkgrun.records.outcomes import (
    Changes,
    Confined,
    Copied,
    Data,
    Decision,
    Exit,
    Facts,
    FileList,
    Outcome,
    PhaseTime,
    RunError,
    Share,
    Usage,
    Written,
)
from pkgrun.records.record import FORMAT, Blob, Record, StoreRecord, Tree
from pkgrun.records.runs import FINAL, Results, ResultsParameters, ResultsSummary, RunRecord

__all__ = [
    "FINAL",
    "FORMAT",
    "Actor",
    "Blob",
    "Changes",
    "Confined",
    "Contract",
    "Copied",
    "CopyRequest",
    "Data",
    "DatasetEntry",
    "DatasetRecord",
    "DatasetRequest",
    "Decision",
    "Environment",
    "Exit",
    "Facts",
    "FileList",
    "Git",
    "Head",
    "Heartbeat",
    "ImportRequest",
    "Intent",
    "KeyRecord",
    "Origin",
    "Outcome",
    "PhaseTime",
    "Record",
    "Results",
    "ResultsParameters",
    "ResultsSummary",
    "RunError",
    "RunKind",
    "RunRecord",
    "Share",
    "Status",
    "StoreRecord",
    "TrainingRequest",
    "Tree",
    "Usage",
    "VersionEntry",
    "VersionRecord",
    "WantedMount",
    "Written",
]
