"""Who saw a content: by whatever name, in whatever role, as versions come and go, and what cannot be said."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pkgrun.errors import Damaged
from pkgrun.lineage.relations import Named
from pkgrun.lineage.tables import Tables, marked, sound
from pkgrun.lineage.uses import used_by
from pkgrun.records import VersionRecord
from pkgrun.store import operations, trees
from pkgrun.store.objects import digest_of
from pkgrun.store.root import Store
from tests.store import entries

from .stores import Folder, History, new_store, tree_of
from .walked_uses import told, walked


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(new_store(tmp_path))


def of(text: str) -> str:
    return digest_of(text.encode())


def named(record: VersionRecord | None) -> Named:
    assert record is not None
    return Named(record.package, record.version)


def test_a_file_is_found_under_every_name_and_in_every_role(history: History) -> None:
    base = history.import_("churn", {"main.py": "m", "seed.csv": "x"})
    one = history.train(base, {"main.py": "1"}, {"a": {"rows.csv": "x"}, "b.csv": "x", "c": "y"})
    history.evaluate(base, {"moved.csv": "x"}, attested=False)
    history.register("rows", {"deep": {"er": {"x": "x"}}})
    history.train(base, {"main.py": "2"}, {"c": "y"}, decision="FAILED", passed=(("trained", {"z": "x"}),))
    found = used_by(history.store, of("x"))
    seen = [(use.role, use.path, use.paths, use.version, use.attested) for use in found.uses]
    assert seen == [
        ("package", "seed.csv", 1, base.version, True),
        ("input", "a/rows.csv", 2, named(one).version, True),
        ("evaluated", "moved.csv", 1, None, False),
        ("dataset", "deep/er/x", 1, None, True),
        ("trained", "z", 1, None, True),
    ]
    assert found.trained == [named(base), named(one)]
    assert found.evaluated == [named(base)]
    assert found.held
    assert not found.unlisted


def test_what_comes_from_a_version_inherits_what_it_was_trained_on(history: History) -> None:
    base = history.import_("churn", {"main.py": "m"})
    one = history.train(base, {"main.py": "1"}, {"rows": "x"})
    assert one is not None
    two = history.train(one, {"main.py": "2"}, {"rows": "y"})
    assert two is not None
    moved = history.import_("moved", {"main.py": "2"}, origin=two)
    three = history.train(moved, {"main.py": "3"}, {"rows": "z"})
    found = used_by(history.store, of("x"))
    assert found.trained == [named(one)]
    assert [Named(heir.package, heir.version) for heir in found.heirs] == [
        named(two),
        named(moved),
        named(three),
    ]
    assert {heir.through for heir in found.heirs} == {named(one)}
    assert found.affected == [named(one), named(two), named(moved), named(three)]


def test_what_no_record_knows_was_seen_by_nobody(history: History) -> None:
    history.import_("churn", {"main.py": "m"})
    found = used_by(history.store, of("never"))
    assert (found.uses, found.heirs, found.unlisted, found.held) == ((), (), (), False)


def test_a_run_whose_listing_is_not_there_is_told_until_it_comes(history: History) -> None:
    base = history.import_("churn", {"main.py": "m"})
    data: Folder = {"a": {"rows": "x"}}
    one = history.train(base, {"main.py": "1"}, data, how="named")
    assert one is not None
    found = used_by(history.store, of("x"))
    assert (found.uses, found.unlisted) == ((), (one.run,))
    assert [use.run for use in used_by(history.store, tree_of(data).digest).uses] == [one.run]
    history.evaluate(base, data, how="listed")
    found = used_by(history.store, of("x"))
    assert [use.role for use in found.uses] == ["input", "evaluated"]
    assert found.unlisted == ()


def test_a_large_directory_is_followed_part_by_part(history: History) -> None:
    base = history.import_("churn", {"main.py": "m"})
    many: Folder = {f"{n:05}": str(n % 7000) for n in range(12_000)}
    history.train(base, {"main.py": "1"}, {"rows": many})
    history.train(base, {"main.py": "2"}, {"rows": many | {"00500": "new"}})
    found = used_by(history.store, of("500"))
    assert [(use.path, use.paths) for use in found.uses] == [("rows/00500", 2), ("rows/07500", 1)]
    assert [use.path for use in used_by(history.store, of("new")).uses] == ["rows/00500"]


def test_two_folders_that_were_one_go_their_own_ways(history: History) -> None:
    base = history.import_("churn", {"main.py": "m"})
    history.train(base, {"main.py": "1"}, {"a": {"x": "x", "y": "y"}, "c": {"x": "x", "y": "y"}})
    history.train(base, {"main.py": "2"}, {"a": {"x": "x", "y": "1"}, "c": {"x": "x", "z": "y"}})
    for content in map(of, "xy1"):
        assert told(used_by(history.store, content)) == walked(history.store, content)
    assert [(use.path, use.paths) for use in used_by(history.store, of("x")).uses] == [("a/x", 2), ("a/x", 2)]
    assert [(use.path, use.paths) for use in used_by(history.store, of("y")).uses] == [("a/y", 2), ("c/z", 1)]


def test_a_folder_that_holds_what_it_was_before_is_told_from_it(history: History) -> None:
    base = history.import_("churn", {"main.py": "m"})
    history.train(base, {"main.py": "1"}, {"f": "x"})
    history.train(base, {"main.py": "2"}, {"f": "x", "old": {"f": "x"}})
    history.train(base, {"main.py": "3"}, {"f": "x", "g": "y", "old": {"f": "x", "h": "z"}})
    for content in map(of, "xyz"):
        assert told(used_by(history.store, content)) == walked(history.store, content)
    # All at once, too: then the links of one chain come out of one another while they are entered.
    for content in map(of, "xyz"):
        assert told(used_by(history.store, content, verify=True)) == walked(history.store, content)


def test_a_folder_that_holds_itself_many_times_at_every_depth_is_no_trouble(history: History) -> None:
    objects = history.store.objects
    below = tree_of({"x": "x"}, objects)
    for _ in range(40):
        both = [trees.Entry(name, "dir", below.digest, 0, 0) for name in "ab"]
        below = trees.write_node(both, objects)
    objects.flush()
    history.register("rows", {"small": "1"})
    base = history.import_("churn", {"main.py": "m"})
    history.end(history.begin(base), history.facts(below))
    (use,) = used_by(history.store, of("x")).uses
    assert (use.path, use.paths) == ("a/" * 40 + "x", 2**40)


# ---------------------------------------------------------------------- what goes wrong


def _database(store: Store) -> str:
    assert store.cache is not None
    return os.path.join(store.cache, "stores", store.id, "lineage-2.sqlite")


def _some(history: History) -> None:
    base = history.import_("churn", {"main.py": "m"})
    for number in range(5):
        history.train(base, {"main.py": str(number)}, {"rows": "x", "more": str(number)})


TABLES = ["file", "node", "use", "run", "version", "folder", "line", "source", "look"]


@pytest.mark.parametrize("table", TABLES)
def test_a_database_whose_rows_were_changed_is_made_anew(history: History, table: str) -> None:
    _some(history)
    history.train(history.made[0], {"main.py": "d"}, {"deep": {"rows": "x"}})
    before = told(used_by(history.store, of("x")))
    with sqlite3.connect(_database(history.store)) as database:
        column = {
            "use": "flags",
            "run": "kind",
            "version": "created",
            "node": "seq",
            "line": "chains",
            "source": "label",
            "look": "stamp",
        }.get(table, "name")
        database.execute(f"update or ignore {table} set {column} = 'damaged'")  # noqa: S608
    history.train(history.made[0], {"main.py": "e"}, {"more": "of the same line"})
    assert told(used_by(history.store, of("x"))) == before


@pytest.mark.parametrize("table", ["source", "run", "version"])
def test_a_database_that_lost_a_row_that_others_need_is_made_anew(history: History, table: str) -> None:
    _some(history)
    before = used_by(history.store, of("x"))
    with sqlite3.connect(_database(history.store)) as database:
        database.execute(f"delete from {table} where number = 2")  # noqa: S608
        if table == "source":
            database.execute("delete from source")
    assert used_by(history.store, of("x")) == before


def test_a_version_that_an_index_of_the_database_has_lost_is_found_again(history: History) -> None:
    _some(history)
    before = used_by(history.store, of("x"))
    assert len(before.trained) == 5
    place, run = Path(_database(history.store)), history.made[3].run.encode()
    with sqlite3.connect(place) as database:
        root = database.execute("select rootpage from sqlite_master where name = 'version_run'").fetchone()[0]
        size = database.execute("pragma page_size").fetchone()[0]
        database.execute("pragma wal_checkpoint(truncate)")
    whole = bytearray(place.read_bytes())
    at = whole.index(run, (root - 1) * size, root * size)
    whole[at + 30] ^= 1
    place.write_bytes(whole)
    assert used_by(history.store, of("x")) == before


def test_a_run_that_is_decided_and_whose_version_is_not_there_yet_is_no_damage(history: History) -> None:
    base = history.import_("churn", {"main.py": "m"})
    facts = history.facts(history.keep({"rows": "x"}, "listed"))
    run = history.begin(base)
    operations.decide(
        history.store.backend, entries.outcome(run, "COMMIT", entry=entries.entry(run=run), facts=facts)
    )
    (use,) = used_by(history.store, of("x")).uses
    assert (use.run, use.version) == (run, None)


def test_many_who_find_it_damaged_at_once_all_get_the_answer(history: History) -> None:
    _some(history)
    before = told(used_by(history.store, of("x")))
    for _ in range(5):
        with sqlite3.connect(_database(history.store)) as database:
            database.execute("update use set flags = flags + 64")
        start = Barrier(8)

        def ask(_: int) -> object:
            start.wait()  # noqa: B023
            return told(used_by(history.store, of("x")))

        with ThreadPoolExecutor(8) as threads:
            assert list(threads.map(ask, range(8))) == [before] * 8


def test_what_another_has_made_anew_is_not_thrown_away(tmp_path: Path) -> None:
    path = str(tmp_path / "index.sqlite")
    one, other = Tables(path), Tables(path)
    assert one.database
    assert other.database
    one.discard()
    one.put("look", [marked("runs", "new")])
    other.discard()
    assert [sound(row) for row in other.ask("select * from look")] == [("runs", "new")]
    one.close()
    other.close()


def test_an_import_from_a_store_that_is_not_here_is_told(history: History, tmp_path: Path) -> None:
    other = History(new_store(tmp_path / "other"))
    base = other.import_("churn", {"main.py": "m"})
    one = other.train(base, {"main.py": "1"}, {"rows": "x"})
    assert one is not None
    moved = history.import_("moved", {"main.py": "1"}, origin=one)
    history.train(moved, {"main.py": "2"}, {"rows": "y"})
    found = used_by(history.store, of("x"))
    assert (found.affected, found.foreign) == ([], (named(moved),))
    again = other.import_("again", {"main.py": "1"}, origin=one)
    found = used_by(other.store, of("x"))
    assert (found.affected, found.foreign) == ([named(one), named(again)], ())


def test_whether_it_was_removed_is_told_of_the_version_that_was_evaluated(history: History) -> None:
    base = history.import_("churn", {"main.py": "m"})
    history.evaluate(base, {"rows": "x"})
    assert [use.removed for use in used_by(history.store, of("x")).uses] == [False]
    history.remove(base)
    assert [use.removed for use in used_by(history.store, of("x")).uses] == [True]


def test_what_an_evaluation_was_given_is_from_the_evaluation_set(history: History) -> None:
    base = history.import_("churn", {"main.py": "m"})
    both: Any = (("trained", {"rows": "x"}), ("evaluated", {"rows": "x"}))
    facts = history.facts(history.keep({"all": "x"}, "listed"), source="/data", passed=both)
    tests = history.facts(history.keep({"tests": "x"}, "listed"), source="/tests", role="evaluated").data
    run = history.begin(base)
    history.end(run, facts.model_copy(update={"evaluation_data": tests}))
    found = {(use.role, use.path): use.source for use in used_by(history.store, of("x")).uses}
    assert found == {
        ("input", "all"): "/data",
        ("trained", "rows"): "/data",
        ("evaluated", "rows"): "/tests",
        ("evaluated", "tests"): "/tests",
    }


def test_a_database_that_is_none_is_made_anew(history: History) -> None:
    _some(history)
    before = told(used_by(history.store, of("x")))
    for garbage in (b"", b"no database" * 1000):
        Path(_database(history.store)).write_bytes(garbage)
        assert told(used_by(history.store, of("x"))) == before


def test_where_nothing_can_be_written_the_index_lives_in_memory(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("no folder")
    history = History(new_store(tmp_path))
    _some(history)
    assert len(used_by(history.store, of("x")).uses) == 5


def test_a_damaged_record_is_named(history: History) -> None:
    _some(history)
    key = f"runs/{history.made[2].run}/outcome.json"
    place = Path(history.store.backend.url) / key
    place.chmod(0o600)
    place.write_bytes(b'{"format":1}')
    with pytest.raises(Damaged, match=key):
        used_by(history.store, of("x"))


def test_what_is_verified_comes_from_what_lies_there_and_not_from_what_is_remembered(
    history: History,
) -> None:
    _some(history)
    before = used_by(history.store, of("x"))
    with sqlite3.connect(_database(history.store)) as database:
        database.execute("delete from use")
    assert used_by(history.store, of("x")).uses == ()
    verified = used_by(history.store, of("x"), verify=True)
    assert verified.verified
    assert verified.uses == before.uses


def test_a_store_that_was_put_back_to_an_earlier_state_is_indexed_anew(history: History) -> None:
    _some(history)
    assert len(used_by(history.store, of("x")).uses) == 5
    last = history.made[-1]
    root = Path(history.store.backend.url)
    for key in (f"runs/{last.run}", f"packages/churn/{last.version.major:08}/{last.version.minor:08}.json"):
        (root / key).rename(root.parent / key.replace("/", "-"))
    assert len(used_by(history.store, of("x")).uses) == 4


# ---------------------------------------------------------------------- any history

TEXTS = [f"{letter}" for letter in "uvwxyz"]
names = st.sampled_from(["a", "b", "c", "d"])
folders = st.recursive(
    st.dictionaries(names, st.sampled_from(TEXTS), max_size=3),
    lambda below: st.dictionaries(names, st.one_of(st.sampled_from(TEXTS), below), max_size=3),
    max_leaves=6,
)
numbers_ = st.integers(0, 30)
EVENTS = ("import", "train", "train", "train", "fail", "evaluate", "remove", "register", "begin", "origin")
events = st.tuples(
    st.sampled_from(EVENTS),
    numbers_,
    numbers_,
    names,
    st.one_of(st.sampled_from(TEXTS), folders),
    st.sampled_from(["kept", "listed", "listed", "named"]),
    st.sampled_from(["/data", "/other", "rows@1"]),
)


class Story:
    """A history that is told event by event, on datasets that evolve."""

    def __init__(self, store: Store) -> None:
        self.history = History(store)
        self.data: list[Folder] = [{"a": {"b": "u", "c": "v"}, "d": "w"}]
        self.going_on: list[str] = []
        self.history.import_("p", {"main.py": "m"})

    def tell(self, event: tuple[Any, ...]) -> None:
        what, which, where, name, content, how, source = event
        base = self.history.made[which % len(self.history.made)]
        data = self._evolved(self.data[where % len(self.data)], which, name, content)
        package: Folder = {"main.py": "m", "model": data}
        if what == "import":
            self.history.import_("pq"[where % 2], {**package, name: content})
        elif what == "origin":
            self.history.import_("pq"[where % 2], {"main.py": f"{which}"}, origin=base)
        elif what in ("train", "fail"):
            decision = "COMMIT" if what == "train" else "FAILED"
            role: Any = "trained" if where % 2 else "evaluated"
            passed = ((role, data),) if which % 3 == 0 else ()
            self.history.train(
                base,
                package if which % 4 == 0 else {"main.py": f"{which} {where}"},
                data,
                how,
                source=source,
                decision=decision,
                attested=which % 5 != 0,
                passed=passed,
                artifacts={"out": {name: content}} if which % 7 == 0 else None,
            )
        elif what == "evaluate":
            self.history.evaluate(base, data, how, source=source)
        elif what == "remove":
            self.history.remove(base)
        elif what == "register":
            self.history.register("rows", data)
        elif self.going_on:
            self.history.end(self.going_on.pop(), self.history.facts(self.history.keep(data, how)))
        else:
            self.going_on.append(self.history.begin(base))

    def _evolved(self, data: Folder, how: int, name: str, content: str | Folder) -> Folder:
        """A dataset in which something was added, taken away, moved, copied or split off."""
        data = deepcopy(data)
        some = sorted(data)
        if how % 5 == 0 or not some:
            data[name] = content
        elif how % 5 == 1:
            del data[some[how % len(some)]]
        elif how % 5 == 2:
            data[name + "2"] = data.pop(some[how % len(some)])
        elif how % 5 == 3:
            data[name] = {"copied": deepcopy(data[some[how % len(some)]]), "more": content}
        else:
            data = {name: data, "z": content}
        self.data.append(data)
        return data

    def contents(self) -> Iterator[str]:
        """All that may be asked for: texts, and folders."""
        yield from map(of, TEXTS)
        for folder in (self.data[0], self.data[-1]):
            yield tree_of(folder).digest
            yield from (tree_of(one).digest for one in folder.values() if isinstance(one, dict))


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(st.lists(events, max_size=7))
def test_the_index_says_what_a_walk_over_everything_finds(told_events: list[tuple[Any, ...]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = new_store(Path(folder))
        story = Story(store)
        for event in told_events:
            story.tell(event)
            for content in set(story.contents()):
                assert told(used_by(store, content)) == walked(store, content)
        for content in set(story.contents()):
            assert told(used_by(store, content, verify=True)) == walked(store, content)
