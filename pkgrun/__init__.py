"""pkgrun runs the training pipelines of ML packages and gives each result a version.

    import pkgrun

    ws = pkgrun.open("./store")
    result = ws.train("examples/iris", data="examples/data/iris").wait()
    print(result.version, result.metrics)

The words, used the same way everywhere:

package     a folder with `train.py` and `main.py`, each with a class `Main`; known by its name
version     `major.minor`: the content of a package at one moment, immutable; an import begins a major, a training
            makes the next minor of it
store       where versions, datasets, runs and their bytes are kept: a directory, or a prefix of an S3 bucket
run         one execution of a pipeline; it has an id, a record, a log, artifacts, and may make a version
pipeline    what is called on `Main`: training, evaluation, full
parent      the version whose content a run started from
dataset     the file or folder that a run is given at `data/`; registered, it has a name and numbers
mount       how the dataset gets to `data/` so that writing there never reaches it: overlay, reflink or copy
snapshot    a dataset's content, kept in the store as an output of a run
tree        a folder by content; its digest is its identity
pack        many small files of trees as one object of the store
artifacts   what the package's code leaves in its artifacts folder besides the model
environment the Python with a package's requirements; its lock names each installed package by version and hash
prediction  what a version's `main.py` answers to one input, tried out; nothing of it is kept
reproduction a run done again from the same, to compare what comes out; it makes no version
operation   anything that writes to the store: an intent, then one outcome
"""

from __future__ import annotations

from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from pkgrun.errors import PkgrunError
    from pkgrun.identity import Version
    from pkgrun.lineage.audited import Audit
    from pkgrun.lineage.difference import Diff
    from pkgrun.lineage.drawing import draw
    from pkgrun.lineage.erasing import Erasure
    from pkgrun.lineage.graph import Graph
    from pkgrun.lineage.history import History
    from pkgrun.lineage.overlap import Overlap
    from pkgrun.lineage.uses import Uses
    from pkgrun.observe import Event, Log, Notice, Observer, Phase, Progress
    from pkgrun.packages.inspection import check
    from pkgrun.records import DatasetRecord, Listing, Reproduction, RunRecord, VersionRecord
    from pkgrun.runs.comparison import Comparison
    from pkgrun.runs.exporting import Exported
    from pkgrun.runs.handle import Run, RunResult
    from pkgrun.runs.predicting import Prediction
    from pkgrun.runs.registering import Registered
    from pkgrun.workspace import Workspace, open
    from pkgrun.workspace.stores import copy_store

_HOMES = {
    "PkgrunError": "errors",
    "Audit": "lineage.audited",
    "Diff": "lineage.difference",
    "Erasure": "lineage.erasing",
    "Graph": "lineage.graph",
    "History": "lineage.history",
    "draw": "lineage.drawing",
    "Event": "observe",
    "Log": "observe",
    "Notice": "observe",
    "Observer": "observe",
    "Phase": "observe",
    "Progress": "observe",
    "check": "packages.inspection",
    "DatasetRecord": "records",
    "Listing": "records",
    "Reproduction": "records",
    "RunRecord": "records",
    "Version": "identity",
    "VersionRecord": "records",
    "Comparison": "runs.comparison",
    "Exported": "runs.exporting",
    "Overlap": "lineage.overlap",
    "Uses": "lineage.uses",
    "Prediction": "runs.predicting",
    "Run": "runs.handle",
    "RunResult": "runs.handle",
    "Registered": "runs.registering",
    "Workspace": "workspace",
    "open": "workspace",
    "copy_store": "workspace.stores",
}

__all__ = [
    "Audit",
    "Comparison",
    "DatasetRecord",
    "Diff",
    "Erasure",
    "Event",
    "Exported",
    "Graph",
    "History",
    "Listing",
    "Log",
    "Notice",
    "Observer",
    "Overlap",
    "Phase",
    "PkgrunError",
    "Prediction",
    "Progress",
    "Registered",
    "Reproduction",
    "Run",
    "RunRecord",
    "RunResult",
    "Uses",
    "Version",
    "VersionRecord",
    "Workspace",
    "__version__",
    "check",
    "copy_store",
    "draw",
    "open",
]


def __getattr__(name: str) -> object:
    """Import a public name when it is first used: `import pkgrun` costs nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
