"""What happened to packages and datasets, in order, as the records of made-up histories tell."""

from __future__ import annotations

from pathlib import Path

import pytest

from pkgrun.errors import InvalidName, NotFound, UsageError
from pkgrun.identity import Version
from pkgrun.lineage.chronicle import history as told
from pkgrun.lineage.history import Happening
from pkgrun.lineage.history import History as Told
from pkgrun.lineage.index import opened
from pkgrun.records.erasing import Receipt
from pkgrun.store import numbers
from pkgrun.store.operations import new_run_id
from tests.store import entries

from .stores import History, new_store


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(new_store(tmp_path))


def tell(history: History, name: str, limit: int | None = None) -> Told:
    with opened(history.store) as index:
        return told(history.store, index, name, limit=limit)


def short(one: Happening) -> str:
    made = f" {one.version}" if one.version else ""
    base = f" of {one.base}" if one.base else ""
    return f"{one.kind} {one.status or ''}{made}{base}".replace("  ", " ")


def test_all_that_happened_to_a_package_is_told_in_order(history: History) -> None:
    base = history.import_("churn", {"main.py": "m"})
    one = history.train(base, {"main.py": "m", "model": "1"}, {"a.csv": "1"})
    assert one is not None
    history.evaluate(one, {"held.csv": "1"}, attested=False)
    history.train(one, {}, {"a.csv": "1"}, decision="FAILED")
    history.import_("other", {"main.py": "o"})
    found = tell(history, "churn")

    assert [short(one) for one in found.happenings] == [
        "import successful 1.0",
        "training successful 1.1 of 1.0",
        "evaluation successful of 1.1",
        "training failed of 1.1",
    ]
    assert (found.what, found.earlier, found.namesake) == ("package", 0, False)
    assert [given.attested for one in found.happenings for given in one.data] == [True, False, True]


def test_removals_and_erasures_of_what_versions_had_seen_stand_in_it(history: History) -> None:
    base = history.import_("churn", {"main.py": "m"})
    history.remove(base)
    receipt = Receipt(
        digest="sha256:" + "a" * 64,
        bytes=3,
        reason="asked for by the patient",
        by=entries.BY,
        created=history._moment(),
        run=new_run_id(),
        affected=1,
        versions=("churn@1.0",),
    )
    history.store.backend.create(f"erased/{'a' * 64}.json", receipt.to_bytes())
    found = {one.kind: one for one in tell(history, "churn").happenings}

    assert found["removal"].version == Version(1, 0)
    assert found["removal"].reason == "r"
    assert found["erasure"].reason == "asked for by the patient"
    assert found["erasure"].digest == receipt.digest


def test_a_limit_gives_the_newest_and_says_how_much_was_before(history: History) -> None:
    base = history.import_("churn", {"main.py": "m"})
    for number in range(5):
        history.train(base, {"main.py": "m", "model": str(number)}, {})
    found = tell(history, "churn", limit=2)

    assert [one.version for one in found.happenings] == [Version(1, 4), Version(1, 5)]
    assert found.earlier == 4
    assert tell(history, "churn", limit=0).happenings == ()


def test_the_numbers_of_a_dataset_say_what_changed_and_who_used_them(history: History) -> None:
    history.register("rows", {"a.csv": "1", "b.csv": "1", "part": {"c.csv": "1"}})
    base = history.import_("churn", {"main.py": "m"})
    history.train(base, {"main.py": "m", "model": "1"}, {"c.csv": "1"}, source="rows@1/part")
    history.register("rows", {"a.csv": "2", "part": {"c.csv": "1", "d.csv": "1"}})
    history.evaluate(base, {"a.csv": "2", "part": {"c.csv": "1", "d.csv": "1"}}, source="/a/copy")
    history.train(base, {"main.py": "m", "model": "2"}, {"x.csv": "1"})
    found = tell(history, "rows")

    assert {(one.kind, one.number, one.package) for one in found.happenings} == {
        ("registration", 1, None),
        ("registration", 2, None),
        ("training", 1, "churn"),
        ("evaluation", 2, "churn"),
    }
    [second] = [one for one in found.happenings if (one.kind, one.number) == ("registration", 2)]
    assert (second.added, second.removed, second.changed) == (1, 1, 1)
    assert {one.data[0].name for one in found.happenings if one.data} == {"rows@1/part", "rows@2"}


def test_a_dataset_of_another_name_that_begins_alike_is_another(history: History) -> None:
    base = history.import_("churn", {"main.py": "m"})
    history.register("rows", {"a.csv": "1"})
    history.register("rows-2", {"b.csv": "1"})
    history.train(base, {"main.py": "m", "model": "1"}, {"z.csv": "1"}, source="rows-2@1")

    assert [one.kind for one in tell(history, "rows").happenings] == ["registration"]
    assert len(tell(history, "rows-2").happenings) == 2


def test_a_name_that_both_have_means_the_package_and_can_be_forced(history: History) -> None:
    history.import_("churn", {"main.py": "m"})
    history.register("churn", {"a.csv": "1"})

    assert (tell(history, "churn").what, tell(history, "churn").namesake) == ("package", True)
    assert tell(history, "dataset:churn").what == "dataset"
    assert not tell(history, "package:churn").namesake


def test_a_run_whose_record_is_gone_is_told_as_missing(history: History) -> None:
    base = history.import_("churn", {"main.py": "m"})
    one = history.train(base, {"main.py": "m", "model": "1"}, {"a.csv": "1"})
    assert one is not None
    tell(history, "churn")
    for path in (Path(history.store.url) / "runs" / one.run).iterdir():
        path.unlink()
    last = tell(history, "churn").happenings[-1]

    assert (last.status, last.version, last.base) == ("missing", Version(1, 1), Version(1, 0))
    assert numbers.exists(history.store.backend, "churn", Version(1, 1))


def test_a_first_version_whose_record_is_gone_does_not_hide_the_rest(history: History) -> None:
    base = history.import_("churn", {"main.py": "m"})
    history.train(base, {"main.py": "m", "model": "1"}, {"a.csv": "1"})
    (Path(history.store.url) / numbers.key("churn", Version(1, 0))).unlink()
    found = tell(history, "churn").happenings

    assert [(one.status, str(one.version)) for one in found] == [("missing", "1.0"), ("successful", "1.1")]
    assert found[0].at == found[1].at, "nobody knows when"


def test_a_version_whose_record_is_gone_is_told_as_missing(history: History) -> None:
    base = history.import_("churn", {"main.py": "m"})
    for model in "123":
        base = history.train(base, {"main.py": "m", "model": model}, {"a.csv": "1"}) or base
    for minor in (1, 3):
        (Path(history.store.url) / numbers.key("churn", Version(1, minor))).unlink()
    found = tell(history, "churn").happenings

    assert [(one.status, str(one.version)) for one in found] == [
        ("successful", "1.0"),
        ("missing", "1.1"),
        ("successful", "1.2"),
        ("missing", "1.3"),
    ]
    assert {one.error for one in found if one.status == "missing"} == {"its record is not there"}


@pytest.mark.parametrize(
    ("name", "error"),
    [("nobody", NotFound), ("dataset:churn", NotFound), ("churn@1.0", UsageError), ("../x", InvalidName)],
)
def test_what_has_no_history_is_refused(history: History, name: str, error: type[Exception]) -> None:
    history.import_("churn", {"main.py": "m"})
    with pytest.raises(error):
        tell(history, name)
    with pytest.raises(UsageError, match="limit"):
        tell(history, "churn", limit=-1)
