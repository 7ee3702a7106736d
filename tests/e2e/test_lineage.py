"""Lineages and histories of real trainings, as a person asks for them and as a program gets them."""

from __future__ import annotations

import json
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

import pkgrun
from pkgrun.errors import NotFound, PkgrunError
from pkgrun.lineage.graph import DataNode, EnvironmentNode, MissingNode, RunNode, VersionNode

from .lab import EXAMPLES, Lab
from .scripted import SCRIPTED, SPLIT, dataset, full
from .test_display import final_screen, terminal

IRIS = EXAMPLES / "data" / "iris" / "iris.csv"


@pytest.fixture
def three(lab: Lab) -> Lab:
    """iris, trained for three generations on a dataset that grows; 1.2 is evaluated, 1.1 was tried without data."""
    ws = lab.workspace()
    folder = lab.folder / "irises"
    folder.mkdir()
    lines = IRIS.read_text().splitlines(keepends=True)
    shutil.copytree(EXAMPLES / "iris", lab.folder / "iris", ignore=shutil.ignore_patterns("__pycache__"))
    ws.add(lab.folder / "iris")
    for generation in (1, 2, 3):
        (folder / "iris.csv").write_text("".join(lines[: 50 * generation + 1]))
        (folder / f"note-{generation}.txt").write_text("x")
        ws.datasets.add("irises", folder)
        ws.train("iris", data=f"irises@{generation}", environment="current").wait(60)
    ws.evaluate("iris@1.2", data=IRIS.parent, environment="current").wait(60)
    with pytest.raises(PkgrunError):
        ws.train("iris@1.1", environment="current").wait(60)
    return lab


def nodes(graph: pkgrun.Graph, kind: type[Any]) -> list[Any]:
    return [node for node in graph.nodes if isinstance(node, kind)]


def test_which_data_made_this_model(three: Lab) -> None:
    graph = three.workspace().lineage("iris@1.3")

    assert [node.id for node in graph.versions] == ["iris@1.3", "iris@1.2", "iris@1.1", "iris@1.0"]
    assert [node.names for node in nodes(graph, DataNode)] == [("irises@3",), ("irises@2",), ("irises@1",)]
    given = [edge for edge in graph.edges if edge.kind == "trained-on"]
    assert all(edge.attested and edge.source and edge.source.startswith("irises@") for edge in given)
    assert [node.kind for node in nodes(graph, RunNode)] == ["training"] * 3
    assert len(nodes(graph, EnvironmentNode)) == 1
    assert isinstance(graph.node("iris@1.0"), VersionNode)


def test_what_came_from_this_model(three: Lab) -> None:
    graph = three.workspace().lineage("iris@1.1", direction="down")

    assert {node.id for node in graph.versions} == {"iris@1.1", "iris@1.2", "iris@1.3"}
    [evaluation] = [node for node in nodes(graph, RunNode) if node.kind == "evaluation"]
    assert evaluation.score is not None
    assert all(node.status == "successful" for node in nodes(graph, RunNode))


def test_a_page_fits_its_terminal_and_says_where_it_all_came_from(three: Lab) -> None:
    with terminal(three, "lineage", "iris@1.3", width=80) as shown:
        lines = final_screen(shown.read_all())

    assert all(len(line) <= 80 for line in lines)
    told = "\n".join(lines)
    for words in ("●  iris@1.3  trained", "trained on irises@2", "with Python", "from ", "accuracy"):
        assert words in told, told


def test_every_format_is_written(three: Lab) -> None:
    assert three.pkgrun("lineage", "iris", "--format", "dot").out.startswith("digraph")
    assert three.pkgrun("lineage", "iris", "--format", "mermaid", "--both").out.startswith("flowchart LR")
    ET.fromstring(three.pkgrun("lineage", "iris@1.2", "--both", "--format", "svg").out)  # noqa: S314  # our own
    whole = three.document("lineage", "iris@1.2", "--both")
    assert whole == json.loads(three.pkgrun("lineage", "iris@1.2", "--both", "--format", "json").out)
    assert {node["what"] for node in whole["nodes"]} >= {"version", "run", "data", "environment", "source"}

    done = three.document("lineage", "iris", "--out", "new/iris.svg")
    assert done["format"] == "svg"
    ET.parse(three.folder / "new" / "iris.svg")  # noqa: S314
    assert "there already" in three.pkgrun("lineage", "iris", "--out", "new/iris.svg", code=7).err


