"""The full pipeline as its users see it: what is there before each call, in which order, and what is made of it."""

from __future__ import annotations

import os

import pytest

from pkgrun import Event, Notice
from pkgrun.errors import PackageInvalid

from .lab import Lab, minors
from .scripted import SCRIPTED, SPLIT, dataset, full, unprepared

ORDER = ["init", "process_data", "baseline", "train", "save", "evaluate"]
EMPTY = ["artifacts/", "dataset/", "dataset/test/", "dataset/training/"]
MOUNTS = ["overlay", "copy"]

# ---------------------------------------------------------------- what the code finds


@pytest.mark.parametrize("mount", MOUNTS)
def test_one_instance_makes_all_calls_in_order_on_what_process_data_made(lab: Lab, mount: str) -> None:
    found = full(lab, data=dataset(lab), env={"on_process_data": SPLIT}, mount=mount)

    assert found.names == ORDER
    assert len({(call["instance"], call["process"]) for call in found.calls}) == 1
    assert [call["given"] for call in found.calls] == [
        *(None, "./dataset", "./dataset/test", "./dataset/training", None, "./dataset/test"),
    ]
    assert found.there("init") == found.there("process_data") == sorted([*EMPTY, "dataset/rows.csv"])
    split = sorted([*found.there("init"), "dataset/test/b.csv", "dataset/training/a.csv"])
    assert found.there("baseline") == found.there("train") == found.there("evaluate") == split
    assert str(found.record.version) == "1.1"


@pytest.mark.parametrize("mount", MOUNTS)
def test_an_evaluation_set_is_at_dataset_test_before_main_is_constructed(lab: Lab, mount: str) -> None:
    held_out = dataset(lab, "held-out", {"deep/b.csv": "2", "hollow/": ""})
    found = full(lab, data=dataset(lab), evaluation_data=held_out, mount=mount)

    given = ["dataset/test/deep/", "dataset/test/deep/b.csv", "dataset/test/hollow/", "dataset/rows.csv"]
    assert found.names == ORDER
    assert found.there("init") == sorted([*EMPTY, *given])
    assert found.passed[0] == ("baseline", "evaluated", 1, True)


@pytest.mark.parametrize("mount", MOUNTS)
def test_without_process_data_the_dataset_lies_at_dataset_training_and_that_is_said(
    lab: Lab, mount: str
) -> None:
    """The two lie side by side, as they do with most people."""
    data, held_out = dataset(lab, "churn/training"), dataset(lab, "churn/test", {"b.csv": "2"})
    heard: list[Event] = []
    options = {"data": data, "evaluation_data": held_out, "mount": mount, "observer": heard.append}
    found = full(lab, unprepared(lab), **options)

    assert [event.message for event in heard if isinstance(event, Notice)][-1:] == [
        "the package has no process_data, so the dataset lies at dataset/training as it is"
    ]
    assert found.names == ["init", "baseline", "train", "save", "evaluate"]
    assert found.there("init") == sorted([*EMPTY, "dataset/test/b.csv", "dataset/training/rows.csv"])


def test_without_a_dataset_the_folders_are_there_and_empty(lab: Lab) -> None:
    found = full(lab)

    assert (found.record.status, found.there("init")) == ("successful", EMPTY)
    assert found.passed == [
        *(
            ("baseline", "evaluated", 0, True),
            ("train", "trained", 0, True),
            ("evaluate", "evaluated", 0, True),
        ),
    ]
    assert found.results["parameters"]["inputs"]["train_data"] is None
    assert found.results["parameters"]["inputs"]["evaluation_data"] == "None"


@pytest.mark.parametrize("prepares", [True, False])
def test_an_evaluation_set_without_a_dataset(lab: Lab, prepares: bool) -> None:
    package = lab.package("p", SCRIPTED) if prepares else unprepared(lab)
    found = full(lab, package, evaluation_data=dataset(lab))

    assert found.record.status == "successful"
    assert found.there("init") == sorted([*EMPTY, "dataset/test/rows.csv"])


def test_single_files_appear_under_their_names(lab: Lab) -> None:
    file = dataset(lab) / "rows.csv"
    found = full(lab, data=file, evaluation_data=file)

    assert found.there("init") == sorted([*EMPTY, "dataset/rows.csv", "dataset/test/rows.csv"])


@pytest.mark.parametrize("mount", MOUNTS)
def test_a_dataset_that_is_split_already_is_found_so(lab: Lab, mount: str) -> None:
    """Packages look whether dataset/test is empty; folders that are there stay, and are nobody's writing."""
    data = dataset(lab, files={"training/a": "1", "test/b": "2"})
    found = full(lab, data=data, mount=mount)

    assert found.there("init") == sorted([*EMPTY, "dataset/test/b", "dataset/training/a"])
    assert found.facts.data is not None
    assert found.facts.data.written is not None
    assert not any(part.count for _, part in found.facts.data.written)


@pytest.mark.parametrize("mount", MOUNTS)
def test_an_empty_test_folder_of_the_dataset_is_room_for_an_evaluation_set(lab: Lab, mount: str) -> None:
    data = dataset(lab, files={"test/": "", "rows.csv": "1"})
    found = full(lab, data=data, evaluation_data=dataset(lab, "held-out", {"b": "2"}), mount=mount)

    assert found.there("init") == sorted([*EMPTY, "dataset/rows.csv", "dataset/test/b"])
    assert found.facts.data is not None
    assert found.facts.data.tree.files == 1
    assert os.listdir(data / "test") == []


