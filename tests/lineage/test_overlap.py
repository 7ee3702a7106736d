"""Whether test data is clean of training data: by content, along the line of descent, and only as far as that is known."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pkgrun.errors import NotFound, UsageError
from pkgrun.lineage.contents import Machine
from pkgrun.lineage.overlap import Overlap, overlap
from pkgrun.store.objects import digest_of

from .stores import Folder, History, new_store, tree_of


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(new_store(tmp_path))


def ask(history: History, train: str, folder: Folder, where: Path) -> Overlap:
    """Of a folder on disk."""
    _write(folder, where)
    return overlap(history.store, train, str(where), machine=Machine(str(where.parent / "c"), 1 << 30))


def _write(folder: Folder, where: Path) -> None:
    where.mkdir()
    for name, one in folder.items():
        if isinstance(one, str):
            (where / name).write_text(one)
        else:
            _write(one, where / name)


def test_files_are_found_by_content_whatever_they_are_called(history: History, tmp_path: Path) -> None:
    base = history.import_("churn", {"main.py": "m"})
    history.train(base, {"main.py": "1"}, {"a": {"rows.csv": "x"}, "b": "y", "same": "1", "empty": ""})
    test: Folder = {
        "deep": {"moved.csv": "x"},
        "again": "x",
        "b": "other",
        "same": "2",
        "none": "",
        "new": "n",
    }
    found = ask(history, "churn@1.1", test, tmp_path / "test")
    assert [(one.path, one.train_path, str(one.version), one.role) for one in found.shared] == [
        ("again", "a/rows.csv", "churn@1.1", "input"),
        ("deep/moved.csv", "a/rows.csv", "churn@1.1", "input"),
    ]
    assert (found.files, found.empty, found.share) == (5, 1, 0.4)
    assert not found.unproven


def test_what_an_ancestor_saw_counts_too_also_across_an_import(history: History, tmp_path: Path) -> None:
    base = history.import_("churn", {"main.py": "m", "seed.csv": "s"})
    one = history.train(base, {"main.py": "1"}, {"rows": "x"})
    assert one is not None
    moved = history.import_("moved", {"main.py": "1"}, origin=one)
    history.train(
        moved, {"main.py": "2"}, {"rows": "y"}, passed=(("trained", {"z": "z"}), ("evaluated", {"e": "e"}))
    )
    found = ask(history, "moved@1.1", {"x": "x", "y": "y", "z": "z", "e": "e", "s": "s"}, tmp_path / "test")
    assert {one.path: f"{one.version} {one.role}" for one in found.shared} == {
        "s": "churn@1.0 package",
        "x": "churn@1.1 input",
        "y": "moved@1.1 input",
        "z": "moved@1.1 trained",
    }
    assert [str(one) for one in found.versions] == ["churn@1.0", "churn@1.1", "moved@1.0", "moved@1.1"]


def test_siblings_and_what_came_later_do_not_count(history: History, tmp_path: Path) -> None:
    base = history.import_("churn", {"main.py": "m"})
    history.train(base, {"main.py": "1"}, {"rows": "x"})
    history.train(base, {"main.py": "2"}, {"rows": "y"})
    history.train(base, {}, {"rows": "z"}, decision="FAILED")
    found = ask(history, "churn@1.1", {"y": "y", "z": "z"}, tmp_path / "test")
    assert found.clean
    assert found.share == 0.0


def test_what_is_not_known_or_not_attested_is_no_proof(history: History, tmp_path: Path) -> None:
    base = history.import_("churn", {"main.py": "m"})
    one = history.train(base, {"main.py": "1"}, {"rows": {"a": "x"}}, how="named")
    assert one is not None
    two = history.train(one, {"main.py": "2"}, {"rows": "y"}, attested=False)
    assert two is not None
    found = ask(history, "churn@1.2", {"x": "x"}, tmp_path / "test")
    assert not found.shared
    assert not found.clean
    assert [one.version for one in found.unproven] == ["churn@1.1", "churn@1.2"]
    elsewhere = History(new_store(tmp_path / "other"))
    elsewhere.import_("moved", {"main.py": "2"}, origin=two)
    found = ask(elsewhere, "moved@1.0", {"x": "x"}, tmp_path / "test2")
    assert [one.version for one in found.unproven] == ["churn@1.2"]


def test_test_data_may_be_registered_or_a_digest(history: History, tmp_path: Path) -> None:
    base = history.import_("churn", {"main.py": "m"})
    history.train(base, {"main.py": "1"}, {"rows": "x"})
    test: Folder = {"held": {"out": "x", "more": "y"}}
    history.register("tests", test)
    machine = Machine(str(tmp_path / "c"), 1 << 30)
    for named in ("tests", "tests@1/held", "tests/held/out", tree_of(test).digest):
        found = overlap(history.store, "churn", named, machine=machine)
        assert [one.path.rpartition("/")[2] for one in found.shared] == ["out"], named
    for text, shared in (
        ("x", ["rows"]),
        ("1", ["main.py"]),
        ("y", []),
    ):  # of data, of a version's own, of neither
        found = overlap(history.store, "churn", digest_of(text.encode()), machine=machine)
        assert [one.train_path for one in found.shared] == shared
        assert (found.test.kind, found.files, found.clean) == ("file", 1, not shared)
    with pytest.raises(UsageError, match="does not know what is in it"):
        overlap(history.store, "churn", digest_of(b"nobody knows"), machine=machine)
    with pytest.raises(NotFound):
        overlap(history.store, "churn", "nowhere", machine=machine)


texts = st.sampled_from(["", "u", "v", "w", "x"])
folders = st.recursive(
    st.dictionaries(st.sampled_from("abc"), texts, max_size=3),
    lambda below: st.dictionaries(st.sampled_from("abc"), texts | below, max_size=3),
    max_leaves=6,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 9), folders), min_size=1, max_size=4), folders)
def test_it_is_what_a_comparison_of_all_files_finds(
    tmp_path_factory: pytest.TempPathFactory, trained: list[tuple[int, Folder]], test: Folder
) -> None:
    folder = tmp_path_factory.mktemp("history")
    history = History(new_store(folder))
    history.import_("p", {"main.py": "m"})
    seen: list[set[str]] = [{"m"}]
    for number, (which, data) in enumerate(trained):
        base = which % len(seen)
        history.train(history.made[base], {"main.py": str(number)}, data)
        seen.append(seen[base] | {text for _, text in _flat(data)} | {str(number)})
    version = history.made[-1].version
    found = ask(history, f"p@{version}", test, folder / "test")
    wanted = sorted(path for path, text in _flat(test) if text and text in seen[-1])
    assert [one.path for one in found.shared] == wanted
    assert found.empty == sum(not text for _, text in _flat(test))


def _flat(folder: Folder, below: str = "") -> list[tuple[str, str]]:
    found = []
    for name, one in folder.items():
        found += [(below + name, one)] if isinstance(one, str) else _flat(one, f"{below}{name}/")
    return found
