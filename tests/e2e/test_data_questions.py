"""Who saw a file, and is the test data clean: asked by content, as a person and as a program ask it."""

from __future__ import annotations

import json
import os
import re
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

import pkgrun
from pkgrun.errors import NotFound, UsageError
from pkgrun.lineage.relations import Named
from pkgrun.lineage.uses import used_by
from pkgrun.store.objects import digest_of
from pkgrun.store.root import open_store
from tests.processes import race
from tests.servers import Server

from .lab import EXAMPLES, Lab
from .test_startup import FAR_DATASETS, NETWORKS, PAGES, RUNNING, loaded

LEARNER = """
import os

class Main:
    def train(self, training_directory):
        self.model = str(sorted(os.listdir(training_directory)))

    def save(self):
        with open("model.txt", "a") as file:
            file.write(self.model)

    def evaluate(self, evaluation_directory):
        return 0.5
"""


@pytest.fixture
def trained(lab: Lab) -> Lab:
    """A lab where `p` 1.1 was trained on `old`, 1.2 on `grown`, which holds the same moved, and was evaluated on `test`."""
    ws = lab.workspace()
    ws.add(lab.package("p", LEARNER))
    for folder, files in {
        "old": {"rows.csv": "1,2\n", "empty": ""},
        "grown": {"2025/rows.csv": "1,2\n", "2026/rows.csv": "3,4\n"},
        "test": {"held-out.csv": "5,6\n", "leak.csv": "3,4\n", "empty": ""},
        "clean": {"held-out.csv": "5,6\n"},
    }.items():
        for name, text in files.items():
            place = lab.folder / folder / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
    ws.train("p@1.0", data="old", environment="current").wait(60)
    ws.train("p@1.1", data="grown", environment="current").wait(60)
    ws.evaluate("p@1.2", data="test", environment="current").wait(60)
    ws.datasets.add("rows", "grown")
    return lab


def test_a_file_is_asked_for_and_all_who_saw_it_are_told(trained: Lab) -> None:
    found = trained.workspace().used_by(trained.folder / "old" / "rows.csv")
    assert isinstance(found, pkgrun.Uses)
    assert [(use.role, use.path, str(use.version or use.dataset)) for use in found.uses] == [
        ("input", "rows.csv", "1.1"),
        ("input", "2025/rows.csv", "1.2"),
        ("dataset", "2025/rows.csv", "rows@1"),
    ]
    assert all(use.attested for use in found.uses)
    assert found.trained == [Named("p", pkgrun.Version(1, 1)), Named("p", pkgrun.Version(1, 2))]


def test_folders_names_and_digests_are_asked_for_alike(trained: Lab) -> None:
    ws = trained.workspace()
    by_folder = ws.used_by("grown/2026")
    assert by_folder.content.kind == "directory"
    assert [(use.role, use.path) for use in by_folder.uses] == [("input", "2026"), ("dataset", "2026")]
    for named in ("rows/2026", "rows@1/2026", by_folder.content.digest):
        assert ws.used_by(named).uses == by_folder.uses, named
    verified = ws.used_by("grown/2026", verify=True)
    assert (verified.uses, verified.verified) == (by_folder.uses, True)


def test_a_registered_name_goes_before_a_path_and_that_is_told(trained: Lab) -> None:
    (trained.folder / "rows").write_text("something else")
    done = trained.pkgrun("data", "used-by", "rows")
    assert "a registered dataset and also a path here" in done.err
    assert "rows@1" in done.out
    assert "no version was trained on it" in trained.pkgrun("data", "used-by", "./rows").out


def test_what_nobody_saw_is_an_answer_and_what_is_no_digest_is_not(trained: Lab) -> None:
    done = trained.pkgrun("data", "used-by", "sha256:" + "0" * 64)
    assert "no version was trained on it" in done.out
    for text in (
        "sha256:",
        "sha256:12",
        "sha256:" + "G" * 64,
        "sha256:" + "A" * 64,
        "sha256:" + "0" * 64 + "\n",
    ):
        with pytest.raises(UsageError, match="is no digest"):
            trained.workspace().used_by(text)
    with pytest.raises(NotFound):
        trained.workspace().used_by("nowhere")


def test_the_page_has_a_row_for_each_use_and_below_it_who_inherits(trained: Lab) -> None:
    page = trained.pkgrun("data", "used-by", "old").out
    lines = [
        re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d", "WHEN", " ".join(line.split())) for line in page.splitlines()
    ]
    assert lines[3:] == [
        "version role when path dataset",
        f"p@1.1 input WHEN (all of it) {trained.folder}/old",
        "p@1.2 inherits WHEN",
        "",
        "1 version was trained on it, 1 inherits it",
    ]
    assert "\n  p@1.2  " in page


def test_a_program_gets_one_document(trained: Lab) -> None:
    document = json.loads(trained.pkgrun("data", "used-by", "test/leak.csv", "--json").out)
    assert document["trained"] == ["p@1.2"]
    assert document["evaluated"] == ["p@1.2"]
    assert [(use["role"], use["version"], use["path"]) for use in document["uses"]] == [
        ("input", "1.2", "2026/rows.csv"),
        ("evaluated", None, "leak.csv"),
        ("dataset", None, "2026/rows.csv"),
    ]
    assert document["descendants"] == []
    assert document["unlisted"] == []
    assert document["foreign"] == []


