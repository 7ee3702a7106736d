"""What a version came from and what came from it, as the records of made-up histories tell."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pkgrun.errors import Damaged, NotFound, UsageError
from pkgrun.identity import Version
from pkgrun.lineage.direct import Direct
from pkgrun.lineage.graph import (
    Cut,
    DataNode,
    EnvironmentNode,
    ForeignNode,
    Graph,
    MissingNode,
    RunNode,
    VersionNode,
)
from pkgrun.lineage.index import opened
from pkgrun.lineage.relations import Named
from pkgrun.lineage.tracing import trace
from pkgrun.records import Origin, VersionRecord
from pkgrun.store import numbers
from pkgrun.store.objects import digest_of
from pkgrun.store.operations import new_run_id

from .stores import History, new_store
from .walked import Walked

Direction = Literal["up", "down", "both"]


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(new_store(tmp_path))


def name(record: VersionRecord | None) -> str:
    assert record is not None
    return f"{record.package}@{record.version}"


def traced(
    history: History,
    about: str,
    direction: Direction = "up",
    depth: int | None = None,
    limit: int | None = None,
) -> Graph:
    found = trace(history.store, Walked(history.store), about, direction=direction, depth=depth, limit=limit)
    ids = {node.id for node in found.nodes}
    assert len(ids) == len(found.nodes)
    assert all({edge.subject, edge.object} <= ids for edge in found.edges)
    return found


def sentences(graph: Graph) -> set[tuple[str, str, str]]:
    """The edges, runs named after what they made or began with."""
    made = {edge.subject: f"making {edge.object}" for edge in graph.edges if edge.kind == "made"}
    data = {node.id: node.names[0] for node in graph.nodes if isinstance(node, DataNode) and node.names}
    called = {**made, **data}
    return {
        (called.get(edge.subject, edge.subject), edge.kind, called.get(edge.object, edge.object))
        for edge in graph.edges
    }


def versions(graph: Graph) -> set[str]:
    return {node.id for node in graph.versions}


@pytest.fixture
def generations(history: History) -> History:
    """`churn` 1.0 trained into 1.1 on rows@1, that into 1.2 on rows@2, and 1.1 also into 1.3."""
    history.register("rows", {"a.csv": "1"})
    history.register("rows", {"training": {"a.csv": "1"}, "b.csv": "2"})
    base = history.import_("churn", {"main.py": "m"})
    one = history.train(base, {"main.py": "m", "model": "1"}, {"a.csv": "1"})
    assert one is not None
    history.train(one, {"main.py": "m", "model": "2"}, {"training": {"a.csv": "1"}, "b.csv": "2"}, "kept")
    history.train(one, {"main.py": "m", "model": "3"}, {"c.csv": "3"})
    return history


def test_up_goes_to_the_import_by_way_of_the_runs_and_their_data(generations: History) -> None:
    found = traced(generations, "churn@1.2")

    assert versions(found) == {"churn@1.2", "churn@1.1", "churn@1.0"}
    assert sentences(found) >= {
        ("making churn@1.2", "made", "churn@1.2"),
        ("making churn@1.2", "started-from", "churn@1.1"),
        ("making churn@1.2", "trained-on", "rows@2"),
        ("making churn@1.1", "trained-on", "rows@1"),
        ("making churn@1.1", "started-from", "churn@1.0"),
    }
    assert not found.cuts


def test_a_folder_of_a_registered_dataset_is_known_by_its_name(generations: History) -> None:
    data = [node for node in traced(generations, "churn@1.1").nodes if isinstance(node, DataNode)]

    assert [node.names for node in data] == [("rows@1", "rows@2/training")]


def test_down_goes_to_every_descendant_and_up_from_none_of_them(generations: History) -> None:
    found = traced(generations, "churn@1.1", "down")

    assert versions(found) == {"churn@1.1", "churn@1.2", "churn@1.3"}
    assert not any(isinstance(node, EnvironmentNode) for node in found.nodes)


def test_both_is_what_up_and_down_are_together(generations: History) -> None:
    up, down, both = (traced(generations, "churn@1.1", way) for way in ("up", "down", "both"))

    assert {node.id for node in both.nodes} == {node.id for node in (*up.nodes, *down.nodes)}
    assert set(both.edges) == {*up.edges, *down.edges}


def test_depth_counts_generations_and_says_where_it_stopped(generations: History) -> None:
    assert versions(traced(generations, "churn@1.2", depth=0)) == {"churn@1.2"}
    assert versions(traced(generations, "churn@1.2", depth=1)) == {"churn@1.2", "churn@1.1"}
    assert traced(generations, "churn@1.2", depth=1).cuts == (Cut("churn@1.1", "up", 1),)
    below = traced(generations, "churn@1.0", "down", depth=1)
    assert versions(below) == {"churn@1.0", "churn@1.1"}
    assert below.cuts == (Cut("churn@1.1", "down", 2),)


def test_a_limit_keeps_the_newest_and_says_how_many_are_left(history: History) -> None:
    base = history.import_("churn", {"main.py": "m"})
    for number in range(7):
        history.train(base, {"main.py": "m", "model": str(number)}, {})
    found = traced(history, "churn@1.0", "down", limit=3)

    assert versions(found) == {"churn@1.0", "churn@1.5", "churn@1.6", "churn@1.7"}
    assert found.cuts == (Cut("churn@1.0", "down", 4),)


def test_an_evaluation_is_told_and_a_training_that_failed_is_not(history: History) -> None:
    base = history.import_("churn", {"main.py": "m"})
    run = history.evaluate(base, {"held.csv": "1"}, attested=False)
    history.train(base, {}, {}, decision="FAILED")
    open_run = history.begin(base)
    found = traced(history, "churn@1.0", "down")

    runs = {node.id: node.status for node in found.nodes if isinstance(node, RunNode)}
    assert runs == {run: "successful", open_run: "scheduled"}
    [edge] = [edge for edge in found.edges if edge.kind == "evaluated-on"]
    assert edge.attested is False
    assert (run, "evaluates", "churn@1.0") in sentences(found)


@pytest.mark.parametrize("direction", ["up", "down", "both"])
def test_a_version_is_shown_with_the_reproductions_of_its_run(
    generations: History, direction: Direction
) -> None:
    record = numbers.read(generations.store.backend, "churn", Version(1, 2))
    again = generations.reproduce(record)
    found = traced(generations, "churn@1.2", direction)
    assert (again, "reproduces", "making churn@1.2") in sentences(found)
    assert "reproduces" not in {edge.kind for edge in traced(generations, "churn@1.3", direction).edges}

    for about in (again, record.run):
        edges = traced(generations, about, direction).edges
        assert [(edge.subject, edge.object) for edge in edges if edge.kind == "reproduces"] == [
            (again, record.run)
        ]


def test_what_a_full_pipeline_prepared_stands_beside_what_it_was_given(history: History) -> None:
    base = history.import_("churn", {"main.py": "m"})
    history.train(
        base,
        {"main.py": "m", "model": "1"},
        {"all.csv": "1"},
        passed=(("trained", {"t.csv": "1"}), ("evaluated", {"e.csv": "1"})),
    )
    found = traced(history, "churn@1.1", depth=0)

    kinds = Counter(edge.kind for edge in found.edges)
    assert kinds["trained-on"] >= 1
    assert kinds["evaluated-on"] == 1
    assert {edge.folder for edge in found.edges} == {None, "dataset/trained", "dataset/evaluated"}


def test_an_import_of_what_was_exported_goes_on_to_its_origin(history: History) -> None:
    base = history.import_("churn", {"main.py": "m"})
    one = history.train(base, {"main.py": "m", "model": "1"}, {})
    moved = history.import_("elsewhere", {"main.py": "m", "model": "1"}, origin=one)

    assert versions(traced(history, name(moved))) == {"elsewhere@1.0", "churn@1.1", "churn@1.0"}
    assert (name(moved), "origin", "churn@1.1") in sentences(traced(history, name(moved)))
    assert versions(traced(history, "churn@1.0", "down")) >= {"churn@1.1", "elsewhere@1.0"}


def test_what_lies_in_another_store_is_told_by_its_records(history: History) -> None:
    base = history.import_("churn", {"main.py": "m"})
    digest = digest_of(base.to_bytes())
    far, before = "sha256:" + "1" * 64, "sha256:" + "2" * 64
    origin = Origin(
        store=new_run_id(), package="churn", version=Version(3, 4), record=far, ancestors=(before, digest)
    )
    moved = history._made("import", "moved", history.keep({"m": "1"}, "kept"), None, origin=origin)
    found = traced(history, name(moved))

    foreign = [node for node in found.nodes if isinstance(node, ForeignNode)]
    assert [(node.record, node.version) for node in foreign] == [(far, Version(3, 4)), (before, None)]
    assert sentences(found) >= {
        (name(moved), "origin", far),
        (far, "descends-from", before),
        (before, "descends-from", "churn@1.0"),
    }


def test_a_removed_version_stays_visible_and_says_so(generations: History) -> None:
    generations.remove(numbers.read(generations.store.backend, "churn", Version(1, 2)))
    node = traced(generations, "churn@1.2").node("churn@1.2")

    assert isinstance(node, VersionNode)
    assert node.removed is not None
    assert node.removed.reason == "r"
    kept = [
        edge.kept for edge in traced(generations, "churn@1.2", depth=0).edges if edge.kind == "trained-on"
    ]
    assert kept == [False], "its snapshot went with it"


@pytest.mark.parametrize("harm", ["removed", "damaged"])
def test_a_record_that_is_not_there_is_shown_as_missing(generations: History, harm: str) -> None:
    path = Path(generations.store.url) / numbers.key("churn", Version(1, 1))
    path.unlink() if harm == "removed" else path.write_bytes(b"{}")
    found = trace(generations.store, _Nothing(), "churn@1.2")

    [node] = [node for node in found.nodes if isinstance(node, MissingNode)]
    assert (node.id, node.thing) == ("churn@1.1", "version")
    assert "churn" in node.why


def test_a_run_that_is_not_there_is_shown_as_missing(generations: History) -> None:
    record = numbers.read(generations.store.backend, "churn", Version(1, 2))
    for path in (Path(generations.store.url) / "runs" / record.run).iterdir():
        path.unlink()
    found = trace(generations.store, _Nothing(), "churn@1.2")

    assert [node.id for node in found.nodes if isinstance(node, MissingNode)] == [record.run]
    assert versions(found) == {"churn@1.2", "churn@1.1", "churn@1.0"}


def test_up_goes_without_an_index_too(generations: History) -> None:
    one = numbers.read(generations.store.backend, "churn", Version(1, 2))
    moved = generations.import_("moved", {"main.py": "m", "model": "2"}, origin=one)
    found = trace(generations.store, Direct(generations.store, Damaged("a record is damaged")), name(moved))

    assert versions(found) == {"moved@1.0", "churn@1.2", "churn@1.1", "churn@1.0"}
    assert found.doubt == "a record is damaged"
    assert ("making churn@1.2", "trained-on", "rows@2") in sentences(found)


class _Nothing(Walked):
    """Relations of a store in which nothing can be walked."""

    def __init__(self) -> None:
        pass

    def registered(self, tree: str) -> list:  # type: ignore[type-arg]
        return []

    def reproductions(self, of: Named) -> list[str]:
        return []


def test_a_run_is_followed_too(generations: History) -> None:
    run = numbers.read(generations.store.backend, "churn", Version(1, 2)).run
    up, down = traced(generations, run), traced(generations, run, "down")

    assert up.about == run
    assert versions(up) == {"churn@1.1", "churn@1.0"}
    assert versions(down) == {"churn@1.2"}
    assert versions(traced(generations, run, "both", depth=0)) == set()


def test_parents_that_go_round_in_a_circle_end(history: History) -> None:
    base = history.import_("churn", {"main.py": "m"})
    history.train(base, {"main.py": "m", "model": "1"}, {})
    forged = base.model_copy(update={"parent": Version(1, 1)})
    (Path(history.store.url) / numbers.key("churn", Version(1, 0))).write_bytes(forged.to_bytes())

    for way in ("up", "down", "both"):
        assert versions(traced(history, "churn@1.1", way)) == {"churn@1.0", "churn@1.1"}


def test_what_is_no_version_is_refused(generations: History) -> None:
    with pytest.raises(NotFound, match=r"no churn@1\.9"):
        traced(generations, "churn@1.9")
    with pytest.raises(NotFound) as caught:
        traced(generations, "rows@1")
    assert "used-by rows@1" in (caught.value.hint or "")
    with pytest.raises(UsageError, match="depth"):
        traced(generations, "churn@1.0", depth=-1)


@st.composite
def events(draw: st.DrawFn) -> list[tuple[str, int, int]]:
    """What happens one after the other: to which of the versions that there are, on which data."""
    kinds = st.sampled_from(["train", "train", "train", "import", "evaluate", "fail", "export", "remove"])
    return draw(st.lists(st.tuples(kinds, st.integers(0, 30), st.integers(0, 3)), min_size=1, max_size=14))


@pytest.mark.slow
@given(events(), st.integers(0, 30), st.sampled_from(["up", "down", "both"]), st.none() | st.integers(0, 3))
def test_the_index_gives_the_lineage_that_walking_everything_gives(
    tmp_path_factory: pytest.TempPathFactory,
    happened: list[tuple[str, int, int]],
    about: int,
    direction: Direction,
    depth: int | None,
) -> None:
    history = History(new_store(tmp_path_factory.mktemp("random")))
    _carry_out(history, happened)
    chosen = name(history.made[about % len(history.made)])
    expected = traced(history, chosen, direction, depth)
    with opened(history.store) as index:
        found = trace(history.store, index, chosen, direction=direction, depth=depth)

    assert found == expected
    _check_against_parents(history, found, chosen)


def _carry_out(history: History, happened: list[tuple[str, int, int]]) -> None:
    history.import_("churn", {"main.py": "m"})
    for number, (kind, which, data) in enumerate(happened):
        base = history.made[which % len(history.made)]
        files, rows = {"main.py": "m", "model": str(number)}, {f"{data}.csv": str(data)}
        if kind == "train":
            history.train(base, dict(files), dict(rows), "kept" if data == 1 else "listed")
        elif kind == "import":
            history.import_("churn" if data else "other", dict(files))
        elif kind == "export":
            history.import_("moved", dict(files), origin=base)
        elif kind == "evaluate":
            history.evaluate(base, dict(rows))
        elif kind == "fail":
            history.train(base, dict(files), dict(rows), decision="FAILED")
        else:
            history.remove(base)
        if data == 3:
            history.register("rows", dict(rows))


def _check_against_parents(history: History, found: Graph, about: str) -> None:
    """The versions are those to which parents and origins lead, in either direction, in so many steps."""
    walked = Walked(history.store)
    above = {name(one): walked._parent(one) for one in history.made}
    depth = len(above) if found.depth is None else found.depth

    def steps(start: str, end: str) -> int | None:
        count, at = 0, start
        while at != end:
            parent: Named | None = above[at]
            if parent is None:
                return None
            count, at = count + 1, str(parent)
        return count

    expected = {about}
    for one in above:
        up, down = steps(about, one), steps(one, about)
        if found.direction != "down" and up is not None and up <= depth:
            expected.add(one)
        if found.direction != "up" and down is not None and down <= depth:
            expected.add(one)
    assert versions(found) == expected