def test_calls_that_mean_nothing_are_refused(three: Lab) -> None:
    assert "which format" in three.pkgrun("lineage", "iris", "--out", "a.png", code=2).err
    assert "exclude" in three.pkgrun("lineage", "iris", "--json", "--format", "svg", code=2).err
    assert "no iris@7" in three.pkgrun("lineage", "iris@7.0", code=6).err
    assert "used-by irises" in three.pkgrun("lineage", "irises", code=6).err
    assert "no package or dataset" in three.pkgrun("history", "nobody", code=6).err
    with pytest.raises(NotFound):
        three.workspace().lineage("iris@1.9")
    with pytest.raises(pkgrun.PkgrunError, match="direction"):
        three.workspace().lineage("iris@1.1", direction="sideways")  # type: ignore[arg-type]


def test_what_is_far_is_left_out_and_said_so(three: Lab) -> None:
    ended = three.pkgrun("lineage", "iris@1.3", "--depth", "1")

    assert "… and what it came from" in ended.out
    assert "--depth" in ended.err
    assert "iris@1.1" not in ended.out
    below = three.pkgrun("lineage", "iris@1.0", "--down", "--depth", "1").out
    assert "… and 1 more that came from it" in below


def test_what_a_full_pipeline_made_of_its_data_is_in_its_lineage(lab: Lab) -> None:
    seen = full(lab, data=dataset(lab), env={"on_process_data": SPLIT})
    graph = lab.workspace().lineage(f"p@{seen.record.version}", depth=0)

    told = {edge.kind: (edge.source or edge.folder) for edge in graph.edges if edge.attested is not None}
    assert told["trained-on"] == "dataset/training"
    assert told["evaluated-on"] == "dataset/test"
    assert told["given"] == str(dataset(lab))


def test_a_version_keeps_its_ancestors_when_it_goes_to_another_store(three: Lab) -> None:
    three.pkgrun("package", "export", "iris@1.2", "out", "--format", "aicenter")
    zip, metadata = three.folder / "out" / "iris_v1.2.zip", three.folder / "out" / "iris_v1.2_metadata.json"
    pkgrun.open(three.folder / "other").add(zip, metadata=metadata)
    found = three.document("--store", "other", "lineage", "iris")

    foreign = [node for node in found["nodes"] if node["what"] == "foreign"]
    assert [node["version"] for node in foreign] == ["1.2", None, None]
    page = three.pkgrun("--store", "other", "lineage", "iris").out
    assert "○  iris@1.2  of the store" in page

    # And back: the version that it was is known again.
    three.pkgrun("package", "add", zip, "--metadata", metadata, "--name", "returned")
    assert "iris@1.2" in [node.id for node in three.workspace().lineage("returned").versions]
    below = three.workspace().lineage("iris@1.2", direction="down")
    assert "returned" in {node.package for node in below.versions}


def test_a_removed_version_and_a_lost_record_are_shown(three: Lab) -> None:
    ws = three.workspace()
    ws.remove("iris@1.2", reason="bad labels", force=True)
    page = three.pkgrun("lineage", "iris@1.3").out
    assert "removed just now" in page
    assert "bad labels" in page

    (three.store / "packages" / "iris" / "00000001" / "00000001.json").unlink()
    graph = ws.lineage("iris@1.2")
    assert [node.id for node in nodes(graph, MissingNode)] == ["iris@1.1"]
    assert "✗  iris@1.1  there is no iris@1.1" in three.pkgrun("lineage", "iris@1.2").out


