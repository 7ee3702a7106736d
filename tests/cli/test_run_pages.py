"""What a run's page says of its data."""

from __future__ import annotations

import pytest

from pkgrun.cli import run_pages
from pkgrun.records import Data, FileList, RunRecord, Written
from tests.examples import FULL


def page(data: Data, capsys: pytest.CaptureFixture[str]) -> str:
    """The page of a run with that data."""
    record = FULL["run"]
    assert isinstance(record, RunRecord)
    assert record.facts is not None
    facts = record.facts.model_copy(update={"data": data})
    run_pages.run(record.model_copy(update={"facts": facts}), (), "store")
    return capsys.readouterr().out


def data(**more: object) -> Data:
    """A dataset that everything is well with, but for `more`."""
    facts = FULL["run"].model_dump()["facts"]
    plain = {"attested": True, "unstable": FileList(), "doubt": None, "written": None}
    return Data.model_validate(facts["data"] | plain | more)


def test_a_quiet_dataset_is_told_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    shown = page(data(mount="overlay"), capsys)

    assert "data/churn  by overlay, attested" in shown
    assert "written into data/" not in shown
    assert "the dataset itself" not in shown


def test_files_that_changed_meanwhile_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    shown = page(data(attested=False, unstable=FileList.of(["a.csv", "b\x1b.csv"])), capsys)

    assert "by copy, NOT attested: 2 files changed while the code ran" in shown
    assert "the dataset itself  2 files changed while the code ran\n  ~ a.csv\n  ~ b\\x1b.csv\n" in shown


def test_a_copy_is_attested_though_its_source_changed(capsys: pytest.CaptureFixture[str]) -> None:
    shown = page(data(unstable=FileList.of(["a.csv"])), capsys)

    assert "by copy, attested" in shown
    assert "the dataset itself  1 file changed while it was copied\n  ~ a.csv\n" in shown


def test_another_doubt_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    shown = page(data(attested=False, doubt="the clock jumped"), capsys)

    assert "NOT attested: the clock jumped" in shown


def test_what_the_code_wrote_into_its_data_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    many = [f"{number:04}" for number in range(2000)]
    written = Written(added=FileList.of(many), changed=FileList.of(["x"]), removed=FileList.of(["old/"]))
    shown = page(data(written=written), capsys)

    assert "written into data/  1 changed, 2,000 added, 1 removed\n  ~ x\n  + 0000\n" in shown
    assert "  + 0009\n  + … and 1,990 more\n  - old/\n" in shown
