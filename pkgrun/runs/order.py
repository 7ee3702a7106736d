"""A run that was looked up and checked, and can begin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pkgrun.packages import contract
from pkgrun.records import Intent, RunRecord, TrainingRequest, VersionRecord
from pkgrun.runs.plan import Plan
from pkgrun.worker.limits import HOLDS_NOTHING, Limits

if TYPE_CHECKING:
    from pkgrun.datasets.sources import Dataset


@dataclass(frozen=True, slots=True)
class Order:
    """What `engine.run` is given.

    `evaluation` is the set that a full pipeline is given apart; `original` the run that this one does again, which makes
    no version then but a verdict.
    `cache` is the folder of work directories and environments, and of `cache_limit` bytes of datasets; `grace` the seconds between asking the package's
    code to end and ending it.
    """

    intent: Intent
    request: TrainingRequest
    base: VersionRecord
    dataset: Dataset | None
    evaluation: Dataset | None
    plan: Plan
    cache: str
    cache_limit: int
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    grace: float = 10.0
    keep_workdir: bool = False
    limits: Limits = HOLDS_NOTHING
    original: RunRecord | None = None

    @property
    def keeps_data(self) -> bool:
        """Whether a snapshot of the dataset is kept."""
        if self.plan.pipeline.kind == contract.EVALUATION:
            return self.request.save_test_data
        return self.request.save_training_data