def test_a_damaged_record_elsewhere_keeps_nobody_from_looking_up(three: Lab) -> None:
    ws = three.workspace()
    ws.add(three.package("other"))
    (three.store / "packages" / "other" / "00000001" / "00000000.json").write_text("{")
    ended = three.pkgrun("lineage", "iris@1.3")

    assert "trained on irises@3" in ended.out
    assert "packages/other/00000001/00000000.json" in ended.err
    assert "packages/other" in (ws.lineage("iris@1.3").doubt or "")
    assert "packages/other" in three.pkgrun("lineage", "iris@1.0", "--down", code=8).err


def test_what_happened_to_a_package(three: Lab) -> None:
    three.workspace().remove("iris@1.3", reason="bad labels")
    found = three.workspace().history("iris")

    assert isinstance(found, pkgrun.History)
    assert [(one.kind, one.status) for one in found.happenings] == [
        ("import", "successful"),
        *[("training", "successful")] * 3,
        ("evaluation", "successful"),
        ("training", "failed"),
        ("removal", None),
    ]
    assert [given.name for one in found.happenings[1:4] for given in one.data] == [
        "irises@1",
        "irises@2",
        "irises@3",
    ]
    lines = three.pkgrun("history", "iris").out.splitlines()
    for line, words in zip(
        lines[1:],
        ("imported", "1.0 → 1.1", "1.1 → 1.2", "1.2 → 1.3", "evaluated", "failed", "bad labels"),
        strict=True,
    ):
        assert words in line, line
    assert len(three.document("history", "iris", "--limit", "2")["happenings"]) == 2
    assert "5 before that" in three.pkgrun("history", "iris", "-n", "2").err


def test_what_happened_to_a_dataset(three: Lab) -> None:
    found = three.document("history", "irises")["happenings"]

    numbers = [one for one in found if one["kind"] == "registration"]
    assert [(one["added"], one["removed"], one["changed"]) for one in numbers[1:]] == [(1, 0, 1), (1, 0, 1)]
    used = {(one["number"], one["base"], one["version"]) for one in found if one["kind"] == "training"}
    assert used == {(1, "1.0", "1.1"), (2, "1.1", "1.2"), (3, "1.2", "1.3")}
    assert "+1 -0 ~1" in three.pkgrun("history", "irises").out


def test_a_reproduction_stands_beside_what_it_did_again(three: Lab) -> None:
    ws = three.workspace()
    done = ws.reproduce("iris@1.1").wait(60).record.reproduced
    assert done is not None
    graph = ws.lineage("iris@1.0", direction="down")

    [again] = [node for node in nodes(graph, RunNode) if node.kind == "reproduction"]
    [edge] = [edge for edge in graph.edges if edge.kind == "reproduces"]
    assert (edge.subject, again.verdict) == (again.id, done.verdict)
    assert f"reproduction {again.verdict}" in three.pkgrun("lineage", "iris@1.0", "--down").out
    last = ws.history("iris").happenings[-1]
    assert (last.kind, str(last.version), last.verdict) == ("reproduction", "1.1", done.verdict)


def test_a_name_that_means_both_is_said(three: Lab) -> None:
    three.workspace().datasets.add("iris", IRIS.parent)

    assert "also a dataset" in three.pkgrun("history", "iris").err
    assert three.document("history", "dataset:iris")["what"] == "dataset"


def test_a_run_that_goes_on_is_seen_below_its_version(lab: Lab) -> None:
    go = lab.mark("go")
    package = lab.package("w", SCRIPTED)
    ws = lab.workspace()
    ws.add(package)
    waits = f"import time\nwhile not os.path.exists({str(go)!r}): time.sleep(0.01)"
    run = ws.train("w@1.0", env={"on_train": waits}, environment="current")
    try:
        graph = ws.lineage("w@1.0", direction="down")
        assert [node.id for node in nodes(graph, RunNode)] == [run.id]
        assert ws.history("w").happenings[-1].status in ("scheduled", "packaging", "queued", "running")
    finally:
        go.touch()
        run.wait(60)


def test_what_only_one_of_two_stores_knows_is_nobody_else_s(three: Lab, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        pkgrun.open(tmp_path / "empty").lineage("iris@1.1")
