"""The package contract: every name that a package and its pipelines agree on, in one place.

It owns the names of files, classes, methods, folders, environment variables and pipelines; the rest of pkgrun takes
them from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

TRAIN_FILE = "train.py"
MAIN_FILE = "main.py"
REQUIREMENTS_FILE = "requirements.txt"
TRAIN_REQUIREMENTS_FILE = "train_requirements.txt"
RESULTS_FILE = "_results.json"
MAIN_CLASS = "Main"

TRAINING = "training"
EVALUATION = "evaluation"
FULL = "full"
SERVING = "serving"

INIT = "__init__"
TRAIN = "train"
EVALUATE = "evaluate"
SAVE = "save"
PROCESS_DATA = "process_data"
PREDICT = "predict"

PARAMETERS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        INIT: (),
        TRAIN: ("training_directory",),
        EVALUATE: ("evaluation_directory",),
        SAVE: (),
        PROCESS_DATA: ("input_directory",),
        PREDICT: ("mlskill_input",),
    }
)
"""What each method is given besides `self`, by position."""

DATA = "data"
EVALUATION_DATA = "evaluation_data"
DATASET = "dataset"
DATASET_TRAINING = "dataset/training"
DATASET_TEST = "dataset/test"
ARTIFACTS = "artifacts"

BYTECODE_FOLDER = "__pycache__"
BYTECODE_SUFFIX = ".pyc"

ARTIFACTS_DIRECTORY = "artifacts_directory"
DATA_DIRECTORY = "data_directory"
TRAINING_DATA_DIRECTORY = "training_data_directory"
TEST_DATA_DIRECTORY = "test_data_directory"
EVALUATION_DATA_DIRECTORY = "evaluation_data_directory"
SAVE_TRAINING_DATA = "save_training_data"
SAVE_TEST_DATA = "save_test_data"
SAVE_DATA = "save_data"

TRAINING_VARIABLES: Mapping[str, str] = MappingProxyType(
    {
        ARTIFACTS_DIRECTORY: ARTIFACTS,
        DATA_DIRECTORY: DATA,
        TRAINING_DATA_DIRECTORY: DATA,
        SAVE_TRAINING_DATA: "false",
    }
)

EVALUATION_VARIABLES: Mapping[str, str] = MappingProxyType(
    {
        ARTIFACTS_DIRECTORY: ARTIFACTS,
        DATA_DIRECTORY: EVALUATION_DATA,
        TEST_DATA_DIRECTORY: EVALUATION_DATA,
        EVALUATION_DATA_DIRECTORY: EVALUATION_DATA,
        SAVE_TEST_DATA: "false",
    }
)

FULL_VARIABLES: Mapping[str, str] = MappingProxyType(
    {
        ARTIFACTS_DIRECTORY: ARTIFACTS,
        DATA_DIRECTORY: DATASET,
        TRAINING_DATA_DIRECTORY: DATASET_TRAINING,
        TEST_DATA_DIRECTORY: DATASET_TEST,
        EVALUATION_DATA_DIRECTORY: DATASET_TEST,
        SAVE_TRAINING_DATA: "true",
        SAVE_TEST_DATA: "true",
    }
)


BASELINE = "baseline"
"""The evaluation before a training: packages that are not trained yet raise there, or return nothing."""

Role = Literal["trained", "evaluated"]


@dataclass(frozen=True, slots=True)
class Step:
    """One call on the `Main` instance.

    `argument` is the folder, as the package's author knows it, or None; `role` what the call does with what is in it. `label`
    tells two calls of one method apart. A run goes on when a `tolerant` one fails.
    """

    method: str
    argument: str | None = None
    role: Role | None = None
    name: str | None = None
    tolerant: bool = False

    @property
    def label(self) -> str:
        """What the call is named by."""
        return self.name or self.method


@dataclass(frozen=True, slots=True)
class Pipeline:
    """One kind of run.

    `methods` are needed always; `unless_evaluation_set` those that an evaluation set, given apart, replaces.
    `folders` exist, empty, before `Main()` is constructed; `data` among them is where the dataset goes, `evaluation`
    where an evaluation set does that is given apart, `prepared` where the dataset does if nothing prepares it.
    """

    kind: str
    methods: tuple[str, ...]
    steps: tuple[Step, ...]
    data: str
    folders: tuple[str, ...]
    variables: Mapping[str, str]
    makes_version: bool
    unless_evaluation_set: tuple[str, ...] = ()
    evaluation: str | None = None
    prepared: str | None = None

    def calls(self, method: str) -> bool:
        """Whether the pipeline calls the method: `__init__` always."""
        return method == INIT or any(step.method == method for step in self.steps)


PIPELINES: Mapping[str, Pipeline] = MappingProxyType(
    {
        TRAINING: Pipeline(
            kind=TRAINING,
            methods=(TRAIN, SAVE),
            steps=(Step(TRAIN, f"./{DATA}", "trained"), Step(SAVE)),
            data=DATA,
            folders=(ARTIFACTS, DATA),
            variables=TRAINING_VARIABLES,
            makes_version=True,
        ),
        EVALUATION: Pipeline(
            kind=EVALUATION,
            methods=(EVALUATE,),
            steps=(Step(EVALUATE, f"./{EVALUATION_DATA}", "evaluated"),),
            data=EVALUATION_DATA,
            folders=(ARTIFACTS, EVALUATION_DATA),
            variables=EVALUATION_VARIABLES,
            makes_version=False,
        ),
        FULL: Pipeline(
            kind=FULL,
            methods=(EVALUATE, TRAIN, SAVE),
            unless_evaluation_set=(PROCESS_DATA,),
            steps=(
                Step(PROCESS_DATA, f"./{DATASET}"),
                Step(EVALUATE, f"./{DATASET_TEST}", "evaluated", BASELINE, tolerant=True),
                Step(TRAIN, f"./{DATASET_TRAINING}", "trained"),
                Step(SAVE),
                Step(EVALUATE, f"./{DATASET_TEST}", "evaluated"),
            ),
            data=DATASET,
            evaluation=DATASET_TEST,
            prepared=DATASET_TRAINING,
            folders=(ARTIFACTS, DATASET, DATASET_TRAINING, DATASET_TEST),
            variables=FULL_VARIABLES,
            makes_version=True,
        ),
    }
)

HIDDEN_FOLDERS = (*(pipeline.data for pipeline in PIPELINES.values()), ARTIFACTS)
"""Folders of a package's own that a run hides behind its own."""

TRAIN_METHODS = (INIT, TRAIN, EVALUATE, SAVE, PROCESS_DATA)
MAIN_METHODS = (INIT, PREDICT)


KEEPING: Mapping[Role, tuple[str, ...]] = MappingProxyType(
    {"trained": (SAVE_TRAINING_DATA, SAVE_DATA), "evaluated": (SAVE_TEST_DATA, SAVE_DATA)}
)
"""The variables that ask to keep a snapshot of what was trained or evaluated on as an output of the run."""


def wants_snapshot(role: Role, variables: Mapping[str, str]) -> bool:
    """Whether the variables of a run ask to keep a snapshot."""
    return any(variables.get(name, "").strip().lower() == "true" for name in KEEPING[role])
