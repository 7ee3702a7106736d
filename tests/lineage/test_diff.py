"""`pkgrun diff`: what leads from one version, run or dataset to another, in depth."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from pkgrun.errors import NotFound, PkgrunError, UsageError
from pkgrun.lineage.difference import Diff
from tests.e2e.lab import Lab
from tests.lineage.audited import generations

RUNS = """
import os, json

class Main:
    def __init__(self):
        self.artifacts = os.environ["artifacts_directory"]

    def train(self, training_directory):
        with open(os.path.join(self.artifacts, "metrics.json"), "w") as file:
            json.dump({"accuracy": float(os.environ.get("accuracy", "0.5")), "loss": 1.0}, file)

    def save(self):
        with open("model.txt", "a") as file:
            file.write("trained\\n")
"""


@pytest.fixture(name="kept", scope="module")
def _kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("diff")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PKGRUN_CACHE", str(folder / "cache"))
        patch.delenv("PKGRUN_STORE", raising=False)
        patch.chdir(folder)
        yield generations(Lab(folder, folder / "cache"))


def files(found: Diff) -> dict[str, str]:
    assert found.files.changes is not None, found.files.why
    return {one.path: one.how for one in found.files.changes}


def facts(found: Diff, topic: str) -> dict[str, tuple[object, object]]:
    section = next(section for section in found.sections if section.topic == topic)
    return {one.name: (one.before, one.after) for one in section.changes}


def test_two_generations_differ_in_what_was_asked_given_and_made(kept: Lab) -> None:
    found = kept.workspace().diff("p@1.1", "p@1.2", patch=True)
    (model,) = found.files.changes or ()
    assert (model.path, model.how, model.before, model.after) == ("model.txt", "changed", 23, 46)
    assert (model.patch or "").split("\n")[:2] == ["--- a/model.txt", "+++ b/model.txt"]
    assert "+['rows.csv', 'sub']two" in (model.patch or "")
    assert facts(found, "parameters") == {"mark": ("one", "two")}
    (data,) = found.data
    assert (data.same, data.one and data.one.source, data.other and data.other.source) == (
        False,
        "rows@1",
        "rows@2",
    )
    assert [(one.path, one.how) for one in data.files.changes or ()] == [("rows.csv", "changed")]
    assert {section.topic for section in found.sections if section.same} == {
        "results",
        "requirements",
        "environment",
    }
    assert not found.same


def test_the_same_is_the_same(kept: Lab) -> None:
    found = kept.workspace().diff("p@1.2", "p@1.2")
    assert (found.same, found.files.changes) == (True, ())
    assert all(one.same for one in found.data)
    assert all(one.same for one in found.sections)


def test_data_is_compared_by_what_the_store_knows_of_it_when_it_is_gone(lab: Lab) -> None:
    data, workspace = lab.folder / "data", lab.workspace()
    data.mkdir()
    (data / "a.csv").write_text("a")
    workspace.train(lab.package("p"), data=data, environment="current").wait(60)
    (data / "a.csv").write_text("other")
    (data / "b.csv").write_text("b")
    workspace.train("p@1.1", data=data, environment="current").wait(60)
    for file in data.iterdir():
        file.unlink()
    (found,) = workspace.diff("p@1.1", "p@1.2").data
    assert [(one.path, one.how, one.before, one.after) for one in found.files.changes or ()] == [
        ("a.csv", "changed", 1, 5),
        ("b.csv", "added", None, 1),
    ]


def test_a_metric_that_got_better_is_marked(lab: Lab) -> None:
    workspace = lab.workspace()
    package = lab.package("p", RUNS)
    data = lab.package("data")
    workspace.train(package, data=data, environment="current", env={"accuracy": "0.5"}).wait(60)
    workspace.train("p@1.1", data=data, environment="current", env={"accuracy": "0.75"}).wait(60)
    for names, better in ((("p@1.1", "p@1.2"), "other"), (("p@1.2", "p@1.1"), "one")):
        found = workspace.diff(*names)
        results = next(section for section in found.sections if section.topic == "results")
        assert [(one.name, one.better) for one in results.changes] == [("accuracy", better)]


def test_runs_are_compared_as_versions_are(kept: Lab) -> None:
    workspace = kept.workspace()
    evaluation, *_, first = [run.run for run in workspace.runs()]
    found = workspace.diff(first[:23], evaluation[:23])
    assert (found.one.label, found.other.what) == ("p@1.1", "run")
    assert facts(found, "results")["score"] == (None, 2.0)


def test_an_import_has_no_run_to_compare(kept: Lab) -> None:
    found = kept.workspace().diff("p@1.0", "p@1.1")
    assert files(found) == {"model.txt": "added"}
    told = {section.topic: section.why for section in found.sections}
    assert told["environment"] == told["results"] == "p@1.0 had none: it was made by import"
    assert facts(found, "circumstances")["made by"] == ("import", "training")


def test_datasets_and_folders_are_compared_by_their_files(kept: Lab) -> None:
    workspace = kept.workspace()
    assert files(workspace.diff("rows@1", "rows")) == {"rows.csv": "changed"}
    assert files(workspace.diff("rows@1/sub", "rows@2/sub")) == {}
    assert files(workspace.diff("rows@2", "./rows")) == {"large.bin": "added"}
    assert files(workspace.diff("./rows", "rows@2")) == {"large.bin": "removed"}
    assert workspace.diff("./rows", str(kept.folder / "rows")).same
    with pytest.raises(UsageError, match="single file"):
        workspace.diff("rows@1/rows.csv", "rows@2")


def test_a_packages_version_goes_before_a_dataset_of_that_name(lab: Lab) -> None:
    workspace = lab.workspace()
    workspace.add(lab.package("same"))
    data = lab.folder / "data"
    data.mkdir()
    (data / "d.csv").write_text("d")
    workspace.datasets.add("same", data)
    (data / "e.csv").write_text("e")
    workspace.datasets.add("same", data)
    assert workspace.diff("same@1", "same@1").one.what == "version"
    assert workspace.diff("same@2", "same@2").one.what == "dataset"  # there is no version 2
    found = workspace.diff("same", "dataset:same@1")
    assert (found.one.what, found.other.label) == ("version", "same@1")
    assert files(workspace.diff("dataset:same@1", "dataset:same")) == {"e.csv": "added"}


@pytest.mark.parametrize(
    "name", ["p@1.9", "rows@9", "nothing", "dataset:p@1", "dataset:nothing", "./nothing", "0000"]
)
def test_what_is_nowhere_is_not_found(kept: Lab, name: str) -> None:
    with pytest.raises(NotFound):
        kept.workspace().diff("p@1.0", name)


def test_a_number_that_a_dataset_has_not_is_no_package(kept: Lab) -> None:
    with pytest.raises(NotFound, match="no dataset rows@9"):
        kept.workspace().diff("rows@9", "rows")


def test_a_run_that_made_none_says_whose_files_are_shown(lab: Lab) -> None:
    code = "class Main:\n    def evaluate(self, evaluation_directory): return 1.0\n"
    run = lab.workspace().evaluate(lab.package("p", code)).wait(60).run_id
    assert "that it started from; it made none" in lab.pkgrun("diff", run, "p@1.0").out
    assert lab.document("diff", run, "p@1.0")["one"]["holds"] == "started-from"


@pytest.mark.parametrize(
    "name", ["", "p@", "@", "p@1.0.0", "\0", "dataset:", "a/../b@1", "sha256:" + "0" * 64]
)
def test_what_can_mean_nothing_is_refused_with_its_reason(kept: Lab, name: str) -> None:
    with pytest.raises(PkgrunError) as raised:
        kept.workspace().diff("p@1.0", name)
    assert raised.value.kind != "bug"


def test_of_a_removed_version_the_rest_is_compared(lab: Lab) -> None:
    generations(lab)
    lab.workspace().remove("p@1.1", force=True)
    found = lab.workspace().diff("p@1.1", "p@1.2")
    assert (found.files.changes, found.files.why) == (None, "the content of p@1.1 was removed")
    assert facts(found, "parameters") == {"mark": ("one", "two")}
    assert [one.path for one in found.data[0].files.changes or ()] == ["rows.csv"]


def test_the_way_from_any_tree_to_any_other_is_what_a_walk_of_both_tells(lab: Lab) -> None:
    chosen, workspace = random.Random(6), lab.workspace()
    before: dict[str, bytes] = {}
    for number in range(1, 7):
        now = dict(before)
        for _ in range(6):
            path = "/".join(chosen.choice("abc") for _ in range(chosen.randint(1, 3))) + ".txt"
            if now.pop(path, None) is None or chosen.random() < 0.5:
                now[path] = os.urandom(chosen.randint(0, 9))
        folder = lab.folder / str(number)
        write(folder, now)
        workspace.datasets.add("d", folder)
        if number > 1 and now != before:
            found = workspace.diff(f"dataset:d@{number - 1}", str(folder))
            expected = dict.fromkeys(before.keys() - now.keys(), "removed")
            expected |= dict.fromkeys(now.keys() - before.keys(), "added")
            expected |= {path: "changed" for path in before.keys() & now.keys() if before[path] != now[path]}
            assert files(found) == expected
        before = now


def write(folder: Path, content: dict[str, bytes]) -> None:
    folder.mkdir()
    for path, data in content.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)


# ---------------------------------------------------------------------- the command


def test_the_command_shows_it_and_prints_nothing_that_a_terminal_obeys(lab: Lab) -> None:
    nasty = "\x1b[31mred\x1b[0m\n\x07bell\n"
    lab.workspace().add(lab.package("p", files={"a.txt": "one\n", "\x1b[31mname": "x"}))
    lab.workspace().add(lab.package("p", files={"a.txt": nasty, "\x1b[31mname": "y"}))
    told = lab.pkgrun("diff", "p@1.0", "p@2.0", "--patch")
    assert "\x1b" not in told.out
    assert "\x07" not in told.out
    assert "2 files changed" in told.out
    assert r"+\x1b[31mred\x1b[0m" in told.out
    document = lab.document("diff", "p@1.0", "p@2.0")
    assert (document["same"], document["files"]["same"], document["environment"]["same"]) == (
        False,
        False,
        True,
    )
    assert "patch" not in document["files"]["changes"][0]


def test_lines_of_what_is_no_text_are_not_told(lab: Lab) -> None:
    package = lab.package("p", files={"large.txt": "a" * (1 << 17), "end.txt": "no end"})
    (package / "binary").write_bytes(b"\0\1")
    lab.workspace().add(package)
    (package / "binary").write_bytes(b"\0\2")
    (package / "large.txt").write_text("b" * (1 << 17))
    (package / "end.txt").write_text("no end\n")
    (package / "new.txt").write_text("new\n")
    lab.workspace().add(package)
    found = {
        one.path: one.patch for one in lab.workspace().diff("p@1.0", "p@2.0", patch=True).files.changes or ()
    }
    assert (found["binary"], found["large.txt"]) == (None, None)
    assert (found["end.txt"] or "").split("\n")[3:] == ["-no end", "\\ No newline at end of file", "+no end"]
    assert (found["new.txt"] or "").split("\n") == ["--- /dev/null", "+++ b/new.txt", "@@ -0,0 +1 @@", "+new"]


def test_the_lines_of_folders_are_told_too(kept: Lab, tmp_path: Path) -> None:
    for folder, text in (("one", "a\n"), ("other", "b\n")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "t.txt").write_text(text)
    found = kept.workspace().diff(str(tmp_path / "one"), str(tmp_path / "other"), patch=True)
    (change,) = found.files.changes or ()
    assert (change.patch or "").split("\n")[2:] == ["@@ -1 +1 @@", "-a", "+b"]


def test_a_name_cannot_be_taken_for_lines(lab: Lab, tmp_path: Path) -> None:
    name = "x\n+++ b/main.py\n@@ -1 +1 @@\n-good\n+bad"
    for folder, target in (("one", "a"), ("other", "b\n+evil")):
        (tmp_path / folder / "x\n+++ b").mkdir(parents=True)
        (tmp_path / folder / name).write_text(target[:1] + "\n")
        (tmp_path / folder / "link").symlink_to(target)
    found = lab.workspace().diff(str(tmp_path / "one"), str(tmp_path / "other"), patch=True)
    link, file = found.files.changes or ()
    assert (file.patch or "").split("\n")[2:] == ["@@ -1 +1 @@", "-a", "+b"]
    assert (file.patch or "").startswith(r'--- "a/x\n+++ b/main.py')
    assert (link.patch or "").split("\n")[2:] == ["@@ -1 +1,2 @@", "-a", "+b", "++evil"]