def test_an_overlap_fails_the_check_and_names_the_files(trained: Lab) -> None:
    done = trained.pkgrun("data", "overlap", "--train", "p@1.2", "--test", "test", code=3)
    assert "1 of 2 files (50 %) was seen in the making of p@1.2 and what it comes from" in done.out
    assert "1 empty file left out" in done.out
    document = json.loads(
        trained.pkgrun("data", "overlap", "--train", "p", "--test", "test", "--json", code=3).out
    )
    assert document["clean"] is False
    assert [(one["path"], one["version"], one["train_path"]) for one in document["overlap"]] == [
        ("leak.csv", "p@1.2", "2026/rows.csv")
    ]


def test_clean_test_data_passes_the_check(trained: Lab) -> None:
    done = trained.pkgrun("data", "overlap", "--train", "p@1.2", "--test", "clean")
    assert done.out == "no file of 1 was seen in the making of p@1.2 and what it comes from\n"
    found = trained.workspace().overlap("p@1.1", trained.folder / "test")
    assert isinstance(found, pkgrun.Overlap)
    assert found.clean


def test_test_data_may_be_one_file_by_its_digest(trained: Lab) -> None:
    leaked, unseen, unknown = (digest_of(text) for text in (b"3,4\n", b"5,6\n", b"never"))
    check = ("data", "overlap", "--train", "p@1.2", "--test")
    assert "1 of 1 file (100 %) was seen" in trained.pkgrun(*check, leaked, code=3).out
    assert "no file of 1 was seen" in trained.pkgrun(*check, unseen).out
    assert "does not know what is in it" in trained.pkgrun(*check, unknown, code=2).err


def test_an_import_from_another_store_may_have_seen_it(trained: Lab, tmp_path: Path) -> None:
    trained.workspace().export("p@1.1", tmp_path / "out", form="aicenter")
    trained.env["PKGRUN_STORE"] = str(tmp_path / "elsewhere")
    trained.pkgrun("package", "add", str(tmp_path / "out" / "p_v1.1.zip"))
    asked = trained.pkgrun("data", "used-by", "old/rows.csv")
    assert asked.out.endswith("of p_v1.1@1.0 it cannot be said: what it comes from is in another store\n")
    document = trained.document("data", "used-by", "old/rows.csv")
    assert document["foreign"] == ["p_v1.1@1.0"]
    assert "nobody can say" in trained.pkgrun("erase", "old/rows.csv").err


def test_names_of_any_bytes_are_told(lab: Lab) -> None:
    ws = lab.workspace()
    ws.add(lab.package("p", LEARNER))
    (lab.folder / "odd").mkdir()
    names = [b"100%", b"\xff\xfe", "ä".encode(), b"new\nline", b"\x1b[31m"]
    for name in names:
        (Path(os.fsdecode(os.path.join(os.fsencode(lab.folder / "odd"), name)))).write_bytes(name)
    ws.train("p@1.0", data="odd", environment="current").wait(60)
    for name in names:
        path = os.path.join(os.fsencode(lab.folder / "odd"), name)
        (use,) = ws.used_by(os.fsdecode(path)).uses
        assert os.fsencode(use.path) == name
        assert "p@1.1" in lab.pkgrun("data", "used-by", os.fsdecode(path)).out
        assert json.loads(lab.pkgrun("data", "used-by", os.fsdecode(path), "--json").out)["uses"]


def test_several_who_ask_at_once_all_get_the_answer(trained: Lab) -> None:
    digest = trained.workspace().used_by("old/rows.csv").content.digest
    cache = trained.folder / "fresh"

    def ask(number: int, barrier: Barrier) -> int:
        store = open_store(str(trained.store), create=False, cache=str(cache))
        barrier.wait()
        return len(used_by(store, digest).uses)

    assert race(4, ask) == [3, 3, 3, 3]


def test_a_question_loads_nothing_that_runs(trained: Lab) -> None:
    there = loaded(trained, "data", "used-by", "sha256:" + "0" * 64, "--json")
    assert not there & {*FAR_DATASETS, *NETWORKS, *PAGES, *set(RUNNING) - {"subprocess"}}


def test_a_store_on_a_server_answers_alike(lab: Lab, ministack: Server) -> None:
    lab.env.update(ministack.env, PKGRUN_STORE=f"{ministack.url}/team/asked")
    train = ("train", "--data", EXAMPLES / "data" / "iris", "--environment", "current", "-q")
    lab.pkgrun(*train, EXAMPLES / "iris")
    for version in ("iris@1.1", "iris@1.2"):
        document = lab.document("data", "used-by", EXAMPLES / "data" / "iris" / "iris.csv", "--json")
        assert document["trained"][-1] == version
        assert not document["unlisted"]
        lab.pkgrun(*train, "iris")
    test = ("--test", EXAMPLES / "data" / "iris")
    assert lab.pkgrun("data", "overlap", "--train", "iris@1.2", *test, code=3).out
