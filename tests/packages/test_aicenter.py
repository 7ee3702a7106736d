"""The vendor's metadata: what is written is read again, and what is wrong is named."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pkgrun.errors import PackageInvalid
from pkgrun.identity import Version
from pkgrun.packages import aicenter
from pkgrun.records import Contract, Environment, Listing, VersionRecord
from tests.examples import BLOB, DIGEST, LISTING, RUN, TREE
from tests.hostile.mutations import DEEP, changed, within

FIELDS = [
    "name", "description", "version", "displayName", "inputDescription", "outputDescription", "mlPackageLanguage",
    "inputType", "languageVersion", "retrainable", "gpu", "changeLog",
]  # fmt: skip


def record(listing: Listing | None = None, **more: Any) -> VersionRecord:
    values: dict[str, Any] = {
        "package": "churn",
        "kind": "import",
        "run": RUN,
        "parent": None,
        "tree": TREE,
        "contract": Contract(methods=("train", "save"), pipelines=("training",), servable=True),
        "listing": listing,
        "created": datetime(2026, 11, 20, tzinfo=UTC),
        "version": Version(7, 3),
        "previous": None,
    }
    return VersionRecord(**values | more)


def test_it_has_the_fields_of_the_vendor() -> None:
    found = json.loads(aicenter.render(record(LISTING, description="who leaves")))
    assert list(found) == FIELDS
    assert found == {
        "name": "churn", "description": "who leaves", "version": "7.3", "displayName": "Churn!",
        "inputDescription": "pictures", "outputDescription": "a guess", "mlPackageLanguage": "PYTHON",
        "inputType": "files", "languageVersion": "3.8", "retrainable": True, "gpu": True, "changeLog": "more rows",
    }  # fmt: skip


def test_what_nobody_has_said_is_filled_in_from_what_is_known() -> None:
    environment = Environment(
        mode="isolated", python="3.11.7", platform="linux-x86_64", requirements=DIGEST, lock=BLOB
    )
    found = json.loads(aicenter.render(record(environment=environment)))
    assert (found["displayName"], found["inputType"], found["languageVersion"]) == ("churn", "json", "3.11")
    assert (found["retrainable"], found["gpu"], found["changeLog"]) == (True, False, "")
    untrainable = Contract(methods=(), pipelines=("evaluation",), servable=True)
    assert json.loads(aicenter.render(record(contract=untrainable)))["retrainable"] is False


def test_it_is_read_as_it_was_written() -> None:
    found = aicenter.parse(aicenter.render(record(LISTING, description="who leaves")), "m.json")
    assert (found.name, found.version, found.description) == ("churn", Version(7, 3), "who leaves")
    assert found.listing == LISTING
    assert found.unknown == ()


def test_what_was_filled_in_only_to_fill_it_in_is_nothing_that_was_said() -> None:
    found = aicenter.parse(aicenter.render(record()), "m.json")
    assert found.description is None
    assert (found.listing.display_name, found.listing.change_log, found.listing.input_description) == (
        None,
        None,
        None,
    )


def test_a_flag_may_be_a_word_and_a_kind_of_input_in_capitals() -> None:
    found = aicenter.parse(_with(retrainable="True", gpu="false", inputType="JSON"), "m.json").listing
    assert (found.retrainable, found.gpu, found.input_type) == (True, False, "json")


def test_what_it_says_besides_is_named() -> None:
    assert aicenter.parse(_with(b=1, a=[2]), "m.json").unknown == ("a", "b")


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no name": ({"name": None}, "name is missing"),
    "a number as name": ({"name": 7}, "name is 7, and should be a text"),
    "no version": ({"version": ""}, "version is missing"),
    "a version of one part": ({"version": "7"}, "version is '7', and should be MAJOR.MINOR"),
    "a version that is a number": ({"version": 7.3}, "version is 7.3, and should be a text"),
    "a version below 1": ({"version": "0.1"}, "should be MAJOR.MINOR"),
    "a version with an end of line": ({"version": "7.3\n"}, "should be MAJOR.MINOR"),
    "an input of no kind": (
        {"inputType": "xml"},
        "inputType is 'xml', and should be one of json, file, files",
    ),
    "a flag that is none": ({"gpu": "maybe"}, "gpu is 'maybe', and should be true or false"),
    "a flag that is a number": ({"retrainable": 1}, "retrainable is 1, and should be true or false"),
    "a long text": ({"changeLog": "x" * 70_000}, "changeLog is larger than 64 KiB"),
    "no Unicode": ({"description": "\ud800"}, "description is not UTF-8"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_named(what: str) -> None:
    fields, reason = WRONG[what]
    with pytest.raises(PackageInvalid) as refused:
        aicenter.parse(_with(**fields), "m.json")
    assert refused.value.message.startswith("m.json is no package's metadata:")
    assert reason in refused.value.message


def test_all_that_is_wrong_is_named_at_once() -> None:
    with pytest.raises(PackageInvalid) as refused:
        aicenter.parse(_with(name=1, version=2, gpu=3), "m.json")
    assert [line.split()[0] for line in refused.value.message.splitlines()[1:]] == ["name", "version", "gpu"]


@pytest.mark.parametrize("data", [b"", b"[1]", b"\xff", b'{"name":"a","name":"b"}', b"9" * 5000, *DEEP])
def test_what_is_no_json_object_is_refused(data: bytes) -> None:
    with within(), pytest.raises(PackageInvalid, match=r"m\.json is no"):
        aicenter.parse(data, "m.json")


@given(st.one_of(changed(aicenter.render(record(LISTING))), st.binary(max_size=60)))
def test_metadata_is_read_or_refused(data: bytes) -> None:
    with within():
        try:
            found = aicenter.parse(data, "m.json")
        except PackageInvalid as error:
            assert error.message.startswith("m.json")  # noqa: PT017
            return
    whole = record(found.listing, description=found.description, version=found.version)
    assert VersionRecord.from_bytes(whole.to_bytes(), key="") == whole


def _with(**fields: Any) -> bytes:
    return json.dumps(json.loads(aicenter.render(record(LISTING))) | fields).encode()
