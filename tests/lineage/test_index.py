"""What is related to what, asked of the index: as it is built, as it is brought up to date, as it is lost."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from pkgrun.identity import Version
from pkgrun.lineage.index import opened
from pkgrun.lineage.news import news
from pkgrun.lineage.relations import Held, Named
from pkgrun.lineage.tables import Tables
from pkgrun.lineage.uses import used_by
from pkgrun.records import VersionRecord
from pkgrun.store.objects import digest_of

from .stores import History, new_store


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(new_store(tmp_path))


def test_children_are_what_was_trained_on_it_and_what_was_imported_from_it(history: History) -> None:
    base = history.import_("churn", {"main.py": "m"})
    one = history.train(base, {"main.py": "m", "model": "1"}, {"rows.csv": "1"})
    two = history.train(base, {"main.py": "m", "model": "2"}, {"rows.csv": "2"})
    assert one is not None
    assert two is not None
    moved = history.import_("elsewhere", {"main.py": "m", "model": "1"}, origin=one)
    with opened(history.store) as index:
        assert index.children(_named(base)) == [_named(one), _named(two)]
        assert index.children(_named(one)) == [_named(moved)]
        assert index.children(_named(two)) == []


def test_runs_that_made_nothing_are_found_too(history: History) -> None:
    base = history.import_("churn", {"main.py": "m"})
    made = history.train(base, {"main.py": "m", "model": "1"}, {"rows.csv": "1"})
    assert made is not None
    history.train(base, {}, {"rows.csv": "2"}, decision="FAILED")
    evaluation = history.evaluate(base, {"rows.csv": "3"})
    going_on = history.begin(base)
    with opened(history.store) as index:
        found = index.runs_from(_named(base))
        assert len(found) == 4
        assert {made.run, evaluation, going_on} < set(found)


def test_a_registered_directory_is_known_wherever_it_lies(history: History) -> None:
    history.register("irises", {"train": {"a": "1"}, "test": {"b": "2"}})
    history.register("irises", {"train": {"a": "1", "c": "3"}, "test": {"b": "2"}})
    history.register("tests", {"b": "2"})
    test = history.keep({"b": "2"}, "named")
    with opened(history.store) as index:
        found = [Held("irises@1", "test"), Held("irises@2", "test"), Held("tests@1", "")]
        assert index.registered(test.digest) == found
        assert index.registered("sha256:" + "0" * 64) == []


def test_a_tombstone_whose_version_was_lost_stops_nobody(history: History) -> None:
    base = history.import_("churn", {"main.py": "m"})
    history.remove(base)
    root = Path(history.store.backend.url)
    (root / "packages/churn/00000001/00000000.json").rename(root.parent / "lost")
    with opened(history.store) as index:
        assert index.children(_named(base)) == []


def test_a_run_that_goes_on_is_looked_at_again(history: History) -> None:
    base = history.import_("churn", {"main.py": "m"})
    run = history.begin(base)
    with opened(history.store) as index:
        assert index.runs_from(_named(base)) == [run]
    history.end(run, history.facts(history.keep({"rows": "x"}, "listed")))
    assert [use.run for use in used_by(history.store, digest_of(b"x")).uses] == [run]


def test_nothing_is_read_again_where_nothing_is_new(history: History) -> None:
    """Whoever made a folder look older than it is would have to set the kernel's clock, so that is done by waiting here."""
    history.import_("churn", {"main.py": "m"})
    backend = history.store.backend
    with opened(history.store):
        pass
    time.sleep(2.1)
    for _ in range(2):
        tables = Tables(str(next(Path(history.store.cache or "").rglob("lineage-2.sqlite"))))
        found = news(backend, tables)
        tables.close()
        with opened(history.store):
            pass
    assert found.none
    history.import_("other", {"main.py": "n"})
    with opened(history.store) as index:
        assert index.by_record(digest_of(history.made[-1].to_bytes())) == [Named("other", Version(1, 0))]


def _named(record: VersionRecord) -> Named:
    return Named(record.package, record.version)
