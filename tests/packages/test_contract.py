"""The names that packages and pipelines agree on: what every pipeline promises must fit together."""

from __future__ import annotations

import pytest

from pkgrun.packages import contract
from pkgrun.packages.contract import PIPELINES, Pipeline

EVERY = pytest.mark.parametrize("pipeline", PIPELINES.values(), ids=PIPELINES)


@EVERY
def test_every_folder_that_a_call_or_a_variable_names_exists_before_main(pipeline: Pipeline) -> None:
    given = {step.argument.removeprefix("./") for step in pipeline.steps if step.argument}
    named = {value for name, value in pipeline.variables.items() if name.endswith("_directory")}

    assert given | named <= set(pipeline.folders)
    assert pipeline.data in pipeline.folders


@EVERY
def test_folders_come_before_those_inside_them(pipeline: Pipeline) -> None:
    for number, folder in enumerate(pipeline.folders):
        above = folder.rpartition("/")[0]
        assert not above or above in pipeline.folders[:number]


@EVERY
def test_both_names_of_the_evaluation_set_have_one_value(pipeline: Pipeline) -> None:
    variables = pipeline.variables

    assert variables.get("test_data_directory") == variables.get("evaluation_data_directory")


@EVERY
def test_no_two_calls_have_one_name(pipeline: Pipeline) -> None:
    labels = [step.label for step in pipeline.steps]

    assert len(set(labels)) == len(labels)


def test_the_calls_of_each_pipeline_in_their_order() -> None:
    calls = {
        kind: [(step.label, step.method, step.argument) for step in one.steps]
        for kind, one in PIPELINES.items()
    }
    assert calls == {
        "training": [("train", "train", "./data"), ("save", "save", None)],
        "evaluation": [("evaluate", "evaluate", "./evaluation_data")],
        "full": [
            ("process_data", "process_data", "./dataset"),
            ("baseline", "evaluate", "./dataset/test"),
            ("train", "train", "./dataset/training"),
            ("save", "save", None),
            ("evaluate", "evaluate", "./dataset/test"),
        ],
    }


def test_only_the_evaluation_before_the_training_may_fail() -> None:
    tolerant = {(kind, step.label) for kind, one in PIPELINES.items() for step in one.steps if step.tolerant}

    assert tolerant == {("full", "baseline")}


def test_which_pipelines_make_a_version() -> None:
    assert {kind for kind, one in PIPELINES.items() if one.makes_version} == {"training", "full"}


@pytest.mark.parametrize("word", ["true", "True", "TRUE", "tRuE", " true\n"])
def test_a_snapshot_is_wanted_in_any_case(word: str) -> None:
    assert contract.wants_snapshot("trained", {"save_training_data": word})
    assert contract.wants_snapshot("trained", {"save_data": word})
    assert contract.wants_snapshot("evaluated", {"save_test_data": word})
    assert contract.wants_snapshot("evaluated", {"save_data": word})
    assert not contract.wants_snapshot("trained", {"save_test_data": word})
    assert not contract.wants_snapshot("evaluated", {"save_training_data": word})


@pytest.mark.parametrize("word", ["false", "", "0", "1", "yes", "truetrue"])
def test_everything_else_is_no(word: str) -> None:
    assert not contract.wants_snapshot("trained", {"save_training_data": word, "save_data": word})


@pytest.mark.parametrize(
    ("kind", "trained", "evaluated"),
    [("training", False, False), ("evaluation", False, False), ("full", True, True)],
)
def test_what_is_kept_by_default(kind: str, trained: bool, evaluated: bool) -> None:
    variables = PIPELINES[kind].variables

    assert contract.wants_snapshot("trained", variables) == trained
    assert contract.wants_snapshot("evaluated", variables) == evaluated


def test_what_a_run_hides_is_every_folder_of_its_own() -> None:
    tops = {folder.split("/")[0] for one in PIPELINES.values() for folder in one.folders}

    assert tops == set(contract.HIDDEN_FOLDERS)
