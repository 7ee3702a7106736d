"""The README's story of a file: three generations learn from a dataset that grows; who saw it, can it be proven, out with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from .lab import EXAMPLES, Lab

pytestmark = pytest.mark.slow

PATIENTS = EXAMPLES / "data" / "diagnosis" / "patients.csv"
HELD_OUT = EXAMPLES / "data" / "diagnosis-held-out"
CLINICS = {"north.csv": (1, 151), "south.csv": (151, 301), "west.csv": (301, 456)}


def grow(patients: Path, clinic: str) -> Path:
    """The next clinic's patients come into the dataset."""
    head, *rows = PATIENTS.read_text(encoding="utf-8").splitlines(keepends=True)
    first, last = CLINICS[clinic]
    patients.mkdir(exist_ok=True)
    (patients / clinic).write_text(head + "".join(rows[first - 1 : last - 1]), encoding="utf-8")
    return patients / clinic


def test_three_generations_who_saw_it_the_same_again_out_with_it_and_still_proven(lab: Lab) -> None:
    patients = lab.folder / "patients"
    north, south = grow(patients, "north.csv"), patients / "south.csv"
    train = ("--data", patients, "--save-training-data")
    assert lab.document("train", EXAMPLES / "diagnosis", *train)["version"] == "1.1"
    grow(patients, "south.csv")
    assert lab.document("train", "diagnosis@1.1", *train)["version"] == "1.2"
    grow(patients, "west.csv")
    assert lab.document("train", "diagnosis@1.2", *train)["version"] == "1.3"
    lab.pkgrun("evaluate", "diagnosis@1.3", "--data", HELD_OUT)

    # Who saw it?
    seen = lab.document("data", "used-by", south)
    assert seen["trained"] == ["diagnosis@1.2", "diagnosis@1.3"]
    assert [(use["path"], use["attested"]) for use in seen["uses"]] == [("south.csv", True)] * 2
    assert lab.document("data", "used-by", south, "--verify") == {**seen, "verified": True}
    assert lab.document("data", "overlap", "--train", "diagnosis@1.3", "--test", HELD_OUT)["clean"]
    found = lab.document("data", "overlap", "--train", "diagnosis@1.3", "--test", north.parent, code=3)
    assert [(one["path"], one["version"]) for one in found["overlap"]] == [
        ("north.csv", "diagnosis@1.1"),
        ("south.csv", "diagnosis@1.2"),
        ("west.csv", "diagnosis@1.3"),
    ]

    # Drawn.
    lab.pkgrun("lineage", "diagnosis@1.3", "--out", lab.folder / "lineage.svg")
    drawn = (lab.folder / "lineage.svg").read_text(encoding="utf-8")
    assert all(f"diagnosis@1.{minor}" in drawn for minor in range(4))

    # The same again, to the byte.
    again = lab.document("reproduce", "diagnosis@1.3")
    assert again["verdict"] == "identical"
    proven = lab.document("audit", "diagnosis@1.3")
    assert (proven["verdict"], proven["reservations"]) == ("verified", [])

    # Out with it.
    erased = lab.document("erase", south, "--reason", "consent withdrawn", "--yes")
    assert [one["version"] for one in erased["affected"]] == seen["trained"]
    inside = south.read_bytes()
    assert not any(inside in path.read_bytes() for path in lab.store.rglob("*") if path.is_file())
    assert not any(inside in path.read_bytes() for path in lab.cache.rglob("*.csv"))
    refused = lab.pkgrun("train", "diagnosis@1.1", "--data", patients, code=7)
    assert "south.csv" in refused.err
    assert "consent withdrawn" in refused.err

    # The history is still what it was, and a model without that file is trained.
    after = lab.document("audit", "diagnosis@1.3", "--expect", proven["fingerprint"])
    assert after["verdict"] == "verified-with-reservations"
    assert [one["kind"] for one in after["reservations"]] == ["content-erased"]
    lab.pkgrun("store", "fsck", "--read-data")
    south.unlink()
    assert lab.document("train", "diagnosis@1.1", *train)["version"] == "1.4"
    assert lab.document("audit", "diagnosis@1.4")["verdict"] == "verified"
    assert lab.document("data", "used-by", erased["digest"])["trained"] == seen["trained"]
