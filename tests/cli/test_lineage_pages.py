"""Lineages and histories on a page: who came from whom is drawn, what is much is counted, hostile words stay words."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pkgrun.cli import history_pages, lineage_pages
from pkgrun.identity import Version
from pkgrun.lineage.graph import Cut, Direction, Edge, Graph, Node
from pkgrun.lineage.history import Given, Happening, History
from tests.lineage.graphs import everything, family, run, run_id, version

HOSTILE = 'a\x1b[31m "b"\n<script>\u202e\x07'


def shown(capsys: pytest.CaptureFixture[str], graph: Graph, *, all: bool = False) -> list[str]:
    lineage_pages.page(graph, everything=all)
    return capsys.readouterr().out.splitlines()


def fan(children: int, evaluations: int = 0, cut: int = 0) -> Graph:
    """1.0, and so many versions and evaluations that began with it."""
    nodes: list[Node] = [version(0, how="import")]
    edges: list[Edge] = []
    for minor in range(1, children + 1):
        nodes += [version(minor), run(minor)]
        edges += [
            Edge("started-from", run_id(minor), "iris@1.0"),
            Edge("made", run_id(minor), f"iris@1.{minor}"),
        ]
    for number in range(5000, 5000 + evaluations):
        nodes.append(run(number, "evaluation", score=0.5))
        edges.append(Edge("evaluates", run_id(number), "iris@1.0"))
    cuts = (Cut("iris@1.0", "down", cut),) if cut else ()
    return Graph("iris@1.0", "down", tuple(nodes), tuple(edges), cuts)


def test_each_version_has_its_line_below_what_it_came_from(capsys: pytest.CaptureFixture[str]) -> None:
    lines = [line for line in shown(capsys, family(30)) if "●" in line]
    names = [line.partition("●")[2].split()[0] for line in lines]

    assert sorted(names) == sorted(f"iris@1.{minor}" for minor in range(30))
    assert names[0] == "iris@1.0"


def test_what_is_described_once_is_named_after_that(capsys: pytest.CaptureFixture[str]) -> None:
    lines = [line for line in shown(capsys, family(10, data=1)) if "trained on irises@1" in line]

    assert len(lines) == 9
    assert [line.endswith("10 files, 0 B") for line in lines] == [True] + [False] * 8


@pytest.mark.parametrize("cut", [0, 9_880])
def test_a_great_many_children_are_counted_and_the_newest_shown(
    capsys: pytest.CaptureFixture[str], cut: int
) -> None:
    lines = shown(capsys, fan(109, cut=cut))
    names = [line.split()[-6] for line in lines if "●" in line and "trained" in line]

    assert f"… and {97 + cut:,} more that came from it" in lines[1]
    assert len(names) == 12
    assert "iris@1.109" in lines[-1]
    assert len(lines) < 40


def test_all_shows_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert sum("●" in line for line in shown(capsys, fan(300), all=True)) == 301


def test_many_evaluations_are_counted_too(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys, fan(0, evaluations=40))

    assert sum("evaluation score 0.5" in line for line in lines) == 5
    assert "and 35 more" in lines[-1]


def test_whether_something_was_left_out_is_known() -> None:
    assert not lineage_pages.page(fan(3), everything=False)
    assert lineage_pages.page(fan(40), everything=False)


def test_a_long_descent_goes_down_and_not_to_the_right(capsys: pytest.CaptureFixture[str]) -> None:
    nodes: list[Node] = [version(minor) for minor in range(500)]
    edges = tuple(Edge("started-from", f"iris@1.{minor}", f"iris@1.{minor - 1}") for minor in range(1, 500))
    for graph in (
        Graph("iris@1.499", "up", tuple(nodes), edges),
        Graph("iris@1.0", "down", tuple(nodes), edges),
    ):
        lines = shown(capsys, graph)
        assert all(line.startswith("●") for line in lines)
        assert len(lines) == 500


@pytest.mark.parametrize("direction", ["up", "down", "both"])
def test_every_kind_of_thing_is_told_and_hostile_words_stay_words(
    capsys: pytest.CaptureFixture[str], direction: Direction
) -> None:
    text = "\n".join(shown(capsys, replace(everything(HOSTILE), direction=direction)))

    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "\\x1b[31m" in text
    assert "removed" in text
    if direction != "down":
        for words in ("not attested", "erased since", "✗  iris@9.9", "○  iris@3.0", "git no commit", "… and"):
            assert words in text, words


def happening(place: int, **given: Any) -> Happening:
    at = datetime(2026, 3, 1, tzinfo=UTC) + timedelta(hours=place)
    base = Happening(at, "training", "ann", "successful", package="iris", run=run_id(place))
    return replace(base, **given)


def test_a_history_has_a_line_for_each_thing_with_its_rail(capsys: pytest.CaptureFixture[str]) -> None:
    one, two = Version(1, 0), Version(1, 1)
    data = (Given("input", HOSTILE, "sha256:" + "a" * 64, attested=False),)
    history_pages.page(
        History(
            "iris",
            "package",
            (
                happening(0, kind="import", version=one, source=HOSTILE),
                happening(1, version=two, base=one, data=data, metrics={"accuracy": 0.5}),
                happening(2, base=one, status="failed", error=HOSTILE),
                happening(3, kind="evaluation", base=two, score=0.25),
                happening(4, kind="removal", version=two, status=None, reason=HOSTILE, by=HOSTILE),
                happening(5, kind="erasure", status=None, digest="sha256:" + "b" * 64, reason="asked"),
            ),
        )
    )
    title, *lines = capsys.readouterr().out.splitlines()

    assert title == "iris"
    assert len(lines) == 6
    assert [next(sign for sign in line if sign in "●✗○✕") for line in lines] == list("●●✗○✕✕")
    assert "1.0 → 1.1" in lines[1]
    assert "0.5 accuracy" in lines[1]
    assert "not attested" in lines[1]
    assert "training failed" in lines[2]
    assert "score 0.25" in lines[3]
    assert not any(sign in line for line in lines for sign in "\x1b\x07\u202e")


def test_a_dataset_s_history_says_what_changed_from_number_to_number(
    capsys: pytest.CaptureFixture[str],
) -> None:
    number = happening(
        1, kind="registration", package=None, number=2, added=3, removed=1, changed=1_200, files=4
    )
    used = happening(2, number=2, base=Version(1, 0), version=Version(1, 1))
    history_pages.page(History("rows", "dataset", (number, used)))
    _, *lines = capsys.readouterr().out.splitlines()

    assert "+3 -1 ~1,200" in lines[0]
    assert "iris 1.0 → 1.1" in lines[1]


def test_a_history_as_json_has_plain_versions() -> None:
    found = history_pages.document(
        History("iris", "package", (happening(1, version=Version(1, 1), base=Version(1, 0)),))
    )

    assert found["happenings"][0]["version"] == "1.1"
    assert found["happenings"][0]["base"] == "1.0"
    assert found["happenings"][0]["run_id"] == run_id(1)
