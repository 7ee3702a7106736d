"""From the kind of a run to what will be done: a function of the version, the parameters and what is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from pkgrun.errors import PackageInvalid, UsageError
from pkgrun.identity import Version
from pkgrun.packages.contract import PIPELINES
from pkgrun.records import Contract, VersionRecord
from pkgrun.runs.plan import Plan, plan
from tests.store.entries import entry

ALL = ("train", "evaluate", "save", "process_data")


def version(methods: Sequence[str] = ALL, pipelines: Sequence[str] = tuple(PIPELINES)) -> VersionRecord:
    able = Contract(methods=tuple(methods), pipelines=tuple(pipelines), servable=True)
    return VersionRecord(**entry(contract=able).model_dump(), version=Version(1, 0), previous=None)


def planned(
    kind: str, parameters: Mapping[str, str] | None = None, methods: Sequence[str] = ALL, **options: Any
) -> Plan:
    return plan(kind, version(methods), parameters or {}, **options)


UNPREPARED = ("train", "evaluate", "save")


@pytest.mark.parametrize(
    ("kind", "data", "folders", "inside"),
    [
        ("training", "data", ("artifacts", "data"), ()),
        ("evaluation", "evaluation_data", ("artifacts", "evaluation_data"), ()),
        ("full", "dataset", ("artifacts", "dataset"), ("dataset/training", "dataset/test")),
    ],
)
def test_folders(kind: str, data: str, folders: tuple[str, ...], inside: tuple[str, ...]) -> None:
    found = planned(kind)

    assert (found.data, found.folders, found.inside, found.evaluation) == (data, folders, inside, None)


def test_an_evaluation_set_lies_in_the_dataset() -> None:
    found = planned("full", evaluation_set=True)

    assert (found.data, found.evaluation, found.prepares) == ("dataset", "dataset/test", True)
    assert found.evaluation in found.inside


def test_without_process_data_the_dataset_lies_beside_the_evaluation_set() -> None:
    found = planned("full", methods=UNPREPARED, evaluation_set=True)

    assert (found.data, found.evaluation, found.prepares) == ("dataset/training", "dataset/test", False)
    assert found.folders == ("artifacts", "dataset", "dataset/training", "dataset/test")
    assert found.inside == ()
    assert [step.label for step in found.steps] == ["baseline", "train", "save", "evaluate"]


def test_only_what_the_code_prepared_is_looked_at() -> None:
    looked_at = [call.name for call in planned("full").calls if call.looked_at]

    assert looked_at == ["baseline", "train", "evaluate"]
    for found in (planned("training"), planned("full", methods=UNPREPARED, evaluation_set=True)):
        assert not any(call.looked_at for call in found.calls)


def test_calls() -> None:
    assert [(call.method, call.arguments, call.name, call.tolerant) for call in planned("full").calls] == [
        ("process_data", ("./dataset",), "process_data", False),
        ("evaluate", ("./dataset/test",), "baseline", True),
        ("train", ("./dataset/training",), "train", False),
        ("save", (), "save", False),
        ("evaluate", ("./dataset/test",), "evaluate", False),
    ]


def test_no_baseline() -> None:
    without = planned("full", baseline=False)

    assert [step.label for step in without.steps] == ["process_data", "train", "save", "evaluate"]
    assert planned("training", baseline=False) == planned("training")


@pytest.mark.parametrize("kind", PIPELINES)
def test_parameters_override_the_variables(kind: str) -> None:
    found = planned(kind, {"data_directory": "elsewhere", "epochs": "3"})

    assert found.variables == {**PIPELINES[kind].variables, "data_directory": "elsewhere", "epochs": "3"}


def test_other_artifacts() -> None:
    found = planned("evaluation", {"artifacts_directory": "./out//artifacts/"})

    assert (found.artifacts, found.folders) == ("out/artifacts", ("out/artifacts", "evaluation_data"))


@pytest.mark.parametrize("kind", PIPELINES)
@pytest.mark.parametrize(
    "place", ["", ".", "..", "a/../..", "/a", "{data}", "{data}/x", "./{data}/../{data}", "a\0b"]
)
def test_artifacts_that_are_no_folder_of_their_own(kind: str, place: str) -> None:
    with pytest.raises(UsageError, match="artifacts_directory"):
        planned(kind, {"artifacts_directory": place.format(data=PIPELINES[kind].data)})


@pytest.mark.parametrize(
    "place", ["dataset", "dataset/test", "dataset/test/x", "dataset/training", "dataset/x"]
)
def test_artifacts_in_the_dataset_of_a_package_that_prepares_nothing(place: str) -> None:
    with pytest.raises(UsageError, match="artifacts_directory"):
        planned("full", {"artifacts_directory": place}, UNPREPARED, evaluation_set=True)


@pytest.mark.parametrize(
    ("kind", "missing"),
    [
        *(("training", name) for name in ("train", "save")),
        ("evaluation", "evaluate"),
        *(("full", name) for name in ("train", "save", "evaluate", "process_data")),
    ],
)
def test_a_missing_method_is_named(kind: str, missing: str) -> None:
    with pytest.raises(PackageInvalid, match=f"cannot run the {kind} pipeline .its Main has no {missing}"):
        planned(kind, methods=[name for name in ALL if name != missing])


def test_two_missing_methods_are_named() -> None:
    with pytest.raises(PackageInvalid, match="no train, no process_data") as caught:
        planned("full", methods=("evaluate", "save"))
    assert "--evaluation-data" not in str(caught.value.hint)


def test_a_pipeline_that_the_check_ruled_out() -> None:
    """For another reason than a missing method: a wrong signature, or a file that cannot be parsed."""
    with pytest.raises(PackageInvalid, match="cannot run the full pipeline") as caught:
        plan("full", version(pipelines=("training",)), {}, evaluation_set=True)
    assert "package check" in str(caught.value.hint)


def test_a_package_without_process_data_says_the_way_out() -> None:
    with pytest.raises(PackageInvalid) as caught:
        planned("full", methods=UNPREPARED)
    assert caught.value.hint == "with --evaluation-data it needs no process_data"


def test_parameters_are_not_changed() -> None:
    parameters = {"x": "1"}
    planned("full", parameters)

    assert parameters == {"x": "1"}
