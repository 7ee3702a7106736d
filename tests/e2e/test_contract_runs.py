"""What a package's code finds when it is trained, and what becomes of what it leaves: the contract, run for real."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from pkgrun import Event, Notice, RunResult
from pkgrun.errors import PackageInvalid, UsageError, UserCodeFailed

from .lab import Lab

WITNESS = """
import json, os, sys

def folders():
    found = [name for name in sorted(os.listdir(".")) if os.path.isdir(name) and name != "__pycache__"]
    return {name: sorted(os.listdir(name)) for name in found}

class Main:
    def __init__(self):
        self.seen = {
            "cwd": os.getcwd(), "path": sys.path[0], "folders": folders(), "id": id(self), "pid": os.getpid(),
            "environment": dict(os.environ),
        }

    def train(self, training_directory):
        self.seen |= {"argument": training_directory, "train": [id(self), os.getpid(), os.getcwd()]}
        self.seen["data"] = sorted(os.listdir(training_directory))

    def save(self):
        self.seen["save"] = [id(self), os.getpid(), os.getcwd()]
        with open(os.path.join(os.environ["artifacts_directory"], "seen.json"), "w") as file:
            json.dump(self.seen, file)
        with open("model.txt", "w") as file:
            file.write("a model")
"""


def body(train: str = "pass", save: str = "open('model.txt', 'w').close()") -> str:
    """A train.py whose methods do this."""
    return (
        "import json, os, sys\nclass Main:\n"
        f"    def train(self, training_directory):\n        {train}\n    def save(self):\n        {save}\n"
    )


def trained(lab: Lab, package: Path | str, **options: Any) -> RunResult:
    return lab.workspace().train(package, **options).wait(60)


def witnessed(lab: Lab, result: RunResult) -> dict[str, Any]:
    out = lab.folder / f"artifacts-{result.version}"
    lab.workspace().run(result.run_id).export_artifacts(out)
    seen: dict[str, Any] = json.loads(next(out.rglob("seen.json")).read_text())
    return seen


def facts(result: RunResult) -> Any:
    assert result.record.facts is not None
    return result.record.facts


def dataset(lab: Lab, **files: str) -> Path:
    folder = lab.folder / "dataset"
    folder.mkdir(exist_ok=True)
    for name, content in (files or {"rows.csv": "a,b\n"}).items():
        (folder / name).write_text(content)
    return folder


# ---------------------------------------------------------------- what the code finds


def test_one_instance_in_one_process_in_a_work_directory_of_its_own(lab: Lab) -> None:
    result = trained(lab, lab.package("flowers", WITNESS), data=dataset(lab, **{"rows.csv": "a"}))
    seen = witnessed(lab, result)

    assert Path(seen["cwd"]).name == "flowers"
    assert seen["cwd"] == seen["path"]
    assert seen["train"] == seen["save"] == [seen["id"], seen["pid"], seen["cwd"]]
    assert seen["argument"] == "./data"
    assert seen["data"] == ["rows.csv"]
    assert not Path(seen["cwd"]).exists()


def test_the_folders_are_there_before_main_is_constructed(lab: Lab) -> None:
    result = trained(lab, lab.package("p", WITNESS), data=dataset(lab, **{"rows.csv": "a"}))

    assert witnessed(lab, result)["folders"] == {"artifacts": [], "data": ["rows.csv"]}


def test_without_a_dataset_data_is_empty(lab: Lab) -> None:
    result = trained(lab, lab.package("p", WITNESS))

    assert witnessed(lab, result)["folders"] == {"artifacts": [], "data": []}
    assert facts(result).data is None
    assert result.results is not None
    assert result.results["parameters"]["inputs"]["train_data"] is None


def test_a_single_file_appears_under_its_name(lab: Lab) -> None:
    file = dataset(lab, **{"rows.csv": "a"}) / "rows.csv"
    result = trained(lab, lab.package("p", WITNESS), data=file)

    assert witnessed(lab, result)["data"] == ["rows.csv"]
    assert facts(result).data.tree.files == 1


def test_the_variables_of_the_pipeline_are_set(lab: Lab) -> None:
    seen = witnessed(lab, trained(lab, lab.package("p", WITNESS), env={"epochs": "3"}))["environment"]

    expected = {
        "artifacts_directory": "artifacts",
        "data_directory": "data",
        "training_data_directory": "data",
        "save_training_data": "false",
        "epochs": "3",
        "PYTHONHASHSEED": "0",
        "CUDA_VISIBLE_DEVICES": "",
    }
    assert {name: seen.get(name) for name in expected} == expected
    assert not [name for name in seen if name.startswith("PKGRUN")]


def test_parameters_override_the_variables(lab: Lab) -> None:
    given = {"data_directory": "elsewhere", "PYTHONHASHSEED": "7"}
    result = trained(lab, lab.package("p", WITNESS), env=given)
    seen = witnessed(lab, result)["environment"]

    assert {name: seen[name] for name in given} == given
    assert facts(result).hash_seed == "7"


@pytest.mark.parametrize("word", ["TRUE", "true", "True"])
def test_a_snapshot_is_asked_for_in_any_case(lab: Lab, word: str) -> None:
    package = lab.package("p", WITNESS)
    result = trained(lab, package, data=dataset(lab), env={"save_training_data": word})

    assert facts(result).snapshot == facts(result).data.tree
    assert result.results is not None
    assert result.results["run_summary"]["outputs"]["train_data"] == (
        f"{lab.store}/runs/{result.run_id}/data"
    )


def test_writing_into_the_data_reaches_neither_the_dataset_nor_the_version(lab: Lab) -> None:
    source = dataset(lab, **{"rows.csv": "a"})
    scribble = "open('data/rows.csv', 'a').write('b'); open('data/new.csv', 'w').write('c')"
    result = trained(lab, lab.package("p", body(scribble)), data=source, save_training_data=True)

    assert {file.name: file.read_text() for file in source.iterdir()} == {"rows.csv": "a"}
    assert facts(result).snapshot.files == 1
    assert not [path for path in lab.version_files("p@1.1") if path.startswith("data")]


# ---------------------------------------------------------------- artifacts


def test_a_nested_artifacts_directory(lab: Lab) -> None:
    package = lab.package("p", WITNESS)
    result = trained(lab, package, env={"artifacts_directory": "out/artifacts"})

    assert witnessed(lab, result)["folders"]["out"] == ["artifacts"]
    assert [path for path, _ in lab.workspace().run(result.run_id).artifacts()] == ["seen.json"]
    assert not [path for path in lab.version_files("p@1.1") if path.startswith("out/artifacts")]


@pytest.mark.parametrize("place", ["../outside", "/outside", ".", "", "data", "data/x", "a/../..", "./"])
def test_artifacts_outside_or_on_top_of_something_are_refused(lab: Lab, place: str) -> None:
    with pytest.raises(UsageError, match="artifacts_directory"):
        lab.workspace().train(lab.package(), env={"artifacts_directory": place})


def test_artifacts_are_kept_also_of_a_failed_run(lab: Lab) -> None:
    code = body("open('artifacts/half.txt', 'w').write('half'); raise ValueError('no')")
    run = lab.workspace().train(lab.package("p", code))
    with pytest.raises(UserCodeFailed, match=r"train\(\) raised ValueError: no"):
        run.wait(60)

    assert [path for path, _ in lab.workspace().run(run.id).artifacts()] == ["half.txt"]


# ---------------------------------------------------------------- what becomes the version


def test_the_packages_own_data_and_artifacts_are_hidden_and_come_back(lab: Lab) -> None:
    own = {"data/sample.csv": "mine", "data/deep/x": "1", "artifacts/readme": "mine too"}
    package = lab.package("p", WITNESS, own)
    result = trained(lab, package, data=dataset(lab, **{"rows.csv": "a"}))
    seen = witnessed(lab, result)

    assert seen["folders"] == {"artifacts": [], "data": ["rows.csv"]}
    before, after = lab.version_files("p@1.0"), lab.version_files("p@1.1")
    assert after == before | {"model.txt": "file"}
    assert set(own) < set(after)


def test_empty_folders_links_and_executable_bits_are_kept(lab: Lab) -> None:
    package = lab.package("p", body(), {"run.sh": "#!/bin/sh\n"})
    (package / "model").mkdir()
    (package / "run.sh").chmod(0o755)
    (package / "link").symlink_to("run.sh")
    trained(lab, package)

    kept = lab.version_files("p@1.1")
    assert (kept["model"], kept["run.sh"], kept["link"]) == ("dir", "file*", "symlink")


def test_compiled_code_is_left_out(lab: Lab) -> None:
    writes = "os.makedirs('lib/__pycache__'); open('lib/__pycache__/x.pyc', 'w'); open('y.pyc', 'w')"
    package = lab.package("p", "import helper\n" + body(writes), {"helper.py": ""})
    (package / "__pycache__").mkdir()
    (package / "__pycache__" / "old.pyc").write_bytes(b"")
    trained(lab, package)

    for version in ("1.0", "1.1"):
        names = lab.version_files(f"p@{version}")
        assert not [name for name in names if "pyc" in name]
    assert lab.version_files("p@1.1")["lib"] == "dir"


def test_what_does_not_belong_to_a_package_stays_out(lab: Lab) -> None:
    ignored = {".pkgrunignore": "*.log\n/scratch/\n!keep.log\n", "a.log": "", "keep.log": "", "scratch/x": ""}
    strangers = {".git/HEAD": "", ".venv/pyvenv.cfg": "", "tool/conda-meta/x": "", "kept/scratch/x": ""}
    lab.workspace().add(lab.package("p", body(), {**ignored, **strangers}))

    assert set(lab.version_files("p")) == {
        *(".pkgrunignore", "keep.log", "kept", "kept/scratch", "kept/scratch/x"),
        *("main.py", "requirements.txt", "train.py"),
    }


def test_files_in_new_places_are_kept_and_named(lab: Lab) -> None:
    code = body(
        "os.makedirs('catboost_info/x')", "open('model/a', 'w').write('2'); open('model/b', 'w').close()"
    )
    code += "        open('catboost_info/x/log', 'w').close()\n"
    result = trained(lab, lab.package("p", code, {"model/a": "1"}))

    changes = facts(result).changes
    assert changes.changed.names == ("model/a",)
    assert changes.added.names == ("catboost_info/x/log", "model/b")
    assert changes.unexpected.names == ("catboost_info/x/log",)


def test_a_training_that_changes_nothing_is_warned_of(lab: Lab) -> None:
    result = trained(lab, lab.package("p", body(save="pass")))

    assert [warning for warning in facts(result).warnings if "changed no file" in warning]
    assert str(result.version) == "1.1"


def test_removed_files_are_removed_and_named(lab: Lab) -> None:
    result = trained(lab, lab.package("p", body(save="os.unlink('old')"), {"old": "1"}))

    assert facts(result).changes.removed.names == ("old",)
    assert "old" not in lab.version_files("p@1.1")


def test_a_package_without_save_is_refused_before_anything_runs(lab: Lab) -> None:
    code = "class Main:\n    def train(self, training_directory): pass\n"
    with pytest.raises(PackageInvalid, match="save") as caught:
        lab.workspace().train(lab.package("p", code))

    assert caught.value.exit_code == 4
    assert list(lab.workspace().runs()) == []


def test_an_unreadable_folder_of_the_work_directory_is_removed_all_the_same(lone_lab: Lab) -> None:
    code = body("os.makedirs('artifacts/a/b'); open('artifacts/a/b/c', 'w'); os.chmod('data', 0)")
    trained(lone_lab, lone_lab.package("p", code))

    assert lone_lab.leftovers() == []


# ---------------------------------------------------------------- metrics


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('{"loss": 0.5, "rows": 3}', {"loss": 0.5, "rows": 3.0}),
        ('{"a": {"b": {"c": 1}}, "d": 2}', {"a.b.c": 1.0, "d": 2.0}),
        ('{"loss": NaN, "gain": Infinity, "fine": 1}', {"fine": 1.0}),
        ('{"huge": 1e400, "fine": 1}', {"fine": 1.0}),
        (f'{{"long": 1{"0" * 400}, "fine": 1}}', {"fine": 1.0}),
        ('{"yes": true, "word": "x", "list": [1, 2], "none": null}', {}),
        ("3", {}),
        ("[1, 2]", {}),
        ('{"": 1, "\\u001b[31m": 2}', {"\x1b[31m": 2.0}),
    ],
)
def test_metrics_are_the_finite_numbers_by_dotted_name(
    lab: Lab, content: str, expected: dict[str, float]
) -> None:
    code = body(f"open('artifacts/metrics.json', 'w').write({content!r})")

    assert facts(trained(lab, lab.package("p", code))).metrics == expected


@pytest.mark.parametrize(
    "content", ["{", "", "\\xff", "[" * 100_000, "0" * 5000, '{"\\ud800": 1}', '{"x":"' + "y" * (1 << 20)]
)
def test_metrics_that_cannot_be_read_are_kept_and_warned_of(lab: Lab, content: str) -> None:
    code = body(f"open('artifacts/metrics.json', 'wb').write({content!r}.encode('latin-1'))")
    result = trained(lab, lab.package("p", code))

    assert [path for path, _ in lab.workspace().run(result.run_id).artifacts()] == ["metrics.json"]
    assert facts(result).metrics or [one for one in facts(result).warnings if "metrics.json" in one]


def test_a_thousand_metrics_are_read_of_more(lab: Lab) -> None:
    code = body("json.dump({str(n): n for n in range(3000)}, open('artifacts/metrics.json', 'w'))")
    result = trained(lab, lab.package("p", code))

    assert len(facts(result).metrics) == 1000
    assert any("3000 metrics" in one for one in facts(result).warnings)


def test_metrics_behind_a_link_are_not_read(lab: Lab) -> None:
    code = body("open('artifacts/x', 'w').write('{}'); os.symlink('x', 'artifacts/metrics.json')")

    assert facts(trained(lab, lab.package("p", code))).metrics is None


@pytest.mark.parametrize(
    "code",
    [
        *(
            f"os.symlink({target!r}, 'artifacts/metrics.json')"
            for target in ("/etc/passwd", "../x", "/dev/zero")
        ),
        "os.mkfifo('artifacts/metrics.json')",
    ],
)
def test_artifacts_that_cannot_be_kept_are_left_out_aloud(lab: Lab, code: str) -> None:
    result = trained(lab, lab.package("p", body(code)))

    assert facts(result).metrics is None
    assert [path for path, _ in lab.workspace().run(result.run_id).artifacts()] == []
    assert any("left out: metrics.json" in one for one in facts(result).warnings)


# ---------------------------------------------------------------- options


def test_environment_current_is_the_python_at_hand(lab: Lab) -> None:
    code = body(save="open('model.txt', 'w').write(sys.executable)")
    result = trained(
        lab, lab.package("p", code, {"requirements.txt": "no-such-thing-at-all\n"}), environment="current"
    )
    environment = facts(result).environment

    assert environment.mode == "current"
    assert environment.python == ".".join(map(str, sys.version_info[:3]))
    assert environment.lock.bytes > 0


@pytest.mark.parametrize("fails", [False, True])
def test_keep_workdir_says_where_it_is(lone_lab: Lab, fails: bool) -> None:
    said: list[Event] = []
    package = lone_lab.package("p", body("raise ValueError" if fails else "pass"))
    run = lone_lab.workspace().train(package, keep_workdir=True, observer=said.append)
    if fails:
        with pytest.raises(UserCodeFailed):
            run.wait(60)
    else:
        run.wait(60)

    [kept] = [
        event.message for event in said if isinstance(event, Notice) and "work directory" in event.message
    ]
    place = Path(next(word for word in kept.split() if word.startswith(str(lone_lab.cache))))
    assert (place / "train.py").exists()
    assert lone_lab.leftovers() == [run.id]
    trained(lone_lab, lone_lab.package("other", body()))
    assert lone_lab.leftovers() == [run.id]


def test_what_the_parent_left_is_where_a_retraining_begins(lab: Lab) -> None:
    code = body(save="open('model.txt', 'a').write('x')")
    trained(lab, lab.package("p", code))
    for base, made, length in (("p", "1.2", 2), ("p@1.0", "1.3", 1), ("p@1.2", "1.4", 3), ("p@1", "1.5", 4)):
        result = trained(lab, base)
        sizes = {path: entry.bytes for path, entry in lab.workspace().files(f"p@{made}")}
        assert (str(result.version), sizes["model.txt"]) == (made, length)


def test_files_with_names_of_any_bytes_and_a_writable_data(lab: Lab) -> None:
    source = dataset(lab, **{"ü x%.csv": "1"})
    (source / os.fsdecode(b"\xff.csv")).write_text("2")
    (source / "locked.csv").write_text("3")
    (source / "locked.csv").chmod(0o444)
    code = body("[open(os.path.join('data', name), 'a').close() for name in os.listdir('data')]")
    result = trained(lab, lab.package("p", code), data=source)

    assert facts(result).data.tree.files == 3
