"""A store with one record that is not as it was written: every page shows what it can, or says what is damaged; none is a
bug of ours (rows 2, 10, 12).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.data import FOLDER, LARGE, STORES
from tests.data.seen import object_of
from tests.hostile.mutations import changed
from tests.hostile.scene import forked
from tests.hostile.test_display import inert

pytestmark = [pytest.mark.row(2), pytest.mark.row(10), pytest.mark.row(12)]

ANSWERS = {0, 2, 6, 7, 8, 75}
"""What may come of it: the page, or an error that names the thing."""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, shared_cache: Path) -> Iterator[Path]:
    """A store with a record of every kind."""
    place = tmp_path_factory.mktemp("kept") / "store"
    shutil.copytree(FOLDER / STORES[-1], place)
    large = object_of(place, LARGE)
    large.parent.mkdir(parents=True, exist_ok=True)
    large.write_bytes(LARGE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PKGRUN_CACHE", str(shared_cache))
        yield place


def pages(store: Path, record: str) -> list[list[str]]:
    """The calls that read a record."""
    kind, name, *_ = record.split("/") if "/" in record else (record, "")
    found = {
        "runs": [
            ["run", "show", name],
            ["run", "list", "--all"],
            ["run", "logs", name],
            ["run", "results", name],
            ["lineage", name],
        ],
        "packages": [
            ["package", "show", name],
            ["package", "list"],
            ["package", "files", name],
            ["lineage", name, "--both"],
            ["lineage", name, "--format", "svg"],
            ["history", name],
        ],
        "datasets": [
            ["dataset", "show", name],
            ["dataset", "list"],
            ["dataset", "files", name],
            ["history", f"dataset:{name}"],
        ],
        "gc": [["store", "gc"]],
    }.get(kind, [["package", "list"]])
    return [*found, ["store", "fsck"]]


@pytest.mark.parametrize("kind", ["runs", "packages", "datasets", "gc", "keys", "pkgrun-store.json"])
@given(data=st.data())
def test_no_page_is_a_bug(store: Path, kind: str, data: st.DataObject) -> None:
    files = sorted((store / kind).rglob("*.json")) or [store / kind]
    file = data.draw(st.sampled_from(files))
    whole = file.read_bytes()
    file.write_bytes(data.draw(changed(whole)))
    try:
        calls = pages(store, str(file.relative_to(store)))
        words = data.draw(st.sampled_from([*calls, *([*call, "--json"] for call in calls)]))
        line = ["--store", str(store), *words]
        said = forked([word.encode() for word in line], None, b"", 30)
    finally:
        file.write_bytes(whole)
    assert said.code in ANSWERS, (words, said)
    assert "Traceback" not in said.err
    if "--json" in words and said.code == 0:
        json.loads(said.out) if words[1] != "logs" else [json.loads(one) for one in said.out.splitlines()]
    elif "--json" not in words:
        inert(said.out + said.err)
