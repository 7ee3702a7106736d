"""Pictures of lineages: whole in every format, whatever words others have put into names, paths and branches."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pkgrun.errors import Conflict, UsageError
from pkgrun.lineage.drawing import draw, save
from pkgrun.lineage.drawing.picture import clipped, picture, visible
from pkgrun.lineage.graph import Edge, Graph

from .graphs import everything, family, version

HOSTILE = (
    'a "quote" and a \\ backslash\\',
    "<script>alert(1)</script>",
    "</title></svg><script>x</script>",
    "line\nbreak\r\tand \x1b[31mred\x1b[0m\x07",
    '"] --> n1; click n0 "javascript:x"',
    "`markdown` **bold** #35; %% end",
    "\u202etxt.exe\u2066 \ud800 \x00",
    "]]> &amp; &lt; \\N \\G 漢字 e\u0301 🦊",
    "",
)

_QUOTED = r'"(?:[^"\\\n]|\\.)*"'
_VALUE = rf"(?:{_QUOTED}|[A-Za-z0-9.#]+)"
_ATTRIBUTES = rf"\[\w+={_VALUE}(?:, \w+={_VALUE})*\]"
DOT_LINE = re.compile(
    rf"digraph {_QUOTED} \{{|  rankdir=LR;|  (?:node|edge) {_ATTRIBUTES};|  n\d+ {_ATTRIBUTES};"
    rf"|  n\d+ -> n\d+(?: {_ATTRIBUTES})?;|\}}"
)
"""What this project writes of the language of Graphviz, which takes it: `dot` was given these very graphs."""

_WORDS = r'"(?:[^\W_]|[ ._\-/@:,()+…=]|#\d+;|<br/>)*"'
_SHAPE = rf"(?:\({_WORDS}\)|\(\[{_WORDS}\]\)|\[\({_WORDS}\)\]|\[{_WORDS}\]|>{_WORDS}\]|\{{\{{{_WORDS}\}}\}})"
MERMAID_LINE = re.compile(
    rf"flowchart LR|  accTitle: [^#\n]*|  n\d+{_SHAPE}|  n\d+ (?:-->|-\.->)(?:\|{_WORDS}\|)? n\d+"
    r"|  classDef \w+ [\w:#,. -]+|  class n\d+ \w+"
)
SVG = "{http://www.w3.org/2000/svg}"


def check_dot(text: str) -> None:
    assert text.endswith("}\n")
    for line in text.splitlines():
        assert DOT_LINE.fullmatch(line), line


def check_mermaid(text: str) -> None:
    for line in text.splitlines():
        assert MERMAID_LINE.fullmatch(line), line


def check_svg(text: str) -> ET.Element:
    """Well-formed, without anything that acts, and with words for who cannot see it."""
    root = ET.fromstring(text.encode())  # noqa: S314  # it is our own
    names = {element.tag.removeprefix(SVG) for element in root.iter()}
    assert names <= {"svg", "title", "desc", "style", "defs", "marker", "path", "rect", "g", "text"}
    attributes = {name for element in root.iter() for name in element.attrib}
    assert not any(name.startswith("on") or "href" in name for name in attributes)
    assert root.find(f"{SVG}title") is not None
    assert root.find(f"{SVG}desc") is not None
    assert "\x1b" not in text
    return root


@pytest.mark.parametrize("words", HOSTILE, ids=ascii)
def test_hostile_words_stay_words_in_every_format(words: str) -> None:
    graph = everything(words)

    check_dot(draw(graph, "dot"))
    check_mermaid(draw(graph, "mermaid"))
    root = check_svg(draw(graph, "svg"))
    told = {element.text for element in root.iter(f"{SVG}text")}
    assert clipped(visible(words)) in told or not words
    assert json.loads(draw(graph, "json"))["about"] == "iris@1.1"


@given(st.text(st.characters(codec=None), max_size=60))
def test_any_words_can_be_drawn(words: str) -> None:
    graph = everything(words)

    check_dot(draw(graph, "dot"))
    check_mermaid(draw(graph, "mermaid"))
    check_svg(draw(graph, "svg"))
    draw(graph, "json").encode()


@pytest.mark.parametrize("size", [1, 2, 9, 120])
def test_histories_of_any_size_can_be_drawn(size: int) -> None:
    graph = family(size)

    check_dot(draw(graph, "dot"))
    check_mermaid(draw(graph, "mermaid"))
    root = check_svg(draw(graph, "svg"))
    titles = [element.text or "" for element in root.iter(f"{SVG}title")]
    for node in graph.versions:
        assert any(title.split("\n")[0] == node.id for title in titles), node.id


def test_the_whole_of_a_long_name_is_told_where_one_points() -> None:
    words = "/a/very/long/path/that/nobody/could/read/in/a/box/of/any/width/rows"
    root = check_svg(draw(everything(words), "svg"))
    shown = [element.text for element in root.iter(f"{SVG}text")]

    assert words not in shown
    assert any(f"\n{words}" in (element.text or "") for element in root.iter(f"{SVG}title"))


def test_what_is_left_out_stands_in_the_picture() -> None:
    graph = everything("x")

    assert {box.title for box in picture(graph).boxes if box.kind == "more"} == {"and 97 more", "and more"}
    assert "and 97 more" in draw(graph, "svg")


def test_arrows_go_the_way_that_time_goes() -> None:
    flows = {edge.kind: edge.flow for edge in everything("x").edges}

    assert flows["made"][1] == "iris@1.1"
    assert flows["started-from"][1] == flows["trained-on"][1] == flows["made"][0]


def test_json_says_everything_of_each_node_and_edge() -> None:
    found = json.loads(draw(everything("x"), "json"))

    assert {node["what"] for node in found["nodes"]} == {
        "version", "run", "data", "environment", "source", "commit", "foreign", "missing",
    }  # fmt: skip
    [edge] = [edge for edge in found["edges"] if edge["kind"] == "trained-on"]
    assert edge["attested"] is False
    assert (edge["from"], edge["to"]) == (edge["object"], edge["subject"])
    assert found["left_out"][0] == {"of": "iris@1.1", "direction": "down", "count": 97}


def test_lineages_that_go_round_in_a_circle_are_drawn() -> None:
    nodes = (version(0), version(1), version(2))
    ring = [
        ("iris@1.0", "iris@1.1"),
        ("iris@1.1", "iris@1.2"),
        ("iris@1.2", "iris@1.0"),
        ("iris@1.1", "iris@1.1"),
    ]
    edges = tuple(Edge("started-from", one, other) for one, other in ring)
    check_svg(draw(Graph("iris@1.0", "up", nodes, edges), "svg"))


def test_a_picture_is_saved_whole_and_never_over_what_is_there(tmp_path: Path) -> None:
    save(family(3), "svg", str(tmp_path / "new" / "a.svg"))
    check_svg((tmp_path / "new" / "a.svg").read_text())

    with pytest.raises(Conflict, match="there already"):
        save(family(3), "dot", str(tmp_path / "new" / "a.svg"))
    with pytest.raises(UsageError):
        save(family(3), "dot", f"{tmp_path}/")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.svg"]


def test_digests_are_cut_where_they_are_names_and_whole_where_one_points() -> None:
    [box] = [box for box in picture(family(2)).boxes if box.kind == "data"]

    assert box.title == "irises@3"
    assert box.line == f"{box.id[7:15]}, 12 files"
    assert box.id in box.full