def test_the_variables_have_both_names_of_the_evaluation_set(lab: Lab) -> None:
    found = full(lab).environment

    wanted = {
        "artifacts_directory": "artifacts",
        "data_directory": "dataset",
        "training_data_directory": "dataset/training",
        "test_data_directory": "dataset/test",
        "evaluation_data_directory": "dataset/test",
        "save_training_data": "true",
        "save_test_data": "true",
    }
    assert {name: found.get(name) for name in wanted} == wanted


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize("mount", MOUNTS)
@pytest.mark.parametrize("name", ["training", "test"])
def test_a_file_where_the_run_has_a_folder_is_refused(lab: Lab, name: str, mount: str) -> None:
    data = dataset(lab, files={name: "a file"})
    for given in (data, data / name):
        found = full(lab, data=given, mount=mount if given == data else "auto")
        assert found.record.error is not None
        assert (found.record.status, found.record.error.kind, found.calls) == ("failed", "usage", [])
        assert f"file {name}, where the full pipeline has a folder" in found.record.error.message
        assert found.record.error.hint == "rename it"


@pytest.mark.parametrize("prepares", [True, False])
def test_an_evaluation_set_beside_a_test_folder_with_files_is_refused(lab: Lab, prepares: bool) -> None:
    package = lab.package("p", SCRIPTED) if prepares else unprepared(lab)
    data = dataset(lab, files={"rows.csv": "1", "test/b.csv": "2"})
    found = full(lab, package, data=data, evaluation_data=dataset(lab, "held-out"))

    assert found.record.error is not None
    assert (found.record.error.kind, found.calls, found.record.version) == ("usage", [], None)
    assert "has a folder test/ with files of its own, and an evaluation set is given too" in (
        found.record.error.message
    )


def test_a_package_that_makes_no_evaluation_set_needs_one(lab: Lab) -> None:
    package = unprepared(lab)
    with pytest.raises(PackageInvalid, match="its Main has no process_data") as caught:
        lab.workspace().full(package, data=dataset(lab), environment="current")
    assert caught.value.hint == "with --evaluation-data it needs no process_data"
    assert list(lab.workspace().runs()) == []


@pytest.mark.parametrize("method", ["evaluate", "train", "save"])
def test_a_package_without_one_of_the_others_is_refused(lab: Lab, method: str) -> None:
    package = lab.package("p", SCRIPTED.replace(f"def {method}(", f"def _{method}("))
    with pytest.raises(PackageInvalid, match=f"no {method}") as caught:
        lab.workspace().full(package, evaluation_data=dataset(lab), environment="current")
    assert "evaluation-data" not in str(caught.value.hint)


# ---------------------------------------------------------------- the evaluation before the training


@pytest.mark.parametrize(
    ("does", "returns", "said"),
    [
        ("raise ValueError('not trained')", "1", "raised ValueError: not trained"),
        ("sys.exit(3)", "1", "called sys.exit(3)"),
        ("raise MemoryError", "1", "raised MemoryError"),
        ("raise type('Odd', (Exception,), {'__str__': None})", "1", "Odd"),
        ("", "None", "returned no finite number but None, so there is no baseline score"),
        ("", "float('nan')", "nan or infinity, so there is no baseline score"),
    ],
)
def test_a_baseline_that_fails_is_a_warning(lab: Lab, does: str, returns: str, said: str) -> None:
    found = full(lab, env={"on_baseline": does, "baseline_returns": returns})

    assert (found.record.status, str(found.record.version)) == ("successful", "1.1")
    assert (found.facts.baseline_score, found.facts.score) == (None, 0.5)
    assert found.warned(said), found.facts.warnings
    assert found.outputs["score"] == 0.5


@pytest.mark.parametrize("does", ["os._exit(3)", "os.kill(os.getpid(), 11)"])
def test_a_baseline_that_takes_the_process_with_it_fails_the_run_and_says_the_way_out(
    lab: Lab, does: str
) -> None:
    found = full(lab, env={"on_baseline": does})

    assert found.record.error is not None
    assert (found.record.status, found.record.error.phase) == ("failed", "baseline")
    assert found.record.error.message.startswith("evaluate(), before the training,")
    assert "--no-baseline" in str(found.record.error.hint)


def test_both_scores_are_recorded(lab: Lab) -> None:
    found = full(lab, env={"baseline_returns": "0.25", "evaluate_returns": "0.75"})

    assert (found.facts.baseline_score, found.facts.score, found.outputs["score"]) == (0.25, 0.75, 0.75)
    result = found.run.wait()
    assert (result.baseline_score, result.score) == (0.25, 0.75)


def test_no_baseline_leaves_it_out(lab: Lab) -> None:
    found = full(lab, baseline=False, env={"on_baseline": "raise ValueError"})

    assert found.names == ["init", "process_data", "train", "save", "evaluate"]
    assert (found.facts.baseline_score, found.facts.score) == (None, 0.5)


def test_the_last_evaluation_fails_the_run(lab: Lab) -> None:
    found = full(lab, data=dataset(lab), env={"on_evaluate": "raise ValueError('late')"})

    assert found.record.error is not None
    assert (found.record.status, found.record.error.phase) == ("failed", "evaluate")
    assert (found.facts.score, found.outputs["score"]) == (None, None)
    assert minors(lab.store, "p") == [0]


def test_an_empty_evaluation_set_is_warned_of_once(lab: Lab) -> None:
    found = full(lab, data=dataset(lab))

    assert [one for one in found.facts.warnings if "dataset/test is empty" in one] == [
        "dataset/test is empty: what is evaluated there says nothing"
    ]
